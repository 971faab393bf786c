"""Makes processes of ready variations: which share one decode, how many threads each gets, what goes first.

Sharing a decode saves CPU and fills the cores with few threads, but it makes early results late, and one failure or
cancel stops all who share; so it is bounded by the predicted time and by the size of the pictures. The module is pure.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from daemon.models import Model
from daemon.scheduling.costs import Cost

MAX_OUTPUTS = 8  # of one process
HEADROOM = 0.2  # of a thread: all wait for the encoder that is never done, so the busiest gets one more
MAX_MEGAPIXELS = 12.0  # of one frame of all its outputs: every encoder holds some tens of frames in memory


class Ready(Model, frozen=True):
    """Holds a variation that may start. `alone`: it failed in company, or takes several passes, and runs by itself."""

    variation: str
    source: str
    cost: Cost
    megapixels: float = 0.0  # of one frame
    bytes: int = 0  # of disk that it may come to
    alone: bool = False


class Share(Model, frozen=True):
    """A share is what one process is to do; the seconds are predicted.

    `costs` are the CPU seconds of each variation, with its part of the decoding that all share; `threads` are its
    encoder's.
    """

    costs: dict[str, float]
    threads: dict[str, int]
    wall_seconds: float

    @property
    def variations(self) -> tuple[str, ...]:
        return tuple(self.costs)

    @property
    def cpu_seconds(self) -> float:
        return sum(self.costs.values())


class Start(Model, frozen=True):
    """Tells when a share is predicted to begin, in seconds from the batch's."""

    at: float
    share: Share


def next_share(
    ready: Sequence[Ready], *, cores: int, slots: int, running: int, longest: float, most_bytes: float = math.inf
) -> Share:
    """Returns the process to start next beside `running` others, of what is ready, which must not be nothing.

    Where processes run side by side, the source with most to do goes first, so that little is left for the end;
    the last process to start gets every core, since its neighbours will leave it alone. `longest` bounds, in
    predicted seconds, a process that several variations share, and `most_bytes` the bytes they may come to; one by
    itself may take what it takes.
    """
    sources = _by_source(ready)
    first = max(sources, key=_cpu_seconds) if slots > 1 else sources[0]
    cores_for_each = max(1, cores // min(slots, running + len(sources)))
    chosen = _together(first, longest * cores_for_each, most_bytes)
    rivals = -(-(len(ready) - len(chosen)) // len(chosen))  # processes like this one that are still to come
    own_cores = max(1, cores // min(slots, running + 1 + rivals)) if rivals else cores
    decode = max(one.cost.decode for one in chosen) / len(chosen)
    costs = {one.variation: one.cost.encode + decode for one in chosen}
    return Share(costs=costs, threads=_threads(costs, own_cores), wall_seconds=_cpu_seconds(chosen) / own_cores)


def _threads(costs: Mapping[str, float], cores: int) -> dict[str, int]:
    """Gives an encoder what its part of the work keeps busy: the one with most to do would else run on by itself."""
    whole = sum(costs.values()) or math.inf
    parts = {variation: cores * cost / whole for variation, cost in costs.items()}
    if len(parts) == 1:
        return dict.fromkeys(parts, cores)
    return {variation: min(cores, math.ceil(part + HEADROOM)) for variation, part in parts.items()}


def simulate(ready: Iterable[Ready], *, cores: int, slots: int, longest: float) -> Iterator[Start]:
    """Yields the whole batch in the order it would start, with nothing else beside it."""
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
    groups: dict[str, list[Ready]] = defaultdict(list)
    for one in ready:
        groups[one.source].append(one)
    return list(groups.values())


def _together(ready: Sequence[Ready], most_cpu_seconds: float, most_bytes: float) -> list[Ready]:
    """The first, and those after it that may share its process."""
    chosen = [ready[0]]
    for other in ready[1:]:
        if not ready[0].alone and not other.alone and _fits([*chosen, other], most_cpu_seconds, most_bytes):
            chosen.append(other)
    return chosen


def _fits(sharing: Sequence[Ready], most_cpu_seconds: float, most_bytes: float) -> bool:
    return (
        len(sharing) <= MAX_OUTPUTS
        and sum(one.megapixels for one in sharing) <= MAX_MEGAPIXELS
        and sum(one.bytes for one in sharing) <= most_bytes
        and _cpu_seconds(sharing) <= most_cpu_seconds
    )


def _cpu_seconds(sharing: Sequence[Ready]) -> float:
    return max(one.cost.decode for one in sharing) + sum(one.cost.encode for one in sharing)
