"""Tells whether the database is the one its spool belongs to, or an older copy that was put in its place.

The database counts generations, and the spool keeps the count it last saw. A database that is behind, is marked
as a backup or is another one altogether knows nothing of the newest jobs: what the spool holds of those is moved
aside instead of being swept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from daemon.database.store import Store, Transaction
from daemon.errors import StartupError
from daemon.models import Model
from daemon.paths import Paths, fsync_folder, write_private

log = logging.getLogger(__name__)

EVENT_GAP = 2**32  # more events than a daemon gives out between two backups; JavaScript counts to 2**53


class Mark(Model, frozen=True):
    """A mark is what the spool remembers of its database."""

    database: str
    generation: int


def refuse_to_forget(paths: Paths) -> None:
    """Refuses a new database beside the spool of another one, whose jobs would be forgotten and whose files swept.

    Raises StartupError with what to do.
    """
    empty = not paths.database.exists() or paths.database.stat().st_size == 0
    if empty and (paths.mark.exists() or (paths.jobs.is_dir() and any(paths.jobs.iterdir()))):
        raise StartupError(
            f"there is no database in {paths.state}, but its spool is of one. Put a backup of {paths.database.name} "
            f"in its place; or, to begin with an empty queue, move the folder {paths.spool} away"
        )


async def renew(store: Store, paths: Paths) -> bool:
    """Begins a generation. Call it before every sweep; raises OSError when files cannot be moved aside.

    Returns whether files that the database tells of may be missing: it is a copy, or without the spool it had.

    After a restore, jobs' folders that the database does not know are moved aside first, and event ids go on
    beyond all that may have been given out. Interrupted at any point it is done again.
    """
    row = await store.read(lambda t: t.one("lineage"))
    assert row is not None
    mark = await asyncio.to_thread(_seen, paths)
    behind = mark is not None and (mark.database != row["id"] or mark.generation > row["generation"])
    restored = behind or bool(row["backup"])
    generation = max(row["generation"], mark.generation if mark else 0) + 1
    bereft = mark is None and bool(row["backup"] or row["generation"]) and not await asyncio.to_thread(_is_any, paths)
    if bereft:
        log.warning("the database is without its spool, as after a restore of it alone: what its jobs had is gone")
    elif restored:
        await _set_aside(store, paths, paths.set_aside / str(generation))
    await store.write(lambda t: _begin(t, generation, skip_events=restored))
    text = msgspec.json.encode(Mark(database=row["id"], generation=generation)).decode()
    await asyncio.to_thread(write_private, paths.mark, text)
    return restored or bereft


def _seen(paths: Paths) -> Mark | None:
    """What the spool saw last; None in a new one. One that cannot be read is of no database we know."""
    try:
        return msgspec.json.decode(paths.mark.read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        return Mark(database="", generation=0)


def _is_any(paths: Paths) -> bool:
    return any(paths.jobs.iterdir())


async def _set_aside(store: Store, paths: Paths, place: Path) -> None:
    folders = await asyncio.to_thread(lambda: list(paths.jobs.iterdir()))
    unknown = await store.read(lambda t: [folder for folder in folders if not t.one("known_job", id=folder.name)])
    await asyncio.to_thread(_move, unknown, place)
    what = "the database is older than its spool, as after a restore, or belongs to another one"
    if not unknown:
        log.warning("%s: the spool holds no file that it does not know", what)
        return
    log.warning("%s: if it was restored, that is as it should be", what)
    log.warning(
        "jobs in the spool that it does not know: %d; their files are in its set-aside/%s now: take from there what "
        "you want, then remove that folder",
        len(unknown),
        place.name,
    )


def _move(folders: Sequence[Path], place: Path) -> None:
    for folder in folders:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.rename(place / folder.name)
    if folders:
        for durable in (place, place.parent, place.parent.parent, folders[0].parent):
            fsync_folder(durable)


def _begin(transaction: Transaction, generation: int, *, skip_events: bool) -> None:
    transaction.run("begin_generation", generation=generation)
    if skip_events:
        transaction.run("clear_events")  # so that whoever asks for what came after one of them is told to start anew
        transaction.run("skip_event_ids", gap=EVENT_GAP)
