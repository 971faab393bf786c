"""Asks what a media file holds, in a process that may crash: the daemon's side of `daemon.media.probe_server`.

The server process has the decoder library loaded and forks for each file, so a probe costs a fork and a
hostile file takes nothing down with it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from daemon.errors import ProbeError, Unavailable, Unresponsive
from daemon.media.model import Media, PieceContent
from daemon.models import SourceFile
from daemon.process import cancel
from daemon.process.child import Child
from daemon.process.launcher import spawn_server

# What `daemon.media.probe_server` is asked to do
How = Literal["describe", "measure", "scan", "prove", "whole", "picture", "piece", "extent"]

log = logging.getLogger(__name__)

NO_ANSWER = "what was to read it gave no answer: try again"
SILENT = "the disk it lies on does not answer, or the server of that"

TIMEOUT = 20.0  # seconds for one file, enforced by the server
SLOWEST = 20e6  # bytes in a second, of disks that pieces of films are read from
SLOWEST_DECODING = 0.1  # times real time
MAX_PACKET = 256 * 1024
MOST_STUCK = 8  # readers that one disk may keep
PATIENCE = 5.0  # seconds beyond TIMEOUT after which the server itself is taken for hung


class _Answer(msgspec.Struct):
    id: int
    media: Media | None = None
    picture: bytes | None = None
    piece: PieceContent | None = None
    error: str | None = None
    stuck: bool = False  # the process that reads it does not end
    gone: bool = False  # one that was stuck has ended


class _ServerGone(Unavailable):
    """The server ended before it answered; another one may be asked."""

    def __init__(self) -> None:
        super().__init__("the process that reads media was ended from outside, or by the file, twice")


class Prober:
    """Probes files through one server process, started when first needed and again when it dies.

    A file is asked for as the source it is, or by a path without symlinks.
    """

    def __init__(self, *, sandboxed: bool) -> None:
        """Has each file read, if `sandboxed`, by a process that reaches nothing else."""
        self._sandboxed = sandboxed
        self._server: Child | None = None
        self._socket: socket.socket | None = None
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[_Answer]] = {}
        self._stuck: dict[int, str] = {}  # roots of files that hold up their readers
        self._decoder = msgspec.json.Decoder(_Answer)

    def start(self) -> None:
        """Starts the server ahead of the first probe, which then need not wait for it."""
        if self._server is None or not self._server.running or self._socket is None:  # one that ends is not reaped yet
            self._disconnect()
            self._server, self._socket = spawn_server(
                "daemon.media.probe_server", "sandbox" if self._sandboxed else "open"
            )
            asyncio.get_running_loop().add_reader(self._socket, self._receive, self._socket)

    async def relax(self) -> None:
        """Reads without a sandbox from here on."""
        await self.close()
        self._sandboxed = False

    async def close(self) -> None:
        """Ends the server; probes under way fail."""
        server, self._server = self._server, None
        self._disconnect()
        if server is not None:
            cancel.kill(server)
            await server.wait()

    async def probe(self, file: Path | SourceFile) -> Media:
        """Returns what the file holds. Raises ProbeError, in words without a path, when it cannot be read as media.

        Like all the others it raises Unavailable when the server is killed again and again, and Unresponsive when the
        disk does not answer.
        """
        return _media(await self._ask(file, "describe"))

    async def scan(self, file: SourceFile, size: int) -> Media:
        """Returns what a file of so many bytes holds by all its packets, whatever its header says. Raises as `probe`
        does.
        """
        return _media(await self._ask(file, "scan", TIMEOUT + size / SLOWEST))

    async def probe_output(self, file: Path | SourceFile) -> Media:
        """Probes as `probe` does, and has the last second decoded too."""
        return _media(await self._ask(file, "prove"))

    async def decode_whole(self, file: Path | SourceFile, seconds: float, size: int) -> None:
        """Returns once all pictures and all sound of the file, of so many seconds and bytes, were decoded.

        Raises ProbeError, as `probe` does, where some cannot be.
        """
        _media(await self._ask(file, "whole", TIMEOUT + size / SLOWEST + seconds / SLOWEST_DECODING))

    async def measured_seconds(self, file: Path | SourceFile) -> float | None:
        """Returns where the file's data really ends, in seconds, whatever its header says. Reads the whole file.

        Raises ProbeError as `probe` does.
        """
        return _media(await self._ask(file, "measure")).duration_seconds

    async def picture(self, file: Path | SourceFile) -> bytes:
        """Returns a small WebP of a picture near the file's beginning. Raises ProbeError as `probe` does."""
        answer = await self._ask(file, "picture")
        if answer.picture is None:
            raise ProbeError(answer.error or NO_ANSWER)
        return answer.picture

    async def piece(self, file: Path, source: Media) -> PieceContent:
        """Tells what is there of the source's picture, whose encoder may have been interrupted. Reads the whole file.

        Raises ProbeError as `probe` does, also when it holds no picture that is whole.
        """
        assert source.video
        return await self._content(file, "piece", unsure=source.video.unsure)

    async def extent(self, file: Path, joints: Sequence[float] = ()) -> PieceContent:
        """Tells when a picture begins that came to its end, and of how many it is, in all and between its `joints`; or
        when sound alone begins. Raises as `piece` does.
        """
        return await self._content(file, "extent", joints=joints)

    async def _content(self, file: Path, how: How, **more: Any) -> PieceContent:
        try:
            size = (await asyncio.to_thread(file.stat)).st_size
        except OSError as error:
            raise ProbeError(f"the file cannot be opened: {error.strerror}; see to that, then retry") from error
        answer = await self._ask(file, how, TIMEOUT + size / SLOWEST, **more)
        if answer.piece is None:
            raise ProbeError(answer.error or NO_ANSWER)
        return answer.piece

    async def _ask(self, file: Path | SourceFile, how: How, timeout: float = TIMEOUT, **more: Any) -> _Answer:
        """Asks with what `more` of a request that takes."""
        try:
            return await self._exchange(file, how, timeout, more)
        except _ServerGone:  # killed from outside, or by another file: this one gets a second chance
            return await self._exchange(file, how, timeout, more)

    async def _exchange(self, file: Path | SourceFile, how: How, timeout: float, more: Mapping[str, Any]) -> _Answer:
        self.start()
        assert self._socket is not None
        number = next(self._ids)
        wanted = file if isinstance(file, SourceFile) else SourceFile(path=str(file))
        if [*self._stuck.values()].count(wanted.root) >= MOST_STUCK:
            raise Unresponsive(SILENT)
        request = {"id": number, "file": wanted, "timeout": timeout, "how": how, **more}
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, msgspec.json.encode(request))
            found: _Answer = await asyncio.wait_for(answer, timeout + PATIENCE)
            if found.stuck:
                self._stuck[number] = wanted.root
                raise Unresponsive(SILENT)
            return found
        except TimeoutError:
            await self.close()
            raise ProbeError("reading it took too long: see whether its disk is slow, or export it again") from None
        except OSError as error:
            raise _ServerGone() from error
        finally:
            self._pending.pop(number, None)

    def _receive(self, ours: socket.socket) -> None:
        try:
            packet = ours.recv(MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            log.warning("the probe server ended; it is started again when needed")
            self._disconnect()
            return
        answer = self._decoder.decode(packet)
        if answer.gone:
            self._stuck.pop(answer.id, None)
        pending = self._pending.get(answer.id)
        if pending and not pending.done():
            pending.set_result(answer)

    def _disconnect(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._stuck.clear()  # nobody would tell when they end
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(_ServerGone())


def _media(answer: _Answer) -> Media:
    if answer.media is None:
        raise ProbeError(answer.error or NO_ANSWER)
    return answer.media
