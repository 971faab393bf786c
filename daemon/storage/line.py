"""Opens lines to hosts at addresses that were checked; a name is looked up once, and told in TLS and in Host alone."""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import cached_property
from typing import Any, TypeVar

from daemon import addresses
from daemon.storage.urls import Url

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0  # seconds, for one address; a host may have more
FILES_OF_A_LOOP = 4
SILENCE = 30.0  # seconds without a byte after which the line is given up


class Lines:
    """Says to which addresses lines are opened, and secures them."""

    def __init__(
        self,
        traffic: addresses.Traffic,
        *,
        allow_private: bool = False,
        resolve: addresses.Resolve = addresses.look_up,
        interfaces: addresses.Interfaces = addresses.interfaces,
    ) -> None:
        self._traffic = traffic
        self._allow_private = allow_private
        self._resolve = resolve
        self._interfaces = interfaces

    async def addresses(self, url: Url) -> list[addresses.Address]:
        """Returns those of the host, each of them checked. Raises ForbiddenTarget or OSError."""
        return await addresses.addresses(
            url.host,
            url.port,
            allow_private=self._allow_private,
            resolve=self._resolve,
            own=self._interfaces,
            traffic=self._traffic,
        )

    async def check(self, url: Url, line: socket.socket) -> None:
        """Raises ForbiddenTarget for a line that came back to this host; it is closed then."""
        if self._allow_private:
            return
        try:
            ours, theirs = (addresses.plain(end[0]) for end in (line.getsockname(), line.getpeername()))
            await addresses.check_connection(url.host, ours, theirs, self._interfaces, self._traffic)
        except BaseException:
            line.close()
            raise

    def connection(self, url: Url, line: socket.socket) -> http.client.HTTPConnection:
        """Returns what speaks HTTP over the line, by TLS where the URL says so. Raises OSError; all is closed then."""
        connection = http.client.HTTPConnection(url.host, url.port)
        connection.auto_open = 0
        connection.sock = line
        try:
            if url.scheme == "https":
                connection.sock = self._tls.wrap_socket(line, server_hostname=url.host)
        except BaseException:
            connection.close()
            raise
        return connection

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        import httpx

        return httpx.create_ssl_context()  # reads every root certificate: once, and only if it is needed


def asked(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Returns what `work` does, in a thread that has no loop. Raises OSError before, where no file can be opened."""
    with ExitStack() as spare:  # a loop that lacks one leaves a traceback and no word
        for _ in range(FILES_OF_A_LOOP):
            spare.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    return asyncio.run(work())


def connected(address: addresses.Address, port: int, hold: Callable[[socket.socket], None]) -> socket.socket:
    """Returns a line to an address, once `hold` was told of it. Raises OSError, or what `hold` does."""
    line = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        hold(line)
        line.settimeout(CONNECT_TIMEOUT)
        line.connect((str(address), port))
        line.settimeout(SILENCE)
    except BaseException:
        line.close()
        raise
    return line


def reason(error: Exception) -> str:
    """Returns no more of an error than why: its text may hold what was asked for."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, http.client.HTTPException):
        return "it does not speak HTTP"
    if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
        return "this daemon has too many files open"
    return getattr(error, "strerror", None) or type(error).__name__
