"""Brings in bytes of requests: none is waited for longer than is fair, and none holds up a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from daemon.errors import Unavailable, UploadStalled

PATIENCE = 60.0  # seconds without a byte after which a body is over: a peer that vanished would hold what it sends to


class RequestBodies:
    """Knows every body under way; `stop` ends all of them where they are."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._waiting: set[asyncio.Timeout] = set()
        self._stopped = False

    def stop(self) -> None:
        """Has every body, also one under way, end with Unavailable from now on."""
        self._stopped = True
        for timeout in self._waiting:
            if not timeout.expired():
                timeout.reschedule(0)

    async def of(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yields the chunks of one body as they come. Raises UploadStalled when none does, Unavailable at a stop."""
        chunks = aiter(stream)
        while not self._stopped:
            try:
                async with asyncio.timeout(self._patience) as timeout:
                    with self._listed(timeout):
                        chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not self._stopped:
                    raise UploadStalled(f"no bytes came for {self._patience:.0f} s: go on where it ended") from None
            else:
                yield chunk
        raise Unavailable("the daemon is stopping: go on when it is back")

    @contextmanager
    def _listed(self, timeout: asyncio.Timeout) -> Iterator[None]:
        self._waiting.add(timeout)
        try:
            yield
        finally:
            self._waiting.remove(timeout)
