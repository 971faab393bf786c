"""Heeds `Idempotency-Key`: a request sent twice is done once, and both times gets the first answer.

A key is bound in the transaction that does what was asked, so there is never one without the other. That
a request is in flight is known in memory alone: when the daemon dies, so does the request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from daemon.database.store import Row, Store, Transaction
from daemon.errors import IdempotencyInFlight, IdempotencyMismatch, InvalidRequest
from daemon.models import Model

KEPT = 24 * 3600.0  # seconds after which a key is forgotten
MAX_LENGTH = 255


class Answer(Model, frozen=True):
    status: int
    location: str
    body: bytes


class IdempotencyKeys:
    """Knows the keys that were used, and those in use this moment."""

    def __init__(self, store: Store, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._in_flight: set[str] = set()

    @contextmanager
    def use(self, key: str | None, owner: str | None = None) -> Iterator[UsedKey]:
        """Keeps other requests of that owner with this key away until it is left. Without a key nothing is kept.

        Raises InvalidRequest for what is no key, IdempotencyInFlight when another request has it.
        """
        if key is None:
            yield UsedKey(self._store, None, self._now)
            return
        if not 1 <= len(key) <= MAX_LENGTH:
            raise InvalidRequest(f"an Idempotency-Key has 1 to {MAX_LENGTH} characters, not {len(key)}")
        if owner is not None:
            key = f"{owner}\n{key}"  # which no header can say: it is nobody else's
        if key in self._in_flight:
            raise _in_flight()
        self._in_flight.add(key)
        try:
            yield UsedKey(self._store, key, self._now)
        finally:
            self._in_flight.remove(key)


class UsedKey:
    """Is the key of one request; with the value None it remembers nothing."""

    def __init__(self, store: Store, value: str | None, now: Callable[[], float]) -> None:
        self.value = value
        self._store = store
        self._now = now
        self._fingerprint = ""
        self._bound: Row | None = None

    async def is_bound(self) -> bool:
        """Tells whether a request with this key was answered already: then all that is left is to compare them."""
        self._bound = await self._store.read(partial(self._find, self.value)) if self.value else None
        return self._bound is not None

    async def first_answer(self, fingerprint: str) -> Answer | None:
        """Returns what the first request with this key was answered; None: this is the first, of that fingerprint.

        Raises IdempotencyMismatch when the first asked for something else.
        """
        self._fingerprint = fingerprint
        row = self._bound  # which may have become too old since
        if row is None and self.value:
            row = await self._store.read(partial(self._find, self.value))
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            raise IdempotencyMismatch("this Idempotency-Key was used for another request: take a new key for a new one")
        return Answer(status=row["status"], location=row["location"], body=row["body"])

    def keep(self, transaction: Transaction, answer: Answer) -> None:
        """Binds the key to the answer, in the transaction that makes the answer true.

        Raises IdempotencyInFlight when the key is bound by now: a request whose client gave up may still have been
        waiting to be committed.
        """
        if not self.value:
            return
        now = self._now()
        bound = {"status": answer.status, "location": answer.location, "body": answer.body}
        keys = {"key": self.value, "fingerprint": self._fingerprint, "now": now, "after": now - KEPT}
        if not transaction.run("bind_key", **keys, **bound):
            raise _in_flight()

    def _find(self, key: str, transaction: Transaction) -> Row | None:
        return transaction.one("bound_key", key=key, after=self._now() - KEPT)


def _in_flight() -> IdempotencyInFlight:
    return IdempotencyInFlight("a request with this Idempotency-Key is still under way: ask again later")
