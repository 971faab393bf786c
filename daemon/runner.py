"""One encode: compiles the command, runs ffmpeg in the work folder, reports progress, tells how it ended."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import psutil

from daemon import cancel, recipes
from daemon.launch import CANNOT_START
from daemon.models import Outcome, Progress, Report, Sandbox, Started, Stopped, Task, Vitals
from daemon.processes import TOKEN_VARIABLE, Child, Exit, Limits, Registry, Reserve, Walls, spawn, usage
from daemon.progress import ProgressParser

SOURCE_LINK = "source"  # what the encoder calls its input, so that no path of the host stands in its log
MAX_LOG_BYTES = 1024 * 1024  # of one attempt
TAIL_LINES = 12
DRAIN_PATIENCE = 1.0  # seconds that pipes may stay open after the process is gone
MAX_TOLD = 500  # bytes of one line that go into an error
SAMPLE_EVERY = 2.0  # seconds between two looks at what the process uses
FULL = ("No space left on device", "Disk quota exceeded")
PASSING = ("received signal 15", "Cannot allocate memory", *FULL)
SCARCE = 64 * 1024**2  # bytes


class Run:
    """One ffmpeg working on one task. `stop` may be called from the first moment on, and more than once."""

    def __init__(
        self,
        task: Task,
        *,
        ffmpeg: str,
        registry: Registry,
        reserve: Reserve,
        limits: Limits,
        grace: float,
        sandbox: Sandbox,
        readable: tuple[str, ...],
    ) -> None:
        self._task = task
        self._ffmpeg = ffmpeg
        self._registry = registry
        self._reserve = reserve
        self._limits = limits
        self._grace = grace
        self._sandbox = sandbox
        self._readable = readable
        self._child: Child | None = None
        self._stopping: asyncio.Task[Stopped] | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    async def execute(self, report: Callable[[Report], None]) -> Outcome:
        """Runs to the end of the process; both its pipes are drained all the while.

        Whoever cancels this coroutine waits for the process to be ended and reaped.
        """
        child = self._child = self._spawn()
        report(Started(task=self._task.id, pid=child.pid, created=child.created, sandbox=self._sandbox.by))
        try:
            ended = await self._attend(child, report)
        except BaseException:
            await self.stop()
            raise
        with self._logs() as logs:
            _write_all(logs, f"# exit code {ended.code}, {ended.cpu_seconds:.2f} s of CPU\n".encode())
        if self._stopping is not None:  # before the exit code: a stopped ffmpeg says 0 and leaves a truncated file
            return Outcome(stopped=await self._stopping, exit_code=ended.code, cpu_seconds=ended.cpu_seconds)
        if ended.code == 0:
            return Outcome(exit_code=0, cpu_seconds=ended.cpu_seconds)
        return Outcome(
            error=self._complaint(ended.code),
            may_pass=self._may_pass(ended.code),
            disk_full=self._met_a_full_disk(),
            exit_code=ended.code,
            cpu_seconds=ended.cpu_seconds,
        )

    async def _attend(self, child: Child, report: Callable[[Report], None]) -> Exit:
        sampling = asyncio.create_task(self._sample(child, report))
        try:
            return await self._drain_to_the_end(child, report)
        finally:
            sampling.cancel()

    async def _drain_to_the_end(self, child: Child, report: Callable[[Report], None]) -> Exit:
        draining = asyncio.gather(self._drain_progress(child, report), self._drain_log(child))
        exited = asyncio.ensure_future(child.wait())
        either: list[asyncio.Future[Any]] = [draining, exited]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            draining.result()  # a log that cannot be written ends the encode at once
        ended = await exited
        with suppress(TimeoutError):  # somebody who left the group may hold the pipes open
            await asyncio.wait_for(draining, DRAIN_PATIENCE)
        return ended

    async def pause(self) -> bool:
        """Freezes the process; True once it stands still, False if it has ended or is being ended."""
        return self._child is not None and self._stopping is None and await cancel.freeze(self._child)

    def resume(self) -> None:
        """Lets a frozen process go on."""
        if self._child is not None:
            cancel.thaw(self._child)

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
            _write_all(logs, f"$ {shlex.join(argv)}\n# sandbox: {self._sandbox}\n".encode())
        child = spawn(
            argv,
            program=self._ffmpeg,
            folder=folder,
            limits=self._limits,
            environment={TOKEN_VARIABLE: self._task.id, "LC_ALL": "C.UTF-8"},
            walls=self._walls() if self._sandbox.active else None,
            reserve=self._reserve,
            before_reaping=cancel.end_group,
        )
        self._registry.add(child, (order.variation for order in self._task.orders))
        return child

    def _walls(self) -> Walls:
        folders = tuple(str(Path(order.part).parent) for order in self._task.orders)
        return Walls(programs=self._readable, source=self._task.source, folders=folders)

    def _argv(self, folder: Path) -> list[str]:
        outputs = [
            recipes.Output(preset=order.preset, parameters=order.parameters, path=os.path.relpath(order.part, folder))
            for order in self._task.orders
        ]
        return recipes.command(SOURCE_LINK, self._task.media, outputs, self._task.threads)

    async def _sample(self, child: Child, report: Callable[[Report], None]) -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            with suppress(ProcessLookupError):
                cpu_seconds, io_bytes = usage(child.pid)
                report(Vitals(task=self._task.id, cpu_seconds=cpu_seconds, io_bytes=io_bytes))

    async def _drain_progress(self, child: Child, report: Callable[[Report], None]) -> None:
        parser = ProgressParser()
        async for chunk in child.stdout():
            for update in parser.feed(chunk):
                report(Progress(task=self._task.id, seconds=update.seconds, speed=update.speed))

    async def _drain_log(self, child: Child) -> None:
        room = MAX_LOG_BYTES
        with self._logs() as logs:
            async for line in _lines(child.stderr()):
                self._tail.append(line[:MAX_TOLD].decode(errors="replace").rstrip())
                if room > 0:
                    _write_all(logs, line)
                    room -= len(line)
            if room <= 0:
                _write_all(logs, b"# the log was cut here; its last lines:\n" + "\n".join(self._tail).encode() + b"\n")

    @contextmanager
    def _logs(self) -> Iterator[list[FileIO]]:
        with ExitStack() as stack:
            yield [stack.enter_context(Path(order.log).open("ab", buffering=0)) for order in self._task.orders]

    def _may_pass(self, code: int) -> bool:
        """Whether the host is at fault: nobody of ours sent that signal, and its CPU limit is the source's doing."""
        by_signal = code < 0 and -code not in {signal.SIGXCPU, signal.SIGSEGV, signal.SIGFPE, signal.SIGILL}
        return by_signal or code == CANNOT_START or _said(self._tail, PASSING)

    def _met_a_full_disk(self) -> bool:
        """Believed only while it is so: words in the log may be the source's own."""
        folder = Path(self._task.orders[0].part).parent
        return _said(self._tail, FULL) and psutil.disk_usage(str(folder)).free < SCARCE

    def _complaint(self, code: int) -> str:
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        words = [line for line in self._tail if line.strip()]
        return "\n".join([f"ffmpeg could not encode {self._task.source_name} ({how})", *words])


def _said(tail: Iterable[str], phrases: Iterable[str]) -> bool:
    return any(phrase in line for line in tail for phrase in phrases)


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
