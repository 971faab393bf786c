"""Fetches sources by URL: durably queued, several at once and fairly between jobs, tried again where it may pass.

A row says what is left to do; what of a file is on the disk, its source's row says. So whoever ends the daemon ends an
attempt, and the next one goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from daemon import addresses
from daemon.database.due_queue import Backoff, DueQueue
from daemon.database.store import Row, Transaction
from daemon.errors import LimitReached, OutOfSpace, Unfetched
from daemon.journal import tell
from daemon.models import Remote
from daemon.paths import remove
from daemon.scheduling import claims
from daemon.scheduling.resources import Resources
from daemon.states import UNFETCHED
from daemon.steady_clock import steady
from daemon.storage.answers import Answer, Known, Version
from daemon.storage.bounds import Bounds
from daemon.storage.download import Downloader, Order
from daemon.storage.fetch_slots import FetchSlots
from daemon.storage.trip import ENOUGH, Stopped, Trip

log = logging.getLogger(__name__)

WAITS = (1, 3, 12, 36, 120, 180)  # of the backoff: 5 s, 15 s, 1 min … 15 min
MOST_FAILURES = 8  # in a row, without a byte more: that is an hour
GIVE_UP = 24 * 3600.0  # seconds after which one that gets on is given up, too
LONGEST_WAIT = 3600.0  # seconds that a host may ask for
ROOM_AGAIN = 30.0  # seconds before one that waits for room is looked at again
SAFETY_POLL = 30.0  # seconds, while there is nothing: who made a job may have gone before it said so
GIVES_WAY = "it gives way to files of others that wait, and is gone on with in its turn"


class Fetches:
    """Empties the queue of fetches. `run` is its loop; the rest may be called beside it."""

    def __init__(
        self,
        resources: Resources,
        downloader: Downloader,
        whole: Callable[[], None],
        *,
        most: int = 4,
        backoff: float = 5.0,
        of_buckets: Downloader | None = None,
    ) -> None:
        """Calls `whole` whenever a source is. Objects of the operator's buckets are fetched by `of_buckets`.

        At most `most` are fetched at once; `backoff` is in seconds."""
        self._store = resources.store
        self._paths = resources.paths
        self._quota = resources.quota
        self._caller_of = resources.caller_of
        self._space = resources.space
        self._now = resources.now
        self._steady = steady(resources.now)
        self._downloader = downloader
        self._of_buckets = of_buckets or downloader
        self._whole = whole
        self._backoff = Backoff(backoff, WAITS, most_asked=LONGEST_WAIT)
        self._slots = FetchSlots(most)
        self._queue = DueQueue(self._store, "fetches", self._begin_due, now=resources.now, poll=SAFETY_POLL)

    def expect(self) -> None:
        """Has commits looked at from now on: a job was made that has sources by URL."""
        self._queue.expect()

    def progress(self) -> Iterator[tuple[str | None, str, str, int, int | None, float | None]]:
        """Yields (owner, job, source, bytes that came, bytes it has or None, bytes per second or None) of all that
        comes."""
        for source, (trip, _, owner, *_) in self._slots:
            if trip.coming:
                yield owner, trip.job, source, trip.bytes, trip.length, trip.speed

    async def let_go(self, jobs: Iterable[int]) -> None:
        """Waits until attempts of these jobs that nobody wants any more have ended, and what they left is removed."""
        await self._queue.let_go("uncleared_fetch", _json(jobs))

    # The loop

    async def run(self) -> None:
        """Fetches what is due until it is cancelled; what is under way then is gone on with by the next run."""
        try:
            await self._queue.run()
        finally:
            for trip in self._slots.trips.values():
                trip.stop()

    async def _begin_due(self, fetching: asyncio.TaskGroup) -> float | None:
        """Begins what there is room for; returns when another is due, if that is known."""
        await self._stop_unwanted()
        return await self._queue.paced(self._look, fetching)

    async def _look(self, fetching: asyncio.TaskGroup) -> float | None:
        while True:
            due, following = await self._store.read(
                partial(_due, self._now(), self._backoff.longest, self._slots.told(), self._slots.are_taken)
            )
            if due is None:
                if self._slots.are_taken:
                    await self._make_room()
                elif following is None and not self._slots.trips:
                    await self._queue.empty("any_fetch")
                return following
            have = due["bytes"] if due["status"] == "pending" else 0
            lasts = min(GIVE_UP, max(0.0, due["since"] + GIVE_UP - self._steady()))
            trip = Trip(due["job"], have, due["length"], lasts=lasts)
            self._slots.take(due, trip)
            fetching.create_task(self._carry(due, trip), name=f"fetch of {due['id']}")

    async def _make_room(self) -> None:
        """Ends an attempt of who has more than a share, or one that is slow, where another waits."""
        looking = partial(_due, self._now(), self._backoff.longest, self._slots.told(), False)
        waiting, _ = await self._store.read(looking)
        leaving = self._slots.give_way(waiting) if waiting else None
        if leaving is not None:
            self._slots.trips[leaving.source].stop()
            again = self._now() if leaving.queue_anew else None
            await self._store.write(lambda t: t.run("leave_slot", id=leaving.source, error=GIVES_WAY, again=again))

    async def _stop_unwanted(self) -> None:
        if not (before := self._slots.trips):
            return
        wanted = await self._store.read(partial(_wanted, _json(before)))
        for source, trip in before.items():
            if source not in wanted:
                trip.stop()

    # One of them

    async def _carry(self, due: Row, trip: Trip) -> None:
        """Makes one attempt, or removes what others left, and writes what came of it."""
        work = self._attempt(due, trip) if due["status"] == "pending" else self._clear(due)
        fault, of = "what became of a fetch cannot be recorded", {"job": due["job"], "source": due["id"]}
        await self._queue.carry(work, partial(self._leave, due["id"]), fault, **of)

    def _leave(self, source: str) -> None:
        self._space.release(source)
        self._slots.leave(source)

    async def _attempt(self, due: Row, trip: Trip) -> None:
        if not await self._store.write(
            lambda t: t.run("begin_fetch", id=due["id"], passed=GIVES_WAY, since=due["since"])
        ):
            return
        order = Order(
            remote=msgspec.json.decode(due["wanted"], type=Remote),
            path=self._paths.source(due["job"], due["id"]),
            known=Known(bytes=due["bytes"], length=due["length"], version=_version(due["version"])),
        )
        try:
            downloader = self._of_buckets if order.remote.bucket else self._downloader
            size = await downloader.fetch(order, trip, _Keeper(self, due, trip))
        except Stopped:
            return
        except Unfetched as error:
            await self._put_off(due, error)
        else:
            await self._record(due, size)

    async def _record(self, due: Row, size: int) -> None:
        now = self._now()
        if await self._store.write(partial(_record, due["id"], size, now)):
            tell(log, logging.INFO, "source fetched", **_of(due), bytes=size, after=now - due["since"])
            self._whole()

    async def _put_off(self, due: Row, error: Unfetched) -> None:
        now = self._now()
        came = await self._store.read(partial(_bytes, due["id"])) - due["bytes"]
        got_on = came > (ENOUGH if error.crawls else 0)
        failures = due["failures"] if error.room else 1 if got_on else due["failures"] + 1
        given_up = not error.room and (failures >= MOST_FAILURES or self._steady() > due["since"] + GIVE_UP)
        final = error.final or given_up
        why = addresses.told(error, to_admin=bool(due["of_admin"]))
        if final:
            words = f"{due['name']}{UNFETCHED}{why}"
            await self._store.write(partial(_give_up, due["id"], why, words, now))
        else:
            again = now + (ROOM_AGAIN if error.room else self._backoff.after(failures - 1, error.retry_after))
            await self._store.write(partial(_put_off, due["id"], why, failures, again, error.anew))
        words = "source cannot be fetched" if final else "source cannot be fetched yet, and is tried again"
        tell(log, logging.WARNING, words, **_of(due), error=str(error))

    async def _clear(self, due: Row) -> None:
        """Removes what attempts left, which nobody wants any more."""
        await asyncio.to_thread(remove, self._paths.source(due["job"], due["id"]))
        await self._store.write(partial(_record_cleared, due["id"]))

    # What the thread of an attempt asks for

    async def begin(self, due: Row, trip: Trip, answer: Answer) -> Bounds | None:
        """Keeps which file it is, and room for it. Raises Unfetched; None: nobody wants it any more."""
        try:
            return await self._store.write(partial(self._begin, due, trip, answer))
        except (LimitReached, OutOfSpace) as error:
            raise Unfetched(f"{due['shown']} waits for room: {error}", room=True) from error

    def _begin(self, due: Row, trip: Trip, answer: Answer, transaction: Transaction) -> Bounds | None:
        """Does so among writes, so that no two take the same room."""
        caller = self._caller_of(due["owner"])
        Bounds(due["shown"], caller.limits.max_stored_bytes).refuse_above(answer.length or 0)
        if answer.length is not None:
            missing = answer.length - answer.begins
            counted = max(due["length"] or 0, due["bytes"])  # it may be longer than it said
            self._quota.check_bytes(transaction, max(0, answer.length - counted), caller)
            self._quota.check_disk(missing)
            # The row counts as stored what is to come: only the disk is kept.
            self._space.reserve(due["id"], missing, lambda: trip.bytes - answer.begins, stored=True)
        transaction.run("grow_fetch", id=due["id"], bytes=answer.begins)
        version = msgspec.json.encode(answer.version).decode()
        if not transaction.run("note_fetch", id=due["id"], length=answer.length, version=version):
            return None
        return self._bounds(due, answer.begins, transaction) if answer.length is None else Bounds(due["shown"])

    def _bounds(self, due: Row, size: int, transaction: Transaction) -> Bounds:
        """How large a file may become that does not say so, of which so much is here. Raises LimitReached."""
        caller = self._caller_of(due["owner"])
        left = self._quota.own_left(transaction, caller)
        bounds = Bounds(due["shown"], caller.limits.max_stored_bytes, None if left is None else size + left)
        bounds.refuse_above(size)
        self._quota.check_bytes(transaction, 0, caller)
        return bounds

    async def grow(self, due: Row, trip: Trip, size: int) -> Bounds | None:
        """Keeps how much is on the disk. Raises Unfetched where a file that does not say how large it is takes the last
        room; None: nobody wants it any more.
        """
        if not await self._store.write(lambda t: t.run("grow_fetch", id=due["id"], bytes=size)):
            return None
        if trip.length is not None:
            return Bounds(due["shown"])
        try:
            await asyncio.to_thread(self._quota.check_disk, 0)
            return await self._store.read(partial(self._bounds, due, size))
        except (LimitReached, OutOfSpace) as error:
            raise Unfetched(f"{due['shown']} waits for room: {error}", room=True, anew=True) from error


class _Keeper:
    """Keeps what an attempt brings, from within its thread."""

    def __init__(self, fetches: Fetches, due: Row, trip: Trip) -> None:
        self._fetches = fetches
        self._due = due
        self._trip = trip
        self._loop = asyncio.get_running_loop()
        self._bounds = Bounds(due["shown"])

    def begin(self, answer: Answer) -> None:
        self._bounds = self._told(self._fetches.begin(self._due, self._trip, answer))

    def grow(self, size: int) -> None:
        self._bounds = self._told(self._fetches.grow(self._due, self._trip, size))

    def refuse_above(self, size: int) -> None:
        self._bounds.refuse_above(size)

    def _told(self, coming: Coroutine[Any, Any, Bounds | None]) -> Bounds:
        bounds = asyncio.run_coroutine_threadsafe(coming, self._loop).result()
        if bounds is None:
            raise Stopped
        return bounds


def _of(due: Row) -> Mapping[str, str]:
    return {"job": due["job"], "source": due["id"], "from": due["shown"]}


def _version(kept: str | None) -> Version:
    return msgspec.json.decode(kept, type=Version) if kept else Version()


def _due(
    now: float, longest: float, busy: Mapping[str, str], full: bool, transaction: Transaction
) -> tuple[Row | None, float | None]:
    """The next fetch whose time has come; if there is none, when one is due.

    One that is to wait longer than any does saw the clock set back meanwhile.
    """
    if due := transaction.one("due_fetch", now=now, full=full, **busy):
        return due, None
    following = transaction.one("next_fetch", now=now)
    at = following["at"] if following else None
    if at is not None and at > now + longest:
        return transaction.one("due_fetch", now=at, full=full, **busy), None
    return None, at


def _wanted(sources: str, transaction: Transaction) -> set[str]:
    return {row["id"] for row in transaction.all("wanted_fetches", sources=sources)}


def _bytes(source: str, transaction: Transaction) -> int:
    row = transaction.one("fetched_bytes", id=source)
    return int(row["bytes"]) if row else 0


def _record(source: str, size: int, now: float, transaction: Transaction) -> bool:
    transaction.run("grow_fetch", id=source, bytes=size)
    return bool(transaction.run("record_fetched", id=source, now=now))


def _put_off(source: str, error: str, failures: int, again: float, anew: bool, transaction: Transaction) -> None:
    if anew:  # what is here is cut off by the next attempt
        transaction.run("note_fetch", id=source, length=None, version=None)
    transaction.run("put_fetch_off", id=source, error=error, failures=failures, again=again)


def _give_up(source: str, error: str, words: str, now: float, transaction: Transaction) -> None:
    if transaction.run("give_up_fetch", id=source, error=error, now=now):
        claims.refuse_source(transaction, source=source, error=words, now=now)


def _record_cleared(source: str, transaction: Transaction) -> None:
    transaction.run("record_fetch_cleared", id=source)
    transaction.run("empty_source", id=source)


def _json(values: Iterable[str | int | None]) -> str:
    return msgspec.json.encode(list(values)).decode()
