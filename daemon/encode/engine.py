"""Defines the seam behind which encodes happen: an engine is given tasks, reports on them and ends them.

An engine knows nothing of jobs, the store or the queue, and what it exchanges is JSON-able, so that one
may run on another machine, fuse variations into one process or go on in mid-file. What must hold of every engine,
`tests/engine_conformance.py` tries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from daemon.encode.task import Capacity, Ended, Order, Report, Task, Unfinished
from daemon.models import Stopped


class Engine(Protocol):
    async def start(self) -> None:
        """Makes ready, so that the first task need not wait. Call it on the main thread, after `end_survivors`."""
        ...

    async def close(self) -> None:
        """Lets go of all it holds; every task has ended, and none is begun afterwards."""
        ...

    @property
    def capacity(self) -> Capacity:
        """Returns what it can do at once at this moment."""
        ...

    def resize(self, slots: int) -> None:
        """Runs at most so many processes at once from now on. What is above that goes on."""
        ...

    def reads(self, path: str) -> bool:
        """Tells whether its encoders can open what lies at that path of the daemon's host."""
        ...

    async def run(self, task: Task, on_report: Callable[[Report], None]) -> Ended:
        """Runs the task to its end and says how it ended; no process of it is left then.

        If it was encoded, each order's `part` and `log` lie where the order says, on the daemon's host, and beside the
        part what its commands wrote besides, such as the figures of a comparison. A failed encode is told by what is
        returned, no exception. Cancelling the coroutine stops the task first.
        """
        ...

    async def pause(self, task: str) -> bool:
        """Freezes the task where it stands, or keeps its next process from starting; True once it does.

        False: there is no such task (yet, or any more), or it is being ended.
        """
        ...

    def resume(self, task: str) -> None:
        """Lets a frozen task go on."""
        ...

    async def stop(self, task: str) -> Stopped:
        """Ends the task of that id gracefully, then by force; returns once its processes are reaped.

        One that cannot be ended yet answers `stuck`; it does nothing any more, and is reaped when it ends. One that is
        not running (any more) answers `exited`. `run` then tells that it was `stopped`.
        """
        ...

    def written(self, order: Order) -> int:
        """Returns the bytes made for the order that are on this host's disk, while it runs and after.

        Any thread may call it; it may block.
        """
        ...

    async def end_survivors(self, unfinished: Sequence[Unfinished]) -> frozenset[str]:
        """Ends whatever still works for tasks that an earlier daemon began; returns once nothing does.

        What it returns are the tasks that their whole host went down with: that is the fault of none of them.
        """
        ...
