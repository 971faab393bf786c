"""What a server cannot be quicker than: it moves bytes between sockets and files and does nothing else.

`python -m bench.bare FILE SINK` prints its port; GET is answered with FILE, all else is written to SINK, durably.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

BUFFER = 256 * 1024


def main() -> None:
    source, sink = map(Path, sys.argv[1:])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            with client:
                _answer(client, source, sink)


def _answer(client: socket.socket, source: Path, sink: Path) -> None:
    head = bytearray()
    while b"\r\n\r\n" not in head:
        head += client.recv(BUFFER)
    head, _, body = head.partition(b"\r\n\r\n")
    if head.startswith(b"GET"):
        with source.open("rb") as file:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % source.stat().st_size)
            client.sendfile(file)
        return
    if b"100-continue" in head:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    _receive(client, sink, body, int(head.lower().partition(b"content-length:")[2].split()[0]))
    client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def _receive(client: socket.socket, sink: Path, begun: bytearray, length: int) -> None:
    buffer = memoryview(bytearray(BUFFER))
    with sink.open("wb", buffering=0) as file:
        left = length - file.write(begun)
        while left:
            count = client.recv_into(buffer)
            if not count:
                return
            left -= file.write(buffer[:count])
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
