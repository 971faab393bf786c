"""Holds the commands that tell of watched folders, and of hooks that were run after deliveries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.cli.options import as_json, print_json, reach, state_dir


@click.command()
@state_dir
@as_json
def folders(state_dir: Path | None, as_json: bool) -> None:
    """Tell what folders are watched, and what was found in them."""
    found = reach(state_dir).folders()
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import Column

    columns = (Column("FOLDER", 0), Column("FILES", 1, right=True), Column("TAKEN", 2, right=True),
               Column("REFUSED", 4, right=True), Column("ERROR", 3, least=16))  # fmt: skip
    _print(columns, [(one["name"], one["found"], one["taken"], one["refused"], one["error"]) for one in found["items"]])


@click.command()
@click.option("--job", metavar="ID", help="Only those of this job.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, help="Most to list; by default 50.")
@state_dir
@as_json
def hooks(job: str | None, limit: int, state_dir: Path | None, as_json: bool) -> None:
    """List what your commands said that were run after deliveries, newest first."""
    found = reach(state_dir).hook_runs(job=job, limit=limit)
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import Column

    columns = (Column("HOOK", 0), Column("STATUS", 1), Column("TRIES", 4, right=True), Column("CODE", 3, right=True),
               Column("JOB", 5), Column("SAID", 2, least=16, cut=True))  # fmt: skip
    rows = [
        (run["hook"], run["status"], run["attempts"], run["exit_code"], run["job"], _last_line(run["said"]))
        for run in found["items"]
    ]
    _print(columns, rows)


def _last_line(said: str | None) -> str:
    return (said or "").rpartition("\n")[2]


def _print(columns: Any, rows: list[tuple[Any, ...]]) -> None:
    from daemon.cli.terminal import console, table

    table(console(), columns, [["" if cell is None else str(cell) for cell in row] for row in rows])


COMMANDS = (folders, hooks)
