"""A host that keeps what is put to it, and that a test tells how to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answering = Callable[["Visit"], None]


class Visit(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: ReceivingHost

    def do_PUT(self) -> None:
        self.close_connection = True
        self.server.came.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        answer = self.server.answers.pop(0) if self.server.answers else keep
        answer(self)

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.server.tells is None:
            self.wfile.write(self.server.there.get(self.path, b""))

    def do_HEAD(self) -> None:
        self.close_connection = True
        self.server.looked.append(self.path)
        if self.server.tells == 0:
            self.server.gate.wait(60)
        there = self.server.there.get(self.path)
        status = self.server.tells or (404 if there is None else 200)
        self.send_response(status)
        self.send_header("Content-Length", str(len(there or b"")))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content_length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class ReceivingHost(ThreadingHTTPServer):
    """Keeps `there` what is put, by path and query. `answers` are for the next requests, in turn."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.there: dict[str, bytes] = {}
        self.came: list[dict[str, str]] = []
        self.answers: list[Answering] = []
        self.looked: list[str] = []  # what was looked for
        self.tells: int | None = None  # the status with which it answers who only looks; 0: it does not
        self.pause = 0.0  # seconds between two pieces of what comes or goes slowly
        self.taken = threading.Event()  # whether all of it came to one that then says nothing
        self.gate = threading.Event()  # what a `stalled` answer and a silent one wait for

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is none of a test's concern."""


def keep(visit: Visit) -> None:
    """Keeps all of it, unless something is there and it is not to be put over that."""
    host, content = visit.server, visit.body()
    if visit.headers.get("if-none-match") == "*" and visit.path in host.there:
        visit.say(412)
    elif len(content) == int(visit.headers["content-length"]):
        host.there[visit.path] = content
        visit.say(201)


def keep_and_hang_up(visit: Visit) -> None:
    """Keeps it and breaks off before it says so."""
    visit.server.there[visit.path] = visit.body()


def hang_up(visit: Visit) -> None:
    """Takes all of it, keeps nothing, and says nothing."""
    visit.body()


def stalled(visit: Visit) -> None:
    """Reads nothing until the gate is opened, and then hangs up."""
    visit.server.gate.wait(60)


def answering_for_ever(visit: Visit) -> None:
    """Asks for patience until the line breaks."""
    visit.body()
    while not visit.server.gate.wait(visit.server.pause):
        visit.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n")


def saying_nothing(visit: Visit) -> None:
    """Takes all of it, and says nothing until the gate is opened."""
    visit.body()
    visit.server.taken.set()
    visit.server.gate.wait(60)


def reading_slowly(visit: Visit) -> None:
    """Takes some kilobytes at a time."""
    left = int(visit.headers["content-length"])
    while left and (piece := visit.rfile.read(min(left, 64 * 1024))):
        left -= len(piece)
        visit.server.gate.wait(visit.server.pause)
    visit.say(201)


def answering_early(status: int, *, held: bool = False) -> Answering:
    """Answers when it has read a little, and then hangs up, or reads nothing until the gate is opened."""

    def answer(visit: Visit) -> None:
        visit.rfile.read(1000)
        visit.say(102)
        visit.say(status)
        if held:
            visit.server.gate.wait(60)

    return answer


def refusing(status: int, **headers: str) -> Answering:
    def refuse(visit: Visit) -> None:
        visit.body()
        visit.say(status, **headers)

    return refuse


@contextmanager
def receiving() -> Iterator[ReceivingHost]:
    host = ReceivingHost()
    thread = threading.Thread(target=host.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.gate.set()
        host.shutdown()
        host.server_close()
        thread.join()
