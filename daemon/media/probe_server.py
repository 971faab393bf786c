"""Reads media files on the daemon's behalf: `python -I -m daemon.media.probe_server FD sandbox|open`, a fork server.

FD is an inherited AF_UNIX SOCK_SEQPACKET socket. Each packet that comes in is one JSON `Request`, each
that goes out one JSON answer: `{"id"}` and a `Finding`. FFmpeg's libraries are loaded once;
every file is read by a forked child of its own, so one that crashes or hangs takes only its own answer. With
`sandbox` that child can reach nothing but the file; it has neither the socket nor what its siblings write their
answers to, so that it answers for no other.
The server ends when the daemon closes the socket, and its children die with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import math
import os
import pkgutil
import resource
import selectors
import signal
import socket
import sys
import time
from typing import Any, Literal, NamedTuple, NoReturn

import av
import msgspec

from daemon.errors import ProbeError
from daemon.media import cut, decode_end, describe, still
from daemon.media.model import Media, PieceContent, Unsure
from daemon.media.plausible import is_plausible
from daemon.models import SourceFile
from daemon.process import sandbox
from daemon.source_files import SourceRefused, descriptor_path

UNFORESEEN = "reading it failed in a way ffspool did not foresee: convert it first, and report it"
MAX_REQUEST = 256 * 1024
MAX_ANSWER = 200 * 1024
MAX_ERROR = 4096  # characters
MAX_MEMORY = 2 * 1024**3  # bytes of address space
PR_SET_PDEATHSIG = 1
MAX_DESCRIPTOR = 2**31 - 1
NICE = 19  # of a reader that decodes a whole film
LATE = 1.0  # seconds after its time is up in which a reader ends, unless the kernel keeps it


class Request(msgspec.Struct, frozen=True):
    """A request asks for one reading of a file, in `timeout` seconds. To "measure" is to tell where the data ends, to
    "scan" to describe it by all of its packets, to "prove" to decode the end as well, and as a "whole" all of it, to
    "picture" to make a small WebP. A "piece" is read as a picture whose encoder may have been interrupted, which is
    `unsure` at its end, and the "extent" is that of one whose encoder was not, between these `joints`.
    """

    id: int
    file: SourceFile
    timeout: float
    how: Literal["describe", "measure", "scan", "prove", "whole", "picture", "piece", "extent"] = "describe"
    unsure: Unsure | None = None
    joints: tuple[float, ...] = ()


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding is what a reader found: one of these."""

    media: Media | None = None
    picture: bytes | None = None
    piece: PieceContent | None = None
    error: str | None = None


class Reader(NamedTuple):
    """A reader is a process at work on a request. `until` is on the monotonic clock."""

    pid: int
    answer: int
    request: Request
    until: float


class Server:
    """Forks a reader for each request and passes on what it found, or how it died. Never waits for one.

    Of one that the kernel keeps in spite of its alarm, as for a disk that does not answer, it tells `stuck`, and `gone`
    when that has ended.
    """

    def __init__(self, channel: socket.socket, *, sandboxed: bool) -> None:
        self._channel = channel
        self._sandboxed = sandboxed
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ)
        self._readers: dict[int, Reader] = {}  # by pidfd
        self._stuck: set[int] = set()

    def serve(self) -> None:
        """Returns when the other end of the socket is closed."""
        while True:
            for key, _ in self._selector.select(LATE if self._readers else None):
                if key.fileobj is not self._channel:
                    self._reap(key.fd, self._readers.pop(key.fd))
                elif packet := self._channel.recv(MAX_REQUEST):
                    self._fork(msgspec.json.decode(packet, type=Request))
                else:
                    return
            self._tell_what_is_stuck(time.monotonic())

    def _tell_what_is_stuck(self, now: float) -> None:
        for pidfd, reader in self._readers.items():
            if now > reader.until and pidfd not in self._stuck:
                self._stuck.add(pidfd)
                self._tell(reader.request, stuck=True)

    def _tell(self, request: Request, **found: Any) -> None:
        self._channel.send(msgspec.json.encode({"id": request.id, **found}))

    def _fork(self, request: Request) -> None:
        parent = os.getpid()
        answer = os.memfd_create("answer", os.MFD_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            _read_and_exit(answer, request, parent, self._sandboxed)
        pidfd = os.pidfd_open(pid)
        self._selector.register(pidfd, selectors.EVENT_READ)
        self._readers[pidfd] = Reader(pid, answer, request, time.monotonic() + request.timeout + LATE)

    def _reap(self, pidfd: int, reader: Reader) -> None:
        _, status = os.waitpid(reader.pid, 0)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        with os.fdopen(reader.answer, "rb") as file:
            said = os.pread(file.fileno(), MAX_ANSWER + 1, 0)
        if pidfd in self._stuck:
            self._stuck.remove(pidfd)
            return self._tell(reader.request, gone=True)
        code = os.waitstatus_to_exitcode(status)
        found = Finding(error=_epitaph(code, reader.request)) if status else _understood(said)
        return self._tell(reader.request, **msgspec.to_builtins(found))


def _understood(said: bytes) -> Finding:
    """A reader that a file took over may say anything, also what takes more room once its defaults are filled in."""
    too_long = Finding(error="its description is too long: convert it first, with the program that made it")
    if len(said) > MAX_ANSWER:
        return too_long
    try:
        found = msgspec.json.decode(said, type=Finding)
        if not all(is_plausible(what) for what in (found.media, found.piece) if what):
            return Finding(error="its description cannot be true: convert it first, with the program that made it")
        if found.error and len(found.error) > MAX_ERROR:
            return too_long
        return found if len(msgspec.json.encode(found)) <= MAX_ANSWER else too_long
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return Finding(error=UNFORESEEN)


def _read_and_exit(answer: int, request: Request, parent: int, sandboxed: bool) -> NoReturn:
    """The child: exits with 0 only once its answer is written."""
    code = 1
    try:
        _close_all_but(answer)
        _die_with(parent)
        _limit(request.timeout)
        with os.fdopen(answer, "wb", closefd=False) as file:
            file.write(msgspec.json.encode(_find(request, sandboxed)))
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def _close_all_but(answer: int) -> None:
    """Closes all but this and the standard streams; what siblings write their answers to was inherited, too."""
    os.closerange(3, answer)
    os.closerange(answer + 1, MAX_DESCRIPTOR)


def _limit(timeout: float) -> None:
    """Past these the kernel ends this process, however stuck it is in FFmpeg."""
    cpu = max(1, int(timeout) + 1)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * MAX_ANSWER, 16 * MAX_ANSWER))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, timeout)


def _find(request: Request, sandboxed: bool) -> Finding:
    if request.how == "whole":
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    try:
        descriptor = request.file.open()
        path = _shut_in(request.file.path, descriptor) if sandboxed else descriptor_path(descriptor)
        if request.how == "measure":
            return Finding(media=describe.read_measured(path))
        if request.how == "scan":
            return Finding(media=describe.read_media(path, patience=math.inf, whole=True))
        if request.how == "picture":
            return Finding(picture=still.webp(path, patience=request.timeout / 4))
        if request.how in {"piece", "extent"}:
            return Finding(piece=cut.read_piece(path, request.unsure, request.joints))
        found = describe.read_media(path, patience=request.timeout / 2)
        if request.how == "prove":
            decode_end.decode(path, found, patience=request.timeout / 4)
        if request.how == "whole":
            decode_end.decode_all(path, found)
        return Finding(media=found)
    except ProbeError as error:
        return Finding(error=str(error))
    except SourceRefused as error:
        return Finding(error=f"the file cannot be opened: {error.strerror}; see to that, then retry")
    except sandbox.Shortfall as error:
        return Finding(error=f"there is no sandbox to read it in: {error}")


def _shut_in(path: str, descriptor: int) -> str:
    """Some formats are known by the file's name alone, which may be kept: whatever else it leads to by now, or later,
    the sandbox refuses."""
    sandbox.confine(source=descriptor)
    return path


def _epitaph(code: int, request: Request) -> str:
    if -code in {signal.SIGALRM, signal.SIGXCPU}:
        return f"reading it took longer than {request.timeout:g} s: see whether its disk is slow, or export it again"
    if code < 0:
        return f"reading it crashed the decoder (signal {-code}): convert it first, with another program"
    return UNFORESEEN


def _die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent ends, and ends it if that has happened already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _load_all() -> None:
    """PyAV imports some of itself on first use, which a reader in its sandbox cannot."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if module.name not in {"av.__main__", "av.datasets"}:  # the latter would load all of HTTP
            importlib.import_module(module.name)


def main() -> None:
    _die_with(os.getppid())
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.setblocking(True)
    _load_all()
    sandbox.prepare(execute=False)
    gc.freeze()  # forks then share these pages
    Server(channel, sandboxed=sys.argv[2] == "sandbox").serve()


if __name__ == "__main__":
    main()
