"""Knows who is alive: every child by the variations it works for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from daemon.process.child import Child


class Registry:
    """Holds every live child by the variations it works for: what may be stopped, and whether any is left."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}

    def add(self, child: Child, variations: Iterable[str]) -> None:
        """Holds the child until it is reaped."""
        names = list(variations)
        self._children.update(dict.fromkeys(names, child))
        child.exited.add_done_callback(lambda _: self._forget(child, names))

    def _forget(self, child: Child, variations: list[str]) -> None:
        for variation in variations:
            if self._children.get(variation) is child:
                del self._children[variation]

    def get(self, variation: str) -> Child | None:
        return self._children.get(variation)

    @property
    def stuck(self) -> int:
        """Counts those that were killed and are kept by the kernel."""
        return sum(child.stuck for child in set(self._children.values()))

    def __len__(self) -> int:
        return len(set(self._children.values()))

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._children))
