"""Asks a host for one thing over a line that is looked at all the while.

One that moves may take as long as it takes. One that stands still, or that answers without coming to an end, is given
up, and one that nobody wants any more is left.
"""

from __future__ import annotations

import fcntl
import http.client
import io
import re
import socket
import ssl
import struct
import termios
import time
from contextlib import suppress

from daemon.delivery.place import Course
from daemon.storage import line as lines

LOOK = 0.5  # seconds between two looks at a line that stands still
ANSWER = 120.0  # seconds that a host may take for the head of its answer, in all, once everything has come to it
PATIENCE = range(102, 200)  # what `http.client` does not pass over by itself
MOST_HEAD = 64 * 1024  # bytes of that head, and of all that go before it to ask for patience (1xx)
PIECE = 64 * 1024  # bytes that are sent at once
RECORD = 16 * 1024  # the same by TLS, which tells no sooner how far it is
MOST_UNSENT = 256 * 1024  # bytes that wait here: of more nobody could tell for long whether they move
FINAL = re.compile(rb"(^|\r\n\r\n)HTTP/1\.\d [2-9]")  # what follows no more answers


class Stalled(Exception):
    """Says in words what a host did not do."""


class Answered(Exception):
    """A host has answered before it took all of it, and takes nothing more."""


class Exchange:
    """Stands for the socket of one request, as `http.client` uses one. Whoever made the line closes it.

    What sends and receives raises Stalled, Stopped or OSError; what sends, Answered too.
    """

    def __init__(self, line: socket.socket, course: Course) -> None:
        self._line = line
        self._course = course
        self._answers = _Buffered(_Answer(self))
        self._sent = 0
        self._early = b""  # what came while we sent
        self._until = 0.0
        self._head: int | None = None  # bytes that may yet come of it; None: the body comes
        line.settimeout(LOOK)
        with suppress(OSError):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)

    def sendall(self, content: bytes) -> None:
        most = RECORD if isinstance(self._line, ssl.SSLSocket) else PIECE
        rest = memoryview(content)
        while rest:
            sent = self._send(rest[:most])
            self._sent += sent
            rest = rest[sent:]
            self._course.check()

    def _send(self, piece: memoryview) -> int:
        unsent, until = self._unsent(), time.monotonic() + lines.SILENCE
        while True:
            try:
                return self._line.send(piece)
            except TimeoutError:
                self._course.stop_if_unwanted()
            self._listen()
            if (left := self._unsent()) < unsent:
                unsent, until = left, time.monotonic() + lines.SILENCE
            elif time.monotonic() > until:
                taken = self._sent - left
                raise Stalled(f"took nothing more for {lines.SILENCE:.0f} s, after {taken} bytes")

    def _listen(self) -> None:
        """Hears what a host says that takes nothing just now. Raises Answered where that is all it will say."""
        self._line.settimeout(0)
        try:
            while heard := self._line.recv(MOST_HEAD):
                self._early += heard
                if FINAL.search(self._early):
                    raise Answered
                if len(self._early) > MOST_HEAD:
                    raise Stalled("answers without coming to an end")
            raise Answered
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            self._line.settimeout(LOOK)

    @property
    def is_all_taken(self) -> bool:
        """Tells whether all that was sent has come to the host's system, as far as ours tells."""
        return self._unsent() == 0

    def _unsent(self) -> int:
        """How many bytes have not come to the host's system; 0 where ours does not tell."""
        with suppress(OSError):
            return int(struct.unpack("i", fcntl.ioctl(self._line, termios.TIOCOUTQ, bytes(4)))[0])
        return 0

    def answer(self, method: str) -> http.client.HTTPResponse:
        """Returns the answer once its head has come; those before it, which ask for patience, are passed over."""
        self._until, self._head = time.monotonic() + ANSWER, MOST_HEAD
        while True:
            response = http.client.HTTPResponse(self, method=method)  # type: ignore[arg-type]
            response.begin()
            if response.status not in PATIENCE:
                self._until, self._head = time.monotonic() + lines.SILENCE, None
                return response

    def makefile(self, _mode: str) -> _Buffered:
        return self._answers

    def receive(self, into: memoryview) -> int:
        if self._early:
            heard, self._early = self._early[: len(into)], self._early[len(into) :]
            into[: len(heard)] = heard
            return self._counted(len(heard))
        unsent = self._unsent()
        while True:
            self._course.stop_if_unwanted()
            if time.monotonic() > self._until:
                raise self._silent()
            try:
                return self._counted(self._line.recv_into(into))
            except TimeoutError:
                if (left := self._unsent()) < unsent:  # what it is to answer is still on its way
                    unsent, self._until = left, time.monotonic() + ANSWER

    def _counted(self, received: int) -> int:
        if self._head is None:
            self._until = time.monotonic() + lines.SILENCE
            return received
        self._head -= received
        if self._head < 0:
            raise Stalled("answers without coming to an end")
        return received

    def _silent(self) -> Stalled:
        if self._head is None:
            return Stalled(f"sent nothing more for {lines.SILENCE:.0f} s")
        return Stalled(f"did not answer within {ANSWER:.0f} s, though all of it had gone there")


class _Answer(io.RawIOBase):
    """What a host answers, as a file."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._exchange.receive(buffer)


class _Buffered(io.BufferedReader):
    """All that a host answers, in turn: each answer but the last is let go of as if nothing came after it."""

    def close(self) -> None:
        """Closes nothing."""
