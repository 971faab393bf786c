"""Makes durable what an encoder has written of pieces, so that a power cut leaves what a row vouches for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from daemon.encode.task import Durable, Report, Task

KEEP_EVERY = 10.0  # seconds


class Durability:
    """Syncs the pieces of a task from time to time, where there is something new, and tells of it afterwards."""

    def __init__(self, task: Task) -> None:
        self._task = task.id
        self._pieces = {order.variation: Path(order.part) for order in task.orders if order.begin}
        self._kept = dict[str, int]()
        self._kept_at = time.monotonic()

    async def keep(self, seconds: float, cpu_seconds: float, report: Callable[[Report], None]) -> None:
        """Syncs if it is time to; `seconds` of output are said to be written, and took that much CPU time."""
        if time.monotonic() - self._kept_at >= KEEP_EVERY:
            await self.keep_all(seconds, cpu_seconds, report)

    async def keep_all(self, seconds: float, cpu_seconds: float, report: Callable[[Report], None]) -> None:
        """Syncs now: a muxer that came to its end wrote its file anew, so what was kept before is none of it."""
        if not self._pieces:
            return
        self._kept_at = time.monotonic()
        sizes = await asyncio.to_thread(_synced, self._pieces)
        if sizes != self._kept:
            self._kept = sizes
            report(Durable(task=self._task, seconds=seconds, bytes=sizes, cpu_seconds=cpu_seconds))


def _synced(pieces: Mapping[str, Path]) -> dict[str, int]:
    """Returns the bytes of each piece that are on the disk now."""
    sizes = dict[str, int]()
    for variation, path in pieces.items():
        with suppress(FileNotFoundError), path.open("rb") as file:  # its muxer has not begun yet
            there = os.fstat(file.fileno()).st_size
            os.fdatasync(file.fileno())
            sizes[variation] = there
    return sizes
