"""Keeps the sources that a machine fetched, so that the next variation of one comes for free; bounded by bytes."""

from __future__ import annotations

import asyncio
import hashlib
import math
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
        self._tidying = asyncio.Lock()  # nobody finds what goes just now
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
                async with self._tidying:
                    found = await asyncio.to_thread(self._found, path, task.source.identity[0])
                if not found:
                    await self._transfers.fetch(task, path)
            yield path
        finally:
            self._used[name] -= 1

    def _found(self, path: Path, wanted: int | None) -> bool:
        """Whether it is there, with so many bytes; else there is room for them now."""
        if path.exists() and wanted in {None, size(path)}:
            path.touch()
            return True
        self._make_room(wanted or 0)
        return False

    def _make_room(self, wanted: int) -> None:
        """Removes those that were used longest ago, until another of that many bytes fits."""
        self._folder.mkdir(mode=0o700, exist_ok=True)  # somebody may have tidied up
        held = sorted(self._folder.iterdir(), key=_used_last)
        total = sum(map(size, held)) + wanted
        for path in held:
            if total <= self._most:
                return
            if not self._used[path.name.removeprefix(".").removesuffix(".coming")]:
                total -= size(path)
                path.unlink(missing_ok=True)


def _used_last(path: Path) -> float:
    """When it was; what came a moment ago, and has its name since, is used."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
