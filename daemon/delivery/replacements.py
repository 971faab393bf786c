"""Keeps what outputs took the place of which originals: undoes it when asked, and empties the trash in its time.

What is about to be done is a step in a row of `replacements` before it is begun, and is gone on with after a crash.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from daemon import mounts
from daemon.bounded_threads import Workers
from daemon.database.store import Row, Store, Transaction
from daemon.delivery import disk_mark, moved
from daemon.delivery.place import Receipt
from daemon.delivery.refusals import in_words
from daemon.delivery.returning import AWAY, Return, Step, Swap, aside_in, opened, wish_of
from daemon.delivery.standing_terms import StandingTerms
from daemon.errors import Conflict, NotFound, Unavailable, Undelivered
from daemon.host import boot_id
from daemon.journal import tell
from daemon.models import Destination, Model, Replacing, when
from daemon.source_files import Identity

T = TypeVar("T")
Known = Mapping[str, Any] | Row  # of a replacement, all that its row has

log = logging.getLogger(__name__)

DAY = 24 * 3600.0  # seconds
PATIENCE = 20.0  # seconds that a disk may take
EMPTIED = "its original is not in the trash any more"
READING = 560.0  # seconds to compare all of a film: a client waits some longer for its answer


class Undone(Model, frozen=True):
    """Tells that an original is back in its place, under which name within its folder."""

    folder: str
    name: str
    at: datetime | None


def record(due: Row, receipt: Receipt, now: float, transaction: Transaction) -> None:
    """Keeps that an output took its original's place, in the transaction in which it is delivered."""
    wish = msgspec.json.decode(due["wanted"], type=Destination).replaces
    assert wish is not None
    _see_time_pass(transaction)
    transaction.run(
        "insert_replacement",
        id=due["id"],
        job=due["job"],
        folder=wish.folder,
        name=wish.name,
        taken_by=receipt.to,
        aside=receipt.aside,
        wanted=due["wanted"],
        original_bytes=wish.bytes,
        bytes=due["bytes"],
        sha256=due["sha256"],
        now=now,
        keep=wish.keep_days * DAY,
    )
    transaction.run("record_replaced", job=due["job"], outcome="replaced")


def _see_time_pass(transaction: Transaction) -> None:
    """Counts by the time since boot, which nobody sets."""
    transaction.run("see_time_pass", boot=boot_id(), uptime=time.clock_gettime(time.CLOCK_BOOTTIME))


class Replacements:
    """Undoes replacements, and removes the originals of those that stand."""

    def __init__(self, store: Store, terms: StandingTerms, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._terms = terms
        self._now = now
        # One for each place: who was waited for in vain goes on, and another beside it would undo what that does.
        self._threads = Workers("putting back an original", most=1, patience=PATIENCE)
        self._reading = Workers("comparing what took its place", most=1, patience=READING)
        self._sought: dict[str, float] = {}  # when each was looked for that was not there, by the monotonic clock
        self._looked_through: dict[str, Mapping[int, Sequence[str]]] = {}  # where files of which size lie, by folder

    async def undo(self, path: str) -> Undone:
        """Puts the original of what lies at that path of the host back, and removes what took its place.

        Raises NotFound for what was not replaced, Conflict for what cannot be undone, Unavailable where the disk does
        not answer, when it is done later.
        """
        rows = await self._found(path)
        if not rows:
            await self._relocate()
            ways = [path, *await self._other_ways(path)]
            rows = next(filter(None, [await self._found(way) for way in ways]), [])
        if not rows:
            raise NotFound(f"nothing at {path} took the place of an original: name it by the path that it had then")
        row: Row | None = await self._of_this_disk(rows)
        assert row is not None
        if row["step"] == "emptied":
            raise Conflict(f"the original of {row['taken_by']} was kept for its time, and is not in the trash any more")
        if row["step"] == "undone":
            raise Conflict(f"{row['name']} is its original already")
        proven = None
        if row["step"] in {"done", "emptying"}:
            proven = await self._refuse_lost(row)
            row = await self._step(row, "undoing")
        if row is None:
            raise Conflict(f"{path} is being changed at this moment: try again")
        try:
            is_back = await self._go_on(row, proven)
        except Undelivered as error:
            raise Unavailable(f"{row['name']} is put back once that can be done: {error}") from error
        if not is_back:
            raise Conflict(f"{row['name']} is not put back: {EMPTIED}")
        return Undone(folder=row["folder"], name=row["name"], at=when(self._now()))

    async def _found(self, path: str) -> list[Row]:
        return await self._store.read(lambda t: t.all("replacements_at", path=path)) or await self._renamed(path)

    async def _other_ways(self, path: str) -> list[str]:
        """What lies at the path, as the watched folders call it: one may be a link, or be mounted twice."""
        ways = []
        for row in await self._store.read(lambda t: t.all("replaced_places")):
            with suppress(Unavailable, OSError):
                ways += await self._threads.run(row["root"], partial(_ways, path, row["root"]))
        return ways

    async def _relocate(self) -> None:
        """Knows originals by where their watched folder lies by now: it has the mark of the disk on which they were."""
        for row in await self._store.read(lambda t: t.all("replaced_places")):
            for path in self._terms.elsewhere(row["root"]) if row["disk"] else ():
                with suppress(Unavailable):
                    if await self._is_of(row, str(path)) and not await self._is_of(row, row["root"]):
                        await self._store.write(partial(_relocate, row, path))
                        break

    async def _is_of(self, row: Row, root: str) -> bool:
        """Whether a folder has the mark of the disk on which originals were."""
        return bool(await self._threads.run(root, partial(_mark, root)) == row["disk"])

    async def _renamed(self, path: str) -> list[Row]:
        """What was replaced by a file that has this path by now, in the watched folder that it was brought to.

        By all its bytes it is that, and no other of its size.
        """
        rows = await self._store.read(lambda t: t.all("replacements_around", path=path))
        size = await self._reading.run(_place(rows[0]), partial(_size, path)) if rows else None
        for row in rows:
            way = str(PurePosixPath(path).relative_to(_wish(row).root))
            if row["bytes"] == size and not await self._is_placed(row) and await self._is_now(row, way):
                return await self._store.read(lambda t: t.all("replacements_at", path=path))
        return []

    async def _is_placed(self, row: Row) -> bool:
        """Whether what took an original's place is where it was: another file with its bytes is a copy or a link."""
        try:
            return await self._on_disk(row, Return.is_placed, self._reading)
        except Undelivered:
            return False

    async def _is_now(self, row: Row, way: str) -> bool:
        """Whether what took an original's place has that path in its folder by now, as all its bytes tell."""
        try:
            is_there = await self._on_disk({**dict(row), "taken_by": way}, Return.is_placed, self._reading)
        except Undelivered:
            return False
        return is_there and bool(await self._store.write(partial(_rename, row["id"], way)))

    async def tidy(self, now: float) -> None:
        """Goes on with what was begun, and empties the trash of what was kept long enough by `now`, and as was seen."""
        if await self._store.read(lambda t: t.one("kept_original")):
            await self._relocate()
            await self._store.write(_see_time_pass)
            await self._store.write(partial(_keep_longer, self._terms))
        away = set[str]()  # folders whose disk does not answer: they are not asked again and again
        rows = await self._store.read(lambda t: t.all("due_replacements", now=now))
        self._looked_through.clear()
        for row in rows:
            if row["folder"] in away:
                continue
            try:
                if row["step"] == "undoing":
                    await self._go_on(row)
                elif words := self._terms.gone(_wish(row)):
                    await self._store.write(partial(_tell_of_kept, row, words))
                else:
                    await self._empty(row, rows)
            except (Undelivered, Unavailable) as error:
                away |= {row["folder"]} if isinstance(error, Unavailable) else set()
                tell(log, logging.WARNING, "an original waits in the trash", folder=row["folder"], error=str(error))
            except Exception:
                log.exception("an original of the folder %s waits, by a fault of ffspool", row["folder"])

    async def _empty(self, row: Row, due: Sequence[Row]) -> None:
        """Removes an original, once its disk is there, if what took its place is; else says that it is kept."""
        try:
            words, proven = await self._on_disk(row, _loss, self._reading)
        except Gone as error:
            words, proven = str(error), None
        if words and (found := await self._moved(row, due)):
            row = found
            words, proven = await self._on_disk(row, _loss, self._reading)
        if words:
            await self._store.write(partial(_record_kept, row, words))
            tell(log, logging.WARNING, "an original stays in the trash", folder=row["folder"], error=words)
            return
        begun = row if row["step"] == "emptying" else await self._step(row, "emptying")
        if begun is not None:
            await self._go_on(begun, proven)

    async def _moved(self, row: Row, due: Sequence[Row]) -> Row | None:
        """The same, where what took its place was moved to another folder of the tree. That is looked through once for
        all that are due, and once a day."""
        wish = _wish(row)
        if time.monotonic() < self._sought.get(row["id"], -inf) + DAY:
            return None
        self._sought[row["id"]] = time.monotonic()
        if wish.root not in self._looked_through:
            sizes = {one["bytes"] for one in due if _wish(one).root == wish.root}
            try:
                found = await self._reading.run(_place(row), partial(moved.by_size, wish, sizes))
            except OSError as error:
                raise Undelivered(f"its folder cannot be looked through: {error.strerror}") from error
            self._looked_through[wish.root] = found
        for way in self._looked_through[wish.root].get(row["bytes"], ()):
            if way != row["taken_by"] and await self._is_now(row, way):
                return await self._store.read(lambda t: t.one("replacement", id=row["id"]))
        return None

    async def _of_this_disk(self, rows: Sequence[Row]) -> Row:
        """The newest of several replacements at one path that is of the disk which is there now, if any is."""
        if len(rows) == 1:
            return rows[0]
        [newest, *_] = wishes = [msgspec.json.decode(row["wanted"], type=Destination) for row in rows]
        mark = await self._threads.run(newest.place, partial(_mark, newest.place.partition(":")[2]))
        theirs = (row for row, one in zip(rows, wishes, strict=True) if one.replaces and one.replaces.disk == mark)
        return next(theirs, rows[0])

    async def _refuse_lost(self, row: Row) -> Identity | None:
        """Refuses where there is nothing to be put back, or what took its place is not as it was.

        Returns by what that is known now.
        """
        try:
            words, proven = await self._on_disk(row, _flaw, self._reading)
        except Undelivered as error:
            why = f"{AWAY}: try again once that is there" if str(error).startswith(AWAY) else str(error)
            raise Conflict(f"{row['name']} cannot be put back now: {why}") from error
        if words:
            raise Conflict(f"{row['name']} is not put back: {words}")
        return proven

    async def _go_on(self, row: Row, proven: Identity | None = None) -> bool:
        """Carries out the step that is noted; returns whether it came to that. Raises Undelivered or Unavailable."""
        undoing = row["step"] == "undoing"
        is_done = await self._on_disk(row, partial(_put_back if undoing else _remove, proven))
        of = {"folder": row["folder"], "job": row["job"]}
        if not is_done:  # somebody emptied the trash meanwhile
            await self._store.write(lambda t: t.one("step_replacement", id=row["id"], before="undoing", step="emptied"))
            tell(log, logging.WARNING, "an original is not put back", **of, error=EMPTIED)
            return False
        await self._store.write(partial(_record_end, row, undoing))
        words = "an original is back in its place" if undoing else "an original was kept for its time, and is removed"
        tell(log, logging.INFO, words, **of)
        return True

    async def _on_disk(self, row: Known, work: Callable[[Return], T], threads: Workers | None = None) -> T:
        destination = msgspec.json.decode(row["wanted"], type=Destination)
        trash = self._terms.trash(wish_of(destination))
        return await (threads or self._threads).run(destination.place, partial(_at_work, row, destination, trash, work))

    async def _step(self, row: Row, step: str) -> Row | None:
        """The row, at that step; None where it was brought to another meanwhile."""
        return await self._store.write(lambda t: t.one("step_replacement", id=row["id"], before=row["step"], step=step))


class Gone(Undelivered):
    """The folder in which an original lay is not there any more, by that name."""


def _rename(replacement: str, taken_by: str, transaction: Transaction) -> int:
    return transaction.run("rename_replacement", id=replacement, taken_by=taken_by)


def _place(row: Row) -> str:
    return msgspec.json.decode(row["wanted"], type=Destination).place


def _ways(path: str, root: str) -> list[str]:
    above, name = os.path.split(path)
    within = mounts.place(above).within(mounts.place(root))
    return [str(PurePosixPath(root, way, name)) for way in within]


def _size(path: str) -> int | None:
    try:
        return os.lstat(path).st_size
    except OSError:
        return None


def _relocate(row: Row, path: Path, transaction: Transaction) -> None:
    trash = Path(row["trash"])
    if trash.is_relative_to(row["root"]):
        trash = path / trash.relative_to(row["root"])
    new = {"root": str(path), "trash": str(trash)}
    transaction.run("relocate_replacements", **new, was=row["root"], disk=row["disk"])


def _mark(root_path: str) -> str | None:
    """That of the disk which is there now; None: it has none, or is away."""
    try:
        with disk_mark.opened(root_path) as root:
            return disk_mark.find(root)
    except OSError:
        return None


def _at_work(row: Known, destination: Destination, trash: str, work: Callable[[Return], T]) -> T:
    swap = Swap(
        step=Step.PLACING,
        name=PurePosixPath(row["taken_by"]).name,
        aside=row["aside"],
        bytes=row["bytes"],
        sha256=row["sha256"],
    )
    try:
        moved_to = PurePosixPath(row["taken_by"]).parent.parts
        destination = aside_in(trash, destination, row["aside"])
        with in_words(), opened(destination, swap, make=row["step"] == "undoing", moved=moved_to) as folders:
            return work(Return(folders, row["id"], destination, swap))
    except Undelivered as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise Gone("the folder that it lay in has another name by now, or is gone: make it again") from error
        raise


def _flaw(way: Return) -> tuple[str | None, Identity | None]:
    words = way.obstacle() if way.is_aside() else EMPTIED
    return words, way.proven


def _loss(way: Return) -> tuple[str | None, Identity | None]:
    return (way.loss() if way.is_aside() else None), way.proven


def _remove(proven: Identity | None, way: Return) -> bool:
    way.proven = proven
    way.empty()
    return True


def _put_back(proven: Identity | None, way: Return) -> bool:
    way.proven = proven
    return way.carry_out()


def _wish(row: Row) -> Replacing:
    return wish_of(msgspec.json.decode(row["wanted"], type=Destination))


def _keep_longer(terms: StandingTerms, transaction: Transaction) -> None:
    """Has originals be kept for as long as is asked of their folder by now, where that is longer."""
    for folder, asked in terms.replacing.items():
        transaction.run("keep_originals_longer", folder=folder, keep=asked.keep_original_days * DAY)


def _record_kept(row: Row, words: str, transaction: Transaction) -> None:
    """Has an original be kept that may be all there is, so that it can be put back; and says so of the file."""
    transaction.one("step_replacement", id=row["id"], before="emptying", step="done")
    _tell_of_kept(row, words, transaction)


def _tell_of_kept(row: Row, words: str, transaction: Transaction) -> None:
    said = f"its original stays in the trash, as {words}: `ffspool folders undo` puts it back"
    transaction.run("tell_of_original", job=row["job"], said=said)


def _record_end(row: Row, undoing: bool, transaction: Transaction) -> None:
    ended = "undone" if undoing else "emptied"
    transaction.one("step_replacement", id=row["id"], before=row["step"], step=ended)
    if undoing:
        transaction.run("record_replaced", job=row["job"], outcome=ended)
