"""Contestants in turn, round by round, on a machine whose speed changes from one minute to the next."""

from __future__ import annotations

import statistics
from collections.abc import Iterable


def turned(contestants: Iterable[str], turn: int) -> list[str]:
    """All of them, another one first each time: what one leaves behind, such as bytes still to be written, costs the
    next."""
    order = list(contestants)
    first = turn % len(order)
    return order[first:] + order[:first]


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> float:
    """The median of what is ours to what is theirs within each round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
