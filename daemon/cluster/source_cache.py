"""Keeps the sources that a machine fetched, so that the next variation of one comes for free; bounded by bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from daemon.cluster.transfers import Transfers
from daemon.encode.task import Task
from daemon.paths import size


class SourceCache:
    """Holds whole sources in a folder of its own, at most so many bytes of those that nobody uses just now."""

    def __init__(self, folder: Path, most_bytes: int, transfers: Transfers) -> None:
        self._folder = folder
        self._most = most_bytes
        self._transfers = transfers
        self._coming: dict[str, asyncio.Lock] = {}
        self._used = Counter[str]()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @asynccontextmanager
    async def source(self, task: Task) -> AsyncIterator[Path]:
        """Gives the task's source, which stays while it is used. Raises what `Transfers.fetch` does."""
        name = hashlib.sha256(msgspec.json.encode(task.source)).hexdigest()
        path = self._folder / name
        self._used[name] += 1
        try:
            async with self._coming.setdefault(name, asyncio.Lock()):
                if not await asyncio.to_thread(path.exists):
                    await asyncio.to_thread(self._make_room, task.source.identity[0] or 0)
                    await self._transfers.fetch(task, path)
                await asyncio.to_thread(path.touch)
            yield path
        finally:
            self._used[name] -= 1

    def _make_room(self, wanted: int) -> None:
        """Removes those that were used longest ago, until another of that many bytes fits."""
        held = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        total = sum(map(size, held)) + wanted
        for path in held:
            if total <= self._most:
                return
            if not self._used[path.name.removeprefix(".").removesuffix(".coming")]:
                total -= size(path)
                path.unlink()
