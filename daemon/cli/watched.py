"""Holds the commands that tell of watched folders, and of hooks that were run after deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.answers import each
from daemon.cli.folders import whole
from daemon.cli.options import as_json, echo, print_json, reach, state_dir
from daemon.cli.queue_words import scheduled

if TYPE_CHECKING:
    from daemon.cli.client import Json


LISTED = "`ffspool folders` tells which there are"
DOES = {"running": "run", "paused": "stand still", "draining": "wait"}


@click.group(invoke_without_command=True)
@click.pass_context
def folders(context: click.Context) -> None:
    """See what folders are watched and what was found in them; scan, pause, resume or retry them."""
    if context.invoked_subcommand is None:
        context.invoke(ls)


@folders.command()
@state_dir
@as_json
def ls(state_dir: Path | None, as_json: bool) -> None:
    """Tell what folders are watched, and what was found in them."""
    found = reach(state_dir).folders()
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import Column, size

    columns = (Column("FOLDER", 0), Column("FILES", 1, right=True),
               Column("LEFT OUT", 6, right=True), Column("TAKEN", 2, right=True),
               Column("REFUSED", 4, right=True), Column("SAVED", 5, right=True),
               Column("ERROR", 3, least=16))  # fmt: skip
    rows = [
        (one["name"], one["found"], one["left_out"], one["taken"], one["refused"], size(one["saved_bytes"]), _flaw(one))
        for one in found["items"]
    ]
    _print(columns, rows)
    for one in found["items"]:
        if (schedule := one["schedule"]) and schedule["because"]:
            echo(f"{one['name']} {_hours(one['name'], schedule)}")


def _hours(folder: str, schedule: Json) -> str:
    state = "running" if schedule["overruled"] else schedule["state"]
    return f"has its jobs {DOES[state]}{scheduled(state, schedule, f'`ffspool folders resume {quote(folder)}`')}"


def _flaw(folder: Json) -> str | None:
    left = folder["not_delivered"]
    undelivered = f"{left} not delivered: see `ffspool folders history {quote(folder['name'])}`" if left else None
    return "it is paused" if folder["paused"] else folder["error"] or undelivered


@folders.command()
@click.argument("folder")
@click.option("--limit", type=click.IntRange(1, 200), default=50, help="Most to list; by default 50.")
@click.option("--cursor", help="Go on where an earlier list ended.")
@state_dir
@as_json
def history(folder: str, limit: int, cursor: str | None, state_dir: Path | None, as_json: bool) -> None:
    """List what became of the files of FOLDER, newest first."""
    with _advised(LISTED):
        found = reach(state_dir).folder_history(folder, limit=limit, cursor=cursor)
    if as_json:
        print_json(found)
        return
    from daemon.cli.terminal import Column

    columns = (Column("FILE", 0, least=16, cut=True), Column("VERDICT", 1), Column("JOB", 3),
               Column("WHY", 2, least=16))  # fmt: skip
    _print(columns, [(one["name"], one["verdict"], one["job"], _first_line(one["error"])) for one in found["items"]])
    if found["next_cursor"]:
        echo(f"There are more: --cursor {found['next_cursor']}", err=True)


@folders.command()
@click.argument("folders", nargs=-1, required=True)
@state_dir
@as_json
def scan(folders: tuple[str, ...], state_dir: Path | None, as_json: bool) -> None:
    """Scan FOLDERS now."""
    _each(folders, "scan", "is scanned now", state_dir, as_json)


@folders.command()
@click.argument("folders", nargs=-1, required=True)
@state_dir
@as_json
def pause(folders: tuple[str, ...], state_dir: Path | None, as_json: bool) -> None:
    """Leave FOLDERS alone until they are resumed; what was taken goes on."""
    _each(folders, "pause", "is paused", state_dir, as_json)


@folders.command()
@click.argument("folders", nargs=-1, required=True)
@state_dir
@as_json
def resume(folders: tuple[str, ...], state_dir: Path | None, as_json: bool) -> None:
    """Let FOLDERS be scanned again, and their jobs run though it is not their hour."""
    _each(folders, "resume", "is scanned, and its jobs run", state_dir, as_json)


@folders.command()
@click.argument("folders", nargs=-1, required=True)
@state_dir
@as_json
def retry(folders: tuple[str, ...], state_dir: Path | None, as_json: bool) -> None:
    """Look anew at what FOLDERS refused, and at what failed or was cancelled."""
    _each(folders, "retry", "is looked through anew", state_dir, as_json)


@folders.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@state_dir
@as_json
def undo(files: tuple[Path, ...], state_dir: Path | None, as_json: bool) -> None:
    """Put back the originals of FILES, whose place outputs took; these are removed."""
    client = reach(state_dir)
    paths = [whole(file) for file in files]
    with _advised("`ffspool folders history` tells of a folder what became of its files"):
        each(paths, client.undo, as_json, lambda one: f"{one['name']} is its original again")


def _each(folders: tuple[str, ...], verb: str, words: str, state_dir: Path | None, as_json: bool) -> None:
    client = reach(state_dir)
    with _advised(LISTED):
        each(folders, lambda folder: client.set_folder(folder, verb), as_json, lambda one: f"{one['name']} {words}")


@contextmanager
def _advised(advice: str) -> Iterator[None]:
    """Has what is not found, or in conflict, tell which command knows of folders."""
    from daemon.cli.client import Refused

    try:
        yield
    except Refused as error:
        error.advice = advice if error.code in {"not_found", "conflict"} else None
        raise


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


def _first_line(said: str | None) -> str | None:
    return said.splitlines()[0] if said else None


def _last_line(said: str | None) -> str:
    return (said or "").rpartition("\n")[2]


def _print(columns: Any, rows: list[tuple[Any, ...]]) -> None:
    from daemon.cli.terminal import console, table

    table(console(), columns, [["" if cell is None else str(cell) for cell in row] for row in rows])


COMMANDS = (folders, hooks)
