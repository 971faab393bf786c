"""Finds sources that a machine sees where they lie, on a share that the daemon's host has under another path."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from daemon.bounded_threads import Workers
from daemon.cluster.transfers import HEAD, Transfers
from daemon.encode.task import Task
from daemon.errors import Unavailable
from daemon.models import SourceFile

SILENT_AFTER = 10.0  # seconds that a share may take to answer, before what lies there is fetched instead

Look = tuple[SourceFile, bytes] | None  # where a file lies in truth, and how it begins


class SharedFolders:
    """Knows by what path here the machine sees folders of the daemon's host, such as {"/media": "/mnt/media"}."""

    def __init__(
        self,
        paths: Mapping[str, Path],
        transfers: Transfers,
        look: Callable[[SourceFile], Look] | None = None,
        patience: float = SILENT_AFTER,
    ) -> None:
        self._paths = paths
        self._transfers = transfers
        self._look = look or _look
        self._looking = Workers("looking at a share", most=1, patience=patience)

    async def find(self, task: Task) -> SourceFile | None:
        """Returns the task's source as it lies here; None where it has to be fetched.

        It is taken for the same if its size, its time and how it begins are.
        """
        for there, here in self._paths.items():
            rest = os.path.relpath(task.source.path, there)
            if task.source.path.startswith(there.rstrip("/") + "/"):
                found = await self._seen(here, SourceFile(path=str(here / rest), identity=_lasting(task.source)))
                if found is not None and found[1] == await self._transfers.head(task):
                    return found[0]
        return None

    async def _seen(self, share: Path, source: SourceFile) -> Look:
        try:
            return await self._looking.run(str(share), partial(self._look, source))
        except (OSError, Unavailable):  # the latter where it does not answer
            return None


def _lasting(source: SourceFile) -> tuple[int | None, None, None, int | None]:
    """What of a file's identity is the same on another host."""
    return source.identity[0], None, None, source.identity[3]


def _look(source: SourceFile) -> Look:
    """Raises OSError where it is another, or cannot be read."""
    found = replace(source, path=os.path.realpath(source.path))
    with os.fdopen(found.open(), "rb") as file:
        return found, file.read(HEAD)
