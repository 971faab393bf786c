"""One encode: compiles the command, runs ffmpeg in the work folder, reports progress, tells how it ended."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path

from daemon import cancel, recipes
from daemon.models import Outcome, Progress, Report, Started, Stopped, Task
from daemon.processes import TOKEN_VARIABLE, Child, Limits, Registry, spawn
from daemon.progress import ProgressParser

SOURCE_LINK = "source"  # what the encoder calls its input, so that no path of the host stands in its log
MAX_LOG_BYTES = 1024 * 1024  # of one attempt
TAIL_LINES = 12


class Run:
    """One ffmpeg working on one task. `stop` may be called from the first moment on, and more than once."""

    def __init__(self, task: Task, *, ffmpeg: str, registry: Registry, limits: Limits, grace: float) -> None:
        self._task = task
        self._ffmpeg = ffmpeg
        self._registry = registry
        self._limits = limits
        self._grace = grace
        self._child: Child | None = None
        self._stopping: asyncio.Task[Stopped] | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    async def execute(self, report: Callable[[Report], None]) -> Outcome:
        """Runs to the end of the process; both its pipes are drained all the while.

        Whoever cancels this coroutine waits for the process to be ended and reaped.
        """
        child = self._child = self._spawn()
        report(Started(task=self._task.id, pid=child.pid, created=child.created))
        try:
            await asyncio.gather(self._drain_progress(child, report), self._drain_log(child))
            ended = await child.wait()
        except BaseException:
            await self.stop()
            raise
        with self._logs() as logs:
            _write_all(logs, f"# exit code {ended.code}, {ended.cpu_seconds:.2f} s of CPU\n".encode())
        if self._stopping is not None:  # before the exit code: a stopped ffmpeg says 0 and leaves a truncated file
            return Outcome(stopped=await self._stopping, exit_code=ended.code, cpu_seconds=ended.cpu_seconds)
        error = None if ended.code == 0 else self._complaint(ended.code)
        return Outcome(error=error, exit_code=ended.code, cpu_seconds=ended.cpu_seconds)

    async def stop(self) -> Stopped:
        """Ends the process by the escalation and returns when it is reaped. Calls at once share one escalation."""
        assert self._child is not None
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(cancel.stop(self._child, self._grace))
        return await asyncio.shield(self._stopping)

    def _spawn(self) -> Child:
        folder = Path(self._task.orders[0].part).parent
        for order in self._task.orders:
            Path(order.part).parent.mkdir(parents=True, exist_ok=True)
            Path(order.log).parent.mkdir(parents=True, exist_ok=True)
        _link(folder / SOURCE_LINK, self._task.source)
        argv = self._argv(folder)
        with self._logs() as logs:
            _write_all(logs, f"$ {shlex.join(argv)}\n".encode())
        child = spawn(
            argv,
            program=self._ffmpeg,
            folder=folder,
            limits=self._limits,
            environment={TOKEN_VARIABLE: self._task.id, "LC_ALL": "C.UTF-8"},
        )
        self._registry.add(child, (order.variation for order in self._task.orders))
        return child

    def _argv(self, folder: Path) -> list[str]:
        outputs = [
            recipes.Output(preset=order.preset, parameters=order.parameters, path=os.path.relpath(order.part, folder))
            for order in self._task.orders
        ]
        return recipes.command(SOURCE_LINK, self._task.media, outputs, self._task.threads)

    async def _drain_progress(self, child: Child, report: Callable[[Report], None]) -> None:
        parser = ProgressParser()
        async for chunk in child.stdout():
            for update in parser.feed(chunk):
                report(Progress(task=self._task.id, seconds=update.seconds, speed=update.speed))

    async def _drain_log(self, child: Child) -> None:
        room = MAX_LOG_BYTES
        with self._logs() as logs:
            async for line in _lines(child.stderr()):
                self._tail.append(line.decode(errors="replace").rstrip())
                if room > 0:
                    _write_all(logs, line)
                    room -= len(line)
            if room <= 0:
                _write_all(logs, b"# the log was cut here; its last lines:\n" + "\n".join(self._tail).encode() + b"\n")

    @contextmanager
    def _logs(self) -> Iterator[list[FileIO]]:
        with ExitStack() as stack:
            yield [stack.enter_context(Path(order.log).open("ab", buffering=0)) for order in self._task.orders]

    def _complaint(self, code: int) -> str:
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        words = [line for line in self._tail if line.strip()]
        return "\n".join([f"ffmpeg could not encode {self._task.source_name} ({how})", *words])


def _link(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _write_all(logs: list[FileIO], data: bytes) -> None:
    for log in logs:
        log.write(data)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines; one longer than a chunk comes in pieces, so that memory stays bounded."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > len(chunk):
            yield rest + b"\n"
            rest = b""
    if rest:
        yield rest + b"\n"
