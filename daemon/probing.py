"""Reads media files on the daemon's behalf: `python -I -m daemon.probing FD`, a fork server.

FD is an inherited AF_UNIX SOCK_SEQPACKET socket. Each packet that comes in is one JSON `Request`, each
that goes out one JSON answer: `{"id", "media"}` or `{"id", "error"}`. FFmpeg's libraries are loaded once;
every file is read by a forked child of its own, so one that crashes or hangs takes only its own answer.
The server ends when the daemon closes the socket, and its children die with it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import selectors
import signal
import socket
import sys
from typing import NoReturn

import msgspec

from daemon import media
from daemon.errors import ProbeError

MAX_REQUEST = 64 * 1024
MAX_ANSWER = 200 * 1024
MAX_MEMORY = 2 * 1024**3  # bytes of address space
PR_SET_PDEATHSIG = 1


class Request(msgspec.Struct, frozen=True):
    """`timeout` is in seconds. With `measure` the duration told is where the file's data ends."""

    id: int
    path: str
    timeout: float
    measure: bool = False


class Server:
    """Forks a reader for each request and answers for those that die without a word. Never waits for one."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)

    def serve(self) -> None:
        """Returns when the other end of the socket is closed."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._channel:
                    self._reap(key.fd, *key.data)
                elif packet := self._channel.recv(MAX_REQUEST):
                    self._fork(msgspec.json.decode(packet, type=Request))
                else:
                    return

    def _fork(self, request: Request) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _read_and_exit(self._channel, request, parent)
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, request))

    def _reap(self, pidfd: int, pid: int, request: Request) -> None:
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        if status != 0:
            self._channel.send(_error(request, _epitaph(os.waitstatus_to_exitcode(status), request)))


def _read_and_exit(channel: socket.socket, request: Request, parent: int) -> NoReturn:
    """The child: exits with 0 only once its answer is sent."""
    code = 1
    try:
        _die_with(parent)
        _limit(request.timeout)
        channel.send(_answer(request))
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def _limit(timeout: float) -> None:
    """Past these the kernel ends this process, however stuck it is in FFmpeg."""
    cpu = max(1, int(timeout) + 1)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, timeout)


def _answer(request: Request) -> bytes:
    try:
        if request.measure:
            found = media.read_measured(request.path)
        else:
            found = media.read_media(request.path, patience=request.timeout / 2)
    except ProbeError as error:
        return _error(request, str(error))
    packet = msgspec.json.encode({"id": request.id, "media": found})
    return packet if len(packet) <= MAX_ANSWER else _error(request, "its description is too long")


def _error(request: Request, words: str) -> bytes:
    return msgspec.json.encode({"id": request.id, "error": words})


def _epitaph(code: int, request: Request) -> str:
    if -code in {signal.SIGALRM, signal.SIGXCPU}:
        return f"reading it took longer than {request.timeout:g} s"
    if code < 0:
        return f"reading it crashed the decoder (signal {-code})"
    return "reading it failed in a way ffspool did not foresee"


def _die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent ends, and ends it if that has happened already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    _die_with(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon decides when we end
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.setblocking(True)
    gc.freeze()  # forks then share these pages
    Server(channel).serve()


if __name__ == "__main__":
    main()
