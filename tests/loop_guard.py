"""Tells when the thread of an event loop asks the file system for something: all wait then, as long as the disk likes.

Python's audit events tell of what is opened, listed, made, moved or removed, and wrappers around `os` of what is only
looked at. It watches the processes of the tests, and as the program `loop_guard.py serve …` a daemon. Allowed is what
no client waits for, a daemon's start, within its state dir and above that alone.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import mimetypes
import os
import shutil  # before anything of `os` is wrapped: it asks which of these functions take descriptors
import stat
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

REPORT = "LOOP_GUARD"  # names the file that is told what was found, by all processes of one worker
TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "daemon"
HEARD = {
    "open", "os.listdir", "os.scandir", "os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink",
    "os.truncate", "os.chmod", "os.chown", "os.utime", "os.getxattr", "os.setxattr", "os.listxattr", "shutil.rmtree",
}  # fmt: skip
WRAPPED = ("stat", "lstat", "access", "readlink", "statvfs", "fstat", "fsync", "fdatasync", "pread", "preadv", "pwrite")
KERNEL = ("/proc/", "/sys/", "/dev/")  # no disk is behind these
PROGRAM = (sys.prefix, sys.base_prefix, str(PACKAGE), f"{TESTS}/", *mimetypes.knownfiles)  # its code, read when needed
ASYNCHRONOUS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
# Before anybody is answered, and after: these functions, or those in whose time they are called.
STARTING = {
    ("service.py", "running"),
    ("server.py", "serve"),
    ("server.py", "_announce"),
    ("sandbox_trial.py", "_flaw"),
    ("store.py", "_give_up"),  # of a database that is damaged: the daemon ends
}
CALLING_BACK = ("base_events.py", "_run_once")
SENDING = ("unix_events.py", "_sock_sendfile_native")  # of a file in the spool, which was just read

_fstat, _readlink = os.fstat, os.readlink


class Guard:
    """Writes a line of JSON into the report for each call that made a loop wait."""

    def __init__(self, report: Path, state_dir: str | None = None, socket: str | None = None) -> None:
        """Of a daemon its state dir is known, and the socket that it is to listen on."""
        self._report = os.open(report, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._state = os.path.realpath(state_dir) if state_dir else None
        self._socket = socket

    def install(self) -> None:
        """From here on, and for as long as the process lives."""
        assert shutil.rmtree.avoids_symlink_attacks
        for name in WRAPPED:
            setattr(os, name, self._wrapped(getattr(os, name)))
        sys.addaudithook(lambda event, arguments: self.look(event, arguments[0]) if event in HEARD else None)

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **more: Any) -> Any:
            self.look(f"os.{function.__name__}", next(iter((*arguments, *more.values()))))
            return function(*arguments, **more)

        for known in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd, os.supports_effective_ids):
            if function in known:
                known.add(call)
        return call

    def look(self, call: str, path: object) -> None:
        if asyncio._get_running_loop() is None:
            return
        name = _name(path)
        if name is None or name.startswith((*KERNEL, *PROGRAM)):
            return
        frames = list(_frames(sys._getframe(2)))
        if any(frame.f_code.co_filename.startswith("<frozen importlib") for frame in frames):
            return
        waiting = next((index for index, frame in enumerate(frames) if _waits(frame)), None)
        if waiting is None:  # beside the loop, as tests are beside that of Playwright
            return
        by = {_place(frame) for frame in frames}
        if self._is_own(name) and (by & STARTING or SENDING in by):
            return
        files = [frame.f_code.co_filename for frame in frames[: waiting + 1]]
        if Path(files[-1]).is_relative_to(TESTS):
            return  # it is a test that makes its own loop wait
        if self._state is None and not any(file.startswith(str(PACKAGE)) for file in files):
            return  # or what tests are made with
        stack = [f"{f.f_code.co_filename}:{f.f_lineno} {f.f_code.co_name}" for f in frames[: waiting + 1]]
        os.write(self._report, json.dumps({"call": call, "path": name, "stack": stack}).encode() + b"\n")

    def _is_own(self, name: str) -> bool:
        """In the state dir or above it, where that is known, or the socket."""
        if self._state is None or not name.startswith("/") or name == self._socket:
            return True
        return Path(name).is_relative_to(self._state) or Path(self._state).is_relative_to(name)


def _name(path: object) -> str | None:
    """Of what is asked for by a path or a descriptor; None where that is no file."""
    if isinstance(path, int):
        if stat.S_IFMT(_fstat(path).st_mode) not in {stat.S_IFREG, stat.S_IFDIR}:
            return None
        return _readlink(f"/proc/self/fd/{path}")
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""


def _place(frame: FrameType) -> tuple[str, str]:
    """The name of its file, and of its function."""
    return frame.f_code.co_filename.rpartition("/")[2], frame.f_code.co_name


def _waits(frame: FrameType) -> bool:
    """Whether it is a coroutine, or the loop itself that calls something back."""
    code = frame.f_code
    return bool(code.co_flags & ASYNCHRONOUS) or _place(frame) == CALLING_BACK


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def main() -> None:
    """Is the command `ffspool`, guarded."""
    listens = sys.argv[sys.argv.index("--unix-socket") + 1] if "--unix-socket" in sys.argv else None
    Guard(Path(os.environ[REPORT]), os.environ["FFSPOOL_STATE_DIR"], listens).install()
    from daemon.cli.main import main

    main()


if __name__ == "__main__":
    sys.path.remove(str(TESTS))
    main()
