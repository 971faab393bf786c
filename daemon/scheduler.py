"""Keeps the slots full: claims the best of what is queued, starts attempts, freezes, thaws and stops them.

It is woken by events; the slow safety poll only covers a wake-up that was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from functools import partial

from daemon import claims
from daemon.attempt import Attempt, Receipt, Workshop
from daemon.claims import Aside, Claim
from daemon.disk import Offer
from daemon.errors import FfspoolError
from daemon.models import Progress
from daemon.paths import size
from daemon.processes import boot_id
from daemon.stall import Pace
from daemon.states import QueueState
from daemon.store import Transaction

log = logging.getLogger(__name__)

SAFETY_POLL = 30.0  # seconds
LOOK_AT_DISK = 5.0  # seconds between two looks at a disk that has no room for anything
MOST_AT_ONCE = 200  # variations looked at before others get their turn


class Scheduler:
    """Keeps `slots` encodes going while there is work. `run` is its loop; the rest may be called beside it."""

    def __init__(self, shop: Workshop, *, slots: int, queue: QueueState = QueueState.RUNNING) -> None:
        self._shop = shop
        self._slots = slots
        self._queue = queue
        self._boot = boot_id()
        self._attempts: dict[str, Attempt] = {}
        self._awake = asyncio.Event()
        self._closing = False
        self._any_aside = True  # some may be, from before a restart
        self._ended_one = False
        self.shortage: str | None = None  # why nothing starts though there may be work
        self.changed = asyncio.Event()  # set whenever a variation changed its state

    def wake(self) -> None:
        """Something may have become ready."""
        self._awake.set()

    @property
    def running(self) -> bool:
        """Whether it still starts work."""
        return not self._closing

    async def run(self) -> None:
        """Claims and starts work until `close`; then ends what runs, whose work goes back to the queue."""
        while not self._closing:
            self._awake.clear()
            patience = SAFETY_POLL
            try:
                await self._fill_slots()
                patience = await self._until_delayed()
            except FfspoolError as error:  # a full disk must not end the scheduler; the safety poll tries again
                log.error("nothing can be started: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), patience)
        await self.stop(list(self._attempts))

    @property
    def reserved(self) -> int:
        """Bytes that those that run may yet write."""
        return self._shop.space.reserved

    def close(self) -> None:
        """Starts nothing more; `run` returns once all that runs has been ended."""
        self._closing = True
        self._shop.closing.set()
        self.wake()

    # What is said of running variations

    def progress(self, variation: str) -> Progress | None:
        """The latest report on a running variation; None while it has none."""
        attempt = self._attempts.get(variation)
        return attempt.progress if attempt else None

    def pace(self, variation: str) -> Pace | None:
        """What the stall watch says of a running variation; None while it gets on, is frozen, or does not run."""
        attempt = self._attempts.get(variation)
        return attempt.pace if attempt else None

    def of_job(self, job: str) -> Iterator[tuple[Progress, float | None]]:
        """The latest report on each running variation of the job, and the seconds its source lasts (None: unknown).

        May be called on any thread.
        """
        for attempt in list(self._attempts.values()):  # one step for the interpreter: nothing comes between
            if attempt.claim.job == job and attempt.progress:
                yield attempt.progress, attempt.source_seconds

    def running_progress(self) -> Iterator[tuple[str, str, Progress, float | None]]:
        """(job, variation, latest report, planned seconds or None) of all that runs and has reported."""
        for attempt in self._attempts.values():
            if attempt.progress:
                yield attempt.claim.job, attempt.claim.id, attempt.progress, attempt.duration

    # What is done to them

    async def stop(self, variations: Iterable[str]) -> list[Receipt]:
        """Ends those of `variations` that run; returns when each is settled and its partial files are gone."""
        return list(await asyncio.gather(*(attempt.stop() for attempt in self._among(variations))))

    async def hold(self, variations: Iterable[str], held: bool) -> None:
        """Freezes those of `variations` that run and gives their slots away, or lets them go on.

        When this returns, they stand still. What the whole queue's pause froze stays frozen.
        """
        await self._hold(self._among(variations), held or self._queue == QueueState.PAUSED)

    @property
    def queue(self) -> QueueState:
        return self._queue

    async def set_queue(self, state: QueueState, held: Iterable[str] = ()) -> None:
        """Lets the queue run, freezes all that runs, or lets that finish and starts nothing more.

        `held` are variations of paused jobs, which stay frozen whatever the queue does.
        """
        self._queue = state
        stay = set(held)
        frozen = [a for a in self._attempts.values() if state == QueueState.PAUSED or a.claim.id in stay]
        await self._hold(frozen, True)
        await self._hold([a for a in self._attempts.values() if a not in frozen], False)

    async def _hold(self, attempts: Iterable[Attempt], held: bool) -> None:
        await asyncio.gather(*(attempt.hold(held) for attempt in attempts))
        self.changed.set()
        self.wake()

    def _among(self, variations: Iterable[str]) -> list[Attempt]:
        return [self._attempts[variation] for variation in variations if variation in self._attempts]

    # Claiming

    async def _fill_slots(self) -> None:
        await self._recall_aside()
        for _ in range(MOST_AT_ONCE):
            self.shortage = self._shop.space.shortage()
            if self.shortage or not self._may_start():
                return
            claim = await self._shop.store.write(partial(self._claim, self._shop.space.offer()))
            if claim is None:
                return
            if isinstance(claim, Claim):
                self._start(claim)
            else:
                self._any_aside = True

    async def _recall_aside(self) -> None:
        """What did not fit on the disk gets another chance once an encode has ended."""
        if self._ended_one and self._any_aside:
            self._any_aside = False
            now = self._shop.now()
            await self._shop.store.write(lambda t: t.run("recall_aside", now=now, limit=MOST_AT_ONCE))
        self._ended_one = False

    def _may_start(self) -> bool:
        busy = sum(not attempt.frozen for attempt in self._attempts.values())
        return not self._closing and self._queue == QueueState.RUNNING and busy < self._slots

    def _claim(self, disk: Offer, transaction: Transaction) -> Claim | Aside | None:
        return claims.claim(transaction, boot=self._boot, slots=self._slots, now=self._shop.now(), disk=disk)

    def _start(self, claim: Claim) -> None:
        self._shop.space.hold(claim.id, claim.space, partial(size, self._shop.paths.work(claim.job, claim.id)))
        attempt = self._attempts[claim.id] = Attempt(claim, self._shop, self._threads)
        attempt.held = self._queue == QueueState.PAUSED  # since the claim was asked for
        attempt.on_end(lambda: self._ended(claim.id))
        self.changed.set()

    def _ended(self, variation: str) -> None:
        attempt = self._attempts.pop(variation)
        self._shop.space.release(variation)
        self._any_aside |= attempt.crowded_out
        self._ended_one |= not attempt.crowded_out  # else it would be recalled to the same full disk at once
        self.changed.set()
        self.wake()

    def _threads(self, claim: Claim) -> int:
        """Threads for one encode: all cores for the only one that could run, one each when there are many."""
        cores = len(os.sched_getaffinity(0))
        return max(1, cores // min(self._slots, len(self._attempts) + claim.waiting))

    async def _until_delayed(self) -> float:
        """Seconds until something may have to be started without anybody waking us."""
        if self.shortage:
            return LOOK_AT_DISK
        if not self._may_start():
            return SAFETY_POLL
        row = await self._shop.store.read(lambda t: t.one("next_delayed"))
        if row is None or row["at"] is None:
            return SAFETY_POLL
        return float(min(SAFETY_POLL, max(0.05, row["at"] - self._shop.now())))
