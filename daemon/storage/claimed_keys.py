"""Knows to which keys deliveries of this daemon are on their way, so that no two come to the same: stores let them."""

from __future__ import annotations

import threading


class ClaimedKeys:
    """Is shared by the threads that deliver. Keys are told by their whole URLs, or whatever stands for
    one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._deliveries: dict[str, str] = {}  # by the key that each is on its way to

    def claim(self, url: str, delivery: str) -> bool:
        """Returns whether the delivery has the key, and no other, to itself from now on."""
        with self._lock:
            self._forget(delivery)
            return self._deliveries.setdefault(url, delivery) == delivery

    def is_anothers(self, url: str, delivery: str) -> bool:
        """Tells whether another delivery is on its way there."""
        with self._lock:
            return self._deliveries.get(url, delivery) != delivery

    def let_go(self, delivery: str) -> None:
        """Says that a delivery is on its way nowhere."""
        with self._lock:
            self._forget(delivery)

    def _forget(self, delivery: str) -> None:
        self._deliveries = {url: one for url, one in self._deliveries.items() if one != delivery}
