"""Runs one encode: ffmpeg in the work folder, pass by pass; reports its progress and tells how it ended.

Most encodes are one pass. All passes of one go through the same launcher, registry and log, and whatever is asked of
the encode (freeze, thaw, stop) holds for the pass that runs and for those that would follow.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil
from msgspec.structs import replace

from daemon.encode import work_folder
from daemon.encode.diagnosis import Diagnosis, Ending, diagnose
from daemon.encode.durability import Durability
from daemon.encode.progress import ProgressParser
from daemon.encode.task import Ended, Progress, Report, Started, Task, Vitals
from daemon.errors import FfspoolError
from daemon.host import boot_id
from daemon.models import Model, Parameters, Sandbox, Stage, Stopped, in_lines
from daemon.paths import size
from daemon.process import cancel, disk_use, privileges
from daemon.process.child import Child, Exit
from daemon.process.exec_child import SOURCE_PATH
from daemon.process.identity import HOME_VARIABLE, TOKEN_VARIABLE, vitals
from daemon.process.launcher import Limits, Reserve, Walls, spawn
from daemon.process.registry import Registry
from daemon.recipes import command
from daemon.recipes.recipe import Passed

SOURCE_LINK = "source"  # what the encoder calls its input, so that no path of the host stands in its log
MAX_LOG_BYTES = 1024 * 1024  # of one pass
TAIL_LINES = 12  # of the log that go into an error
HEARD_LINES = 256  # of the log that the next pass, or the reason of a failure, may be found in
DRAIN_PATIENCE = 1.0  # seconds that pipes may stay open after the process is gone
MAX_TOLD = 500  # bytes of one line that go into an error
UNHURRIED = 19  # the niceness of a pass that only measures
SAMPLE_EVERY = 2.0  # seconds between two looks at what the process uses
SCARCE = 64 * 1024**2  # bytes
ALWAYS, FAR_OFF = 1024**3, 64  # bytes that any encode may write, and how far beyond what is foreseen it may go


class Handle(Model, frozen=True):
    """A handle names a process of this host: its pid, its start in clock ticks since boot, and which boot that was."""

    boot: str
    pid: int
    created: int


class Run:
    """A run has one ffmpeg after the other work on a task. `stop` may be called from the first moment on, and again."""

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
        home: str,
    ) -> None:
        self._task = task
        self._ffmpeg = ffmpeg
        self._registry = registry
        self._reserve = reserve
        self._limits = limits
        self._grace = grace
        self._sandbox = sandbox
        self._readable = readable
        self._home = home
        self._child: Child | None = None
        self._stopping: asyncio.Task[Stopped] | None = None
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._tail: deque[str] = deque(maxlen=HEARD_LINES)
        self._cpu_seconds = 0.0  # of passes that are over
        self._cpu_seconds_of_pass = 0.0  # of the last of them
        # Of the whole output, as far as these passes brought it.
        self._seconds = min((order.begin.seconds if order.begin else 0.0 for order in task.orders), default=0.0)
        self._durability = Durability(task)
        self._speed: float | None = None
        self._unmeasured: dict[str, str] = {}
        self._chosen: dict[str, Parameters] = {}
        self._overfull = False

    async def execute(self, report: Callable[[Report], None]) -> Ended:
        """Runs to the end of the last process; both its pipes are drained all the while.

        Whoever cancels this coroutine waits for the process to be ended and reaped.
        """
        try:
            code = await self._run_passes(report)
        except FfspoolError as error:  # what a pass left behind says that nothing will come of it
            return Ended(error=str(error), exit_code=0, cpu_seconds=self._cpu_seconds)
        except BaseException:
            if self._child is not None:
                await self.stop()
            raise
        await self._durability.keep_all(self._seconds, self._cpu_seconds, report)
        if self._stopping is not None:  # before the exit code: a stopped ffmpeg says 0 and leaves a truncated file
            return Ended(stopped=await self._stopping, exit_code=code, cpu_seconds=self._cpu_seconds)
        await asyncio.to_thread(privileges.take, self._folders())
        if code == 0 and not await asyncio.to_thread(self._wrote_too_much):
            spent = self._cpu_seconds
            return Ended(exit_code=0, cpu_seconds=spent, unmeasured=self._unmeasured, chosen=self._chosen)
        return await asyncio.to_thread(self._failure, code)

    async def _run_passes(self, report: Callable[[Report], None]) -> int:
        """The exit code of the last one: one that failed or was stopped has no successor, nor has one frozen yet."""
        await asyncio.to_thread(self._tell_what_is_left_out)
        passes = command.passes(SOURCE_LINK, self._task.media, self._outputs(), self._threads())
        one = next(passes)
        while True:
            ended = await self._run_pass(one, report)
            if ended is None:
                return 0
            if self._stopping or (ended.code != 0 and one.measures is None):
                return ended.code
            if ended.code != 0:
                self._remark(one, ended.code)
            try:
                one = passes.send(await asyncio.to_thread(self._passed))
            except StopIteration:
                return 0

    def _tell_what_is_left_out(self) -> None:
        for order in self._task.orders:
            plan = command.plan(self._task.media, order.preset, order.parameters)
            words = "".join(f"# left out: {line}\n" for line in in_lines(plan.contents.left_out))
            Path(order.log).parent.mkdir(parents=True, exist_ok=True)
            work_folder.append(Path(order.log), words.encode())

    def _remark(self, measuring: command.Pass, code: int) -> None:
        """Keeps why a pass failed on which nothing hangs."""
        diagnosis = self._diagnose(code)
        why = f"{diagnosis.what}; {diagnosis.remedy}" if diagnosis else "the log tells more"
        assert measuring.measures
        self._unmeasured[self._variation(measuring.measures)] = (
            f"it could not be compared with the source ({_how(code)}): {why}"
        )

    def _variation(self, path: str) -> str:
        outputs = zip(self._task.orders, self._outputs(), strict=True)
        return next(order.variation for order, output in outputs if output.path == path)

    async def _run_pass(self, one: command.Pass, report: Callable[[Report], None]) -> Exit | None:
        """How its process ended; None when it was to be ended before it began."""
        self._tail.clear()
        self._chosen |= {self._variation(path): chosen for path, chosen in one.chosen.items()}
        limits = await asyncio.to_thread(self._prepare, one)
        await self._thawed.wait()
        if self._stopping:
            return None
        child = self._child = self._spawn(one, limits)
        report(Started(task=self._task.id, handle=handle_of(child.pid, child.created), sandbox=self._sandbox.by))
        ended = await self._attend(child, one, report)
        self._cpu_seconds_of_pass = ended.cpu_seconds
        self._cpu_seconds += ended.cpu_seconds
        words = f"# exit code {ended.code}, {ended.cpu_seconds:.2f} s of CPU\n"
        await asyncio.to_thread(self._tell_the_logs, words.encode())
        return ended

    def _passed(self) -> Passed:
        return Passed(said="\n".join(self._tail), bytes=sum(size(Path(order.part)) for order in self._task.orders))

    async def _attend(self, child: Child, one: command.Pass, report: Callable[[Report], None]) -> Exit:
        sampling = asyncio.create_task(self._sample(child, report))
        try:
            return await self._drain_to_the_end(child, one, report)
        finally:
            sampling.cancel()

    async def _drain_to_the_end(self, child: Child, one: command.Pass, report: Callable[[Report], None]) -> Exit:
        draining = asyncio.gather(self._drain_progress(child, one, report), self._drain_log(child))
        exited = asyncio.ensure_future(child.wait())
        either: list[asyncio.Future[Any]] = [draining, exited]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            draining.result()  # a log that cannot be written ends the encode at once
        ended = await exited
        with suppress(TimeoutError):  # somebody who left the group may hold the pipes open, or it is stuck itself
            await asyncio.wait_for(draining, 0 if child.stuck else DRAIN_PATIENCE)
        return ended

    async def pause(self) -> bool:
        """Freezes the process, or keeps the next from starting; False if all is being ended."""
        if self._stopping is not None:
            return False
        self._thawed.clear()
        if self._child is not None:
            await cancel.freeze(self._child)
            self._durability.hasten()
        return True

    def resume(self) -> None:
        """Lets a frozen process go on, or the next one start."""
        self._thawed.set()
        if self._child is not None:
            cancel.thaw(self._child)

    async def stop(self) -> Stopped:
        """Ends the process by the escalation and returns when it is reaped. Calls at once share one escalation.

        Before the first pass and between two there is none to be ended, and no other is started.
        """
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._end())
            self._thawed.set()
        return await asyncio.shield(self._stopping)

    async def _end(self) -> Stopped:
        if self._child is None:
            return Stopped(stage=Stage.EXITED, seconds=0.0)
        return await cancel.stop(self._child, self._grace)

    def _prepare(self, one: command.Pass) -> Limits:
        """Makes all that it finds when it starts; returns what it may use then."""
        folder = self._folder
        for order in self._task.orders:
            Path(order.part).parent.mkdir(parents=True, exist_ok=True)
            Path(order.log).parent.mkdir(parents=True, exist_ok=True)
        work_folder.furnish(folder, one)
        work_folder.link(folder / SOURCE_LINK, SOURCE_PATH)
        self._tell_the_logs(f"$ {shlex.join(one.argv)}\n# sandbox: {self._sandbox}\n".encode())
        file_bytes = min(self._most_bytes(), psutil.disk_usage(str(folder)).total)
        return replace(self._limits, file_bytes=file_bytes, nice=UNHURRIED if one.measures else self._limits.nice)

    def _spawn(self, one: command.Pass, limits: Limits) -> Child:
        child = spawn(
            one.argv,
            program=self._ffmpeg,
            folder=self._folder,
            limits=limits,
            environment={TOKEN_VARIABLE: self._task.id, HOME_VARIABLE: self._home, "LC_ALL": "C.UTF-8"},
            source=self._task.source,
            walls=self._walls() if self._sandbox.active else None,
            reserve=self._reserve,
            before_reaping=cancel.end_group,
        )
        self._registry.add(child, (order.variation for order in self._task.orders))
        return child

    @property
    def _folder(self) -> Path:
        """The work folder of the first, where all of it runs."""
        return Path(self._task.orders[0].part).parent

    def _most_bytes(self) -> int:
        """Bounds the bytes of any one output. More may be free: that the disk is full is told by the disk."""
        return ALWAYS + FAR_OFF * max(order.bytes for order in self._task.orders)

    def _walls(self) -> Walls:
        return Walls(programs=self._readable, folders=self._folders())

    def _folders(self) -> tuple[str, ...]:
        return tuple(str(Path(order.part).parent) for order in self._task.orders)

    def _outputs(self) -> list[command.Output]:
        """Their paths relative to where it runs."""
        return [
            command.Output(
                preset=order.preset,
                parameters=order.parameters,
                path=os.path.relpath(order.part, self._folder),
                threads=order.threads,
                begin=order.begin,
                pieces=order.pieces,
            )
            for order in self._task.orders
        ]

    def _threads(self) -> int:
        """Returns the threads of decoder and filters, which the encoders share: as many as the least of these has."""
        return min(order.threads for order in self._task.orders)

    async def _sample(self, child: Child, report: Callable[[Report], None]) -> None:
        spent = before = self._cpu_seconds
        while True:
            await asyncio.sleep(SAMPLE_EVERY)
            with suppress(ProcessLookupError):
                cpu_seconds, io_bytes = vitals(child.pid)
                spent = before + cpu_seconds
                written = (await asyncio.to_thread(self._passed)).bytes
                report(Vitals(task=self._task.id, cpu_seconds=spent, io_bytes=io_bytes, written=written))
            await self._durability.keep(self._seconds, spent, report)
            if await asyncio.to_thread(self._wrote_too_much, child.pid):  # in files that are each within their limit
                cancel.kill(child)

    def _wrote_too_much(self, pid: int | None = None) -> bool:
        held = disk_use.bytes_held(self._folders(), pid, mapped=self._most_bytes())
        self._overfull = self._overfull or held > len(self._task.orders) * self._most_bytes()
        return self._overfull

    async def _drain_progress(self, child: Child, one: command.Pass, report: Callable[[Report], None]) -> None:
        """Reports how far the whole is: each pass adds its share, at its share of the speed; only encodes have one."""
        parser, before = ProgressParser(), self._seconds
        async for chunk in child.stdout():
            for update in parser.feed(chunk):
                self._seconds = before + one.share * update.seconds
                if one.measures is None:
                    self._speed = None if update.speed is None else one.share * update.speed
                encoded = update.seconds if one.measures is None else None
                report(Progress(task=self._task.id, seconds=self._seconds, speed=self._speed, encoded=encoded))

    async def _drain_log(self, child: Child) -> None:
        room = MAX_LOG_BYTES
        async for lines in _lines(child.stderr()):
            self._tail.extend(line[:MAX_TOLD].decode(errors="replace").rstrip() for line in lines)
            if room > 0:
                said = b"".join(lines)
                await asyncio.to_thread(self._tell_the_logs, said)
                room -= len(said)
        if room <= 0:
            ending = "\n".join(["# the log was cut here; its last lines:", *self._tail, ""])
            await asyncio.to_thread(self._tell_the_logs, ending.encode())

    def _tell_the_logs(self, data: bytes) -> None:
        for order in self._task.orders:
            work_folder.append(Path(order.log), data)

    def _failure(self, code: int) -> Ended:
        """A signal that is not known here came from outside, so another try may end otherwise."""
        diagnosis = self._diagnose(code)
        return Ended(
            error=self._complaint(code, diagnosis),
            may_pass=diagnosis.may_pass if diagnosis else code < 0,
            disk_full=bool(diagnosis and diagnosis.disk_full) and self._disk_is_full(),
            unread=bool(diagnosis and diagnosis.unread),
            exit_code=code,
            cpu_seconds=self._cpu_seconds,
        )

    def _diagnose(self, code: int) -> Diagnosis | None:
        spent = self._cpu_seconds_of_pass >= self._limits.cpu_seconds
        return diagnose(Ending(code, self._tail, cpu_spent=spent, overfull=self._overfull))

    def _disk_is_full(self) -> bool:
        """Words alone are not believed: the space may have been there again, or never have been the matter."""
        return psutil.disk_usage(str(self._folder)).free < SCARCE

    def _complaint(self, code: int, diagnosis: Diagnosis | None) -> str:
        how = _how(code)
        failed = f"ffmpeg could not encode {self._task.source_name}"
        tail = [line for line in list(self._tail)[-TAIL_LINES:] if line.strip()]
        if diagnosis is None:
            return "\n".join([f"{failed} ({how})", *tail])
        evidence = diagnosis.evidence
        above = [] if evidence is None or evidence in tail else [evidence, "…"]
        return "\n".join([f"{failed}: {diagnosis.what} ({how}); {diagnosis.remedy}", *above, *tail])


def handle_of(pid: int, created: int) -> str:
    """Returns the process of this host and boot as the text that names it after a crash."""
    return msgspec.json.encode(Handle(boot=boot_id(), pid=pid, created=created)).decode()


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Whole lines, as many as came at once; one longer than a chunk comes in pieces, so that memory stays bounded."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > len(chunk):
            whole, rest = [*whole, rest], b""
        if whole:
            yield [line + b"\n" for line in whole]
    if rest:
        yield [rest + b"\n"]
