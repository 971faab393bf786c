"""Says how large a file on its way in may become, by whose it is."""

from __future__ import annotations

from typing import NamedTuple

from daemon.errors import Unfetched


class Bounds(NamedTuple):
    """Says how large a file may become: by the limit of its token, whatever else that stores, and by what is left."""

    shown: str
    limit: int | None = None
    most: int | None = None

    def refuse_above(self, size: int) -> None:
        """Raises Unfetched."""
        if self.limit is None or size <= (self.limit if self.most is None else self.most):
            return
        raise Unfetched(
            f"{self.shown} holds more than this token may store, of which the limit is {self.limit} bytes "
            f"(max_stored_bytes): delete some jobs and retry, or ask for a higher limit",
            final=True,
        )
