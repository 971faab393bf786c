"""Holds what is known of a machine that is here, and of the tasks that it has: what room there is for more, and how
long more would take.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from daemon.cluster.messages import Hello, Pulse
from daemon.encode.durability import Durability
from daemon.encode.task import Ended, Report, Task
from daemon.models import SourceFile

LINE = 50e6  # bytes in a second that are thought to come to a machine
KNOWN = 32  # sources of a machine's that are remembered
GROWTH = 1.5  # times as much is held to be needed by what met a full disk, each time
LEAST_COST = 0.1  # CPU seconds of a task of which nothing is foreseen


@dataclass
class Machine:
    """Is a machine that is here; `tasks` are those it has."""

    name: str
    hello: Hello
    pulse: Pulse
    since: float = field(default_factory=time.time)
    draining: bool = False
    tasks: set[str] = field(default_factory=set)
    sources: deque[SourceFile] = field(default_factory=lambda: deque(maxlen=KNOWN))  # that it has, or had

    _rests: dict[str, float] = field(default_factory=dict)  # until when, by variation

    @property
    def slots(self) -> int:
        return 0 if self.draining or self.pulse.why else self.hello.slots

    def seconds_until_there(self, source: SourceFile) -> float:
        """Returns what it is thought to take to bring a source to it."""
        return 0.0 if source in self.sources else (source.identity[0] or 0) / LINE

    def rest_from(self, task: Task, seconds: float) -> None:
        """Has it not be given for so long what it lost: what lost that may not be over."""
        now = time.monotonic()
        resting = {variation: until for variation, until in self._rests.items() if until > now}
        self._rests = resting | dict.fromkeys((order.variation for order in task.orders), now + seconds)

    def rests_from(self, task: Task) -> bool:
        return any(self._rests.get(order.variation, 0.0) > time.monotonic() for order in task.orders)


@dataclass
class Away:
    """Is a task that another machine has."""

    task: Task
    machine: Machine
    report: Callable[[Report], None]
    ended: asyncio.Future[Ended]
    durability: Durability
    wanted: int  # bytes of its machine, as far as was foreseen; without its source, once that is there
    keeping: asyncio.Task[None] | None = None
    written: int = 0
    seconds: float = 0.0  # of output


class Room:
    """Shares what is free on machines among the tasks that are `away`."""

    def __init__(self, away: dict[str, Away]) -> None:
        self._away = away
        self._needed: dict[str, int] = {}  # by variation: bytes of outputs, of what met a full disk

    def lacked(self, away: Away) -> None:
        """Remembers that what was foreseen was too little, or so it seems: others may have filled the disk."""
        needed = max(2 * away.written, int(GROWTH * self._outputs(away.task)))
        self._needed |= dict.fromkeys((order.variation for order in away.task.orders), needed)

    def has(self, machine: Machine, task: Task) -> bool:
        return self.left(machine) > self.wanted(task, machine)

    def wanted(self, task: Task, machine: Machine) -> int:
        """Returns the bytes that the machine has to have for it; a source is fetched there once."""
        theirs = any(away.task.source == task.source for away in self._at(machine))
        return self._outputs(task) + (0 if theirs else task.source.identity[0] or 0)

    def _outputs(self, task: Task) -> int:
        return max(outputs(task), *(self._needed.get(order.variation, 0) for order in task.orders))

    def left(self, machine: Machine) -> int:
        """Returns what is free there and not yet counted on."""
        return machine.pulse.free_bytes - sum(max(0, away.wanted - away.written) for away in self._at(machine))

    def _at(self, machine: Machine) -> Collection[Away]:
        return [self._away[task] for task in machine.tasks]


def outputs(task: Task) -> int:
    """Returns the bytes that its outputs may come to where they are made."""
    return 2 * sum(order.bytes for order in task.orders)


def cost(task: Task) -> float:
    """Returns the CPU seconds that are foreseen of it."""
    return sum(order.cpu_seconds for order in task.orders)


def seconds(task: Task, cores: int, beside: int) -> float:
    """Returns what it takes on a host as fast as this one with so many cores and as many others `beside`."""
    threads = sum(order.threads for order in task.orders)
    return max(cost(task), LEAST_COST) / min(threads, max(1.0, cores / (beside + 1)))
