"""Tells how the machines of a cluster stand."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from daemon.cluster.cluster_engine import ClusterEngine, Machine
from daemon.errors import Conflict, NotFound
from daemon.models import Model, when


class MachineState(StrEnum):
    """Is the state of a machine that was invited."""

    WORKING = "working"
    DRAINING = "draining"  # it finishes what it has, and gets nothing more
    AWAY = "away"


class MachineView(Model, frozen=True):
    name: str
    state: MachineState
    slots: int | None  # encodes it runs at once; None, as what follows: it is away
    slots_used: int
    cores: int | None
    free_bytes: int | None  # where it works, when it came
    sandbox: str | None  # what shuts its encoders in, or `none`
    since: datetime | None  # when it came
    why: str | None  # why it was not taken when it came last


class Machines(Model, frozen=True):
    items: tuple[MachineView, ...]


def machines(engine: ClusterEngine | None, invited: list[str]) -> Machines:
    """Returns all that were invited, and how each stands; none where this host works alone."""
    here = engine.machines if engine else {}
    refused = engine.refused if engine else {}
    names = sorted({*invited, *here})
    return Machines(items=tuple(_view(name, here.get(name), refused.get(name)) for name in names))


def drained(engine: ClusterEngine | None, name: str, draining: bool) -> MachineView:
    """Gives a machine nothing more, or work again. Raises NotFound where it is not here."""
    machine = engine.machines.get(name) if engine else None
    if engine is None or machine is None:
        raise NotFound(f"no machine {name} is at work")
    engine.drain(name, draining)
    return _view(name, machine, None)


def refuse_present(engine: ClusterEngine | None, name: str) -> None:
    """Raises Conflict while a machine is here: it is not to be forgotten then."""
    if engine and (machine := engine.machines.get(name)):
        state = _view(name, machine, None).state
        raise Conflict(
            f"{name} is {state}: end `ffspool worker` there first, or send it away by `ffspool cluster revoke {name}`",
            state,
        )


def _view(name: str, machine: Machine | None, why: str | None) -> MachineView:
    if machine is None:
        return MachineView(
            name=name, state=MachineState.AWAY, slots=None, slots_used=0, cores=None, free_bytes=None, sandbox=None,
            since=None, why=why,
        )  # fmt: skip
    hello = machine.hello
    return MachineView(
        name=name,
        state=MachineState.DRAINING if machine.draining else MachineState.WORKING,
        slots=hello.slots,
        slots_used=len(machine.tasks),
        cores=hello.cores,
        free_bytes=hello.free_bytes,
        sandbox=hello.sandbox.by if hello.sandbox.active else "none",
        since=when(machine.since),
        why=None,
    )
