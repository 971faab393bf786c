"""Holds a state dir for one process alone."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from daemon.errors import StartupError
from daemon.paths import Paths

TRIES = 5


@asynccontextmanager
async def locked(paths: Paths) -> AsyncIterator[None]:
    """Holds the state dir for this process alone. Raises StartupError when another one has it."""
    try:
        paths.prepare()
        file = paths.lock.open("a+")
    except OSError as error:
        raise StartupError(f"the state dir {paths.state} cannot be used: {error.strerror}") from error
    with file:
        if not await _lock(file):
            file.seek(0)
            pid = file.read()
            raise StartupError(
                f"{paths.state} is in use by another ffspool (pid {pid}), whose settings stay in force: `kill {pid}` "
                "ends it, after which this may be started; or name another --state-dir"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        paths.address.unlink(missing_ok=True)  # of a daemon that was killed
        yield


def identity(paths: Paths) -> str:
    """Says which state dir this is, while it is held: no copy of it, and none made in its place, is the same."""
    status = paths.lock.stat()
    return f"{status.st_dev}:{status.st_ino}"


async def _lock(file: TextIO) -> bool:
    """Several tries: a client that asks whether a daemon lives holds the lock for a moment."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(0.02)
        else:
            return True
    return False
