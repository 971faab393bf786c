"""Gathers the body of a request into larger pieces: each that is handed to a thread costs it a turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

BATCH = 1024 * 1024  # bytes: memory stays flat


async def batches(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the same bytes, BATCH of them or more at a time."""
    held = bytearray()
    async for piece in stream:
        held += piece
        if len(held) >= BATCH:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
