"""Says what can be done about what a job is without: only what a retry can make is to be tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec.structs import replace

from daemon.encode.diagnosis import known
from daemon.jobs.reasons import Reason, reason
from daemon.jobs.variation_views import VariationView
from daemon.jobs.views import JobView, SourceView
from daemon.media.allowlist import LIMIT
from daemon.plaintext import so_many
from daemon.states import ENDED, State


class Remedy(StrEnum):
    """A remedy is what makes a variation that failed or was cancelled."""

    AGAIN = "again"
    HOST = "host"  # again, once the host has or does what it had or did not
    FETCH = "fetch"  # a new job, once the URL brings the file
    GONE = "gone"  # a new job with the file, which is no longer there; or the file in its place again
    SMALLER = "smaller"  # a smaller picture in the file
    FILE = "file"  # a whole file in place of one that is broken, or is no film at all
    OTHERWISE = "otherwise"  # other parameters, or another preset: the same would fail alike
    NOTHING = "nothing"  # of that file nothing of the kind can be made


OF_REASONS = {
    Reason.REQUEST: Remedy.AGAIN,
    Reason.CRASH: Remedy.AGAIN,
    Reason.FAULT: Remedy.AGAIN,
    Reason.HOST: Remedy.HOST,
    Reason.UNFETCHED: Remedy.FETCH,
    Reason.UNREADABLE: Remedy.FILE,
    Reason.UNSUITABLE: Remedy.NOTHING,
    Reason.PROOF: Remedy.OTHERWISE,
    Reason.ENCODER: Remedy.OTHERWISE,
}
OF_GONE = ("no longer on the disk", "the file cannot be opened: No such file or directory")
UPLOAD = "upload is no longer on the disk"  # which nobody can put back
OF_HOST = ("permission denied", "does not answer", "the source changed", "the encoder hung")


def remedy(status: State, error: str | None, source_error: str | None) -> Remedy:
    """Returns what helps one that ended like that."""
    words = error or ""
    why = reason(status, error, source_error)
    if why is Reason.UNFETCHED:
        return Remedy.FETCH
    if LIMIT in words:
        return Remedy.SMALLER
    if any(said in words or said in (source_error or "") for said in OF_GONE):
        return Remedy.GONE
    if any(said in words for said in OF_HOST):
        return Remedy.HOST
    cause = known(words) if why is Reason.ENCODER else None
    if cause:
        return Remedy.HOST if cause.may_pass else Remedy.FILE if cause.in_source else Remedy.OTHERWISE
    return OF_REASONS[why]


def missing(sources: Iterable[SourceView]) -> Iterator[tuple[SourceView, VariationView, Remedy]]:
    """Yields what failed or was cancelled, each with what helps."""
    for source in sources:
        for one in source.variations:
            if one.status in {State.FAILED, State.CANCELLED}:
                yield source, one, remedy(one.status, one.error, source.error)


def advised(job: JobView) -> JobView:
    """Returns the job with what can be done about what it is without, once it has ended."""
    return (
        replace(job, advice=tuple(advice(job.sources, "a retry", "submit a new job"))) if job.status in ENDED else job
    )


def advice(sources: Sequence[SourceView], again: str, anew: str) -> Iterator[str]:
    """Yields a sentence for each remedy of what a job is without: `again` makes it, `anew` is what to do with a file
    that was fetched anew.
    """
    found = list(missing(sources))
    counts = Counter(kind for _, _, kind in found)
    if counts[Remedy.AGAIN]:
        what = "what is missing, and nothing else" if len(counts) == 1 else so_many(counts[Remedy.AGAIN], "variation")
        yield f"{again} makes {what}"
    if counts[Remedy.HOST]:
        what = so_many(counts[Remedy.HOST], "variation")
        yield f"{what} failed for what the host lacks, as told above: see to it, then {again}"
    if gone := {source.id: (one.error, source.error) for source, one, kind in found if kind is Remedy.GONE}:
        what = "1 file is" if len(gone) == 1 else f"{len(gone)} files are"
        uploaded = all(any(UPLOAD in (words or "") for words in told) for told in gone.values())
        back = "" if uploaded else f"; or put back there what was to be read in place, then {again}"
        yield f"{what} gone from the disk: {anew}{back}"
    yield from in_vain(sources, anew)
    if count := sum(one.lost is True for source in sources for one in source.variations):
        yield f"the files of {so_many(count, 'variation')} are lost, as told above: to have them again, {anew}"


def in_vain(sources: Iterable[SourceView], anew: str) -> Iterator[str]:
    """Yields a sentence for each remedy of what would fail alike again."""
    found = list(missing(sources))
    counts = Counter(kind for _, _, kind in found)
    files = Counter(kind for _, kind in {(source.id, kind) for source, _, kind in found})
    if count := files[Remedy.FETCH]:
        what = "1 file" if count == 1 else f"{count} files"
        yield f"{what} could not be fetched, as told above: see to that, then {anew}"
    if count := files[Remedy.SMALLER]:
        what, them = ("1 file is", "it") if count == 1 else (f"{count} files are", "them")
        yield f"{what} too large for ffspool: make the picture in {them} smaller first, then {anew}"
    if count := files[Remedy.FILE]:
        what, them = ("1 file is", "it") if count == 1 else (f"{count} files are", "them")
        yield f"{what} broken or no media: leave {them} out, or fetch {them} anew and {anew}"
    if count := counts[Remedy.OTHERWISE]:
        errors = "its error says" if count == 1 else "their errors say"
        yield f"{so_many(count, 'variation')} would fail alike again: ask for what {errors}"
    if count := counts[Remedy.NOTHING]:
        what, them = ("such a file", "it") if count == 1 else ("such files", "them")
        yield (
            f"{so_many(count, 'variation')} cannot be made of {what}: leave {them} out, choose another preset, or have "
            "that be skipped (`submit --on-unsuitable skip`)"
        )
