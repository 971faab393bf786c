"""Decides who may hold a connection when not all can: clients with a token come before anonymous ones."""

from __future__ import annotations

from typing import Protocol

from daemon.errors import Crowded


class Holder(Protocol):
    def give_way(self) -> None:
        """Ends at once, in favour of somebody else."""


class Places:
    """Counts `most` connections. Whoever comes is anonymous, until one of its requests is known by its token.

    Anonymous clients hold half of the places at most: the one that came first gives way to one that comes. So whoever
    takes them all and keeps them still lets everybody in who asks at once. Known clients leave an eighth of the places,
    so that an anonymous question for the daemon's health is answered however many of them there are.

    Addresses are not counted: behind a proxy everybody has the same.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_anonymous = max(1, most // 2)
        self._most_known = max(1, most - max(1, most // 8))
        self._anonymous: dict[Holder, None] = {}  # in the order they came
        self._known: set[Holder] = set()

    def enter(self, holder: Holder) -> None:
        """Gives a place to a client nobody knows. Raises Crowded when known clients hold all there are."""
        full = len(self._anonymous) + len(self._known) >= self._most
        if self._anonymous and (full or len(self._anonymous) >= self._most_anonymous):
            first = next(iter(self._anonymous))
            del self._anonymous[first]
            first.give_way()
        elif full:
            raise Crowded
        self._anonymous[holder] = None

    def leave(self, holder: Holder) -> None:
        self._anonymous.pop(holder, None)
        self._known.discard(holder)

    def meet(self, holder: Holder, known: bool) -> None:
        """Says of a holder whether its request is one of a client we know: a proxy's connection serves both kinds.

        Raises Crowded when as many are known as there may be.
        """
        if known and holder in self._anonymous:
            if len(self._known) >= self._most_known:
                raise Crowded
            del self._anonymous[holder]
            self._known.add(holder)
        elif not known and holder in self._known:
            self._known.remove(holder)
            self._anonymous[holder] = None
