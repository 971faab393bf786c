"""Tells how far a job is and how long it takes.

How far it is, is told by what its variations are predicted to take; of a job of very many, and how long it takes, by
the seconds that they play.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from daemon.encode import progress
from daemon.encode.task import Progress
from daemon.models import Model
from daemon.states import ENDED, LIVE, State

Running = Sequence[tuple[Progress, float | None]]  # of each that runs its latest report, and how long its source lasts


class Weighed(Model, frozen=True):
    """A variation with the CPU seconds it weighs, and how long its source lasts (None: unknown).

    So much of a film is `in_hand` that it will go on with, in seconds.
    """

    id: str
    status: State
    work: float
    seconds: float | None
    in_hand: float = 0.0


class Effort(Model, frozen=True):
    """An effort is one job's seconds of output; a source of unknown duration weighs as one second."""

    planned: float  # by all that did not fail
    done: float  # by what is completed
    left: float  # by what is queued or runs, however far that is
    running_unknown: bool  # the duration of something that runs is unknown
    left_unknown: bool  # the duration of something that is queued or runs is unknown
    parts: tuple[Weighed, ...] = ()  # empty of a job that has too many to weigh each


ALMOST = 99.9  # per cent: the most of what has not ended
OUT = frozenset({State.FAILED, State.SKIPPED})  # nothing is to come of them: they hold no others below 100
Reported = Callable[[str], Progress | None]


def job_progress(
    status: State, effort: Effort | None, running: Running, reported: Reported = lambda _: None
) -> float | None:
    """Returns the percentage that all variations are through, weighted by what they take; None while the duration of
    any that runs is unknown. `reported` tells the latest of a running variation.
    """
    if effort is None or not effort.planned:
        return 100.0 if status == State.COMPLETED else 0.0
    if effort.running_unknown:
        return None
    if effort.parts:
        percent = weighed([(part.work, _share(part, reported)) for part in effort.parts if part.status not in OUT])
    else:
        percent = 100 * (effort.done + _made(running)) / effort.planned
    return round(min(percent, 100.0 if status in ENDED else ALMOST), 1)


def weighed(parts: Iterable[tuple[float, float]]) -> float:
    """Returns the percentage that parts of that weight are through together, each of which is so far (0 to 1)."""
    weight = done = 0.0
    for work, share in parts:
        weight += work
        done += work * share
    return 100 * done / weight if weight else 0.0


def _share(part: Weighed, reported: Reported) -> float:
    if part.status not in LIVE:
        return float(part.status == State.COMPLETED)
    report = reported(part.id) if part.status == State.PROCESSING else None
    return (progress.percent(report.seconds if report else part.in_hand, part.seconds) or 0.0) / 100


def job_eta(status: State, effort: Effort | None, running: Running, parts: Iterable[float | None]) -> float | None:
    """Returns the seconds left at the present speed of all that runs, and no fewer than any part has; None: nobody can
    tell yet.
    """
    if status in ENDED:
        return 0.0
    speed = sum(report.speed or 0.0 for report, _ in running)
    if effort is None or effort.left_unknown or not speed:
        return None
    each = (progress.eta(report.seconds, duration, report.speed) for report, duration in running)
    return max(round(max(0.0, effort.left - _made(running)) / speed, 1), *filter(None, (*parts, *each)), 0.0)


def _made(running: Running) -> float:
    """Seconds of output that running variations have made so far."""
    return sum(min(report.seconds, duration) for report, duration in running if duration)
