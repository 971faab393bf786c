"""A small model of the contract: the worlds a job may be in, given what was asked of it and answered.

Encodes end when they like, so the model holds a set of worlds. A verb maps each world to its legal answer and to
the world after it; the answer given strikes out the worlds that do not fit. It knows nothing of ffspool's code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

MAX_CRASHES = 10  # of the daemon while a variation is encoded, until a user retries it

LIVE = {"queued", "processing"}
OUTCOMES = {"quick": {"completed"}, "slow": set[str](), "broken": {"failed"}}
ARROWS = {
    "queued": {"processing", "cancelled", "failed", "skipped"},
    "processing": {"completed", "failed", "cancelled", "queued"},
    "failed": {"queued"},
    "cancelled": {"queued"},
    "completed": set[str](),
}


@dataclass(frozen=True)
class World:
    states: tuple[str, ...]
    paused: bool = False


@dataclass(frozen=True)
class Answer:
    """What a verb may answer: the HTTP status; of a 200 what changed, of a 409 the state that forbids it.

    `status` None: any that the job may have come to meanwhile.
    """

    code: int
    changed: bool | None = None
    status: str | None = None


Verb = Callable[[World], tuple[Answer, World]]


def derived(states: Iterable[str]) -> str:
    found = set(states)
    if "processing" in found or ("queued" in found and found != {"queued"}):
        return "processing"
    if "queued" in found:
        return "queued"
    return "cancelled" if "cancelled" in found else "completed" if "completed" in found else "failed"


def ending(result: str, scope: Sequence[int]) -> Verb:
    """Cancel or force-fail of those variations: what is left of them gets the result."""

    def verb(world: World) -> tuple[Answer, World]:
        states = {world.states[place] for place in scope}
        status = derived(states)
        if status not in LIVE and result not in states:
            return Answer(409, status=status), world
        after = ended(world, result, scope)
        return Answer(200, status in LIVE, derived(after.states[place] for place in scope)), after

    return verb


def ended(world: World, result: str, scope: Iterable[int]) -> World:
    places = set(scope)
    states = (result if n in places and s in LIVE else s for n, s in enumerate(world.states))
    return replace(world, states=tuple(states))


def retry(world: World) -> tuple[Answer, World]:
    if set(world.states) == {"completed"}:
        return Answer(409, status="completed"), world
    states = tuple("queued" if state in {"failed", "cancelled"} else state for state in world.states)
    return Answer(200, states != world.states), replace(world, states=states)


def pause(world: World) -> tuple[Answer, World]:
    status = derived(world.states)
    if status not in LIVE:
        return Answer(409, status=status), world
    return Answer(200, not world.paused), replace(world, paused=True)


def resume(world: World) -> tuple[Answer, World]:
    return Answer(200, world.paused), replace(world, paused=False)


@dataclass
class Job:
    """One job: its variations' ids and kinds, the worlds it may be in, and what events have told so far."""

    id: str
    kinds: tuple[str, ...]
    variations: tuple[str, ...]
    sources: tuple[str, ...]  # of each variation
    worlds: set[World]
    crashes: list[int] = field(default_factory=list)  # of the daemon, possibly while it was encoded
    told: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.crashes = [0] * len(self.kinds)
        self.told = dict.fromkeys(self.variations, "queued")

    @property
    def world(self) -> World:
        """The only one it may be in: it was just looked at."""
        [world] = self.worlds
        return world

    def drift(self, queue: str) -> None:
        """Time passes: what may start may have started, what runs may have ended."""
        self.worlds = {later for world in self.worlds for later in self._later(world, queue)}

    def _later(self, world: World, queue: str) -> Iterator[World]:
        may_start = queue == "running" and not world.paused
        choices = [_futures(state, kind, may_start) for state, kind in zip(world.states, self.kinds, strict=True)]
        for states in itertools.product(*choices):
            yield replace(world, states=states)

    def ask(self, verb: Verb, queue: str, code: int, body: dict[str, Any]) -> None:
        """Strikes out the worlds that would not have been answered so. At least one must be left."""
        self.drift(queue)
        given = (code, body.get("changed") if code == 200 else None, body.get("status" if code == 200 else "state"))
        answers = [verb(world) for world in self.worlds]
        fitting = {
            after for answer, after in answers
            if (answer.code, answer.changed) == given[:2] and answer.status in {None, given[2]}
        }  # fmt: skip
        assert fitting, f"{self.id} answered {given}; legal were {sorted({str(answer) for answer, _ in answers})}"
        self.worlds = fitting

    def see(self, view: dict[str, Any], queue: str) -> None:
        """Takes the job as it is shown, which must be one of the worlds it may be in."""
        self.drift(queue)
        shown = {v["id"]: v["status"] for source in view["sources"] for v in source["variations"]}
        world = World(tuple(shown[variation] for variation in self.variations), view["paused"])
        errors = [v["error"] for source in view["sources"] for v in source["variations"]]
        assert world in self.worlds, (
            f"{self.id} is {world} ({errors}), which nothing led to from {sorted(map(str, self.worlds))}"
        )
        assert view["status"] == derived(world.states)
        for state in ("completed", "failed", "cancelled", "skipped"):
            assert view[f"{state}_variations"] == world.states.count(state)
        assert view["total_variations"] == len(world.states)
        assert (view["finished_at"] is None) == (view["status"] in LIVE)
        assert view["progress"] is None or 0 <= view["progress"] <= 100
        self.worlds = {world}

    def crash(self, *, killed: bool) -> None:
        """The daemon went and came back: what ran is queued, or failed if it may have killed the daemon often."""
        self.crashes = [
            count + (killed and any(world.states[n] == "processing" for world in self.worlds))
            for n, count in enumerate(self.crashes)
        ]
        self.worlds = {later for world in self.worlds for later in self._after_crash(world)}

    def _after_crash(self, world: World) -> Iterator[World]:
        choices = [
            ({"queued", "failed"} if crashes >= MAX_CRASHES else {"queued"}) if state == "processing" else {state}
            for state, crashes in zip(world.states, self.crashes, strict=True)
        ]
        for states in itertools.product(*choices):
            yield replace(world, states=states)

    def hear(self, variation: str, status: str) -> None:
        """An event: the next state of a variation must lie one arrow further."""
        assert status in ARROWS[self.told[variation]], f"{variation}: {self.told[variation]} → {status} was told"
        self.told[variation] = status


def _futures(state: str, kind: str, may_start: bool) -> set[str]:
    outcomes = OUTCOMES[kind]
    if state == "queued":
        refused = outcomes & {"failed"}  # sources are read ahead, and one is found broken whether or not it may start
        return {"queued", "processing", *outcomes} if may_start else {"queued", *refused}
    # What was about to begin when a pause came goes back to the queue; what was being published is published.
    return {"processing", "queued", *outcomes} if state == "processing" else {state}
