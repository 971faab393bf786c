"""Tells how a machine stands while it works: what is free where it does, and why it can make nothing there."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from daemon.cluster.messages import Pulse
from daemon.errors import HOST_TROUBLE

FULL = {errno.ENOSPC, errno.EDQUOT}
GONE = {  # with the folder: it was removed, unmounted or taken away
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ESTALE,
}  # fmt: skip
TRIED = b"x" * 4096
SILENT_AFTER = 30.0  # seconds that a disk may take to answer
MOMENT = 1.0  # seconds that it is waited for when it answered before
SILENT = "the disk where it works does not answer"


class DiskWatch:
    """Asks for the pulse of a machine that works in `folder` in a thread of its own, for the disk may not answer."""

    def __init__(
        self, folder: Path, look: Callable[[Path], Pulse] | None = None, patience: float = SILENT_AFTER
    ) -> None:
        self._folder = folder
        self._look = look or pulse
        self._patience = patience
        self._thread = ThreadPoolExecutor(1)
        self._looking: asyncio.Future[Pulse] | None = None
        self._since = 0.0
        self._latest: Pulse | None = None

    async def look(self) -> Pulse:
        """Returns the latest; what came before counts until the disk has not answered for too long."""
        if self._looking is None:
            self._since = time.monotonic()
            self._looking = asyncio.wrap_future(self._thread.submit(self._look, self._folder))
        await asyncio.wait([self._looking], timeout=min(MOMENT, self._patience) if self._latest else self._patience)
        if self._looking.done():
            self._latest, self._looking = self._looking.result(), None
        elif self._latest is None or time.monotonic() - self._since >= self._patience:
            self._latest = Pulse(free_bytes=0, why=SILENT, answers=False)
        return self._latest


def pulse(folder: Path) -> Pulse:
    """Returns it of a machine that works in `folder`. Any thread may call it; it may block."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(TRIED)
    except OSError as error:
        return Pulse(free_bytes=free(folder), why=words(error))
    return Pulse(free_bytes=free(folder), why=None)


def words(error: OSError) -> str:
    """Returns what to tell of a folder in which a machine cannot work."""
    return f"it cannot write where it works: {os.strerror(error.errno) if error.errno else error}"


def is_trouble(error: OSError) -> bool:
    """Tells whether it lies in the machine, and in nothing that it was given."""
    return error.errno in HOST_TROUBLE | GONE


def free(folder: Path) -> int:
    """Returns the bytes that are free on its disk; 0 where nobody can tell. It may block."""
    try:
        return psutil.disk_usage(str(folder)).free
    except OSError:
        return 0
