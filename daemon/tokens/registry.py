"""Knows the tokens that were given to clients: who speaks with one, what it may, and how much."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from daemon.callers import OURSELVES, Caller, Limits, Right
from daemon.database.store import Row, Store, Transaction
from daemon.errors import Conflict, InvalidRequest, NotFound
from daemon.models import Model, when
from daemon.veil import Veil

PREFIX = "ffs_"  # by which who finds one in a log or a repository knows what it is
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class TokenView(Model, frozen=True):
    """Shows a token but for its secret, of which only a hash is kept."""

    name: str
    rights: tuple[Right, ...]
    max_queued: int | None
    max_stored_bytes: int | None
    max_encodes: int | None
    max_priority: int | None
    created_at: datetime


class NewToken(TokenView, frozen=True):
    """Tells the secret as well: this once."""

    token: str


class Tokens:
    """Keeps them in the database, and in memory: who asks is known without a look at a disk."""

    def __init__(self, store: Store, key: bytes, *, now: Callable[[], float] = time.time) -> None:
        """Takes a `key` by which is hidden what callers are not to see; it is to be the same after a restart."""
        self._store = store
        self._key = key
        self._now = now
        self._rows: dict[str, Row] = {}
        self._callers: dict[str, tuple[bytes, Caller]] = {}  # by name, each with its token's hash
        self._revoked: list[Callable[[str], None]] = []

    @classmethod
    async def load(cls, store: Store, *, now: Callable[[], float] = time.time) -> Tokens:
        """Reads those that there are."""
        key, rows = await store.read(_read)
        tokens = cls(store, key, now=now)
        for row in rows:
            tokens._keep(row)
        return tokens

    def on_revoked(self, tell: Callable[[str], None]) -> None:
        """Has `tell` called with the name of each that is revoked."""
        self._revoked.append(tell)

    def caller(self, token: str) -> Caller | None:
        """Returns who speaks with that token. It takes as long whichever it is, and if it is none of them."""
        found = None
        given = digest(token).encode()
        for known, caller in self._callers.values():
            if hmac.compare_digest(known, given):
                found = caller
        return found

    def named(self, name: str) -> Caller | None:
        """Returns who speaks with the token of that name; None: it was revoked."""
        return self._callers.get(name, (b"", None))[1]

    def caller_of(self, owner: str | None) -> Caller:
        """Returns who made what is that owner's; None is the daemon. One that was revoked may nothing any more."""
        if owner is None:
            return OURSELVES
        return self.named(owner) or Caller(name=owner, rights=frozenset())

    def views(self) -> tuple[TokenView, ...]:
        return tuple(_view(row) for _, row in sorted(self._rows.items()))

    async def add(self, name: str, rights: Iterable[Right], limits: Limits) -> NewToken:
        """Makes a token. Raises InvalidRequest for a name that is none, Conflict for one that is taken."""
        if not NAME.fullmatch(name):
            raise InvalidRequest(
                f"{name[:80]!r} is no name of a token: it has up to 64 letters, digits, dots, hyphens and underlines"
            )
        secret = PREFIX + secrets.token_urlsafe(32)
        row = await self._store.write(lambda t: self._insert(t, name, digest(secret), sorted(set(rights)), limits))
        self._keep(row)
        return NewToken(token=secret, **msgspec.structs.asdict(_view(row)))

    async def revoke(self, name: str) -> None:
        """Forgets a token, and the logins that were made with it; what it made stays. Raises NotFound."""
        if not await self._store.write(lambda t: _revoke(t, name)):
            raise NotFound(f"there is no token named {name[:80]!r}")
        self._rows.pop(name, None)
        self._callers.pop(name, None)
        for tell in self._revoked:
            tell(name)

    def _insert(self, transaction: Transaction, name: str, hashed: str, rights: list[Right], limits: Limits) -> Row:
        row = transaction.one(
            "insert_token",
            name=name,
            token=hashed,
            rights=msgspec.json.encode(rights).decode(),
            now=self._now(),
            **msgspec.structs.asdict(limits),
        )
        if row is None:
            raise Conflict(f"there is a token named {name} already: revoke it first, or take another name")
        return row

    def _keep(self, row: Row) -> None:
        name, rights = row["name"], msgspec.json.decode(row["rights"], type=frozenset[Right])
        key = None if Right.ADMIN in rights else hmac.digest(self._key, name.encode(), hashlib.sha256)
        limits = Limits(**{field: row[field] for field in Limits.__struct_fields__})
        self._rows[name] = row
        self._callers[name] = (
            row["token_sha256"].encode(),
            Caller(name=name, rights=rights, limits=limits, veil=Veil(key=key)),
        )


def digest(token: str) -> str:
    """Returns what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _read(transaction: Transaction) -> tuple[bytes, list[Row]]:
    lineage = transaction.one("lineage")
    assert lineage is not None
    return str(lineage["id"]).encode(), transaction.all("tokens")


def _revoke(transaction: Transaction, name: str) -> int:
    transaction.run("end_sessions_of_token", name=name)
    return transaction.run("delete_token", name=name)


def _view(row: Row) -> TokenView:
    created_at = when(row["created_at"])
    assert created_at is not None
    limits = {field: row[field] for field in Limits.__struct_fields__}
    rights = msgspec.json.decode(row["rights"], type=tuple[Right, ...])
    return TokenView(name=row["name"], rights=rights, created_at=created_at, **limits)
