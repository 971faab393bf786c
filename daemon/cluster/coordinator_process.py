"""Keeps the coordinator of a cluster running, a child of the daemon: one that died or hangs is started anew."""

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
SILENT = 6  # signs of life that may be missed, before it is ended
STARTS = 120.0  # seconds until the first of them


class CoordinatorProcess:
    """Tells what it hears by `heard`, and by `lost` that whatever was under way there is."""

    def __init__(self, charter: Charter, heard: Callable[[Notice], None], lost: Callable[[], None]) -> None:
        self._charter = charter
        self._heard = heard
        self._lost = lost
        self._writer: asyncio.StreamWriter | None = None
        self._notices = 0  # that came from the one that runs
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
            try:
                await self._run_one()
            except ConnectionError as error:
                log.debug("the coordinator's line broke: %s", error)
            except (OSError, ValueError, msgspec.DecodeError) as error:  # no process to be had, or no word of ours
                log.error("the coordinator of the cluster cannot be spoken with: %s", error)
            log.error("the coordinator of the cluster ended: it is started anew")
            await asyncio.sleep(AGAIN)

    async def _run_one(self) -> None:
        child, line = spawn_service("daemon.cluster.coordinator")
        watching = asyncio.create_task(self._end_if_silent(child))
        try:
            reader, self._writer = await asyncio.open_connection(sock=line, limit=MAX_LINE)
            self._writer.write(msgspec.json.encode(self._charter) + b"\n")
            await self._hear(reader)
        finally:
            watching.cancel()
            await self._let_go(child)

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        decoder, self._notices = msgspec.json.Decoder(Notice), 0
        while line := await reader.readline():
            self._notices += 1
            self._heard(decoder.decode(line))

    async def _end_if_silent(self, child: Child) -> None:
        """Looks as often as it should say something: what this process missed while it stood still itself is no
        silence of another's.
        """
        known = missed = 0
        while missed <= (SILENT if known else STARTS / self._charter.beat):
            await asyncio.sleep(self._charter.beat)
            missed = 0 if self._notices > known else missed + 1
            known = self._notices
        log.error("the coordinator of the cluster says nothing any more: it is ended")
        cancel.kill(child)

    async def _let_go(self, child: Child) -> None:
        writer, self._writer = self._writer, None
        if writer:
            writer.close()
        cancel.kill(child)
        await child.wait()
        self._lost()
