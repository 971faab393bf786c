"""Raw sockets to a daemon: for clients that do what no client library does."""

from __future__ import annotations

import socket

from conftest import PATIENCE, Daemon


def connect(daemon: Daemon, receive_buffer: int | None = None) -> socket.socket:
    """A connection, which takes no more than about `receive_buffer` bytes that nobody reads."""
    host, port = daemon.url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.settimeout(PATIENCE)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((host, int(port)))
    return connection


def said(connection: socket.socket) -> bytes:
    """All that comes until the daemon ends the connection."""
    heard = bytearray()
    try:
        while chunk := connection.recv(65536):
            heard += chunk
    except ConnectionResetError:
        pass
    return bytes(heard)


def asked(path: str, token: str | None = None, *more: str) -> bytes:
    """A GET as it goes over the wire, with `more` lines in its header."""
    bearer = [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *bearer, *more, "", ""]).encode()
