"""Finds sources that a machine sees where they lie, on a share that the daemon's host has under another path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from daemon.cluster.transfers import HEAD, Transfers
from daemon.encode.task import Task
from daemon.models import SourceFile
from daemon.source_files import SourceRefused


class SharedFolders:
    """Knows by what path here the machine sees folders of the daemon's host, such as {"/media": "/mnt/media"}."""

    def __init__(self, paths: Mapping[str, Path], transfers: Transfers) -> None:
        self._paths = paths
        self._transfers = transfers

    async def find(self, task: Task) -> SourceFile | None:
        """Returns the task's source as it lies here; None where it has to be fetched.

        It is taken for the same if its size, its time and how it begins are.
        """
        for there, here in self._paths.items():
            rest = os.path.relpath(task.source.path, there)
            if task.source.path.startswith(there.rstrip("/") + "/"):
                found = SourceFile(path=os.path.realpath(here / rest), identity=_lasting(task.source))
                head = await asyncio.to_thread(_head, found)
                if head is not None and head == await self._transfers.head(task):
                    return found
        return None


def _lasting(source: SourceFile) -> tuple[int | None, None, None, int | None]:
    """What of a file's identity is the same on another host."""
    return source.identity[0], None, None, source.identity[3]


def _head(source: SourceFile) -> bytes | None:
    try:
        descriptor = source.open()
    except SourceRefused:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(HEAD)
