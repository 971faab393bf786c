"""Hears a child out that is to end soon: a trial, or a question to the encoder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from daemon.process import cancel
from daemon.process.child import Child, Exit

MAX_SAID = 64 * 1024  # bytes that are kept of each pipe
LAST_WORDS = 0.5  # seconds to read what is left in the pipes of a command that has ended


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


async def hear_command(child: Child, patience: float) -> Heard:
    """Does as `hear` for a command that may leave others behind with its pipes: it is over once it has ended itself,
    and they go on. When it has not in time, its whole process group is killed."""
    said, complaint = bytearray(), bytearray()
    reading = [asyncio.create_task(_keep(*each)) for each in ((child.stdout(), said), (child.stderr(), complaint))]
    try:
        async with asyncio.timeout(patience):
            ended = await child.wait()
        await asyncio.wait(reading, timeout=LAST_WORDS)
        return Heard(ended, _text(said), _text(complaint))
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        cancel.kill(child)
        await child.wait()


async def _end(chunks: AsyncIterator[bytes]) -> str:
    end = bytearray()
    await _keep(chunks, end)
    return _text(end)


async def _keep(chunks: AsyncIterator[bytes], end: bytearray) -> None:
    async for chunk in chunks:
        end += chunk
        del end[:-MAX_SAID]


def _text(end: bytearray) -> str:
    return end.decode(errors="replace").strip()
