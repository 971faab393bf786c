"""Runs `ffspool run`: asks the batch to be run and shows how it goes and what came out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from daemon.cli.fetching import LocalFile
from daemon.cli.options import (
    as_json,
    echo,
    exclude,
    ffmpeg,
    grace,
    include,
    load_library,
    load_settings,
    name_template,
    on_unsuitable,
    overwrite,
    print_json,
    refuse_parameters,
    slots,
    wanted,
)

if TYPE_CHECKING:
    from rich.console import Console

    from daemon.cli.batch import Batch
    from daemon.cli.batch_job import Result, Watcher
    from daemon.cli.folders import Named
    from daemon.cli.naming import Naming
    from daemon.jobs.variation_views import VariationView
    from daemon.jobs.views import JobView
    from daemon.models import VariationRequest
    from daemon.presets.library import Library
    from daemon.settings import Settings

MOST_ALIKE = 3  # of what ended alike without a file, a line each
MOST_LOSSES = 20  # that are told after a run, a line each


@click.command()
@click.argument("files", nargs=-1, required=True, type=LocalFile())
@wanted
@click.option("-o", "--output", "meant", required=True, type=click.Path(),
              help="The folder the results go to; made if need be. A single one may be named: x.mp4.")  # fmt: skip
@include
@exclude
@name_template
@overwrite
@click.option("--skip-existing", is_flag=True,
              help="Make only what is missing: what an earlier run made of the same is kept.")  # fmt: skip
@click.option("--fresh", is_flag=True,
              help="Begin anew: what an interrupted run left is not gone on with, but removed.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Begin nothing if any of FILES cannot be used.")
@on_unsuitable("skip")
@slots
@ffmpeg
@grace
@as_json
def run(
    files: tuple[Path, ...],
    variations: tuple[dict[str, Any], ...],
    meant: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    on_unsuitable: str,
    template: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Transcode FILES here and now, without a daemon. Of a folder, all below it; its tree is made again in the output.

    Each result is in the output folder as soon as it is complete. Ctrl-C ends the encodes gracefully and
    keeps what is completed; what is encoded of long films stays in .ffspool there, and the same again goes on with it.
    """
    from daemon.cli import arrival, batch, made, output_name, work_place
    from daemon.cli.folders import gather
    from daemon.states import OnUnsuitable

    how = {name: flags.pop(name) for name in ("overwrite", "skip_existing", "strict")}
    fresh = flags.pop("fresh")
    refuse_parameters(files, variations)
    settings, library = load_settings(flags), load_library()
    requests, named = _requests(variations), gather(files, include=include, exclude=exclude, apart=Path(meant))
    output, only = output_name.parted(meant, named, requests, library, named=template is not None)
    how["named"] = only or _naming(template, named, settings, library)
    for name in () if fresh else arrival.bring_left(output, overwrite=how["overwrite"]):
        echo(f"{name} was completed by a run that was interrupted, and is there now", err=as_json)
    how["before"] = made.Before() if fresh else work_place.before(output)
    checked = batch.check(named, requests, library, output, on_unsuitable=OnUnsuitable(on_unsuitable), **how)
    if not checked.sources:
        work_place.clear_up(output)
        return _tell_all_there(checked, as_json)
    result = _followed(checked, settings, library, sys.stderr if as_json else sys.stdout, fresh=fresh)
    if as_json:
        print_json(_as_json(result, checked))
    else:
        _report(result, checked)
    sys.exit(_exit_code(result, checked))


def _naming(template: str | None, files: Sequence[Named], settings: Settings, library: Library) -> Naming | None:
    if template is None:
        return None
    from daemon.cli.naming import naming

    return naming(template, [file.path for file in files], settings, library)


def _followed(checked: Batch, settings: Settings, library: Library, out: TextIO, *, fresh: bool) -> Result:
    from daemon.cli import made
    from daemon.cli.follower import Follower
    from daemon.cli.terminal import console

    with Follower(console(out)) as follower:
        _tell_what_is_not_made(follower, checked)
        result = asyncio.run(_run(checked, settings, library, follower, fresh=fresh))
    if not result.interrupted:
        made.end(checked.folder)
    return result


async def _run(checked: Batch, settings: Settings, library: Library, watcher: Watcher, *, fresh: bool) -> Result:
    """Loads what runs a batch while the prober starts, which takes as long."""
    from daemon.cli.interrupts import signals_to
    from daemon.media.prober import Prober

    interrupt = asyncio.Event()
    with signals_to(interrupt):  # before there is a child that a Ctrl-C could leave behind
        prober = Prober(sandboxed=settings.sandbox != "off")
        prober.start()
        from daemon.cli import batch_job

        return await batch_job.run(checked, settings, library, watcher, interrupt, prober, fresh=fresh)


def _tell_what_is_not_made(watcher: Watcher, checked: Batch) -> None:
    for one in checked.refused:
        watcher.say(one.reason)
    if checked.there:
        watcher.say(f"{len(checked.there)} there already, made of the same by an earlier run")


def _tell_all_there(checked: Batch, as_json: bool) -> None:
    from daemon.cli import made

    made.end(checked.folder)
    if as_json:
        print_json({"sources": [], "there": checked.there})
    else:
        echo(f"All {len(checked.there)} are there already, in {checked.folder}")


def _requests(variations: Sequence[dict[str, Any]]) -> list[VariationRequest]:
    from daemon.models import VariationRequest

    entries = [dict(entry) for entry in variations]
    return [VariationRequest(entry.pop("preset"), entry) for entry in entries]


def _exit_code(result: Result, checked: Batch) -> int:
    if result.interrupted:
        return 130
    return 0 if result.job.outcome == "all" and not checked.refused else 1


def _as_json(result: Result, checked: Batch) -> Any:
    """The job as the API would tell it, with the `path` and `duration_seconds` of each variation's file, and the files
    that were `refused`.
    """
    import msgspec

    job = msgspec.to_builtins(result.job)
    job["refused"] = msgspec.to_builtins(checked.refused)
    job["there"] = list(checked.there)
    job["kept"] = msgspec.to_builtins(result.kept)
    for source in job["sources"]:
        for variation in source["variations"]:
            made = result.made.get(variation["id"])
            variation["path"] = str(made.path) if made else None
            variation["duration_seconds"] = made.duration_seconds if made else None
    return job


def _report(result: Result, checked: Batch) -> None:
    from daemon.cli.terminal import Column, console, say, table
    from daemon.jobs.tally import tally

    screen = console()
    columns = (
        Column("STATUS", 1),
        Column("SIZE", 2, right=True),
        Column("DURATION", 4, right=True),
        Column("TOOK", 3, right=True),
        Column("RESULT", 0, least=36),
    )
    screen.print()
    alike = _alike(result.job)
    if rows := _rows(result, frozenset(alike)):
        table(screen, columns, rows)
    for status, (count, files) in alike.items():
        say(screen, f"{count} {status}, of {files} file{'s' if files > 1 else ''}")
    screen.print()
    _report_errors(screen, result.job, checked)
    _report_losses(screen, result.job)
    where = f". What is completed is in {checked.folder}" if result.made else ""
    there = f"; {len(checked.there)} made before" if checked.there else ""
    say(screen, tally(result.job) + there + where)
    if result.left:
        say(screen, _left(result, result.left))
    if result.job.outcome != "all" and not (result.left and result.interrupted):
        for words in _what_helps(result):
            say(screen, f"{words}.")


def _what_helps(result: Result) -> Iterator[str]:
    from daemon.jobs.remedies import advice

    how = " with --skip-existing" if result.made and not result.interrupted else ""
    for words in advice(result.job.sources, f"the same again{how}", f"give the same command again{how}"):
        yield words[0].upper() + words[1:]


def _left(result: Result, left: Path) -> str:
    from daemon.cli.terminal import clock

    films = [
        f"{clock(kept.seconds)} of {variation.name}"
        for source in result.job.sources
        for variation in source.variations
        for kept in result.kept
        if kept.variation == variation.id and kept.seconds > 0
    ]
    if not result.kept:
        return f"What other commands left is still in {left}."
    if not films:
        return f"Too little is encoded yet of the films in {left} to go on with: the same again begins them anew."
    more = f" and {len(films) - MOST_ALIKE} more" if len(films) > MOST_ALIKE else ""
    what = f": up to {', '.join(films[:MOST_ALIKE])}{more}"
    again = "The same again goes on with it; with --fresh it begins anew."
    return f"What is encoded of films is kept in {left}{what}. {again}"


def _rows(result: Result, folded: frozenset[str]) -> list[list[Any]]:
    """Groups what became of several files by file, each with its name above."""
    rows: list[list[Any]] = []
    for source in result.job.sources:
        own = [variation for variation in source.variations if variation.status not in folded]
        if len(own) > 1 and all(variation.error and variation.error == source.error for variation in own):
            rows.append(_row(own[0].status, f"{source.name}: all {len(own)}"))
        elif len(own) > 1 and len(result.job.sources) > 1:
            rows.append(["", "", "", "", f"{source.name}:"])
            rows += [_facts(result, variation, indent="  ") for variation in own]
        else:
            rows += [_facts(result, variation) for variation in own]
    return rows


def _row(status: str, words: str) -> list[Any]:
    from daemon.cli.terminal import paint

    return [paint(status), "–", "–", "–", words]


def _facts(result: Result, variation: VariationView, *, indent: str = "") -> list[Any]:
    """What became of one output, by the name that tells it from all others: its file's, or what that was to be."""
    from daemon.cli.terminal import lasting, paint, size, took

    made = result.made.get(variation.id)
    return [
        paint(variation.status),
        size(variation.bytes),
        lasting(made.duration_seconds if made else None),
        lasting(took(variation)),
        indent + (made.path.name if made else variation.name),
    ]


def _alike(job: JobView) -> dict[str, tuple[int, int]]:
    """Counts those that ended alike without a file, where they are many: by status, and of how many files."""
    ends = {
        status: [sum(variation.status == status for variation in source.variations) for source in job.sources]
        for status in ("cancelled", "skipped")
    }
    return {status: (sum(each), sum(map(bool, each))) for status, each in ends.items() if sum(each) > MOST_ALIKE}


def _report_errors(screen: Console, job: JobView, checked: Batch) -> None:
    from rich.text import Text

    from daemon.cli.terminal import STYLES

    for status, words in (*(("failed", one.reason) for one in checked.refused), *_errors(job)):
        screen.print(Text(words, STYLES[status]))
        screen.print()


def _report_losses(screen: Console, job: JobView) -> None:
    from daemon.cli.terminal import say
    from daemon.models import in_lines

    for words in _of_one_picture(job):
        say(screen, words)
    losses = [
        f"{source.name} → {variation.preset} is without {words}"
        for source in job.sources
        for variation in source.variations
        for words in in_lines(variation.left_out or ())
    ]
    for words in losses[:MOST_LOSSES]:
        say(screen, words)
    if (more := len(losses) - MOST_LOSSES) > 0:
        say(screen, f"and {more} more such losses: --json tells all")
    if losses:
        screen.print()


def _of_one_picture(job: JobView) -> Iterator[str]:
    """Tells of films of photographs: those have no length of their own."""
    for source in job.sources:
        if source.media and source.media.format.endswith("_pipe"):
            for variation in source.variations:
                if variation.output_seconds and not variation.name.endswith((".gif", ".webp")):
                    yield f"{source.name} → {variation.preset} is a film of one picture"


def _errors(job: JobView) -> Iterator[tuple[str, str]]:
    """Tells what became of what, and why: a source that cannot be used once, not for each of its variations."""
    for source in job.sources:
        if source.error:
            yield "failed", source.error
        for variation in source.variations:
            if variation.error and variation.error != source.error:
                yield variation.status, f"{source.name} → {variation.preset}: {variation.error}"
