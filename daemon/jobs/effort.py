"""Tells how far a job is and how long it takes: its variations weighted by the seconds that they play."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.encode import progress
from daemon.encode.task import Progress
from daemon.models import Model
from daemon.states import ENDED, State

Running = Sequence[tuple[Progress, float | None]]  # of each that runs its latest report, and how long its source lasts


class Effort(Model, frozen=True):
    """An effort is one job's seconds of output; a source of unknown duration weighs as one second."""

    planned: float  # by all that did not fail
    done: float  # by what is completed
    left: float  # by what is queued or runs, however far that is
    running_unknown: bool  # the duration of something that runs is unknown
    left_unknown: bool  # the duration of something that is queued or runs is unknown


def job_progress(status: State, effort: Effort | None, running: Running) -> float | None:
    """Returns the percentage that all variations are through, weighted by their duration; None while that of any is
    unknown.
    """
    if effort is None or not effort.planned:
        return 100.0 if status == State.COMPLETED else 0.0
    if effort.running_unknown:
        return None
    return round(min(100.0, 100 * (effort.done + _made(running)) / effort.planned), 1)


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
