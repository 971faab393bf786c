"""Tells the disk that a folder lies on from any other that is mounted in its place, by a mark that we leave there.

Nothing else does: the root of each ext4 has the same inode, a device's number changes with a boot, and shares do not
tell what they lie on. A copy of a disk with all its files counts as that disk.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from daemon.delivery import by_handle, no_replace
from daemon.delivery.refusals import FULL
from daemon.errors import Undelivered
from daemon.source_files import Identity, identity_of

NAME = ".ffspool-disk"
MARK = re.compile(r"[0-9a-f]{32}\n", re.ASCII)
BYTES = 33


@contextmanager
def opened(path: Path | str) -> Iterator[int]:
    """Gives a descriptor of a folder, by a path that may lead there through links. Raises OSError. Blocks."""
    folder = os.open(os.path.realpath(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


def find(folder: int) -> str | None:
    """Returns the mark in an open folder; None: there is none. Raises OSError. Blocks."""
    try:
        file = os.open(NAME, by_handle.READ_FILE, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO}:
            return None
        raise
    try:
        mark = os.read(file, BYTES + 1).decode("ascii", "replace")
    finally:
        os.close(file)
    return mark.strip() if MARK.fullmatch(mark) else None


def keep(path: Path, name: str, file: Identity) -> str | None:
    """Returns the mark in the folder that has the file of that name in it, which is made durably where there is none.

    None: that file is not there, as where its disk went away meanwhile: nothing is written to what lies beneath.
    Raises Undelivered where the disk is full, or OSError. Blocks.
    """
    with opened(path) as folder:
        if not _has(folder, PurePosixPath(name), file):
            return None
        mark = find(folder)
        if mark is None:
            with _told_if_full():
                _make(folder)
            mark = find(folder)
    if mark is None:
        raise FileExistsError(errno.EEXIST, f"{NAME} is no mark of ours: take it away")
    return mark


@contextmanager
def _told_if_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise Undelivered(f"its disk is full: there is no room for its mark, {NAME}") from error
        raise


def _has(folder: int, way: PurePosixPath, file: Identity) -> bool:
    try:
        with by_handle.folder(folder, way.parent.parts) as at:
            there = no_replace.status(at, way.name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return there is not None and identity_of(there) == file


def _make(folder: int) -> None:
    mark = secrets.token_hex(16)
    part = f".ffspool-{mark}.part"
    file = os.open(part, by_handle.NEW_FILE, 0o644, dir_fd=folder)
    try:
        with suppress(PermissionError):
            os.fchmod(file, 0o644)  # whatever a daemon's files are like else: others ask it, too
        os.write(file, f"{mark}\n".encode())
        os.fsync(file)
        no_replace.put(folder, part, NAME)
        by_handle.fsync_folder(folder)
    finally:
        os.close(file)
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
