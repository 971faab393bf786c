"""Keeps the sources that a machine fetched, so that the next variation of one comes for free.

They are bounded by bytes, and by what the disk has room for beside what is made of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec

from daemon.cluster.machine import outputs
from daemon.cluster.pulse import free
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
        self._to_come: dict[str, int] = {}  # bytes: of outputs, by task, and of sources on their way
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
                    with self._expecting(name, task.source.identity[0] or 0):
                        await self._transfers.fetch(task, path)
            yield path
        finally:
            self._used[name] -= 1
            if not self._used[name]:  # else all that ever came would be remembered
                del self._used[name], self._coming[name]

    @contextmanager
    def beside(self, task: Task) -> Iterator[None]:
        """Leaves room for what is made by that task."""
        with self._expecting(task.id, outputs(task)):
            yield

    @contextmanager
    def _expecting(self, name: str, count: int) -> Iterator[None]:
        self._to_come[name] = count
        try:
            yield
        finally:
            del self._to_come[name]

    async def make_room(self) -> None:
        """Removes of what nobody uses what stands in the way of what is made."""
        async with self._tidying:
            await asyncio.to_thread(self._make_room, 0)

    async def give_up(self) -> None:
        """Removes all that nobody uses, where that can be done."""
        async with self._tidying:
            with suppress(OSError):
                await asyncio.to_thread(self._make_room, math.inf)

    def idle(self) -> int:
        """Returns the bytes of what nobody uses. Any thread may call it; it may block."""
        return sum(size(path) for path in self._held() if not self._is_used(path))

    def _held(self) -> list[Path]:
        return list(self._folder.iterdir()) if self._folder.is_dir() else []

    def _is_used(self, path: Path) -> bool:
        return self._used[path.name.removeprefix(".").removesuffix(".coming")] > 0

    def _found(self, path: Path, wanted: int | None) -> bool:
        """Whether it is there, with so many bytes. There is room for what is still to come, now."""
        found = path.exists() and wanted in {None, size(path)}
        if found:
            path.touch()
        self._make_room(0 if found else wanted or 0)
        return found

    def _make_room(self, wanted: float) -> None:
        """Removes those that were used longest ago, until another of that many bytes fits, and what is to be made."""
        self._folder.mkdir(mode=0o700, exist_ok=True)  # somebody may have tidied up
        held = sorted(self._held(), key=_used_last)
        total, lacking = sum(map(size, held)) + wanted, wanted + sum(self._to_come.values()) - free(self._folder)
        for path in held:
            if total <= self._most and lacking <= 0:
                return
            if not self._is_used(path):
                total, lacking = total - size(path), lacking - size(path)
                path.unlink(missing_ok=True)


def _used_last(path: Path) -> float:
    """When it was; what came a moment ago, and has its name since, is used."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
