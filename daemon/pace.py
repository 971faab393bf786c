"""Keeps looks at a long queue from taking up the database: after each is a rest, in proportion to what it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RESTS = 9  # times as long as a look took there is none that only a commit asks for
MOST = 2.0  # seconds of such a rest


class Pace:
    """Says how long to rest. Whoever knows that there is something to be found says so by `wake`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0

    @property
    def left(self) -> float:
        """Returns the seconds until a look is due again."""
        return max(0.0, self._until - self._clock())

    def wake(self) -> None:
        """Ends the rest."""
        self._until = 0.0

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Measures a look. One that was woken meanwhile is followed by another at once."""
        began = self._clock()
        self._until = until = began
        yield
        if self._until == until:
            ended = self._clock()
            self._until = ended + min(MOST, RESTS * (ended - began))
