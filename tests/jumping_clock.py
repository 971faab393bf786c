"""A clock that is set back and ahead while a queue tries what always fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from daemon.database.store import Store, Transaction

DAY = 86400.0  # seconds
TRIED_AT = [10 * DAY, 5 * DAY, 55 * DAY]
PATIENCE = 60.0  # seconds


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = TRIED_AT[0]

    def __call__(self) -> float:
        return self.seconds


async def through_jumps(
    store: Store, clock: Clock, queue: Coroutine[Any, Any, None], failures: Callable[[Transaction], int]
) -> None:
    """Runs a queue until it has failed once at each of these times."""
    committed = asyncio.Event()
    store.on_commit(committed.set)
    running = asyncio.create_task(queue)
    async with asyncio.timeout(PATIENCE):
        for number, moment in enumerate(TRIED_AT, 1):
            clock.seconds = moment
            while await _read(store, failures, committed) < number:
                await committed.wait()
    running.cancel()
    await asyncio.wait([running])


async def _read(store: Store, failures: Callable[[Transaction], int], committed: asyncio.Event) -> int:
    committed.clear()
    return await store.read(failures)
