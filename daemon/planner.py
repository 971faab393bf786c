"""How ready variations become processes: which share one decode, how many threads each gets, what goes first.

Pure. Sharing a decode saves CPU and fills the cores with few threads, but it makes early results late, and one
failure or cancel stops all who share; so it is bounded by the predicted time and by the size of the pictures.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from daemon.costs import Cost
from daemon.models import Model

MAX_OUTPUTS = 8  # of one process
MAX_MEGAPIXELS = 12.0  # of one frame of all its outputs: every encoder holds some tens of frames in memory


class Ready(Model, frozen=True):
    """A variation that may start. `alone`: it failed in company, and is tried by itself."""

    variation: str
    source: str
    cost: Cost
    megapixels: float = 0.0  # of one frame
    alone: bool = False


class Share(Model, frozen=True):
    """What one process is to do. Each of its encoders uses `threads`; the seconds are predicted."""

    variations: tuple[str, ...]
    threads: int
    cpu_seconds: float
    wall_seconds: float


class Start(Model, frozen=True):
    """When a share is predicted to begin, in seconds from the batch's."""

    at: float
    share: Share


def next_share(ready: Sequence[Ready], *, cores: int, slots: int, running: int, longest: float) -> Share:
    """The process to start next beside `running` others, of what is ready, which must not be nothing.

    The source with most to do goes first, so that little is left for the end; the last process to start gets
    every core, since its neighbours will leave it alone. `longest` bounds, in predicted seconds, a process that
    several variations share; one by itself may take as long as it takes.
    """
    sources = _by_source(ready)
    first = max(sources, key=_cpu_seconds)
    cores_for_each = max(1, cores // min(slots, running + len(sources)))
    chosen = _together(first, longest * cores_for_each)
    rivals = -(-(len(ready) - len(chosen)) // len(chosen))  # processes like this one that are still to come
    own_cores = max(1, cores // min(slots, running + 1 + rivals)) if rivals else cores
    return Share(
        variations=tuple(one.variation for one in chosen),
        threads=max(1, own_cores // len(chosen)),
        cpu_seconds=_cpu_seconds(chosen),
        wall_seconds=_cpu_seconds(chosen) / own_cores,
    )


def plan(ready: Iterable[Ready], *, cores: int, slots: int, longest: float) -> Iterator[Start]:
    """The whole batch in the order it would start, with nothing else beside it."""
    left = {one.variation: one for one in ready}
    ends: list[float] = []
    now = 0.0
    while left:
        if len(ends) == slots:
            now = heapq.heappop(ends)
        share = next_share(list(left.values()), cores=cores, slots=slots, running=len(ends), longest=longest)
        heapq.heappush(ends, now + share.wall_seconds)
        yield Start(at=now, share=share)
        for variation in share.variations:
            del left[variation]


def _by_source(ready: Iterable[Ready]) -> list[list[Ready]]:
    by_source = attrgetter("source")
    return [list(group) for _, group in groupby(sorted(ready, key=by_source), by_source)]


def _together(ready: Sequence[Ready], most_cpu_seconds: float) -> list[Ready]:
    """The first, and those after it that may share its process."""
    chosen = [ready[0]]
    for other in ready[1:]:
        if not ready[0].alone and not other.alone and _fits([*chosen, other], most_cpu_seconds):
            chosen.append(other)
    return chosen


def _fits(sharing: Sequence[Ready], most_cpu_seconds: float) -> bool:
    return (
        len(sharing) <= MAX_OUTPUTS
        and sum(one.megapixels for one in sharing) <= MAX_MEGAPIXELS
        and _cpu_seconds(sharing) <= most_cpu_seconds
    )


def _cpu_seconds(sharing: Sequence[Ready]) -> float:
    return max(one.cost.decode for one in sharing) + sum(one.cost.encode for one in sharing)
