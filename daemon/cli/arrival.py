"""Brings what `ffspool run` completed to its place in the user's folder, and what an interrupted run had completed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from daemon import filenames
from daemon.cli import made
from daemon.cli.made import Origin
from daemon.cli.work_place import brought, left_by_a_run
from daemon.database.file import peek, prepare
from daemon.database.store import Row, load_queries
from daemon.delivery.result_mark import Mark, put_on_all
from daemon.errors import StartupError
from daemon.paths import Paths, remove
from daemon.proof.publish import seal


def arrive(
    output: Path, sha256: str, seconds: float | None, folder: Path, target: str, origin: Origin, *, overwrite: bool
) -> Path:
    """Puts a completed output to its place below `folder`, or numbered beside a file that came there meanwhile, and
    notes what it is made of; marked as ours, it plays so many `seconds`. Raises Unavailable as `brought` does. Blocks.

    It is noted before it has its name: a run that is killed in between is gone on with, and finds it there.
    """
    here, place = brought(output, folder, sha256), folder / target
    place.parent.mkdir(parents=True, exist_ok=True)
    put_on_all(here, Mark(seconds=seconds))
    overwrite = overwrite and made.may_go(folder, target)
    if overwrite or not os.path.lexists(place):
        made.note(folder, place, origin, like=here)
    path = _placed(here, place, overwrite=overwrite)
    if path != place:
        made.note(folder, path, origin, like=path)
    return path


def bring_left(folder: Path, *, overwrite: bool) -> list[str]:
    """Brings what an interrupted run into that folder had completed, and returns how it is called there.

    Raises StartupError when it cannot. Blocks.
    """
    try:
        with left_by_a_run(folder) as work:
            return list(_bring(Paths(work), folder, overwrite=overwrite)) if work else []
    except OSError as error:
        words = f"what an interrupted run completed cannot be brought to {folder}: {error.strerror}"
        raise StartupError(words) from error


def _bring(paths: Paths, folder: Path, *, overwrite: bool) -> Iterator[str]:
    prepare(paths.database)
    for row in peek(paths.database, load_queries()["made_by_run"]):
        output, origin = paths.output(row["job"], row["id"], row["extension"]), _origin(row)
        if not output.exists():
            continue
        if made.is_whole(made.read(folder), folder, row["name"], origin) or seal(output)[1] != row["sha256"]:
            remove(output)  # it was killed before its second name was gone; or it is not what was proven
            continue
        path = arrive(output, row["sha256"], row["output_seconds"], folder, row["name"], origin, overwrite=overwrite)
        yield str(path.relative_to(folder))


def _origin(row: Row) -> Origin:
    return Origin(
        path=row["path"],
        bytes=row["bytes"],
        modified=row["modified"],
        preset=row["preset"],
        parameters=msgspec.json.decode(row["parameters"]),
    )


def _placed(output: Path, target: Path, *, overwrite: bool) -> Path:
    """Where `output` is now: at `target`, or numbered beside a file that came there while we encoded."""
    if overwrite:
        if output.is_dir() or target.is_dir():
            remove(target)
        output.replace(target)
        return target
    free, number = target, 1
    while not _linked(output, free):
        number += 1
        free = target.with_name(filenames.numbered(target.name, number))
    return free


def _linked(output: Path, target: Path) -> bool:
    """Moves without ever replacing anything; False: there is something."""
    if output.is_dir():
        return _placed_folder(output, target)
    try:
        os.link(output, target)
    except FileExistsError:
        return False
    except OSError as error:  # some file systems have no hard links
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        if os.path.lexists(target):
            return False
        output.rename(target)
        return True
    output.unlink()
    return True


def _placed_folder(output: Path, target: Path) -> bool:
    try:
        target.mkdir()  # a rename replaces an empty folder, and nothing else
    except FileExistsError:
        return False
    output.rename(target)
    return True
