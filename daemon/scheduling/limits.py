"""Limits how much may be under way and stored at once. It is asked within the transaction that would add to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from daemon.callers import OURSELVES, Caller
from daemon.database.store import Store, Transaction
from daemon.errors import LimitReached, OutOfSpace
from daemon.models import new_id
from daemon.plaintext import so_many
from daemon.scheduling.space import Space, told
from daemon.settings import Settings


class Quota:
    """Counts for all clients together, and for each whose token has limits of its own: those come first. Who sees no
    jobs but its own is not told how much there is of all.

    Stored are sources, outputs and the database, resumable uploads as they were announced, what is encoded of films
    that wait to be gone on with, and what `space` is held for: what an encode is expected to make, and the files of a
    form on their way in.
    """

    def __init__(self, settings: Settings, space: Space) -> None:
        self._settings = settings
        self._space = space

    def check_queue(self, transaction: Transaction, more: int, caller: Caller = OURSELVES) -> None:
        """Raises LimitReached when `more` variations would not fit into the queue."""
        own = caller.limits.max_queued
        if own is not None and (mine := _count(transaction, "queued_variations_of_owner", caller.name)) + more > own:
            raise LimitReached(
                f"{so_many(mine, 'variation')} of this token {_wait(mine)}, and {_more(more)} over its limit of {own}: "
                "let some end first"
            )
        queued, most = _count(transaction, "queued_variations"), self._settings.max_queued
        if queued + more > most:
            if caller.sees is not None:
                raise LimitReached(
                    f"the daemon's queue has no room for {so_many(more, 'variation')} more: try again later"
                )
            raise LimitReached(
                f"{so_many(queued, 'variation')} {_wait(queued)}, and {_more(more)} over the limit of {most}: "
                "let some end first"
            )

    def check_uploads(self, transaction: Transaction) -> None:
        """Raises LimitReached when there are as many resumable uploads as there may be."""
        most = self._settings.max_uploads
        if _count(transaction, "pending_uploads") >= most:
            raise LimitReached(f"there are {most} uploads that no job took, which is the limit: use or delete some")

    def check_bytes(
        self, transaction: Transaction, more: int, caller: Caller = OURSELVES, *, foreseen: int = 0
    ) -> None:
        """Raises LimitReached when `more` bytes would be over what may be stored.

        Towards the caller's own limit those `foreseen` of outputs count, too.
        """
        own, left = caller.limits.max_stored_bytes, self.own_left(transaction, caller)
        if own is not None and left is not None and more + foreseen > left:
            of_outputs = f", {foreseen} of them foreseen for outputs," if foreseen else ""
            raise LimitReached(
                f"{own - left} bytes of this token are stored or on their way, and {more + foreseen} more{of_outputs} "
                f"are over its limit of {own} (max_stored_bytes): delete some jobs"
            )
        left, most = self.left(transaction), self._settings.max_stored_bytes
        if left is not None and most is not None and more > left:
            if caller.sees is not None:
                raise LimitReached(f"the daemon stores as much as it may, and {more} bytes more are too many now")
            raise LimitReached(
                f"{most - left} bytes are stored or on their way, and {more} more are over the limit of {most}: "
                f"delete some jobs"
            )

    def check_disk(self, more: int) -> None:
        """Raises OutOfSpace when `more` bytes do not fit on the disk beside the reserve and what is on its way."""
        if more > (available := self._space.available()):
            raise OutOfSpace(
                f"{told(more)} do not fit on the daemon's disk, where {told(max(0, available))} are free beside "
                f"the reserve and what is on its way"
            )

    @property
    def bounded(self) -> bool:
        """Tells whether there is a limit of what is stored, besides the disk."""
        return self._settings.max_stored_bytes is not None

    def left(self, transaction: Transaction) -> int | None:
        """Returns the bytes that may be stored besides; below 0 when more is than may be.

        None: as many as the disk holds.
        """
        most = self._settings.max_stored_bytes
        return None if most is None else most - _count(transaction, "stored_bytes") - self._space.promised

    def own_left(self, transaction: Transaction, caller: Caller) -> int | None:
        """Returns the bytes that the caller's own limit leaves; below 0 when more is stored. None: it has none."""
        own = caller.limits.max_stored_bytes
        if own is None:
            return None
        mine = _count(transaction, "stored_bytes_of_owner", caller.name)
        return own - mine - self._space.promised_to(caller.name)

    @contextmanager
    def arriving(self, size: int, arrived: Callable[[], int]) -> Iterator[None]:
        """Has others leave the disk, while it lasts, to bytes on their way in that count as stored already."""
        key = new_id()
        self._space.reserve(key, size, arrived, stored=True)
        try:
            yield
        finally:
            self._space.release(key)

    @contextmanager
    def reservation(self, store: Store, caller: Caller = OURSELVES) -> Iterator[Reservation]:
        """Keeps room for files on their way in, as long as the request that brings them."""
        reservation = Reservation(self, self._space, store, caller)
        try:
            yield reservation
        finally:
            reservation.release()


class Reservation:
    """A reservation is the bytes that are kept for one request's files: none, until `grow`."""

    def __init__(self, quota: Quota, space: Space, store: Store, caller: Caller) -> None:
        self._caller = caller
        self.bytes = 0
        self.arrived = 0
        self._quota = quota
        self._space = space
        self._store = store
        self._key = new_id()

    async def grow(self, size: int) -> None:
        """Keeps so many bytes in all. Raises LimitReached or OutOfSpace when there is no room for them."""
        if size > self.bytes:
            await self._store.write(partial(self._grow, size))  # among writes, so that no two take the same room

    def _grow(self, size: int, transaction: Transaction) -> None:
        self._quota.check_bytes(transaction, size - self.bytes, self._caller)
        self._quota.check_disk(size - self.bytes)
        self.bytes = size
        self._space.reserve(self._key, size, lambda: self.arrived, owner=self._caller.name)

    def release(self) -> None:
        """Gives back what is kept; a row tells of the files now, or nobody will."""
        self.bytes = 0
        self._space.release(self._key)


def _count(transaction: Transaction, query: str, owner: str | None = None) -> int:
    row = transaction.one(query, owner=owner)
    assert row is not None
    return int(row["count"])


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"


def _more(count: int) -> str:
    return f"{count} more {'is' if count == 1 else 'are'}"
