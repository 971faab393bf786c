"""Child processes: starting them, draining them, learning how they ended, and who is alive.

The only place that starts processes. Exits are read through a pidfd and `wait4`, not through asyncio's
child watcher, which may report a false status and signal a recycled pid.
"""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from msgspec.structs import asdict, replace

from daemon.models import Model, SourceFile

TOKEN_VARIABLE = "FFSPOOL_ATTEMPT"
CHUNK = 65536
LAST_WORDS = 10  # CPU seconds
APART = 0  # a process group of its own, from before `exec` on: a terminal's Ctrl-C is ours to act upon, not theirs


class Exit(Model, frozen=True):
    """How a process ended: `code` is its exit code, or minus the signal's number; CPU in seconds."""

    code: int
    cpu_seconds: float


class Limits(Model, frozen=True):
    """What a child may use: niceness, CPU seconds, bytes of memory, open files, bytes of a file it writes."""

    nice: int = 0
    cpu_seconds: int = 24 * 3600
    memory: int = 8 * 1024**3
    open_files: int = 256
    file_bytes: int = 64 * 1024**3

    def by_name(self) -> dict[str, tuple[int, int]]:
        """By the kernel's names, each soft and hard. Memory is what is written to; of addresses, which threads take
        and leave empty, there may be four times as many. Beyond its CPU time a child may still say what ended it."""
        return {
            "RLIMIT_CPU": (self.cpu_seconds, self.cpu_seconds + LAST_WORDS),
            "RLIMIT_DATA": (self.memory, self.memory),
            "RLIMIT_AS": (4 * self.memory, 4 * self.memory),
            "RLIMIT_NOFILE": (self.open_files, self.open_files),
            "RLIMIT_FSIZE": (self.file_bytes, self.file_bytes),
            "RLIMIT_CORE": (0, 0),
        }


class Walls(Model, frozen=True):
    """What a child in a sandbox may reach: `programs` to read and execute, `source` to read, `folders` to write in.

    `source` has no symlink in its path; that of `spawn` overrules it. `daemon.sandbox` says what else it may do.
    """

    programs: tuple[str, ...] = ()
    source: str | None = None
    folders: tuple[str, ...] = ()


class Child:
    """A running process with piped stdin, stdout and stderr, in a process group of its own.

    Both output pipes must be drained for as long as it runs: a full one blocks an encoder for ever,
    and then it ignores `q` and SIGTERM.
    """

    def __init__(self, popen: subprocess.Popen[bytes], before_reaping: Callable[[int], None] | None = None) -> None:
        """`before_reaping` is told the pid once it has ended, while nobody else can have that pid."""
        self._popen = popen
        self._before_reaping = before_reaping
        self.pid = popen.pid
        self.pidfd = os.pidfd_open(popen.pid)
        self.created = start_ticks(popen.pid)
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self.pidfd, self._reap)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        if self._before_reaping:
            self._before_reaping(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self.pidfd)
        code = os.waitstatus_to_exitcode(status)
        self._popen.returncode = code  # so that Popen never waits for a pid that is no longer ours
        if self._popen.stdin:
            self._popen.stdin.close()
        self.exited.set_result(Exit(code=code, cpu_seconds=usage.ru_utime + usage.ru_stime))

    @property
    def running(self) -> bool:
        """Whether it has not been reaped yet; only then do its pid and pidfd mean this process."""
        return not self.exited.done()

    def write(self, data: bytes) -> None:
        """Writes to its stdin; a pipe it has closed, or never reads, is no error."""
        if self.running and self._popen.stdin:
            try:
                os.write(self._popen.stdin.fileno(), data)
            except (BrokenPipeError, BlockingIOError):
                return

    async def wait(self) -> Exit:
        """How it ended, once it is reaped. Cancelling this leaves the process alone."""
        return await asyncio.shield(self.exited)

    def stdout(self) -> AsyncIterator[bytes]:
        """Chunks of its stdout until it closes that."""
        assert self._popen.stdout is not None
        return _chunks(self._popen.stdout)

    def stderr(self) -> AsyncIterator[bytes]:
        """Chunks of its stderr until it closes that."""
        assert self._popen.stderr is not None
        return _chunks(self._popen.stderr)


class Launcher:
    """A process that waits to be told which program to become."""

    def __init__(self) -> None:
        order_read, self._order = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-m", "daemon.launch", str(order_read), str(os.getpid())],
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
        """Has it become what the order says; one that was ended before it could hear it makes room for another."""
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
        """The launcher that waits, or a new one; the next is started once the loop is idle again."""
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
) -> Child:
    """Starts `program` with `argv` in `folder`, with that environment and nothing more, within `walls` if given.

    It has the `source` open, and reads it as `launch.SOURCE_PATH`, within walls or without. Must be called on the
    main thread: the parent-death signal follows the thread that spawned. A program that cannot be executed, a source
    that is not what it was, or walls that cannot be put up, show as exit code 127 and words on its stderr.
    """
    if walls is not None:
        walls = replace(walls, programs=(*walls.programs, program))
    order = {
        **_conditions(folder, limits, walls),
        "source": asdict(source) if source is not None else None,
        "program": program,
        "argv": argv,
        "environment": dict(environment),
        "canary": None,
    }
    launcher = reserve.take() if reserve else Launcher()
    return launcher.launch(marshal.dumps(order), before_reaping)


def spawn_rehearsal(canary: Path, folder: Path, walls: Walls | None) -> Child:
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
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        popen = subprocess.Popen(
            [sys.executable, "-I", "-m", module, str(theirs.fileno()), *arguments],
            process_group=APART,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={},
        )
    return Child(popen), ours


async def _chunks(pipe: object) -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while chunk := await reader.read(CHUNK):
            yield chunk
    finally:
        transport.close()


class Registry:
    """Every live child by the variations it works for: what may be stopped, and whether any is left."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}

    def add(self, child: Child, variations: Iterable[str]) -> None:
        """Holds the child until it is reaped."""
        names = list(variations)
        self._children.update(dict.fromkeys(names, child))
        child.exited.add_done_callback(lambda _: self._forget(child, names))

    def _forget(self, child: Child, variations: list[str]) -> None:
        for variation in variations:
            if self._children.get(variation) is child:
                del self._children[variation]

    def get(self, variation: str) -> Child | None:
        return self._children.get(variation)

    def __len__(self) -> int:
        return len(set(self._children.values()))

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._children))


# Identity of processes that an earlier daemon left behind


def boot_id() -> str:
    """Names this boot of the host: a pid means nothing across a reboot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; with the pid, its identity.

    Raises ProcessLookupError when there is no such process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    return int(stat.rpartition(")")[2].split()[19])


def state(pid: int) -> str:
    """The kernel's letter for the process, such as `T` for stopped; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def usage(pid: int) -> tuple[float, int]:
    """CPU seconds the process used, and bytes it read or wrote. Raises ProcessLookupError when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, io = process.cpu_times(), process.io_counters()
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error
    return times.user + times.system, io.read_chars + io.write_chars


def find_by_token(tokens: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """(pid, start ticks) of each process whose environment carries an attempt's token that `tokens` accepts."""
    for process in psutil.process_iter():
        try:
            token = process.environ().get(TOKEN_VARIABLE)
            if token and tokens(token):
                yield process.pid, start_ticks(process.pid)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue  # gone, or another user's: not ours in either case
