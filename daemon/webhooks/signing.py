"""Keeps the secret webhooks are signed with, and signs them: Standard Webhooks, symmetric, version 1."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from daemon.models import Model
from daemon.paths import write_private

PREFIX = "whsec_"
OVERLAP = 24 * 3600.0  # seconds a secret still signs after it was rotated


class Secret(Model, frozen=True):
    """A secret is `whsec_…`; `expires_at` is None for the current one."""

    value: str
    expires_at: float | None = None


class SecretView(Model, frozen=True):
    """Shows a secret; `previous_expires_at` is when the one before stops signing; None: it has, or never was."""

    secret: str
    previous_expires_at: datetime | None


class Secrets:
    """Keeps the secrets in a file: the current one on its first line, older ones below, each with when it expires."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._turn = asyncio.Lock()  # else two might make the first one

    async def valid(self, owner: str | None = None) -> list[Secret]:
        """Returns the secrets that sign now what is that owner's, the current one first; it is made at the first use.

        Each owner's are made of the daemon's own: none can sign in another's place.
        """
        async with self._turn:
            return _of_owner(await asyncio.to_thread(self._valid), owner)

    async def rotate(self, owner: str | None = None) -> list[Secret]:
        """Makes a new secret for all. Those in use until now go on signing beside it for OVERLAP seconds."""
        async with self._turn:
            return _of_owner(await asyncio.to_thread(self._rotate), owner)

    async def sign(self, identifier: str, timestamp: int, body: bytes, owner: str | None = None) -> str:
        """Returns the `webhook-signature` header: one signature by each secret that is valid."""
        return " ".join(signature(secret.value, identifier, timestamp, body) for secret in await self.valid(owner))

    def _valid(self) -> list[Secret]:
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return self._write([Secret(value=_new_secret())])
        found = [_from_line(line) for line in lines if line.strip()]
        return [secret for secret in found if secret.expires_at is None or secret.expires_at > self._now()]

    def _rotate(self) -> list[Secret]:
        current, *older = self._valid()
        retired = Secret(value=current.value, expires_at=round(self._now() + OVERLAP))  # to the second, as it is kept
        return self._write([Secret(value=_new_secret()), retired, *older])

    def _write(self, found: list[Secret]) -> list[Secret]:
        write_private(self._path, "\n".join(_line(secret) for secret in found))
        return found


def signature(secret: str, identifier: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.digest(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def _of_owner(secrets_of_all: list[Secret], owner: str | None) -> list[Secret]:
    if owner is None:
        return secrets_of_all
    return [replace(secret, value=_derived(secret.value, owner)) for secret in secrets_of_all]


def _derived(secret: str, owner: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return PREFIX + base64.b64encode(hmac.digest(key, b"secret of " + owner.encode(), hashlib.sha256)).decode()


def _new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _line(secret: Secret) -> str:
    return secret.value if secret.expires_at is None else f"{secret.value} {secret.expires_at:.0f}"


def _from_line(line: str) -> Secret:
    value, _, expires_at = line.strip().partition(" ")
    return Secret(value=value, expires_at=float(expires_at) if expires_at else None)
