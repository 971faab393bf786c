"""Shares out the deliveries that go on at once: at each place, and of those that go to hosts which jobs name.

A delivery ends when its place pleases, and cannot be asked to give way. So an owner takes no more than it leaves free:
however many it has, and however long they hang, another's can begin.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from daemon.database.store import Row
from daemon.delivery.place import WEB
from daemon.delivery.rests import Owner, Rests

AT_PLACE = 4  # at once, two of them one owner's: so many hang with a place that hangs, and keep nobody else waiting
ABROAD = 64  # at once to hosts that jobs name, 32 of them one owner's: so few threads and lines hang with those


class Trip:
    """One attempt under way."""

    def __init__(self, place: str, owner: Owner) -> None:
        self.place = place
        self.owner = owner
        self.is_abroad = place.partition(":")[0] in WEB
        self.unwanted = threading.Event()


class Slots:
    """Keeps what is under way, by delivery."""

    def __init__(self) -> None:
        self.trips: dict[str, Trip] = {}
        self._had = defaultdict[str, set[Owner]](set)  # who had a turn at a place in which something is under way

    def take(self, due: Row) -> Trip:
        """Begins an attempt at what is due."""
        trip = self.trips[due["id"]] = Trip(due["place"], due["owner"])
        if trip.owner in (had := self._had[trip.place]):
            had.clear()  # all others that wait had theirs
        had.add(trip.owner)
        return trip

    def leave(self, delivery: str) -> None:
        """Ends it."""
        place = self.trips.pop(delivery).place
        if place not in {trip.place for trip in self.trips.values()}:
            del self._had[place]

    def told(self, rests: Rests) -> Iterator[dict[str, str | int]]:
        """Yields what is not begun now, as statements take it: first without whose turn it is not, then with those."""
        free = {place: AT_PLACE - count for place, count in Counter(trip.place for trip in self.trips.values()).items()}
        here = Counter((trip.place, trip.owner) for trip in self.trips.values())
        abroad = Counter(trip.owner for trip in self.trips.values() if trip.is_abroad)
        left = ABROAD - abroad.total()
        told: dict[str, str | int] = {
            "busy": _json(list(self.trips)),
            "places": _json([*(place for place, count in free.items() if count <= 0), *rests.of_all]),
            "abroad": int(left > 0),
            "stay": _json([owner or "" for owner, count in abroad.items() if count >= left]),
        }
        pairs = [*(pair for pair, count in here.items() if count >= free[pair[0]]), *rests.of_owners]
        if had := [(place, owner) for place, count in free.items() if count == 1 for owner in self._had[place]]:
            yield {**told, "pairs": _pairs([*pairs, *had])}
        yield {**told, "pairs": _pairs(pairs)}


def _pairs(pairs: list[tuple[str, Owner]]) -> str:
    return _json([f"{place} {owner or ''}" for place, owner in pairs])


def _json(values: list[str]) -> str:
    return msgspec.json.encode(values).decode()
