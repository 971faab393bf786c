"""Counts in words what became of a job: what came of it first, whatever its state is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from daemon.states import ENDED, Outcome, State


class Counted(Protocol):
    """Is a job as any view shows it."""

    @property
    def status(self) -> State: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def total_variations(self) -> int: ...
    @property
    def completed_variations(self) -> int: ...


def tally(job: Counted) -> str:
    """Returns `11 of 12 completed, 1 cancelled`."""
    return f"{job.completed_variations} of {job.total_variations} completed{rest(job)}"


OTHERS = (State.FAILED, State.CANCELLED, State.SKIPPED)


def rest(job: Counted, ends: Sequence[State] = OTHERS) -> str:
    """Returns what ended otherwise, such as `, 2 failed, 1 cancelled`; empty where nothing did."""
    counts = {what: getattr(job, f"{what}_variations") for what in ends}
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def is_mixed(job: Counted) -> bool:
    """Tells whether some of an ended job came out and some not, so that its state alone says too little."""
    return job.status in ENDED and job.outcome == Outcome.SOME


def over(counts: Mapping[State, int]) -> str:
    """Returns `completed already` of ended variations, counted by state, that ended alike; of others `over already: 11
    of 12 completed, 1 failed`."""
    ends = [state for state in State if counts.get(state)]
    if len(ends) == 1:
        return f"{ends[0]} already"
    others = "".join(f", {counts[what]} {what}" for what in ends if what != State.COMPLETED)
    return f"over already: {counts.get(State.COMPLETED, 0)} of {sum(counts.values())} completed{others}"


def how_it_ended(job: Counted) -> str:
    """Returns `is completed: 12 of 12 completed`; where only some came out, `has ended: 11 of 12 completed, …`."""
    return f"{'has ended' if is_mixed(job) else f'is {job.status}'}: {tally(job)}"
