"""What the database knows of a variation on its way: claimed, then completed, or abandoned.

Each function is one step within a transaction, guarded in its WHERE by state and attempt, so that a late
writer changes nothing.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from daemon.disk import Offer, refusal
from daemon.models import Media, Model, Parameters, Started, new_id
from daemon.publish import Proof
from daemon.states import State
from daemon.store import Row, Transaction

MAX_RETRIES = 3  # of what may pass
MAX_CRASHES = 2  # of the daemon, with this variation in flight
RETRY_GROWTH = 4  # each wait is so many times the one before
FORCED = "failed by request"
ASIDE = 30.0  # seconds that work lets other work pass which may fit on the disk


class Claim(Model, frozen=True):
    """A variation that has its slot: all that is needed to run and settle it."""

    seq: int
    id: str
    attempt: int
    token: str
    preset: str
    parameters: Parameters
    extension: str
    waiting: int  # how many more could start now, counted no further than the slots
    space: int  # bytes of disk it may come to; 0 until its source was probed
    job_seq: int
    job: str
    source_seq: int
    source: str
    source_name: str
    source_path: str | None
    source_bytes: int
    media: Media | None
    source_error: str | None


class Aside(Model, frozen=True):
    """The best that may start does not fit on the disk, and lets others pass for a while."""

    variation: str


def claim(
    transaction: Transaction, *, boot: str, slots: int, now: float, disk: Offer | None = None
) -> Claim | Aside | None:
    """Takes the best variation that may start, with a new attempt and its token; None when there is none.

    One that does not fit on the `disk` (None: anything does) is set aside with the words for it.
    """
    transaction.run("release_delayed", now=now)
    best = transaction.one("best_ready")
    if best is None:
        return None
    source = transaction.one("claimed_context", source=best["source"])
    assert source is not None
    media = msgspec.json.decode(source["media"], type=Media) if source["media"] else None
    space = _space(best, source, media, disk)
    if disk is not None and (words := refusal(space, disk.room)):
        transaction.run("set_aside", variation=best["seq"], waiting=words, until=now + ASIDE)
        return Aside(variation=best["id"])
    return _taken(transaction, best, source, media=media, space=space, boot=boot, slots=slots, now=now)


def _space(best: Row, source: Row, media: Media | None, disk: Offer | None) -> int:
    """The prediction, or what was learnt from a full disk; nothing is known of a source before it is probed."""
    learnt: int = best["space_needed"] or 0
    if disk is None or media is None:
        return learnt
    parameters = msgspec.json.decode(best["parameters"])
    return max(learnt, disk.predict(best["preset"], parameters, media, source["bytes"]))


def _taken(
    transaction: Transaction,
    best: Row,
    source: Row,
    *,
    media: Media | None,
    space: int,
    boot: str,
    slots: int,
    now: float,
) -> Claim:
    row = transaction.one("claim", variation=best["seq"], now=now)
    assert row is not None
    token = new_id() + new_id()
    attempt = {"variation": row["seq"], "number": row["attempts"]}
    transaction.run("insert_attempt", token=token, boot=boot, now=now, **attempt)
    ready = transaction.one("count_ready", limit=slots)
    assert ready is not None
    return Claim(
        seq=row["seq"],
        id=row["id"],
        attempt=row["attempts"],
        token=token,
        preset=row["preset"],
        parameters=msgspec.json.decode(row["parameters"]),
        extension=row["extension"],
        waiting=ready["ready"],
        space=space,
        job_seq=row["job"],
        job=source["job"],
        source_seq=row["source"],
        source=source["source"],
        source_name=source["name"],
        source_path=source["path"],
        source_bytes=source["bytes"],
        media=media,
        source_error=source["error"],
    )


def record_process(started: Started, transaction: Transaction) -> None:
    """Which process works for the attempt, its identity after a crash with the boot id, and what shuts it in."""
    transaction.run("record_sandbox", token=started.task, sandbox=started.sandbox)
    transaction.run("record_process", token=started.task, pid=started.pid, created=started.created)


def record_media(transaction: Transaction, *, source: int, media: Media) -> None:
    transaction.run("record_media", source=source, media=msgspec.json.encode(media).decode())


def refuse_source(transaction: Transaction, *, source: int, error: str, now: float) -> None:
    """The source cannot be used: what waits for it fails with it."""
    transaction.run("record_source_error", source=source, error=error)
    transaction.run("fail_queued_of_source", source=source, error=error, now=now)


def record_proof(transaction: Transaction, *, variation: int, attempt: int, proof: Proof) -> bool:
    """Says which file is about to be published. False: it was cancelled, or the attempt is not its last."""
    encoded = msgspec.json.encode(proof).decode()
    return bool(transaction.run("record_proof", variation=variation, attempt=attempt, proof=encoded))


def complete(transaction: Transaction, *, variation: int, attempt: int, proof: Proof, now: float) -> bool:
    """Marks a published variation completed. False: a cancel came first, or the attempt is not its last."""
    done = transaction.run(
        "complete",
        variation=variation,
        attempt=attempt,
        now=now,
        bytes=proof.bytes,
        sha256=proof.sha256,
        output_seconds=proof.output_seconds,
        cpu_seconds=proof.cpu_seconds,
        speed=proof.speed,
    )
    if done:
        transaction.run("end_attempt", variation=variation, now=now)
    return bool(done)


class Verdict(Model, frozen=True):
    """What becomes of a variation whose attempt came to nothing."""

    status: State
    error: str | None
    retries: int
    crashes: int
    not_before: float | None = None
    waiting: str | None = None
    space_needed: int | None = None


class Failure(Model, frozen=True):
    """Why an attempt came to nothing. One that may pass is tried again up to `retries` times.

    With `space` it is no failure but a full disk: the work waits, however long, until so many bytes are free.
    """

    error: str
    retries: int = 0
    space: int | None = None


INTERRUPTED = None  # in place of a Failure: the daemon stopped, so the work goes back to the queue


def abandon(
    transaction: Transaction,
    *,
    variation: int,
    attempt: int,
    now: float,
    failure: Failure | None,
    cpu_seconds: float = 0.0,
    crashed: bool = False,
    retry_delay: float = 0.0,
) -> None:
    """Ends an attempt that came to nothing; `crashed` if it was the daemon that died. Requests overrule it."""
    row = transaction.one("in_flight", variation=variation, attempt=attempt)
    if row is None:
        return
    verdict = judge(row, failure=failure, crashed=crashed, now=now, retry_delay=retry_delay)
    transaction.run("discard_cpu", job=row["job"], cpu_seconds=cpu_seconds)  # first: the job may end with the next
    transaction.run("abandon", variation=variation, now=now, **msgspec.structs.asdict(verdict))
    transaction.run("end_attempt", variation=variation, now=now)


def judge(row: Row, *, failure: Failure | None, crashed: bool, now: float, retry_delay: float) -> Verdict:
    """A requested cancel or force-fail decides; then too many crashes; then whether it is worth another try."""
    retries, crashes = row["retries"], row["crashes"] + crashed
    if row["cancel_requested_at"] is not None:
        return Verdict(status=State.CANCELLED, error=None, retries=retries, crashes=crashes)
    if row["fail_requested_at"] is not None:
        return Verdict(status=State.FAILED, error=FORCED, retries=retries, crashes=crashes)
    if crashes >= MAX_CRASHES:
        words = f"the daemon died {crashes} times while this was being encoded: it is not tried again"
        return Verdict(status=State.FAILED, error=words, retries=retries, crashes=crashes)
    if failure is None:
        return Verdict(status=State.QUEUED, error=None, retries=retries, crashes=crashes)
    if failure.space is not None:
        queued = Verdict(status=State.QUEUED, error=None, retries=retries, crashes=crashes, not_before=now + ASIDE)
        return replace(queued, waiting=failure.error, space_needed=failure.space)
    if retries < failure.retries:
        later = now + retry_delay * RETRY_GROWTH**retries
        return Verdict(status=State.QUEUED, error=failure.error, retries=retries + 1, crashes=crashes, not_before=later)
    return Verdict(status=State.FAILED, error=failure.error, retries=retries, crashes=crashes)
