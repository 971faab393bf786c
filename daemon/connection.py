"""One client's connection: refused when there are too many, ended when no request comes of it in time."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, BinaryIO

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

VERSIONS = {b"1.0", b"1.1"}
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 34\r\n\r\n"
    b"The daemon has no connection left\n"
)


class Parser(h11.Connection):
    """Refuses what h11 lets through: a version of HTTP that nobody here speaks.

    It keeps back the header of an answer, for its body to go out with it: two writes wake the client twice. `held`
    is called where there is one to fetch with `header`, should no body follow at once.
    """

    def __init__(self, held: Callable[[], object]) -> None:
        super().__init__(h11.SERVER)
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
        """What goes out before `count` bytes of the body that are sent past it."""
        parts = self.send_with_data_passthrough(h11.Data(data=range(count)))  # type: ignore[arg-type]
        assert parts is not None
        return parts[:-1]

    def header(self) -> list[bytes]:
        """What is kept back, which is then the caller's to send."""
        header, self._header = self._header, []
        return header

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request) and event.http_version not in VERSIONS:
            raise h11.RemoteProtocolError("the request is of another version of HTTP")
        return event


class Connection(H11Protocol):
    """From its beginning, and after an answer from the first byte on, a connection has `patience` seconds to send the
    whole header of a request. One that is silent after an answer is uvicorn's to end.

    That also ends who sends on what was refused already: the body of a request that had no token.

    It knows ASGI's `http.response.zerocopysend`, for answers with a Content-Length. One that is left unfinished ends
    the connection.
    """

    def __init__(self, *args: Any, most: int, patience: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = partial(self._answer, self.app)
        self.conn = self._parser = Parser(lambda: self.loop.call_soon(self._send_header))
        self._most = most
        self._patience = patience
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.write(REFUSAL)
            transport.close()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
            self._watch()

    def _send_header(self) -> None:
        self.transport.write(b"".join(self._parser.header()))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

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
        try:
            sent = await self.loop.sendfile(self.transport, file, offset, count)
        except (ConnectionError, TimeoutError):
            self.transport.abort()
        else:
            if sent < count:
                raise EOFError(f"{file.name} became shorter while it was sent")

    @property
    def _is_handling(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        """A deadline that runs is kept: bytes alone win no time."""
        if self._is_handling or self.transport.is_closing():
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._patience, self._give_up)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.transport.get_write_buffer_size() > 0:  # the end of the last answer is still on its way
            self._watch()
        else:
            self.transport.abort()


def most_connections(setting: int | None) -> int:
    """How many there may be: never so many that the encoders and the database find no descriptor left."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    half = descriptors // 2
    return min(setting or half, half)
