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

import msgspec

from daemon.database.store import Row, Store, Transaction
from daemon.encode import progress
from daemon.encode.stall import Standing
from daemon.encode.task import Progress
from daemon.errors import FfspoolError

log = logging.getLogger(__name__)

BATCH = 500  # rows read at once
MAX_PENDING = 256  # events that wait in memory for one subscriber
TICK = 0.25  # seconds between two progress events of one variation, at least
CROWD = 50  # so many subscribers are served each tick and each commit; with more, all comes less often
PACE = 0.001  # seconds per subscriber of a crowd between two rounds of changes; each round wakes every one of them
KEEP_ALIVE = 15.0  # seconds of silence after which a comment shows that the connection lives


class Subscriber:
    """Holds one client's place in the feed. `pending` is what it has not been sent; None: it has to read the log."""

    def __init__(self, job: str | None, after: int) -> None:
        self.job = job
        self.sent = after
        self.pending: deque[tuple[int, bytes]] | None = None
        self.progress: dict[str, bytes] = {}
        self.news = asyncio.Event()
        self.served_at = time.monotonic()

    def offer(self, row: Row, event: bytes) -> None:
        if self.job is not None and row["job"] != self.job:
            return
        if self.pending is not None:
            self.pending.append((row["id"], event))
            if len(self.pending) > MAX_PENDING:
                self.pending = None
        self.news.set()


class Feed:
    """Hands out events. `run` is its loop; `close` ends every stream."""

    def __init__(self, store: Store, progress: Callable[[], list[tuple[str, str, bytes]]]) -> None:
        """Takes as `progress` what gives the present (job, variation or source, event) of all that runs or comes."""
        self._store = store
        self._progress = progress
        self._subscribers: set[Subscriber] = set()
        self._joined = asyncio.Event()
        self._committed = asyncio.Event()
        self._ending: dict[str, tuple[str, bytes]] = {}  # progress at the commits that were not handed out yet
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
        self._ending |= self._present()
        self._committed.set()

    async def _hand_out(self) -> None:
        ending, self._ending = self._ending, {}
        more = bool(self._subscribers)
        while more:
            rows = await self._store.read(partial(_read, None, self._last))
            for row in rows:
                self._last = row["id"]
                event = self._last_progress(row, ending) + render(row)
                for subscriber in self._subscribers:
                    subscriber.offer(row, event)
            more = len(rows) == BATCH

    def _present(self) -> dict[str, tuple[str, bytes]]:
        return {variation: (job, data) for job, variation, data in self._progress()} if self._subscribers else {}

    def _last_progress(self, row: Row, ending: dict[str, tuple[str, bytes]]) -> bytes:
        """The progress a variation ended with, if that was not told yet; it goes right before its new state."""
        if not ending or row["type"] != "variation":
            return b""
        variation = msgspec.json.decode(row["data"])["id"]
        _, data = ending.pop(variation, ("", b""))
        return b"" if data == self._told.get(variation, b"") else data

    async def _tick(self) -> None:
        while True:
            await self._joined.wait()
            self._joined.clear()
            while self._subscribers:
                await asyncio.sleep(TICK * max(1.0, len(self._subscribers) / CROWD))
                self._conflate()
                self._keep_alive(time.monotonic())

    def _conflate(self) -> None:
        """Gives every subscriber the latest progress of what moved; what it was not sent yet is replaced."""
        present = self._present()
        for variation, (job, data) in present.items():
            if self._told.get(variation) != data:
                self._tell(job, variation, data)
        self._told = {variation: data for variation, (_, data) in present.items()}

    def _keep_alive(self, now: float) -> None:
        for subscriber in self._subscribers:
            if now - subscriber.served_at > KEEP_ALIVE:
                subscriber.news.set()

    def _tell(self, job: str, variation: str, event: bytes) -> None:
        for subscriber in self._subscribers:
            if subscriber.job in {None, job}:
                subscriber.progress[variation] = event
                subscriber.news.set()

    def close(self) -> None:
        """Ends every stream, so that a server which waits for its connections can stop."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.news.set()

    async def stream(self, job: str | None, after: int | None) -> AsyncIterator[bytes]:
        """Yields Server-Sent Events of one job, or of all: those after the id `after`, or (None) from now on.

        The first block is an id alone, from which a client goes on that was sent nothing else. An id that is older
        than what is kept, or is of another database, gets a `reset` event first: the client should read the present
        state anew, and is told what comes from now on.
        """
        from_now = after is None or await self._store.read(partial(_forgotten, after))
        newest = await last_event(self._store)
        subscriber = Subscriber(job, newest if from_now else after or 0)
        if not self._subscribers:  # while nobody listened nothing was read
            self._last = newest
        self._subscribers.add(subscriber)
        self._joined.set()
        try:
            yield f"id: {subscriber.sent}\nretry: 1000\n\n".encode()
            if from_now and after is not None:
                yield b"event: reset\ndata: {}\n\n"
            while not self._closed:
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
        while rows := await self._store.read(partial(_read, subscriber.job, subscriber.sent)):
            subscriber.sent = rows[-1]["id"]
            yield b"".join(render(row) for row in rows)


def render(row: Row) -> bytes:
    """Returns one row of the log as a Server-Sent Event."""
    return f"id: {row['id']}\nevent: {row['type']}\ndata: {row['data']}\n\n".encode()


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


def _read(job: str | None, after: int, transaction: Transaction) -> list[Row]:
    if job is None:
        return transaction.all("events_after", after=after, limit=BATCH)
    return transaction.all("events_of_job_after", job=job, after=after, limit=BATCH)


def _forgotten(after: int, transaction: Transaction) -> bool:
    first, last = transaction.one("first_event"), transaction.one("last_event")
    assert first is not None
    assert last is not None
    oldest = first["id"] if first["id"] is not None else last["id"] + 1
    return not oldest - 1 <= after <= last["id"]
