"""Hears a child out that is to end soon: a trial, or a question to the encoder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from daemon.process import cancel
from daemon.process.child import Child, Exit

MAX_SAID = 64 * 1024  # bytes that are kept of each pipe


class Heard(NamedTuple):
    """Holds how a child ended, and the last of what it said on stdout and complained of on stderr."""

    ended: Exit
    said: str
    complaint: str


async def hear(child: Child, patience: float) -> Heard:
    """Returns what the child says until it ends by itself; all of it is read, however much, and the last of it kept.

    Raises TimeoutError when it has not ended within `patience` seconds. Then, or when this is cancelled, it is killed;
    in any case it is reaped.
    """
    try:
        async with asyncio.timeout(patience):
            said, complaint = await asyncio.gather(_end(child.stdout()), _end(child.stderr()))
            return Heard(await child.wait(), said, complaint)
    finally:
        cancel.kill(child)
        await child.wait()


async def _end(chunks: AsyncIterator[bytes]) -> str:
    end = b""
    async for chunk in chunks:
        end = (end + chunk)[-MAX_SAID:]
    return end.decode(errors="replace").strip()
