"""Says who asks: a caller has rights and limits, and sees the jobs that it made, or those of all."""

from __future__ import annotations

from enum import StrEnum

from daemon.models import Model
from daemon.veil import Veil


class Right(StrEnum):
    """A right is of what a token made; with `admin` it is of everything, and the other rights come with it."""

    READ = "read"  # to look at jobs, their outputs and events
    SUBMIT = "submit"  # to make jobs, and to upload files for them
    CONTROL = "control"  # to cancel, pause, retry, change and delete them
    ADMIN = "admin"


class Limits(Model, frozen=True):
    """Limits what a token may have; None: as much as the daemon takes."""

    max_queued: int | None = None  # variations
    max_stored_bytes: int | None = None
    max_encodes: int | None = None  # variations at once, in however many processes
    max_priority: int | None = None


class Caller(Model, frozen=True):
    """A caller is who sent a request. `name` is its token's; None: it has the daemon's own, or is the daemon itself."""

    name: str | None
    rights: frozenset[Right]
    limits: Limits = Limits()
    veil: Veil = Veil()

    def may(self, right: Right) -> bool:
        return right in self.rights or Right.ADMIN in self.rights

    @property
    def sees(self) -> str | None:
        """Returns whose jobs it sees and touches; None: everybody's."""
        return None if Right.ADMIN in self.rights else self.name


OURSELVES = Caller(name=None, rights=frozenset({Right.ADMIN}))
