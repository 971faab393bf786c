"""Tells how the machines of a cluster stand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.machine import Machine
from daemon.errors import Conflict, NotFound
from daemon.models import Model, when


class MachineState(StrEnum):
    """Is the state of a machine that was invited."""

    WORKING = "working"
    DRAINING = "draining"  # it finishes what it has, and gets nothing more
    AWAY = "away"


class MadeThere(Model, frozen=True):
    """Is a variation that a machine has at work; `progress` is in percent, None where nothing is known of it."""

    job: str
    variation: str
    source: str
    preset: str
    progress: float | None


class MachineView(Model, frozen=True):
    name: str
    state: MachineState
    slots: int | None  # encodes it runs at once; None, as what follows: it is away
    slots_used: int
    makes: tuple[MadeThere, ...]
    cores: int | None
    free_bytes: int | None  # where it works
    sandbox: str | None  # what shuts its encoders in, or `none`
    since: datetime | None  # when it came
    why: str | None  # why it was not taken when it came last, or gets nothing though it is here


class Machines(Model, frozen=True):
    items: tuple[MachineView, ...]


Making = Mapping[str, tuple[MadeThere, ...]]  # by machine


def machines(engine: ClusterEngine | None, invited: list[str], making: Making) -> Machines:
    """Returns all that were invited, and how each stands and what it makes; none where this host works alone."""
    if engine is None:
        return Machines(items=())
    return Machines(
        items=tuple(
            _view(name, engine.machines.get(name), engine.refused.get(name), making.get(name, ()))
            for name in sorted({*invited, *engine.machines})
        )
    )


def drained(engine: ClusterEngine | None, name: str, draining: bool, making: Making) -> MachineView:
    """Gives a machine nothing more, or work again. Raises NotFound where it is not here."""
    machine = engine.machines.get(name) if engine else None
    if engine is None or machine is None:
        raise NotFound(f"no machine {name} is at work")
    engine.drain(name, draining)
    return _view(name, machine, None, making.get(name, ()))


def refuse_present(engine: ClusterEngine | None, name: str) -> None:
    """Raises Conflict while a machine is here: it is not to be forgotten then."""
    if engine and (machine := engine.machines.get(name)):
        state = _state(machine)
        raise Conflict(
            f"{name} is {state}: end `ffspool worker` there first, or send it away by `ffspool cluster revoke {name}`",
            state,
        )


def _state(machine: Machine) -> MachineState:
    return MachineState.DRAINING if machine.draining else MachineState.WORKING


def _view(name: str, machine: Machine | None, why: str | None, makes: tuple[MadeThere, ...]) -> MachineView:
    if machine is None:
        return MachineView(
            name=name, state=MachineState.AWAY, slots=None, slots_used=0, makes=(), cores=None, free_bytes=None,
            sandbox=None, since=None, why=why,
        )  # fmt: skip
    hello = machine.hello
    return MachineView(
        name=name,
        state=_state(machine),
        slots=hello.slots,
        slots_used=len(machine.tasks),
        makes=makes,
        cores=hello.cores,
        free_bytes=machine.pulse.free_bytes,
        sandbox=hello.sandbox.by if hello.sandbox.active else "none",
        since=when(machine.since),
        why=machine.pulse.why,
    )
