"""Runs tasks as children of this process: the engine of one host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from daemon import host
from daemon.encode.runner import Handle, Run
from daemon.encode.task import Capacity, Ended, Order, Report, Task, Unfinished, whole_of
from daemon.models import Sandbox, Stage, Stopped
from daemon.paths import size
from daemon.process.cancel import kill_orphan
from daemon.process.identity import find_by_token, is_of_another
from daemon.process.launcher import Limits, Reserve
from daemon.process.registry import Registry

log = logging.getLogger(__name__)


class LocalEngine:
    """Runs tasks as children of this process."""

    def __init__(
        self,
        *,
        ffmpeg: str,
        slots: int,
        limits: Limits,
        grace: float,
        sandbox: Sandbox,
        readable: tuple[str, ...] = (),
        home: str = "",
    ) -> None:
        """Takes as `readable` the files and folders that the encoder needs beside itself and the system's libraries.

        `home` marks what it starts, so that survivors are ended by an engine of the same home alone.
        """
        self.registry = Registry()
        self._reserve = Reserve()
        self._ffmpeg = ffmpeg
        self._slots = slots
        self._limits = limits
        self._grace = grace
        self._sandbox = sandbox
        self._readable = readable
        self._home = home
        self._runs: dict[str, Run] = {}

    async def start(self) -> None:
        self._reserve.fill()

    async def close(self) -> None:
        self._reserve.close()

    @property
    def capacity(self) -> Capacity:
        # What is stuck gave its slot away. Only so many may be: who knows how many more a dead mount would take.
        lost = max(0, self.registry.stuck - self._slots)
        return Capacity(slots=max(0, self._slots - lost), cores=host.cores())

    def resize(self, slots: int) -> None:
        self._slots = slots

    def reads(self, path: str) -> bool:
        return Path(path).is_absolute()

    async def run(self, task: Task, on_report: Callable[[Report], None]) -> Ended:
        run = Run(
            task,
            ffmpeg=self._ffmpeg,
            registry=self.registry,
            reserve=self._reserve,
            limits=self._limits,
            grace=self._grace,
            sandbox=self._sandbox,
            readable=self._readable,
            home=self._home,
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

    def written(self, order: Order) -> int:
        return size(Path(order.part).parent)

    async def end_survivors(self, unfinished: Sequence[Unfinished]) -> frozenset[str]:
        return await asyncio.to_thread(_end_survivors, unfinished, self._home)


def _end_survivors(unfinished: Sequence[Unfinished], home: str) -> frozenset[str]:
    """Finds them by what was told of their start, and by the token: one may have died before that was durable.

    A daemon whose database this one is a copy of may live, and go on with the same attempts.
    """
    handles = {one.task: handle for one in unfinished if (handle := _handle(one.handle))}
    told = {handle.pid: handle.created for handle in handles.values() if handle.boot == host.boot_id()}
    tasks = {one.task for one in unfinished}
    living = dict(find_by_token(lambda token: whole_of(token) in tasks))
    for pid, created in {**told, **living}.items():
        if is_of_another(pid, home):
            log.warning("left alone the encoder %d: another state dir's daemon, of whose database this is a copy", pid)
        elif kill_orphan(pid, created):
            log.warning("ended the encoder %d that an earlier daemon left behind", pid)
    return frozenset(task for task, handle in handles.items() if handle.boot != host.boot_id())


def _handle(text: str | None) -> Handle | None:
    """None: nothing was told, or by another engine, which would have to end what it means."""
    try:
        return msgspec.json.decode(text, type=Handle) if text is not None else None
    except msgspec.DecodeError:
        return None
