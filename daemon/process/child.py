"""Follows a running child: its pipes, drained, and how it ended.

Exits are read through a pidfd and `wait4`, not through asyncio's child watcher, which may report a false status and
signal a recycled pid.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable

from daemon.models import Model
from daemon.process.identity import start_ticks

CHUNK = 65536


class Exit(Model, frozen=True):
    """An exit is how a process ended: `code` is its exit code, or minus the signal's number; CPU time is in seconds."""

    code: int
    cpu_seconds: float


class Child:
    """A child is a running process with piped stdin, stdout and stderr, in a process group of its own.

    Both output pipes must be drained for as long as it runs: a full one blocks an encoder for ever,
    and then it ignores `q` and SIGTERM.
    """

    def __init__(self, popen: subprocess.Popen[bytes], before_reaping: Callable[[int], None] | None = None) -> None:
        """Follows the process; `before_reaping` is told its pid once it has ended, while nobody else can have it."""
        self._popen = popen
        self._before_reaping = before_reaping
        self.pid = popen.pid
        self.pidfd = os.pidfd_open(popen.pid)
        self.created = start_ticks(popen.pid)
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()  # for who waits for it
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
        if not self._ended.done():
            self._ended.set_result(self.exited.result())

    def let_go(self) -> None:
        """Lets nobody wait for it any more: it was killed, and ends when the kernel lets it. It is reaped all the same.

        Nobody knows what CPU time it took.
        """
        if not self._ended.done():
            self._ended.set_result(Exit(code=-signal.SIGKILL, cpu_seconds=0.0))

    @property
    def stuck(self) -> bool:
        """Tells whether it was let go and has not ended yet."""
        return self._ended.done() and self.running

    @property
    def running(self) -> bool:
        """Tells whether it has not been reaped yet; only then do its pid and pidfd mean this process."""
        return not self.exited.done()

    def write(self, data: bytes) -> None:
        """Writes to its stdin; a pipe it has closed, or never reads, is no error."""
        if self.running and self._popen.stdin:
            try:
                os.write(self._popen.stdin.fileno(), data)
            except (BrokenPipeError, BlockingIOError):
                return

    def close_stdin(self) -> None:
        """Says that nothing more is written to its stdin."""
        if self._popen.stdin:
            self._popen.stdin.close()

    async def wait(self) -> Exit:
        """Returns how it ended, once it is reaped or let go. Cancelling this leaves the process alone."""
        return await asyncio.shield(self._ended)

    def stdout(self) -> AsyncIterator[bytes]:
        """Yields chunks of its stdout until it closes that."""
        assert self._popen.stdout is not None
        return _chunks(self._popen.stdout)

    def stderr(self) -> AsyncIterator[bytes]:
        """Yields chunks of its stderr until it closes that."""
        assert self._popen.stderr is not None
        return _chunks(self._popen.stderr)


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
