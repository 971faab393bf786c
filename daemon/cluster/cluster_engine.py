"""Runs tasks on this host and on the machines of a cluster: an engine of many places.

The machines are reached through a coordinator, a process of its own (`daemon.cluster.coordinator`): its death or
slowness costs what is under way there, and nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from daemon.cluster.coordinator_process import CoordinatorProcess
from daemon.cluster.machine import Away, Machine, Room, cost, outputs, seconds
from daemon.cluster.messages import (
    Answer,
    Ask,
    Asked,
    Beat,
    Charter,
    Forget,
    Joined,
    Leaving,
    Left,
    Listening,
    Notice,
    Over,
    Pulse,
    Refused,
    Run,
    Told,
)
from daemon.cluster.paces import Paces
from daemon.encode.durability import Durability
from daemon.encode.engine import Engine
from daemon.encode.task import Capacity, Durable, Ended, Order, Progress, Report, Started, Task, Unfinished, Vitals
from daemon.models import Stage, Stopped
from daemon.plaintext import so_many

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds after which a machine is asked once more
REST = 60.0  # seconds in which a machine that lost a task, and is here, is not given that again
LOST = Ended(lost=True)


class ClusterEngine:
    """Runs tasks on the `local` engine and on machines that joined; what joins films is done here."""

    def __init__(
        self, local: Engine, charter: Charter, *, local_slots: int | None, grace: float, rest: float = REST
    ) -> None:
        self.machines: dict[str, Machine] = {}
        self.refused: dict[str, str] = {}  # why machines were not taken last
        self.listening: asyncio.Future[Listening] | None = None
        self._local = local
        self._most_here = local_slots
        self._local_tasks = set[str]()
        self._frozen = set[str]()  # tasks, wherever they are
        self._coordinator = CoordinatorProcess(charter, self.heard, self._lost_all)
        self._send = self._coordinator.send
        self._patience = 2 * grace + 1.0
        self._away: dict[str, Away] = {}
        self._room = Room(self._away)
        self._rest = rest
        self._waiting: dict[str, asyncio.Event] = {}  # tasks that nobody can take now; set once they are given up
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._paces = Paces(Path(charter.folder))
        self.on_change: Callable[[], None] = lambda: None
        self._capacity: Capacity | None = None  # asked for at every step, and seldom another

    async def start(self) -> None:
        await self._local.start()
        self.listening = asyncio.get_running_loop().create_future()
        self._coordinator.start()

    async def close(self) -> None:
        await self._coordinator.close()
        await self._local.close()

    # What it can do

    @property
    def capacity(self) -> Capacity:
        if self._capacity is None:
            self._capacity = self._summed_up()
        return self._capacity

    def _summed_up(self) -> Capacity:
        at_work = [machine for machine in self.machines.values() if machine.slots]
        cores = self._local.capacity.cores if self._slots_here or not at_work else 0
        return Capacity(
            places=bool(self._slots_here) + len(at_work),
            slots=self._slots_here + sum(machine.slots for machine in at_work),
            cores=cores + sum(machine.hello.cores for machine in at_work),
        )

    def resize(self, slots: int) -> None:
        """Runs so many at once on this host; how many others do, they say."""
        self._local.resize(slots)
        self._capacity = None

    def _has_changed(self) -> None:
        self._capacity = None
        self.on_change()

    @property
    def _slots_here(self) -> int:
        slots = self._local.capacity.slots
        return slots if self._most_here is None else min(slots, self._most_here)

    def reads(self, path: str) -> bool:
        return self._local.reads(path)

    def written(self, order: Order) -> int:
        return self._local.written(order)

    def made_by(self, name: str) -> list[str]:
        """Returns the variations that a machine has at work, each once."""
        tasks = (away.task for away in self._away.values() if away.machine.name == name)
        return list(dict.fromkeys(order.variation for task in tasks for order in task.orders))

    def drain(self, name: str, draining: bool) -> None:
        """Gives a machine that is here nothing more, or something again."""
        if machine := self.machines.get(name):
            machine.draining = draining
            self._has_changed()

    # Tasks

    async def run(self, task: Task, on_report: Callable[[Report], None]) -> Ended:
        place = self._choose(task) or await self._wait(task)
        if place is None:
            return self._refusal(task)
        if isinstance(place, Machine):
            return await self._run_on(place, task, on_report)
        self._local_tasks.add(task.id)
        try:
            return await place.run(task, on_report)
        finally:
            self._local_tasks.discard(task.id)
            self._frozen.discard(task.id)

    async def _wait(self, task: Task) -> Machine | Engine | None:
        """Who takes it after all: a moment later, or when no machine rests from it any more. None: nobody does, or it
        was given up.
        """
        given_up = self._waiting[task.id] = asyncio.Event()
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(given_up.wait(), AGAIN)
                place = None if given_up.is_set() else self._choose(task)
                if place or given_up.is_set() or not any(one.rests_from(task) for one in self.machines.values()):
                    return place
        finally:
            del self._waiting[task.id]

    def _refusal(self, task: Task) -> Ended:
        """How a task ends that nobody took: free machines lack room for it; the others may be back in a moment."""
        if any(self._is_free(machine) and not machine.rests_from(task) for machine in self.machines.values()):
            return Ended(error=f"no machine has room for {task.source_name} and what is made of it", disk_full=True)
        return LOST

    async def _run_on(self, machine: Machine, task: Task, on_report: Callable[[Report], None]) -> Ended:
        away = self._away[task.id] = Away(
            task,
            machine,
            on_report,
            asyncio.get_running_loop().create_future(),
            Durability(task),
            wanted=self._room.wanted(task, machine),
        )
        machine.tasks.add(task.id)
        machine.sources.append(task.source)
        self._send(Run(machine=machine.name, task=task))
        try:
            ended = await asyncio.shield(away.ended)
            if away.keeping:
                await asyncio.wait([away.keeping])
            if ended.succeeded:  # pieces that came home are on this disk
                await away.durability.keep_all(away.seconds, ended.cpu_seconds, on_report)
                if self._paces.learn(machine.name, cost(task), ended.cpu_seconds):
                    await asyncio.to_thread(self._paces.keep)
            if ended.lost:
                machine.rest_from(task, self._rest)
                if ended.disk_full:
                    self._room.lacked(away)
            return replace(ended, pace=self._paces.of(machine.name))
        except asyncio.CancelledError:
            await self.stop(task.id)
            raise
        finally:
            machine.tasks.discard(task.id)
            self._frozen.discard(task.id)
            del self._away[task.id]
            self._send(Forget(task=task.id))

    def _choose(self, task: Task) -> Machine | Engine | None:
        """Where it is foreseen to end first: a machine, or the engine of this host, which joins films, too, since their
        pieces are here. None where nobody can take it.
        """
        if any(order.pieces for order in task.orders):
            return self._local
        free = filter(self._is_free, self.machines.values())
        fit = [machine for machine in free if self._room.has(machine, task) and not machine.rests_from(task)]
        best = min(fit, key=lambda machine: self._foreseen(machine, task), default=None)
        busy = len(self._local_tasks - self._frozen)
        if busy >= self._slots_here:
            return best
        here = seconds(task, self._local.capacity.cores, busy)
        return self._local if best is None or here <= self._foreseen(best, task) else best

    def _is_free(self, machine: Machine) -> bool:
        """Whether any of its slots is: what stands still has none."""
        return len(machine.tasks - self._frozen) < machine.slots

    def _foreseen(self, machine: Machine, task: Task) -> float:
        """Seconds that it is foreseen to take there, with what it takes to bring the source."""
        busy = len(machine.tasks - self._frozen)
        encoding = seconds(task, machine.hello.cores, busy) / self._paces.of(machine.name)
        return encoding + machine.seconds_until_there(task.source)

    async def pause(self, task: str) -> bool:
        self._give_up(task)
        if task in self._away:
            answer = await self._ask(task, "pause")
            frozen = answer is not None and answer.frozen
        else:
            frozen = await self._local.pause(task)
        self._frozen |= {task} if frozen else set()
        return frozen

    def resume(self, task: str) -> None:
        self._frozen.discard(task)
        if task not in self._away:
            return self._local.resume(task)
        asking = asyncio.ensure_future(self._ask(task, "resume"))
        asking.add_done_callback(lambda _: None)
        return None

    async def stop(self, task: str) -> Stopped:
        self._give_up(task)
        away = self._away.get(task)
        if away is None:
            return await self._local.stop(task)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._ask(task, "stop")
        except TimeoutError:  # cut off: whatever it does, nothing of it is taken, and its lease ends it
            answer = None
            self._send(Forget(task=task))
        stopped = answer.stopped if answer else None
        if stopped is None and away.ended.done():  # it came to its end by itself, or told that before it answered
            stopped = away.ended.result().stopped or Stopped(stage=Stage.EXITED, seconds=0.0)
        if stopped is None:
            stopped = Stopped(stage=Stage.STUCK, seconds=time.monotonic() - began)
        if not away.ended.done():
            away.ended.set_result(Ended(stopped=stopped))
        return stopped

    def _give_up(self, task: str) -> None:
        if waiting := self._waiting.get(task):
            waiting.set()

    async def _ask(self, task: str, verb: Asked) -> Answer | None:
        """The machine's answer, asked for until it comes; None once the task is over."""
        away = self._away[task]
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            while not (answer.done() or away.ended.done()):
                self._send(Ask(number=number, machine=away.machine.name, task=task, verb=verb))
                await asyncio.wait([answer, away.ended], timeout=AGAIN, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        finally:
            del self._answers[number]

    async def end_survivors(self, unfinished: Sequence[Unfinished]) -> frozenset[str]:
        """Ends those of this host. Other machines end theirs with their daemon; nothing of them is taken any more."""
        elsewhere = {one.task for one in unfinished if one.handle is not None and _machine(one.handle)}
        # A film in spans may have been encoded here, too, and only the last of its handles is known.
        here = [Unfinished(one.task, None) if one.task in elsewhere else one for one in unfinished]
        return await self._local.end_survivors(here) | elsewhere

    # What the coordinator tells

    def heard(self, notice: Notice) -> None:
        """Acts on what the coordinator tells."""
        match notice:
            case Told(report=report):
                self._told(report)
            case Answer(number=number):
                if (asked := self._answers.get(number)) and not asked.done():
                    asked.set_result(notice)
            case Over(task=task, ended=ended):
                if (away := self._away.get(task)) and not away.ended.done():
                    away.ended.set_result(ended or LOST)
            case Joined(machine=name, hello=hello, draining=draining):
                log.info("the machine %s works for us, with %s", name, so_many(hello.slots, "slot"))
                pulse = Pulse(free_bytes=hello.free_bytes, why=None)
                self.machines[name] = Machine(name, hello, pulse, draining=draining)
                self.refused.pop(name, None)
                self._has_changed()
            case Leaving(machine=name):
                if machine := self.machines.get(name):
                    machine.draining = True
                    self._has_changed()
            case Beat(machine=name, pulse=pulse):
                self._beats(name, pulse)
            case Left(machine=name):
                self._left(name)
            case Refused(machine=name, why=why):
                log.warning("the machine %s was not taken: %s", name, why)
                self.refused[name] = why
            case Listening():
                if self.listening and not self.listening.done():
                    self.listening.set_result(notice)

    def _beats(self, name: str, pulse: Pulse) -> None:
        if machine := self.machines.get(name):
            before, machine.pulse = machine.pulse, pulse
            if before.why != pulse.why:
                log.warning("the machine %s %s", name, f"gets nothing: {pulse.why}" if pulse.why else "can work again")
                if not pulse.answers:
                    self._lose_all_of(machine)
                self._has_changed()

    def _left(self, name: str) -> None:
        if (machine := self.machines.pop(name, None)) is None:
            return
        self.refused.pop(name, None)  # which was another that came by its invitation
        log.warning("the machine %s is away; what it had is made elsewhere", name)
        self._lose_all_of(machine)
        self._has_changed()

    def _lose_all_of(self, machine: Machine) -> None:
        for task in machine.tasks:
            if not (ended := self._away[task].ended).done():
                ended.set_result(LOST)

    def _lost_all(self) -> None:
        for name in list(self.machines):
            self._left(name)

    def _told(self, report: Report) -> None:
        away = self._away.get(report.task)
        if away is None:
            return
        if isinstance(report, Durable):  # it came home: now it is to be on this disk
            keeping = away.durability.keep_all(report.seconds, report.cpu_seconds, away.report)
            away.keeping = asyncio.create_task(keeping)
            return
        if isinstance(report, Started):
            away.wanted = outputs(away.task)
            report = replace(report, handle=_handle(away.machine.name), machine=away.machine.name)
        if isinstance(report, Vitals):
            away.written = report.written
            load = report.load and report.load._replace(host=away.machine.name)
            report = replace(report, load=load)
        if isinstance(report, Progress):
            away.seconds = report.seconds
        away.report(report)


def _handle(machine: str) -> str:
    return msgspec.json.encode({"machine": machine}).decode()


def _machine(handle: str) -> str | None:
    """The machine that a handle names; None where it is one of this host's."""
    try:
        found = msgspec.json.decode(handle)
    except msgspec.DecodeError:
        return None
    return found.get("machine") if isinstance(found, dict) else None
