"""Stands for one attempt under way: what it has brought so far, and how it is ended at once."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from math import inf
from typing import Any, TypeVar

T = TypeVar("T")

SAMPLED = 0.5  # seconds between two looks at how far it is, for the speed
LATELY = 12  # such looks that the speed is of
LEAST_SPEED = 1024  # bytes per second: a host that sends less is as good as one that sends nothing
PATIENCE = 60.0  # seconds that this is measured over
ENOUGH = int(LEAST_SPEED * PATIENCE)  # bytes with which an attempt got on, though it ended in crawling
AT_LENGTH = 5  # times the patience that tell how fast it is at length


class Stopped(Exception):
    """Nobody wants the source any more, it is paused, or the daemon ends."""


class Trip:
    """Is shared by the thread that makes the attempt and those that ask how it is or end it."""

    def __init__(
        self, job: str, begun: int, length: int | None, *, lasts: float = inf, patience: float = PATIENCE
    ) -> None:
        """It `lasts` so many seconds at most; `patience`: as many with next to nothing are borne."""
        self.job = job
        self.coming = False  # whether its host has answered with the file
        self.bytes = begun  # in the file, be they on the disk already or not
        self.length = length
        self._samples = deque([(time.monotonic(), begun)], maxlen=LATELY)
        self._ends = time.monotonic() + lasts
        self._patience = patience
        self.resumable = False  # whether its host would send the rest of it alone
        self._measured = deque([(time.monotonic(), begun)], maxlen=1 + AT_LENGTH)
        self._receiving = False
        self.flaw: str | None = None  # why it is not gone on with, as words that follow the name of its host
        self._over = asyncio.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._line: socket.socket | None = None

    def stop(self) -> None:
        """Ends it: whoever waits for its host finds the line closed. Called by the loop."""
        self._stopped.set()
        self._over.set()
        self.hang_up()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def check(self) -> None:
        """Raises Stopped once it is to end."""
        if self.stopped:
            raise Stopped

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns what `work` does, which nothing else can end. Raises Stopped at once when it is to end."""
        working = asyncio.ensure_future(work)
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({working, over}, return_when=asyncio.FIRST_COMPLETED)
            self.check()
            return await working
        finally:
            working.cancel()
            over.cancel()

    def hold(self, line: socket.socket) -> None:
        """Has `stop` close this line from now on. Raises Stopped."""
        with self._lock:
            self._release()
            self._line = line.dup()  # the line itself may be wrapped, and closed, by its thread
        self.check()

    def hang_up(self) -> None:
        """Ends whatever waits for the line."""
        with self._lock:
            if self._line is not None:
                with suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Lets go of the line, which is closed."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def begin(self, begins: int, length: int | None, *, resumable: bool = False) -> None:
        """Says that the file comes from that byte on."""
        self.bytes, self.length, self.coming, self.resumable = begins, length, True, resumable
        self._samples.clear()
        self._samples.append((time.monotonic(), begins))
        self._measured.clear()
        self._measured.append(self._samples[0])
        self._receiving = True

    def took(self, size: int) -> None:
        """Counts bytes that came."""
        self.bytes += size
        now = time.monotonic()
        if now - self._samples[-1][0] >= SAMPLED:
            self._samples.append((now, self.bytes))

    def end(self) -> None:
        """Says that nothing more comes."""
        self._receiving = False

    async def watch(self) -> None:
        """Hangs up once the file is not worth waiting for; `flaw` says why."""
        while self.flaw is None:
            await asyncio.sleep(min(SAMPLED, self._patience))
            self.flaw = self._flaw() if self._receiving else None
        self.hang_up()

    def _flaw(self) -> str | None:
        """Words that go on behind the name of its host."""
        now, (since, before) = time.monotonic(), self._measured[-1]
        if now > self._ends:
            return f"was given up after {self.bytes} bytes: all of it takes too long"
        if now - since < self._patience:
            return None
        if (came := self.bytes - before) < LEAST_SPEED * self._patience:
            return f"sent only {came} bytes within {now - since:.0f} s, as good as nothing"
        self._measured.append((now, self.bytes))
        return None

    @property
    def speed(self) -> float | None:
        """Returns bytes per second lately; None: too little came to tell."""
        return self._mean(self._samples) if time.monotonic() - self._samples[0][0] >= SAMPLED else None

    @property
    def speed_at_length(self) -> float | None:
        """Returns bytes per second over some minutes; None: it does not come for so long, or not any more."""
        is_known = self._receiving and len(self._measured) > AT_LENGTH
        return self._mean(self._measured) if is_known else None

    def _mean(self, samples: deque[tuple[float, int]]) -> float:
        began, before = samples[0]
        return (self.bytes - before) / (time.monotonic() - began)
