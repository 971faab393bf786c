"""The seam behind which encodes happen: an engine is given tasks, reports on them and ends them.

An engine knows nothing of jobs, the store or the queue, and what it exchanges is JSON-able, so that one
may run on another machine, fuse variations into one process or go on in mid-file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from daemon.encode.runner import Run
from daemon.encode.task import Outcome, Report, Task
from daemon.models import Sandbox
from daemon.process.cancel import Stage, Stopped
from daemon.process.launcher import Limits, Reserve
from daemon.process.registry import Registry


class Engine(Protocol):
    async def run(self, task: Task, on_report: Callable[[Report], None]) -> Outcome:
        """Runs the task to its end and says how it ended; no process of it is left then.

        A failed encode is an outcome, not an exception. Cancelling the coroutine stops the task first.
        """
        ...

    async def pause(self, task: str) -> bool:
        """Freezes the task where it stands; True once it does. False: it has no process (yet, or any more)."""
        ...

    def resume(self, task: str) -> None:
        """Lets a frozen task go on."""
        ...

    async def stop(self, task: str) -> Stopped:
        """Ends the task of that id gracefully, then by force; returns once its processes are reaped.

        One that is not running (any more) answers `exited`. `run` then returns an outcome with `stopped`.
        """
        ...


class LocalEngine:
    """Runs tasks as children of this process."""

    def __init__(
        self, *, ffmpeg: str, limits: Limits, grace: float, sandbox: Sandbox, readable: tuple[str, ...] = ()
    ) -> None:
        """`readable` are files and folders that the encoder needs beside itself and the system's libraries."""
        self.registry = Registry()
        self._reserve = Reserve()
        self._ffmpeg = ffmpeg
        self._limits = limits
        self._grace = grace
        self._sandbox = sandbox
        self._readable = readable
        self._runs: dict[str, Run] = {}

    def start(self) -> None:
        """Makes ready, so that the first task need not wait. Must be called on the main thread."""
        self._reserve.fill()

    def close(self) -> None:
        """Lets go of what waits in reserve; every task has ended."""
        self._reserve.close()

    async def run(self, task: Task, on_report: Callable[[Report], None]) -> Outcome:
        run = Run(
            task,
            ffmpeg=self._ffmpeg,
            registry=self.registry,
            reserve=self._reserve,
            limits=self._limits,
            grace=self._grace,
            sandbox=self._sandbox,
            readable=self._readable,
        )
        self._runs[task.id] = run
        try:
            return await run.execute(on_report)
        finally:
            del self._runs[task.id]

    async def pause(self, task: str) -> bool:
        run = self._runs.get(task)
        return await run.pause() if run else False

    def resume(self, task: str) -> None:
        if run := self._runs.get(task):
            run.resume()

    async def stop(self, task: str) -> Stopped:
        run = self._runs.get(task)
        return await run.stop() if run else Stopped(stage=Stage.EXITED, seconds=0.0)
