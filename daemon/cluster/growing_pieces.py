"""Brings pieces of films home while they are encoded, so that another machine can go on where this one was lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from daemon.cluster.messages import Notice, Told
from daemon.cluster.transfers import HomeTrouble, NotCurrent, Transfers, Unreachable
from daemon.encode.task import Durable, Task

log = logging.getLogger(__name__)

REST = 4.0  # times as long as the last one took, that the line is left to others before the next


class GrowingPieces:
    """Follows one task; `here` is the same task as it is run on this machine."""

    def __init__(self, task: Task, here: Task, transfers: Transfers, tell: Callable[[Notice], None]) -> None:
        self._orders = list(zip(task.orders, here.orders, strict=True))
        self._task = task
        self._transfers = transfers
        self._tell = tell
        self._bringing: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._latest: Durable | None = None

    def take(self, durable: Durable) -> None:
        """Brings what is on this disk, unless the line is needed for something else."""
        self._latest = durable
        if self._bringing is None and time.monotonic() >= self._not_before:
            self._bringing = asyncio.create_task(self._bring(durable))

    async def _bring(self, durable: Durable) -> None:
        began = time.monotonic()
        try:
            for order, made in self._orders:
                if kept := durable.kept.get(order.variation):
                    await self._transfers.bring_growing(self._task, order, made, kept.bytes)
            self._tell(Told(report=durable))
        except (NotCurrent, HomeTrouble, Unreachable) as error:
            log.info("a piece of %s stays here for now: %s", self._task.source_name, error)
        finally:
            self._bringing = None
            self._not_before = time.monotonic() + REST * (time.monotonic() - began)

    async def settle(self) -> None:
        """Returns once nothing is on its way."""
        if self._bringing:
            await asyncio.wait([self._bringing])

    async def leave(self) -> None:
        """Brings all that there is of pieces whose encoder was ended, since this machine works no more."""
        if self._latest is None:
            return
        for order, made in self._orders:
            if order.begin:
                await self._transfers.bring(self._task, order, made)
        self._tell(Told(report=self._latest))
