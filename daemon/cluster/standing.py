"""Tells how the machines of a cluster stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    drained: bool  # it gets nothing until that is taken back, also when it was away meanwhile


class Machines(Model, frozen=True):
    items: tuple[MachineView, ...]


Making = Mapping[str, tuple[MadeThere, ...]]  # by machine


def machines(engine: ClusterEngine | None, invited: list[str], drained: Collection[str], making: Making) -> Machines:
    """Returns all that were invited, and how each stands and what it makes; none where this host works alone."""
    if engine is None:
        return Machines(items=())
    names = sorted({*invited, *engine.machines})
    return Machines(items=tuple(view(engine, name, name in drained, making.get(name, ())) for name in names))


def view(engine: ClusterEngine, name: str, drained: bool, makes: tuple[MadeThere, ...]) -> MachineView:
    """Returns how a machine that was invited stands."""
    return _view(name, engine.machines.get(name), drained, engine.refused.get(name), makes)


def of(engine: ClusterEngine | None) -> ClusterEngine:
    """Returns it. Raises NotFound where this host works alone."""
    if engine is None:
        raise NotFound("no other machine works for this daemon: ffspool.toml has no table [cluster]")
    return engine


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


def _view(
    name: str, machine: Machine | None, drained: bool, why: str | None, makes: tuple[MadeThere, ...]
) -> MachineView:
    if machine is None:
        return MachineView(
            name=name, state=MachineState.AWAY, drained=drained, slots=None, slots_used=0, makes=(), cores=None,
            free_bytes=None, sandbox=None, since=None, why=why,
        )  # fmt: skip
    hello = machine.hello
    return MachineView(
        name=name,
        state=_state(machine),
        drained=drained,
        slots=hello.slots,
        slots_used=len(machine.tasks),
        makes=makes,
        cores=hello.cores,
        free_bytes=machine.pulse.free_bytes,
        sandbox=hello.sandbox.by if hello.sandbox.active else "none",
        since=when(machine.since),
        why=machine.pulse.why,
    )
