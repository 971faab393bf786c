"""Serves one client's connection: it has its place among the others, and is ended when its client dawdles."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import resource
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.errors import Crowded, FfspoolError, Malformed
from daemon.http.admission import Places
from daemon.http.guard import HEADERS, MEETING
from daemon.http.problems import refusal

VERSIONS = {b"1.0", b"1.1"}
MOST_SHOWN = 200  # characters of what is wrong with a request, which may hold what the client sent
UNREAD, UNREAD_OF_KNOWN = 64 * 1024, 256 * 1024  # bytes at a time; more only once all these were answered
MOST_IN_A_ROW = 8  # unanswered requests that an anonymous client may send: each holds up everybody's a little
BYTES_ACKED = slice(120, 128)  # in Linux's struct tcp_info


class Parser(h11.Connection):
    """Refuses what h11 lets through: a version of HTTP that nobody here speaks, and a length that is said twice.

    It keeps back the header of an answer, for its body to go out with it: two writes wake the client twice. `held`
    is called where there is one to fetch with `header`, should no body follow at once.
    """

    def __init__(self, held: Callable[[], object]) -> None:
        super().__init__(h11.SERVER)
        self.refused = h11.RemoteProtocolError("")
        self._held = held
        self._header: list[bytes] = []

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        parts = super().send_with_data_passthrough(event)
        if parts is None:
            return None
        if isinstance(event, h11.Response):
            self._header = parts
            self._held()
            return []
        return [*self.header(), *parts]

    def counted(self, count: int) -> list[bytes]:
        """Returns what goes out before `count` bytes of the body that are sent past it."""
        parts = self.send_with_data_passthrough(h11.Data(data=range(count)))  # type: ignore[arg-type]
        assert parts is not None
        return parts[:-1]

    def header(self) -> list[bytes]:
        """Returns what is kept back, which is then the caller's to send."""
        header, self._header = self._header, []
        return header

    def next_event(self) -> Any:
        """Returns what came. Raises RemoteProtocolError, which is `refused` from then on."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                _check(event)
        except h11.RemoteProtocolError as error:
            self.refused = error
            raise
        return event


def _check(request: h11.Request) -> None:
    """A length that is told in two ways lets a proxy and us disagree where the next request begins (RFC 9112, 6.1)."""
    if request.http_version not in VERSIONS:
        raise h11.RemoteProtocolError("the request is of another version of HTTP", 505)
    names = [name for name, _ in request.headers]
    if b"transfer-encoding" in names and (b"content-length" in names or request.http_version == b"1.0"):
        raise h11.RemoteProtocolError("the request has a Transfer-Encoding beside what says its length otherwise")


class Connection(H11Protocol):
    """A connection is looked at by the server once each second. Then it is ended

    - when its client takes nothing of what waits for it: for `patience` seconds, or `patience_with_known` if it is
      known. One that takes a little is never ended for that.
    - when nothing waits for its client, and it has not sent the whole header of a request within `patience` seconds
      from its beginning, or from the first byte after an answer. That also ends who sends on what was refused already:
      the body of a request that had no token. One that is silent after an answer is uvicorn's to end.

    Of requests that come before an answer no more is read than UNREAD bytes; they are answered one after the other, a
    anonymous client's up to MOST_IN_A_ROW.

    It knows ASGI's `http.response.zerocopysend`, for answers with a Content-Length. One that is left unfinished ends
    the connection.
    """

    def __init__(self, *args: Any, places: Places, patience: float, patience_with_known: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = partial(self._answer, self.app)
        self.conn = self._parser = Parser(lambda: self.loop.call_soon(self._send_header))
        self._places = places
        self._patience = patience
        self._patience_with_known = patience_with_known
        self._known = False
        self._in_a_row = 0
        self._asked_since: float | None = None  # since when we wait for a header
        self._is_sending_file = False
        self._files_sent = 0
        self._taken: tuple[int, ...] = ()
        self._taken_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = UNREAD  # type: ignore[attr-defined]
        try:
            self._places.enter(self)
        except Crowded as error:
            self._refuse(error)
        else:
            self._asked_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            if self._is_handling:
                self._asked_since = None
            elif self._asked_since is None:  # a wait that has begun goes on: bytes alone win no time
                self._asked_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._places.leave(self)

    def on_response_complete(self) -> None:
        self._in_a_row = self._in_a_row + 1 if self.flow.read_paused else 0  # by the next request, which is there
        if self._in_a_row >= MOST_IN_A_ROW and not self._known:
            self.transport.close()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuses what the parser did not understand, in the words of the parser."""
        refused = self._parser.refused
        self._refuse(Malformed(str(refused)[:MOST_SHOWN] or msg, refused.error_status_hint))

    def give_way(self) -> None:
        """Ends at once, by a reset: the kernel keeps nothing for the client either."""
        client = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the client was faster
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.shutdown(socket.SHUT_RDWR)
        if not self._is_sending_file:  # which waits for a descriptor that must not be closed under it, and notices
            self.transport.abort()

    def end_if_stalled(self, now: float) -> None:
        """Ends it if its client lets us wait for too long, at `now` by the loop's clock."""
        if self._is_sending_file or self.transport.get_write_buffer_size() > 0:
            if self._asked_since is not None:
                self._asked_since = now
            self._look_at_taking(now)
            return
        self._taken = ()
        if self._asked_since is not None and now - self._asked_since > self._patience:
            self.transport.abort()

    def _look_at_taking(self, now: float) -> None:
        try:
            taken = self._taking()
        except OSError:
            return  # it was just ended
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        elif now - self._taken_at > (self._patience_with_known if self._known else self._patience):
            self.give_way()

    def _taking(self) -> tuple[int, ...]:
        """Another one each time when the client took something: what the kernel took of us says nothing of that.

        A unix socket tells of whole buffers alone, of some 64 KiB.
        """
        client = self.transport.get_extra_info("socket")
        if client.family != socket.AF_UNIX:
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED.stop)
            return (int.from_bytes(info[BYTES_ACKED], sys.byteorder),)
        queued = array.array("i", [0])
        fcntl.ioctl(client.fileno(), termios.TIOCOUTQ, queued)
        return self._files_sent, self.transport.get_write_buffer_size(), queued[0]

    def _refuse(self, error: FfspoolError) -> None:
        """Answers in place of the application, and ends."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        self.transport.write(_written(error, self.server_state.default_headers))
        self.transport.close()

    def _meet(self, known: bool) -> None:
        if known == self._known:
            return
        self._places.meet(self, known)
        self._known = known
        self.transport.max_size = UNREAD_OF_KNOWN if known else UNREAD  # type: ignore[attr-defined]

    def _send_header(self) -> None:
        self.transport.write(b"".join(self._parser.header()))

    async def _answer(self, app: Any, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def answered(message: Any) -> None:
            if message["type"] != "http.response.zerocopysend":
                await send(message)
                return
            if message["count"]:
                await self._send_file(message["file"], message["offset"], message["count"])
            if not message["more_body"]:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        cycle = self.cycle
        assert cycle is not None
        try:
            scope["extensions"] = {MEETING: self._meet}
            await app(scope, receive, answered)
        except asyncio.CancelledError:  # the daemon ends, and this client has had its time
            if not cycle.response_started:
                raise
        if cycle.response_started and not cycle.response_complete:
            self.transport.abort()
            cycle.disconnected = True  # or uvicorn complains

    async def _send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Nothing is left to send when the client is gone. Raises EOFError when the file is not that long."""
        if self.transport.is_closing():
            return
        self.transport.write(b"".join(self._parser.counted(count)))
        self._is_sending_file = True
        try:
            sent = await self.loop.sendfile(self.transport, file, offset, count)
        except (ConnectionError, TimeoutError):
            self.transport.abort()
        else:
            if sent < count:
                raise EOFError(f"{file.name} became shorter while it was sent")
        finally:
            self._is_sending_file = False
            self._files_sent += 1

    @property
    def _is_handling(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


def _written(error: FfspoolError, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A refusal as it goes over the wire."""
    answer = refusal(error)
    own = [(name.encode(), value.encode()) for name, value in {**HEADERS, "Connection": "close"}.items()]
    lines = [b"%s: %s\r\n" % header for header in [*headers, *answer.raw_headers, *own]]
    start = f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}\r\n".encode()
    return start + b"".join(lines) + b"\r\n" + bytes(answer.body)


def most_connections(setting: int | None) -> int:
    """Returns how many there may be: never so many that the encoders and the database find no descriptor left."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    half = descriptors // 2
    return min(setting or half, half)
