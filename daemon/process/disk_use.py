"""Tells what a child has on the disk, also in files that have no name any more: those hold as much room."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

BLOCK = 4096  # bytes that any file takes at least: of a million empty ones the disk is as full


def bytes_held(folders: Iterable[str], pid: int | None, *, mapped: int) -> int:
    """Counts the bytes of all files in the folders, and of those once there that the process `pid` still holds.

    One without a name that is mapped and not open has a size nobody can tell, and counts `mapped`. Where the process
    is gone, or there is none, so are these files. Blocks; run it in a thread.
    """
    whole = tuple(dict.fromkeys(folders))
    named = sum(max(BLOCK, size) for folder in whole for size in _sizes(folder))
    return named + (sum(_nameless(pid, whole)) + mapped * sum(_mapped(pid, whole)) if pid is not None else 0)


def _sizes(folder: str) -> Iterator[int]:
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.lstat(f"{at}/{name}").st_size


def _nameless(pid: int, folders: tuple[str, ...]) -> Iterator[int]:
    """Looks at no other file that it has open: its source may lie on a disk that does not answer."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                if not str(descriptor.readlink()).startswith(folders):
                    continue
                found = descriptor.stat()
                if stat.S_ISREG(found.st_mode) and not found.st_nlink:
                    yield found.st_size


def _mapped(pid: int, folders: tuple[str, ...]) -> Iterator[bool]:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
            *_, path = line.split(maxsplit=5)
            yield path.startswith(folders) and path.endswith(" (deleted)")
