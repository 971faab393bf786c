"""Sweeps: deletes files that belong to no row, and tells of rows whose file is gone."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from daemon.database import owned_files
from daemon.database.store import Row, Store, Transaction
from daemon.journal import tell
from daemon.paths import Paths, remove

log = logging.getLogger(__name__)

YOUNG = 3600.0  # seconds: a file that is not in the database, and was changed since, may be on its way there
PAGE = 500
ROUND = 5000  # jobs and completed variations that one round of the sweep looks at


# Sweep


class Sweep:
    """Goes round the spool in rounds of bounded work, each from where the last one stopped. Close it when done.

    A round removes files that no row owns, and marks completed rows whose file is gone. `began` is when the daemon
    did, which sees to the bodies of its own requests; it sweeps those that an earlier one left.
    """

    def __init__(self, store: Store, paths: Paths, began: float) -> None:
        self._store = store
        self._paths = paths
        self._began = began
        self._folders: Iterator[os.DirEntry[str]] | None = None  # of jobs, still to be looked at
        self._listing = threading.Lock()  # a round that was cancelled may still be listing
        self._after = 0  # the last row whose file was looked for

    def close(self) -> None:
        with self._listing:
            self._close()

    def _close(self) -> None:
        if self._folders is not None:
            self._folders.close()  # type: ignore[attr-defined]
            self._folders = None

    async def round(self, now: float, min_age: float = YOUNG) -> int:
        """Looks at ROUND jobs and as many completed variations, and at all that came in; returns bytes freed.

        Files younger than `min_age` seconds are left alone: a new job is on disk before it is in the database. With
        a `now` from before anything was taken in, it may be 0.
        """
        before = now - min_age
        freed = await asyncio.to_thread(_remove_left, self._paths, min(before, self._began))
        freed += await _sweep_uploads(self._store, self._paths)
        for _ in range(ROUND // PAGE):
            freed += await _sweep_jobs(self._store, self._paths, await asyncio.to_thread(self._next_folders), before)
            if self._folders is None:  # that was all of them
                break
        await self._mark_lost(now)
        if freed:
            log.info("swept %d bytes that belonged to no job", freed)
        return freed

    def _next_folders(self) -> list[Path]:
        with self._listing:
            if self._folders is None:
                self._folders = os.scandir(self._paths.jobs)
            found = [Path(entry.path) for entry in itertools.islice(self._folders, PAGE)]
            if len(found) < PAGE:
                self._close()
        return found

    async def _mark_lost(self, now: float) -> None:
        lost: list[Row] = []
        for _ in range(ROUND // PAGE):
            rows = await self._store.read(partial(_completed_after, self._after))
            self._after = rows[-1]["seq"] if len(rows) == PAGE else 0
            lost += await mark_lost(self._store, self._paths, rows, now)
            if len(rows) < PAGE:
                break
        if lost:
            _tell_lost(lost)


def _remove_left(paths: Paths, before: float) -> int:
    """Removes bodies that nobody takes over any more, and the rest of what was discarded; returns their bytes."""
    return sum(remove(path) for path in [*_old(paths.incoming.iterdir(), before), *paths.discarded.iterdir()])


def _old(paths: Iterable[Path], before: float) -> list[Path]:
    found = []
    for path in paths:
        with suppress(FileNotFoundError):  # gone since it was listed
            if path.lstat().st_mtime <= before:
                found.append(path)
    return found


async def _sweep_uploads(store: Store, paths: Paths) -> int:
    """Deletes upload files that have no row, whatever their age: a row is made before its file, and goes before it."""
    found = await asyncio.to_thread(lambda: list(paths.uploads.iterdir()))
    known = {item.path for item in await store.read(partial(owned_files.of_uploads, paths))} if found else set()
    return sum([await asyncio.to_thread(paths.discard, path) for path in found if path not in known])


_Found = Mapping[Path, Sequence[Path]]  # by a job's folder what is in it


async def _sweep_jobs(store: Store, paths: Paths, folders: Sequence[Path], before: float) -> int:
    """Listed first, asked for then: what came between is not among the listed."""
    found = await asyncio.to_thread(lambda: {f: _listed(paths, f, before) for f in _old(folders, before)})
    if suspects := await store.read(partial(unowned, paths, found)):
        taken = await store.write(partial(take_unowned, paths, suspects))
        return sum([await asyncio.to_thread(remove, path) for path in taken])
    return 0


def _listed(paths: Paths, folder: Path, before: float) -> list[Path]:
    """What is old in a job's folder: in the folders that a job has, and beside them."""
    rooms = owned_files.folders(paths, folder.name)
    beside = (path for path in folder.glob("*") if path not in rooms)
    return _old(itertools.chain(folder.glob("*/*"), beside), before)


def unowned(paths: Paths, found: _Found, transaction: Transaction) -> dict[Path, list[Path]]:
    """Returns, of what was found in jobs' folders, what no row owns; where there is no such job, the whole folder."""
    suspects = {}
    for folder, there in found.items():
        items = owned_files.of_job(paths, folder.name, transaction)
        owned = {item.path for item in items or ()}
        suspects[folder] = [folder] if items is None else [path for path in there if path not in owned]
    return {folder: unowned for folder, unowned in suspects.items() if unowned}


def take_unowned(paths: Paths, suspects: _Found, transaction: Transaction) -> list[Path]:
    """Looks again and takes away what still no row owns; returns where it is now.

    Nothing can be claimed or retried meanwhile, and be given the name of what is about to go.
    """
    again = unowned(paths, suspects, transaction)
    return [paths.take_away(path) for unowned in again.values() for path in unowned]


def _tell_lost(outputs: Sequence[Row]) -> None:
    jobs = {row["job"] for row in outputs}
    of = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    files = f"1 output of {of} is" if len(outputs) == 1 else f"{len(outputs)} outputs of {of} are"
    tell(log, logging.ERROR, f"{files} gone from the disk", job=outputs[0]["job"] if len(jobs) == 1 else None)
    for row in outputs:
        tell(log, logging.DEBUG, "output is gone from the disk", job=row["job"], variation=row["id"])


async def mark_lost(store: Store, paths: Paths, completed: Sequence[Row], now: float) -> list[Row]:
    """Marks those of the completed variations whose file is gone, and returns them. Those deleted meanwhile had theirs
    removed."""
    gone = await asyncio.to_thread(_without_file, paths, completed)
    return [row for row in gone if await store.write(partial(_lose, row["id"], now))]


def _completed_after(seq: int, transaction: Transaction) -> list[Row]:
    return transaction.all("completed_after", after=seq, limit=PAGE)


def _lose(variation: str, now: float, transaction: Transaction) -> int:
    words = "its file was removed from the disk after it was completed"
    return transaction.run("mark_lost", variation=variation, now=now, error=words)


def _without_file(paths: Paths, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if not paths.output(row["job"], row["id"], row["extension"]).exists()]
