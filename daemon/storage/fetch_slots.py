"""Shares slots of fetches between owners, as those of encodes are: who had least gets the next.

An encode ends by itself, and a fetch when its host pleases. So one that has more than its share gives way, while others
of no lower priority wait; it goes on later from where it was. So does one that is slow, once it had a turn of some
minutes: else a few hosts that send a little now and then would keep all others waiting, whoever named them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from daemon.database.store import Row
from daemon.scheduling.turns import Owner, Turns
from daemon.storage.trip import Trip

SLOW = 32 * 1024  # bytes per second: one that is slower leaves its slot to what waits, after a turn of its own
TURN_ANEW = 40 * 60.0  # seconds of such a turn, of what would begin anew then


class Held(NamedTuple):
    """Is an attempt in a slot."""

    trip: Trip
    job: int
    owner: Owner
    priority: int
    began: float


class Leaving(NamedTuple):
    """Names a source whose attempt is to end for another; where it is to `queue_anew`, behind all that waits now."""

    source: str
    queue_anew: bool = False


class FetchSlots:
    """Keeps what is under way, by source, at most `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[str, Held] = {}
        self._turns = Turns()

    @property
    def are_taken(self) -> bool:
        return len(self._held) >= self._most

    @property
    def trips(self) -> dict[str, Trip]:
        """Returns the attempts under way by source."""
        return {source: held.trip for source, held in self._held.items()}

    def __iter__(self) -> Iterator[tuple[str, Held]]:
        return iter(self._held.items())

    def take(self, due: Row, trip: Trip) -> None:
        held = Held(trip, due["job_seq"], due["owner"], due["priority"], time.monotonic())
        self._held[due["id"]] = held

    def leave(self, source: str) -> None:
        held = self._held.pop(source)
        self._turns.took(held.owner, time.monotonic() - held.began)

    def told(self) -> Mapping[str, str]:
        """Returns what the queue is asked with: what is under way, whose that is, and who had more than others."""
        return {
            "busy": _json(self._held),
            "jobs": _json(held.job for held in self._held.values()),
            "owners": _json(held.owner for held in self._held.values()),
            "turns": _json(self._turns.ahead()),
        }

    def give_way(self, waiting: Row) -> Leaving | None:
        """Returns whose attempt is to end for that which waits: the slowest of who has most, or else one that is slow.

        None: none is.
        """
        if any(held.trip.stopped for held in self._held.values()):
            return None  # a slot is about to be free
        return self._of_most(waiting) or self._of_slow(waiting)

    def _of_most(self, waiting: Row) -> Leaving | None:
        counts = Counter(held.owner for held in self._held.values())
        share = max(1, self._most // len({*counts, waiting["owner"]}))
        if counts[waiting["owner"]] >= share:
            return None
        greedy = [
            (counts[held.owner], -(held.trip.speed or 0.0), source)
            for source, held in self._held.items()
            if counts[held.owner] > share and held.priority <= waiting["priority"]
        ]
        return Leaving(max(greedy)[2]) if greedy else None

    def _of_slow(self, waiting: Row) -> Leaving | None:
        slow = [
            (speed, source)
            for source, held in self._held.items()
            if (speed := held.trip.speed_at_length) is not None and speed < SLOW and self._is_after(held, waiting)
        ]
        return Leaving(min(slow)[1], queue_anew=True) if slow else None

    def _is_after(self, held: Held, waiting: Row) -> bool:
        """Whether the other would be begun before it, if both waited, and it loses little."""
        is_others = held.owner != waiting["owner"]
        if not (held.trip.resumable or (is_others and time.monotonic() - held.began >= TURN_ANEW)):
            return False
        if held.priority != waiting["priority"]:
            return bool(held.priority < waiting["priority"])
        if is_others:
            counts = Counter(one.owner for one in self._held.values())
            return counts[waiting["owner"]] < counts[held.owner]
        jobs = Counter(one.job for one in self._held.values())
        return waiting["job_seq"] == held.job or jobs[waiting["job_seq"]] < jobs[held.job]


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()
