"""Says what there is to know of where files of a watched folder are: on this host, or in a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from daemon.folders.scan import Found
from daemon.models import VariationRequest
from daemon.scheduling.sources import NewSource


class Refused(Exception):
    """Nothing is made of a file; the words say why."""


class Unwritten(Exception):
    """A file may not be all there yet, though nobody is seen to write it; the words say why. It waits."""


class Ours(Exception):
    """A file is an output of ffspool."""


class Taken(NamedTuple):
    """Is a file as a job reads it, and what is made of it. `disk` is the mark of that on which it lies, if it goes."""

    source: NewSource
    variations: tuple[VariationRequest, ...]
    disk: str | None = None


class Walk(Protocol):
    """Goes once through all that is there. `looks` counts what it saw, `left_out` the files that are not meant by
    their names; `flaw` says in words what it did not see."""

    looks: int
    left_out: int

    @property
    def flaw(self) -> str | None: ...

    def next(self, looks: int) -> list[Found] | None:
        """Returns what is found by so many looks more; None: there is nothing more. Raises OSError or Undelivered.
        Blocks."""
        ...


class Origin(Protocol):
    """Is where the files of one watched folder are."""

    def walk(self) -> Walk: ...

    def settle(self) -> None:
        """Is called once a walk came to its end. Blocks."""
        ...

    async def own(self, files: Sequence[Found], /) -> set[Found]:
        """Returns those of the files that are known as outputs of ffspool."""
        ...

    async def take(self, found: Found) -> Taken | None:
        """Returns how a file becomes a source; None: not now, as it changed or is being written.

        Raises Refused, Unwritten or Ours; Unavailable or Undelivered where it is out of reach; ProbeError, EmptyUpload,
        BadName or whatever else is wrong with it.
        """
        ...
