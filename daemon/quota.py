"""How much may be under way at once. Asked within the transaction that would add to it."""

from __future__ import annotations

from daemon.errors import LimitReached
from daemon.settings import Settings
from daemon.store import Transaction


class Quota:
    """For all clients together: a session has the rights of the token, and whoever has one can make more."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check_queue(self, transaction: Transaction, more: int) -> None:
        """Raises LimitReached when `more` variations would not fit into the queue."""
        queued, most = _count(transaction, "queued_variations"), self._settings.max_queued
        if queued + more > most:
            raise LimitReached(
                f"{queued} variations are queued, and {more} more are over the limit of {most}: wait for some to end"
            )

    def check_uploads(self, transaction: Transaction) -> None:
        """Raises LimitReached when there are as many resumable uploads as there may be."""
        most = self._settings.max_uploads
        if _count(transaction, "pending_uploads") >= most:
            raise LimitReached(f"there are {most} uploads that no job took, which is the limit: use or delete some")

    def check_bytes(self, transaction: Transaction, more: int) -> None:
        """Raises LimitReached when `more` bytes would be over what may be stored."""
        most = self._settings.max_stored_bytes
        if most is not None and (stored := _count(transaction, "stored_bytes")) + more > most:
            raise LimitReached(
                f"{stored} bytes are stored, and {more} more are over the limit of {most}: delete some jobs"
            )


def _count(transaction: Transaction, query: str) -> int:
    row = transaction.one(query)
    assert row is not None
    return int(row["count"])
