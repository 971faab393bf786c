"""Starts child processes: nothing else in ffspool does.

What a child must have before its first instruction is set by `daemon.process.exec_child`, which waits to become it.
"""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from daemon.models import Model, SourceFile
from daemon.process.child import Child

LAST_WORDS = 10  # CPU seconds
APART = 0  # a process group of its own, from before `exec` on: a terminal's Ctrl-C is ours to act upon, not theirs


class Limits(Model, frozen=True):
    """Limits say what a child may use: niceness, CPU seconds, bytes of memory, open files, bytes of a written file."""

    nice: int = 0
    cpu_seconds: int = 24 * 3600
    memory: int = 8 * 1024**3
    open_files: int = 256
    file_bytes: int = 64 * 1024**3

    def by_name(self) -> dict[str, tuple[int, int]]:
        """Returns the limits by the kernel's names, each soft and hard. Memory is what is written to; of addresses,
        which threads take and leave empty, there may be four times as many. Beyond its CPU time a child may still say
        what ended it."""
        return {
            "RLIMIT_CPU": (self.cpu_seconds, self.cpu_seconds + LAST_WORDS),
            "RLIMIT_DATA": (self.memory, self.memory),
            "RLIMIT_AS": (4 * self.memory, 4 * self.memory),
            "RLIMIT_NOFILE": (self.open_files, self.open_files),
            "RLIMIT_FSIZE": (self.file_bytes, self.file_bytes),
            "RLIMIT_CORE": (0, 0),
        }


class Walls(Model, frozen=True):
    """Walls bound what a child may reach: `programs` to read and execute, `source` to read, `folders` to write in.

    `source` has no symlink in its path; that of `spawn` overrules it. `sandbox` says what else it may do.
    """

    programs: tuple[str, ...] = ()
    source: str | None = None
    folders: tuple[str, ...] = ()


class Launcher:
    """A launcher is a process that waits to be told which program to become."""

    def __init__(self) -> None:
        order_read, self._order = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-m", "daemon.process.exec_child", str(order_read), str(os.getpid())],
                process_group=APART,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[order_read],
                env={},
                bufsize=0,
            )
        except BaseException:
            os.close(self._order)
            raise
        finally:
            os.close(order_read)

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def launch(self, order: bytes, before_reaping: Callable[[int], None] | None = None) -> Child:
        """Makes it become what the order says; one that ended before it could hear it makes room for another."""
        try:
            with os.fdopen(self._order, "wb") as pipe:
                pipe.write(order)
        except BrokenPipeError:
            with self._popen:
                pass
            return Launcher().launch(order, before_reaping)
        assert self._popen.stdin is not None
        os.set_blocking(self._popen.stdin.fileno(), False)
        return Child(self._popen, before_reaping)

    def dismiss(self) -> None:
        """Lets it go without an order, and waits for that."""
        os.close(self._order)
        with self._popen:
            pass


class Reserve:
    """Keeps one launcher waiting, so that an encode need not wait for an interpreter to start."""

    def __init__(self) -> None:
        self._waiting: Launcher | None = None
        self._closed = False

    def fill(self) -> None:
        """Starts a launcher if none waits. Must be called on the main thread, as `spawn`.

        Where the host refuses now, the next encode starts its own.
        """
        if self._waiting is None and not self._closed:
            with suppress(OSError):
                self._waiting = Launcher()

    def take(self) -> Launcher:
        """Returns the launcher that waits, or a new one; the next is started once the loop is idle again."""
        waiting, self._waiting = self._waiting, None
        launcher = waiting if waiting and waiting.alive else Launcher()
        asyncio.get_running_loop().call_soon(self.fill)
        return launcher

    def close(self) -> None:
        self._closed = True
        if self._waiting is not None:
            self._waiting.dismiss()
            self._waiting = None


def spawn(
    argv: list[str],
    *,
    program: str,
    folder: Path,
    limits: Limits,
    environment: Mapping[str, str],
    source: SourceFile | None = None,
    walls: Walls | None = None,
    reserve: Reserve | None = None,
    before_reaping: Callable[[int], None] | None = None,
    called: str = "the encoder",
) -> Child:
    """Starts `program` with `argv` in `folder`, with that environment and nothing more, within `walls` if given.

    It has the `source` open, and reads it as `exec_child.SOURCE_PATH`, within walls or without. Must be called on the
    main thread: the parent-death signal follows the thread that spawned. A program that cannot be executed, a source
    that is not what it was, or walls that cannot be put up, show as exit code 127 and words on its stderr, in which the
    program is `called` so.
    """
    if walls is not None:
        walls = replace(walls, programs=(*walls.programs, program))
    order = {
        **_conditions(folder, limits, walls),
        "source": asdict(source) if source is not None else None,
        "program": program,
        "called": called,
        "argv": argv,
        "environment": dict(environment),
        "canary": None,
    }
    launcher = reserve.take() if reserve else Launcher()
    return launcher.launch(marshal.dumps(order), before_reaping)


def spawn_trial(canary: Path, folder: Path, walls: Walls | None) -> Child:
    """Starts a child that says on stdout, line by line, what it can do to `canary` and the host in spite of `walls`."""
    order = {**_conditions(folder, Limits(), walls), "source": None, "canary": str(canary)}
    return Launcher().launch(marshal.dumps(order))


def _conditions(folder: Path, limits: Limits, walls: Walls | None) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "nice": limits.nice,
        "limits": limits.by_name(),
        "walls": asdict(walls) if walls is not None else None,
    }


def spawn_server(module: str, *arguments: str) -> tuple[Child, socket.socket]:
    """Starts `python -I -m module FD arguments…` with FD a packet socket; returns the child and our end of it."""
    return _spawn_module(socket.SOCK_SEQPACKET, subprocess.DEVNULL, module, *arguments)


def spawn_service(module: str, *arguments: str) -> tuple[Child, socket.socket]:
    """Starts the same with FD a stream socket, and with our stderr for what it logs."""
    return _spawn_module(socket.SOCK_STREAM, None, module, *arguments)


def _spawn_module(
    kind: socket.SocketKind, stderr: int | None, module: str, *arguments: str
) -> tuple[Child, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    ours.setblocking(False)
    with theirs:
        popen = subprocess.Popen(
            [sys.executable, "-I", "-m", module, str(theirs.fileno()), *arguments],
            process_group=APART,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[theirs.fileno()],
            env={},
        )
    return Child(popen), ours
