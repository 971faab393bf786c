"""Says who speaks: who gives the daemon's token, or a client's, as a Bearer, or a session that the login gave."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from daemon.callers import OURSELVES, Caller
from daemon.database.store import Store
from daemon.errors import StartupError, Throttled, Unauthorized
from daemon.models import Model, when
from daemon.paths import write_private
from daemon.tokens.registry import Tokens, digest

COOKIE = "ffspool_session"
FREE_FAILURES = 5  # wrong passwords from one address before it has to wait
FAILURE_MEMORY = 60.0  # seconds such a failure counts
MOST_REMEMBERED = 10_000  # addresses; then those are forgotten that need not wait any more


class Session(Model, frozen=True):
    token: str
    expires_at: datetime


def load_token(path: Path) -> str:
    """Returns the daemon's token; it is made at the first start, readable by its owner alone."""
    try:
        token = path.read_text().strip()
        if not token:
            raise StartupError(f"{path} is empty: delete it, and a new token is made")
        return token
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        write_private(path, token + "\n")
        return token


class Throttle:
    """Counts failures by address: after FREE_FAILURES within FAILURE_MEMORY seconds it makes them wait.

    Of IPv6, the whole /64 counts as one: it is what a single client has at its command.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: dict[str, list[float]] = defaultdict(list)

    def check(self, address: str) -> None:
        """Raises Throttled when this address has to wait."""
        recent = self._recent(_network(address))
        if len(recent) >= FREE_FAILURES:
            raise Throttled("too many wrong passwords: wait a little", recent[0] + FAILURE_MEMORY - self._now())

    def failed(self, address: str) -> None:
        if len(self._failures) >= MOST_REMEMBERED:
            for known in [*self._failures]:
                self._recent(known)
        self._failures[_network(address)].append(self._now())

    def _recent(self, network: str) -> list[float]:
        recent = [at for at in self._failures.pop(network, []) if at > self._now() - FAILURE_MEMORY]
        if recent:
            self._failures[network] = recent
        return recent


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a unix socket has none
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
    return address


class Gate:
    """Checks tokens and passwords, and gives out sessions."""

    def __init__(self, store: Store, tokens: Tokens, token: str, password: str | None, session_seconds: float) -> None:
        self._store = store
        self._tokens = tokens
        self._token = token
        self._password = password or token
        self._session_seconds = session_seconds
        self._throttle = Throttle()

    async def login(self, password: str, address: str) -> Session:
        """Returns a new session, for the password or a token, whose rights it has.

        Raises Unauthorized for neither, Throttled after too many.
        """
        self._throttle.check(address)
        caller = OURSELVES if _same(password, self._password) else self._with_token(password)
        if caller is None:
            self._throttle.failed(address)
            raise Unauthorized("the password is wrong")
        token, expires_at = secrets.token_urlsafe(32), time.time() + self._session_seconds
        session = {"token": digest(token), "expires_at": expires_at, "client": caller.name}
        await self._store.write(lambda t: t.run("insert_session", **session))
        expires = when(expires_at)
        assert expires is not None
        return Session(token=token, expires_at=expires)

    async def logout(self, connection: HTTPConnection) -> None:
        """Forgets the session that the request carries, if it does."""
        kept = digest(_credential(connection) or "")
        await self._store.write(lambda t: t.run("end_session", token=kept))

    async def caller(self, connection: HTTPConnection) -> Caller | None:
        """Returns who asks, by a token or a session that still runs; None: the request carries neither."""
        given = _credential(connection)
        if not given:
            return None
        if caller := self._with_token(given):
            return caller
        session = await self._store.read(lambda t: t.one("session", token=digest(given), now=time.time()))
        if session is None:
            return None
        return OURSELVES if session["client"] is None else self._tokens.named(session["client"])

    def _with_token(self, token: str) -> Caller | None:
        named = self._tokens.caller(token)  # first, that none takes longer than another
        return OURSELVES if _same(token, self._token) else named


def _credential(connection: HTTPConnection) -> str | None:
    """Returns what was given. With an Authorization the cookie counts for nothing: `check_origin` relies on it."""
    headers = connection.headers
    return _bearer(headers) if "authorization" in headers else connection.cookies.get(COOKIE)


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _same(one: str, other: str) -> bool:
    """Takes as long whatever they are: of digests not even the length tells."""
    return hmac.compare_digest(digest(one), digest(other))
