"""Knows which places are left alone for a while: for one owner's deliveries, or for all once another's fail there too.

What one token names may be at fault, such as a host that dislikes its paths; others are not to wait for that.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from daemon.database.store import Transaction

Owner = str | None  # the name of a token; None: the daemon's own
WAITS = "where it goes to was away, or took nothing more, a moment ago: it is brought once that is asked again"


class Rests:
    """Keeps until when each place rests, and for whom."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, Owner], float] = {}
        self._for_all: dict[str, float] = {}

    def begin(self, place: str, owner: Owner, until: float) -> None:
        """Says that a delivery of the owner's found the place away."""
        others = [end for (one, whose), end in self._until.items() if one == place and whose != owner]
        self._until[place, owner] = until
        if others:
            self._for_all[place] = min(until, *others)

    def end(self, place: str, owner: Owner) -> None:
        """Says that a delivery of the owner's came there."""
        self._until.pop((place, owner), None)
        self._for_all.pop(place, None)

    def forget_past(self, now: float, latest: float) -> None:
        """Forgets what is over. What is to last beyond the `latest` moment saw the clock set back."""
        self._until = {whose: end for whose, end in self._until.items() if now < end <= latest}
        self._for_all = {place: end for place, end in self._for_all.items() if now < end <= latest}

    @property
    def ends(self) -> Iterator[float]:
        yield from self._until.values()
        yield from self._for_all.values()

    @property
    def of_owners(self) -> Iterator[tuple[str, Owner]]:
        """Yields each place that rests, with whose deliveries do."""
        yield from self._until

    @property
    def of_all(self) -> Iterator[str]:
        """Yields the places that rest for everybody."""
        yield from self._for_all

    def told(self) -> str:
        """Returns each place that rests with whose it is not to be asked with, and whether nobody's, as text."""
        resting = [(place, owner, place in self._for_all) for place, owner in self._until]
        return msgspec.json.encode(resting).decode()

    def tell(self, now: float, transaction: Transaction) -> None:
        """Says of what waits for such places that it does."""
        transaction.run("tell_of_rests", error=WAITS, now=now, resting=self.told())
