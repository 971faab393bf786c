"""Invites machines: each gets a file with its papers and a secret, and only a hash of that is kept here."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from daemon.cluster.folder_lock import locked
from daemon.errors import InvalidRequest, NotFound, StartupError
from daemon.models import Model
from daemon.paths import write_private

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
GUESTS = "machines.json"


class Invitation(Model, frozen=True):
    """Is what a machine needs to work for a daemon. Whoever has it can run programs on every machine of the cluster."""

    machine: str
    version: str  # of the ffspool that wrote it
    addresses: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]  # of the daemon, each may do
    port: int
    files_port: int
    secret: str
    authority: str
    certificate: str
    key: str


class Guest(Model, frozen=True):
    """Is what is kept of an invitation."""

    secret: str  # its SHA-256
    certificate: str
    draining: bool = False  # it gets nothing, also when it comes back


class Guests:
    """Knows who was invited and not revoked since. It looks at its file each time: another process may write it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / GUESTS
        self._version: tuple[int, int] | None = None  # of the file, as it is known
        self._known: dict[str, Guest] = {}

    def names(self) -> list[str]:
        return sorted(self._read())

    def invited(self, name: str) -> bool:
        return name in self._read()

    def invite(self, name: str, version: str, addresses: Sequence[str], port: int, files_port: int) -> Invitation:
        """Invites a machine. Raises InvalidRequest for a name that is none, or another machine's."""
        from daemon.cluster import certificates  # which loads much

        if not NAME.fullmatch(name) or name == certificates.DAEMON:
            raise InvalidRequest(f"{name!r} is no name for a machine: letters, digits, - and _ make one, such as box2")
        certificates.authority(self._folder)
        with locked(self._folder):
            guests = self._read()
            if name in guests:
                raise InvalidRequest(
                    f"{name} is invited already, by what was written then. If that is lost or empty: `ffspool cluster "
                    f"revoke {name}`, then invite it again. If this is another machine: give it a name of its own"
                )
            papers, secret = certificates.issue(self._folder, name), secrets.token_urlsafe(32)
            self._write({**guests, name: Guest(secret=_digest(secret), certificate=papers.certificate)})
        return Invitation(
            machine=name,
            version=version,
            addresses=tuple(addresses),
            port=port,
            files_port=files_port,
            secret=secret,
            **papers._asdict(),
        )

    def revoke(self, name: str) -> None:
        """Takes an invitation back, and lets nobody in with its papers. Raises NotFound where there is none."""
        self._invited(name)
        from daemon.cluster import certificates  # which loads much

        with locked(self._folder):
            guests = self._read()
            if guest := guests.pop(name, None):  # nobody else revoked it meanwhile
                certificates.revoke(self._folder, guest.certificate)
                self._write(guests)

    def drained(self) -> set[str]:
        """Returns who gets nothing until that is taken back."""
        return {name for name, guest in self._read().items() if guest.draining}

    def drain(self, name: str, draining: bool) -> None:
        """Has a machine get nothing, whenever it comes, or something again. Raises NotFound where none is invited."""
        self._invited(name)
        with locked(self._folder):
            guests = self._read()
            if guest := guests.get(name):
                self._write({**guests, name: replace(guest, draining=draining)})

    def knows(self, name: str, secret: str) -> bool:
        guest = self._read().get(name)
        return guest is not None and hmac.compare_digest(guest.secret, _digest(secret))

    def _invited(self, name: str) -> None:
        if name not in self._read():
            raise NotFound(f"no machine {name} is invited")

    def _read(self) -> dict[str, Guest]:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return {}
        if (version := (found.st_ino, found.st_mtime_ns)) != self._version:
            self._known = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Guest])
            self._version = version
        return dict(self._known)

    def _write(self, guests: dict[str, Guest]) -> None:
        write_private(self._file, msgspec.json.encode(guests).decode())


def read(path: Path) -> Invitation:
    """Reads an invitation. Raises StartupError when the file is none."""
    try:
        written = path.read_bytes()
    except OSError as error:
        raise StartupError(f"the invitation {path} cannot be read: {error.strerror}") from error
    if not written.strip():
        raise StartupError(
            f"the invitation {path} is empty, as `>` of a shell leaves a file where nothing is written to it. On the "
            "daemon's host: `ffspool cluster revoke NAME`, then `ffspool cluster invite NAME -o FILE`"
        )
    try:
        return msgspec.json.decode(written, type=Invitation)
    except msgspec.DecodeError as error:
        raise StartupError(f"{path} is no invitation that `ffspool cluster invite` wrote: {error}") from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
