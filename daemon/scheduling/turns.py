"""Has owners take turns: of those with work of the same rank, each gets as much of the slots as any other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

Owner = str | None  # the name of a token; None: the daemon's own


class Turns:
    """Keeps until when, in predicted seconds of work, each owner has had its turns.

    All have had them until now at least: who asked for nothing for a while has no claim to what others used meanwhile.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._ends: dict[Owner, float] = {}

    def in_order(self, ready: Sequence[Any]) -> list[Owner]:
        """Lists the owners of what is `ready`, which is the first of each, by rank.

        Within one rank who had least comes first.
        """
        ranks = groupby(ready, key=itemgetter("priority"))
        return [owner for _, rows in ranks for owner in self._by_turn(row["owner"] for row in rows)]

    def took(self, owner: Owner, seconds: float) -> None:
        """Counts work that the owner was given."""
        self._now = self._begins(owner)
        self._ends = {one: end for one, end in self._ends.items() if end > self._now}
        self._ends[owner] = self._now + seconds

    def ahead(self) -> list[tuple[Owner, float]]:
        """Returns who had more than others, and how much."""
        return [(owner, end - self._now) for owner, end in self._ends.items() if end > self._now]

    def _by_turn(self, owners: Iterable[Owner]) -> list[Owner]:
        return sorted(owners, key=self._begins)  # where it is the same, who was first stays first

    def _begins(self, owner: Owner) -> float:
        return max(self._now, self._ends.get(owner, 0.0))
