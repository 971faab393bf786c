"""Keeps the coordinator of a cluster running, a child of the daemon: one that died is started anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from daemon.cluster.messages import Charter, Command, Notice
from daemon.process import cancel
from daemon.process.child import Child
from daemon.process.launcher import spawn_service

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds after which another is started
MAX_LINE = 16 * 1024**2


class CoordinatorProcess:
    """Tells what it hears by `heard`, and by `lost` that whatever was under way there is."""

    def __init__(self, charter: Charter, heard: Callable[[Notice], None], lost: Callable[[], None]) -> None:
        self._charter = charter
        self._heard = heard
        self._lost = lost
        self._writer: asyncio.StreamWriter | None = None
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run(), name="cluster")

    async def close(self) -> None:
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def send(self, command: Command) -> None:
        """Tells it that, if it is there."""
        if self._writer:
            self._writer.write(msgspec.json.encode(command) + b"\n")

    async def _run(self) -> None:
        while True:
            child, line = spawn_service("daemon.cluster.coordinator")
            try:
                reader, self._writer = await asyncio.open_connection(sock=line, limit=MAX_LINE)
                self._writer.write(msgspec.json.encode(self._charter) + b"\n")
                await self._hear(reader)
            except ConnectionError as error:
                log.debug("the coordinator's line broke: %s", error)
            finally:
                await self._let_go(child)
            log.error("the coordinator of the cluster ended: it is started anew")
            await asyncio.sleep(AGAIN)

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        decoder = msgspec.json.Decoder(Notice)
        while line := await reader.readline():
            self._heard(decoder.decode(line))

    async def _let_go(self, child: Child) -> None:
        writer, self._writer = self._writer, None
        if writer:
            writer.close()
        cancel.kill(child)
        await child.wait()
        self._lost()
