"""Runs `ffspool plan`: tells what a batch would come to before anything is encoded."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.fetching import LocalFile
from daemon.cli.options import (
    as_json,
    exclude,
    include,
    load_library,
    load_settings,
    load_tables,
    print_json,
    refuse_parameters,
    slots,
    state_dir,
    wanted,
)
from daemon.plaintext import so_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemon.models import Wanted
    from daemon.presets.library import Library
    from daemon.scheduling.dry_run import Preview
    from daemon.settings import Settings


@click.command()
@click.argument("files", nargs=-1, required=True, type=LocalFile())
@wanted
@include
@exclude
@slots
@state_dir
@as_json
def plan(
    files: tuple[Path, ...],
    variations: tuple[dict[str, Any], ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> None:
    """Tell how FILES would be encoded: in which processes, when each would begin, how long all of it would take, and
    what of FILES would be left out.

    The figures are predicted, the better the more this host's daemon has encoded.

    Exit code 0: all of it can be made; 1: something cannot, which is told: a file that cannot be used, or a preset that
    does not apply to a file; 2: a preset, a parameter or an option is wrong.
    """
    import msgspec
    from msgspec.structs import replace

    from daemon.cli.batch import expanded, usable
    from daemon.cli.folders import gather
    from daemon.models import VariationRequest
    from daemon.scheduling.dry_run import NotMade

    refuse_parameters(files, variations)
    settings, library = load_settings(flags), load_library()
    entries = [dict(entry) for entry in variations]
    requests = [VariationRequest(entry.pop("preset"), entry) for entry in entries]
    meant = gather(files, include=include, exclude=exclude)
    readable, unusable = usable([file.path for file in meant])
    wanted = expanded(requests, library, unusable)
    found = asyncio.run(_foreseen([path for path, _ in readable], wanted, settings, library))
    refused = (NotMade(file=one.file, preset=None, reason=one.reason) for one in unusable)
    found = replace(found, refused=(*refused, *found.refused))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print(found)
    sys.exit(1 if found.refused else 0)


async def _foreseen(files: Sequence[Path], wanted: Sequence[Wanted], settings: Settings, library: Library) -> Preview:
    from daemon.database.file import peek
    from daemon.database.store import load_queries
    from daemon.encode.sandbox_trial import promised
    from daemon.host import cores
    from daemon.media.prober import Prober
    from daemon.paths import Paths
    from daemon.scheduling.dry_run import preview
    from daemon.scheduling.forecast import Forecast
    from daemon.scheduling.space import Experience

    learnt = peek(Paths(settings.state_dir).database, load_queries()["corrections"])
    cluster, corrections = load_tables().cluster, {row["encode"]: row["correction"] for row in learnt}
    spans = (settings.resume_from, cluster.piece_seconds) if cluster else ()
    forecast = Forecast(library, corrections, Experience(), *spans)
    prober = Prober(sandboxed=promised(settings.sandbox))
    try:
        return await preview(
            files,
            wanted,
            prober,
            forecast,
            cores=cores(),
            slots=settings.slots,
            longest=settings.max_shared_seconds,
        )
    finally:
        await prober.close()


def _print(found: Preview) -> None:
    from daemon.cli.terminal import Column, clock, console, lasting, say, size, table
    from daemon.models import in_lines

    screen = console()
    for one in found.refused:
        say(screen, f"{one.file}: {one.preset + ': ' if one.preset else ''}{one.reason}")
    processes = len(found.processes)
    say(
        screen,
        f"{so_many(processes, 'process')}, {found.slots} at a time on {so_many(found.cores, 'core')}: "
        f"about {lasting(found.wall_seconds)}, {lasting(found.cpu_seconds)} of CPU, at most {size(found.bytes)}",
    )
    columns = (
        Column("BEGINS", 4, right=True),
        Column("TAKES", 3, right=True),
        Column("THREADS", 2, right=True),
        Column("FILE", 5, 12, cut=True),
        Column("MAKES", 6, 12),
    )
    rows = [
        (clock(one.at), lasting(one.wall_seconds), _threads(one.threads), Path(one.file).name, ", ".join(one.presets))
        for one in found.processes
    ]
    if rows:
        table(screen, columns, rows)
    for output in found.outputs:
        if output.spans > 1:
            words = f"may be encoded in {output.spans} pieces at once, by machines that would else have nothing to do"
            say(screen, f"{Path(output.file).name} → {output.preset} {words}")
        if output.one_picture:
            say(screen, f"{Path(output.file).name} → {output.preset} will be a film of one picture")
        for words in in_lines(output.left_out):
            say(screen, f"{Path(output.file).name} → {output.preset} will be without {words}")


def _threads(each: Sequence[int]) -> str:
    return str(each[0]) if len(set(each)) == 1 else "+".join(map(str, each))
