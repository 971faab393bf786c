"""Who may speak: the daemon's token as a Bearer, or a session that the login gave."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from daemon.api.problems import refusal
from daemon.errors import StartupError, Throttled, Unauthorized
from daemon.models import Model
from daemon.paths import write_private
from daemon.store import Store
from daemon.views import when

COOKIE = "ffspool_session"
FREE_FAILURES = 5  # wrong passwords from one address before it has to wait
FAILURE_MEMORY = 60.0  # seconds such a failure counts


class Session(Model, frozen=True):
    token: str
    expires_at: datetime


def load_token(path: Path) -> str:
    """The daemon's token; made at the first start, readable by its owner alone."""
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
    """Counts failures by address: after FREE_FAILURES within FAILURE_MEMORY seconds it makes them wait."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: dict[str, list[float]] = defaultdict(list)

    def check(self, address: str) -> None:
        """Raises Throttled when this address has to wait."""
        recent = [at for at in self._failures.pop(address, []) if at > self._now() - FAILURE_MEMORY]
        if recent:
            self._failures[address] = recent
        if len(recent) >= FREE_FAILURES:
            raise Throttled("too many wrong passwords: wait a little", recent[0] + FAILURE_MEMORY - self._now())

    def failed(self, address: str) -> None:
        self._failures[address].append(self._now())


class Gate:
    """Checks tokens and passwords, and gives out sessions."""

    def __init__(self, store: Store, token: str, password: str | None, session_seconds: float) -> None:
        self._store = store
        self._token = token
        self._password = password or token
        self._session_seconds = session_seconds
        self._throttle = Throttle()

    async def login(self, password: str, address: str) -> Session:
        """A new session, for the password or the token. Raises Unauthorized for neither, Throttled after too many."""
        self._throttle.check(address)
        if not _same(password, self._password) and not _same(password, self._token):
            self._throttle.failed(address)
            raise Unauthorized("the password is wrong")
        token, expires_at = secrets.token_urlsafe(32), time.time() + self._session_seconds
        await self._store.write(lambda t: t.run("insert_session", token=_digest(token), expires_at=expires_at))
        expires = when(expires_at)
        assert expires is not None
        return Session(token=token, expires_at=expires)

    async def admits(self, connection: HTTPConnection) -> bool:
        """Whether the request carries the token, or a session that still runs."""
        given = _bearer(connection.headers) or connection.cookies.get(COOKIE)
        if not given:
            return False
        if _same(given, self._token):
            return True
        digest = _digest(given)
        return await self._store.read(lambda t: t.one("session", token=digest, now=time.time())) is not None


class Guard:
    """ASGI middleware: nothing but the open paths without admission. A refused body is not read."""

    def __init__(self, app: ASGIApp, gate: Gate, open_paths: re.Pattern[str]) -> None:
        self._app = app
        self._gate = gate
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] != "http" or self._open_paths.fullmatch(scope["path"])
        if is_open or await self._gate.admits(HTTPConnection(scope)):
            return await self._app(scope, receive, send)
        answer = refusal(Unauthorized("send the daemon's token as `Authorization: Bearer TOKEN`, or log in"))
        return await answer(scope, receive, send)


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
