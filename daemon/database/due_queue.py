"""Empties a durable queue: begins what is due, each as a task, and looks again when it may have changed.

What is due, and what is done of it, the owner of the queue knows; here it is only known when to look, and how long to
wait before what failed is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from daemon.database.store import Store
from daemon.journal import known
from daemon.pace import Pace

JITTER = 0.2
LOOK_EVERY = 5.0  # seconds, should nothing wake us
PARTING = 2.0  # seconds that a verb waits for what it ended to be let go of

log = logging.getLogger(__name__)

Begin = Callable[[asyncio.TaskGroup], Awaitable[float | None]]


class Backoff:
    """Says how many seconds to wait after something failed: longer each time, and not all as long."""

    def __init__(self, seconds: float, waits: Sequence[int], *, most_asked: float) -> None:
        """Waits `waits` times so many `seconds`, one after the other and then the last; at most `most_asked` where
        another host wants it longer.
        """
        self._waits = [seconds * wait for wait in waits]
        self._most_asked = most_asked

    @property
    def longest(self) -> float:
        """Returns the seconds that no wait exceeds: one that does saw the clock set back meanwhile."""
        return max(self._most_asked, self._waits[-1] * (1 + JITTER))

    def after(self, failures: int, asked: float | None = None) -> float:
        """Returns the wait after one that so many `failures` preceded; no shorter than was `asked` for."""
        usual = self._waits[min(failures, len(self._waits) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)
        return max(usual, min(asked or 0.0, self._most_asked))


class DueQueue:
    """Is the loop of a queue, and what wakes it."""

    def __init__(
        self,
        store: Store,
        called: str,
        begin: Begin,
        *,
        now: Callable[[], float] = time.time,
        listens: bool = True,
        poll: float | None = None,
    ) -> None:
        """Calls `begin` to begin what there is room for; it returns when another is due, if that is known.

        A queue that `listens` is looked at after every commit. One that was found to be `empty` is looked at again when
        something is expected, or after `poll` seconds.
        """
        self._store = store
        self._called = called
        self._begin = begin
        self._now = now
        self._poll = poll
        self._pace = Pace()
        self._awake = asyncio.Event()
        self._ended = asyncio.Condition()  # whenever a task has
        self._expecting = True  # whether there may be any: where nobody asks for them, commits are not looked at
        if listens:
            store.on_commit(self._on_commit)

    def expect(self) -> None:
        """Has commits looked at from now on: something was queued, or may be soon."""
        self._expecting = True
        self.wake()

    def wake(self) -> None:
        """Has the queue looked at, whatever was found a moment ago."""
        self._pace.wake()
        self._awake.set()

    def _on_commit(self) -> None:
        if self._expecting:
            self._awake.set()

    async def run(self) -> None:
        """Does what is due until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._awake.clear()  # before anything is looked at: what changes from here on is looked at again
                try:
                    await self._wait(await self._begin(tasks) if self._expecting else None)
                except Exception:
                    log.exception("%s cannot be read; they are looked at again in %.0f s", self._called, LOOK_EVERY)
                    await asyncio.sleep(LOOK_EVERY)

    async def _wait(self, at: float | None) -> None:
        patience = LOOK_EVERY if self._expecting else self._poll
        if at is not None:
            patience = max(0.0, min(patience or LOOK_EVERY, at - self._now()))
        try:
            async with asyncio.timeout(patience):
                await self._awake.wait()
        except TimeoutError:
            self._expecting = True

    async def paced(self, begin: Begin, tasks: asyncio.TaskGroup) -> float | None:
        """Begins what is due as `begin` does, unless the last look took so long that this one is to rest."""
        if rest := self._pace.left:
            return self._now() + rest
        with self._pace.looking():
            return await begin(tasks)

    async def empty(self, query: str) -> None:
        """Stops looking at commits, unless this query finds what one meanwhile brought."""
        self._expecting = False
        found = await self._store.read(lambda t: t.one(query))
        self._expecting = self._expecting or found is not None

    async def carry(self, work: Awaitable[None], leave: Callable[[], object], fault: str, **of: str | None) -> None:
        """Does what was begun, gives back by `leave` what that took, and has the queue looked at.

        A fault is logged in these words, and tried again after a while.
        """
        try:
            await work
        except Exception:
            log.exception(fault, extra=known(**of))
            await asyncio.sleep(LOOK_EVERY)  # it is still due: while it sleeps here nobody tries it again
        finally:
            leave()
            self.wake()
            async with self._ended:
                self._ended.notify_all()

    async def let_go(self, query: str, of: str) -> None:
        """Waits, a moment at most, until this query finds nothing left of those that are told as a list in JSON."""
        left = partial(self._store.read, lambda t: t.one(query, of=of))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING), self._ended:
                while await left():
                    self.expect()
                    await self._ended.wait()
