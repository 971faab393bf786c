"""Feeds many subscribers with events: every change of state in order, from SQLite, and conflated progress.

Changes are rows that triggers wrote in the very transaction that made them, so the feed has no gap and no
repeat, across a restart too. One task reads new rows and hands the same bytes to every subscriber; one that
falls behind loses its place in memory, not in the log, and reads on from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import msgspec

from daemon.callers import OURSELVES, Caller
from daemon.database.store import Row, Store, Transaction
from daemon.encode import progress
from daemon.encode.stall import Standing
from daemon.encode.task import Progress
from daemon.errors import FfspoolError

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 500  # rows read at once
MAX_PENDING = 256  # events that wait in memory for one subscriber
TICK = 0.25  # seconds between two progress events of one variation, at least
CROWD = 50  # so many subscribers, and so many encodes, are told of each tick; with more, all comes less often
PACE = 0.001  # seconds per subscriber of a crowd between two rounds of changes; each round wakes every one of them
KEEP_ALIVE = 15.0  # seconds of silence after which a comment shows that the connection lives


class News(NamedTuple):
    """News is the latest progress of a variation or a source, as an event."""

    owner: str | None  # its job's
    job: str
    of: str
    event: bytes


class Subscriber:
    """Holds one client's place in the feed. `pending` is what it has not been sent; None: it has to read the log."""

    def __init__(self, job: str | None, caller: Caller, after: int) -> None:
        self.job = job
        self.caller = caller
        self.ended = False
        self.sent = after
        self.pending: deque[tuple[int, bytes]] | None = None
        self.progress: dict[str, bytes] = {}
        self.news = asyncio.Event()
        self.served_at = time.monotonic()

    def wants(self, job: str | None, owner: str | None) -> bool:
        """Tells whether it is to hear of what is that owner's and of that job; None: the whole queue."""
        sees = self.caller.sees
        return (self.job is None or job == self.job) and (sees is None or job is None or owner == sees)

    def offer(self, row: Row, before: bytes, event: bytes) -> None:
        """Gives it what happened, with the progress that belongs `before` it."""
        if not self.wants(row["job"], row["owner"]):
            return
        if self.caller.sees is not None:
            event = render(row, self.caller)
        if self.pending is not None:
            self.pending.append((row["id"], before + event))
            if len(self.pending) > MAX_PENDING:
                self.pending = None
        self.news.set()


class Feed(Generic[T]):
    """Hands out events. `run` is its loop; `close` ends every stream."""

    def __init__(
        self,
        store: Store,
        progress: Callable[[], list[News]],
        running: Callable[[], dict[str, T]],
        last_news: Callable[[str, T], News | None],
    ) -> None:
        """Takes as `progress` what gives the present news of all that runs or comes, and what gives what is `running`,
        by variation, of which the `last_news` can be told when it has ended.
        """
        self._store = store
        self._progress = progress
        self._running = running
        self._last_news = last_news
        self._subscribers: set[Subscriber] = set()
        self._joined = asyncio.Event()
        self._committed = asyncio.Event()
        self._ending: dict[str, T] = {}  # what ran at the commits that were not handed out yet
        self._last = 0  # the id of the newest event that was handed out
        self._told: dict[str, bytes] = {}
        self._closed = False
        store.on_commit(self._on_commit)

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    @property
    def lag(self) -> int:
        """Returns how many ids the slowest subscriber is behind the newest."""
        return max((self._last - subscriber.sent for subscriber in self._subscribers), default=0)

    async def run(self) -> None:
        """Reads new events as they are committed, and progress at every tick, until cancelled."""
        ticking = asyncio.create_task(self._tick())
        try:
            while True:
                await self._committed.wait()
                self._committed.clear()
                try:
                    with suppress(FfspoolError):  # what cannot be read now is read after the next commit
                        await self._hand_out()
                except Exception:
                    log.exception("events could not be handed out, by a fault of ffspool")
                if len(self._subscribers) > CROWD:
                    await asyncio.sleep(PACE * len(self._subscribers))
        finally:
            ticking.cancel()

    def _on_commit(self) -> None:
        """Called before those who run it go on: what ends with this commit is still among what runs."""
        if self._subscribers:
            self._ending |= self._running()
        self._committed.set()

    async def _hand_out(self) -> None:
        ending, self._ending = self._ending, {}
        more = bool(self._subscribers)
        while more:
            rows = await self._store.read(partial(_read, None, self._last))
            for row in rows:
                self._last = row["id"]
                before, event = self._last_progress(row, ending), render(row)
                for subscriber in self._subscribers:
                    subscriber.offer(row, before, event)
            more = len(rows) == BATCH

    def _last_progress(self, row: Row, ending: dict[str, T]) -> bytes:
        """The progress a variation ended with, if that was not told yet; it goes right before its new state."""
        if not ending or row["type"] != "variation":
            return b""
        variation = msgspec.json.decode(row["data"])["id"]
        ended = ending.pop(variation, None)
        news = None if ended is None else self._last_news(variation, ended)
        return b"" if news is None or news.event == self._told.get(variation) else news.event

    async def _tick(self) -> None:
        while True:
            await self._joined.wait()
            self._joined.clear()
            while self._subscribers:
                await asyncio.sleep(TICK * max(1.0, len(self._subscribers) / CROWD, len(self._told) / CROWD))
                self._conflate()
                self._keep_alive(time.monotonic())

    def _conflate(self) -> None:
        """Gives every subscriber the latest progress of what moved; what it was not sent yet is replaced."""
        present = {news.of: news for news in self._progress()}
        for variation, news in present.items():
            if self._told.get(variation) != news.event:
                self._tell(news)
        self._told = {variation: news.event for variation, news in present.items()}

    def _keep_alive(self, now: float) -> None:
        for subscriber in self._subscribers:
            if now - subscriber.served_at > KEEP_ALIVE:
                subscriber.news.set()

    def _tell(self, news: News) -> None:
        for subscriber in self._subscribers:
            if subscriber.wants(news.job, news.owner):
                subscriber.progress[news.of] = news.event
                subscriber.news.set()

    def dismiss(self, name: str) -> None:
        """Ends the streams of a token that was revoked."""
        for subscriber in self._subscribers:
            if subscriber.caller.name == name:
                subscriber.ended = True
                subscriber.news.set()

    def close(self) -> None:
        """Ends every stream, so that a server which waits for its connections can stop."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.news.set()

    async def stream(self, job: str | None, after: int | None, caller: Caller = OURSELVES) -> AsyncIterator[bytes]:
        """Yields Server-Sent Events of one job, or of all that the caller sees: those after the id `after`, or (None)
        from now on.

        The first block is an id alone, from which a client goes on that was sent nothing else. An id that is older
        than what is kept, or is of another database, gets a `reset` event first: the client should read the present
        state anew, and is told what comes from now on.
        """
        after = caller.veil.reveal(after) if after else after  # 0 is before the first, to everybody
        from_now = after is None or await self._store.read(partial(_forgotten, after))
        newest = await last_event(self._store)
        subscriber = Subscriber(job, caller, newest if from_now else after or 0)
        if not self._subscribers:  # while nobody listened nothing was read
            self._last = newest
        self._subscribers.add(subscriber)
        self._joined.set()
        try:
            yield f"id: {caller.veil.hide(subscriber.sent)}\nretry: 1000\n\n".encode()
            if from_now and after is not None:
                yield b"event: reset\ndata: {}\n\n"
            while not self._closed and not subscriber.ended:
                async for chunk in self._due(subscriber):
                    yield chunk
                await subscriber.news.wait()
        finally:
            self._subscribers.discard(subscriber)

    async def _due(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        """What the subscriber has not been sent, as few chunks."""
        subscriber.news.clear()
        while subscriber.pending is None:
            subscriber.pending = deque()  # from here on new events are collected, while the log is read
            async for chunk in self._from_log(subscriber):
                yield chunk
        events = [event for number, event in subscriber.pending if number > subscriber.sent]
        if subscriber.pending:
            subscriber.sent = max(subscriber.sent, subscriber.pending[-1][0])
            subscriber.pending.clear()
        events += subscriber.progress.values()
        subscriber.progress.clear()
        now = time.monotonic()
        if not events and now - subscriber.served_at > KEEP_ALIVE:
            events.append(b": still here\n\n")
        if events:
            subscriber.served_at = now
            yield b"".join(events)

    async def _from_log(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        caller = subscriber.caller
        while rows := await self._store.read(partial(_read, subscriber.job, subscriber.sent, owner=caller.sees)):
            subscriber.sent = rows[-1]["id"]
            yield b"".join(render(row, caller) for row in rows)


def render(row: Row, caller: Caller = OURSELVES) -> bytes:
    """Returns one row of the log as a Server-Sent Event, as that caller is told of it."""
    return f"id: {caller.veil.hide(row['id'])}\nevent: {row['type']}\ndata: {row['data']}\n\n".encode()


def _event(kind: str, data: object) -> bytes:
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def fetching_event(job: str, source: str, come: int, length: int | None, speed: float | None) -> bytes:
    """Returns the event that tells how much of a source has come, at how many bytes per second."""
    told = {"job": job, "id": source, "bytes": come if length is None else length, "bytes_fetched": come}
    return _event("fetching", {**told, "speed": None if speed is None else round(speed)})


def progress_event(
    job: str, variation: str, report: Progress, duration: float | None, standing: Standing | None
) -> bytes:
    """Returns a progress event; the output will last `duration` seconds, None if nobody knows."""
    percent = progress.percent(report.seconds, duration)
    return _event(
        "progress",
        {
            "job": job,
            "id": variation,
            "progress": None if percent is None else round(percent, 1),
            "speed": report.speed,
            "eta_seconds": progress.eta(report.seconds, duration, report.speed),
            "pace": standing and standing.pace,
            "doing": standing and standing.words,
        },
    )


async def last_event(store: Store) -> int:
    """Returns the newest id given out; 0 before the first."""
    row = await store.read(lambda t: t.one("last_event"))
    return int(row["id"]) if row else 0


def _read(job: str | None, after: int, transaction: Transaction, *, owner: str | None = None) -> list[Row]:
    if job is None and owner is not None:
        return transaction.all("events_of_owner_after", owner=owner, after=after, limit=BATCH)
    if job is None:
        return transaction.all("events_after", after=after, limit=BATCH)
    return transaction.all("events_of_job_after", job=job, after=after, limit=BATCH)


def _forgotten(after: int, transaction: Transaction) -> bool:
    first, last = transaction.one("first_event"), transaction.one("last_event")
    assert first is not None
    assert last is not None
    oldest = first["id"] if first["id"] is not None else last["id"] + 1
    return not oldest - 1 <= after <= last["id"]
