"""Opens where the daemon listens: an address and port, or a socket for one user alone."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from daemon.errors import StartupError
from daemon.settings import Settings

WAITING = 2048  # connections that the kernel holds for us


def listening(settings: Settings) -> socket.socket:
    """Returns the socket that the daemon answers at. Raises StartupError in words when it cannot be had."""
    return _listen_locally(settings.unix_socket) if settings.unix_socket else _listen(settings)


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.host, settings.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer waits 40 ms for an ACK.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(WAITING)
    except OSError as error:
        raise StartupError(f"cannot listen on {host} port {port}: {_why_not(error, port)}") from error
    listener.setblocking(False)
    return listener


def _listen_locally(path: Path) -> socket.socket:
    """Listens on a socket that only its owner may connect to, from its first moment on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _answers(path):
            path.unlink()  # of a daemon that was killed
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(WAITING)
    except OSError as error:
        raise StartupError(f"cannot listen on {path}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


def _why_not(error: OSError, port: int) -> str:
    if error.errno != errno.EADDRINUSE:
        return str(error.strerror)
    return f"{_holder(port)} has it. Stop that, or take another with --port (0 takes a free one)"


def _holder(port: int) -> str:
    """Who listens at a port, as far as this user may know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another program"
