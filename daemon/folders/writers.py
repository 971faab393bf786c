"""Tells whether a file is still written, as far as the host can say: a file may be as long as it will be, and hold
together at both its ends, long before all of it is there.
"""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path

from daemon.write_leases import READ, is_open_to_write

PROGRESS = (".aria2", ".part", ".!qb", ".crdownload")  # what programs keep beside a file while they write it
STREAM = re.compile(r"(.+\.)f[0-9][^.]*\.[^.]+")  # yt-dlp's, until it put sound and picture together
PUT_TOGETHER = re.compile(r"(f[0-9][^.]*|temp)\.")


def is_written(path: Path) -> bool:
    """Returns whether somebody has the file open to write it, or keeps a record of what it lacks beside it.

    False where nobody can tell: on most shares, and of files of another user. Raises OSError. Blocks.
    """
    if any(_is_there(path.with_name(path.name + ending)) for ending in PROGRESS):
        return True
    if (stream := STREAM.fullmatch(path.name)) and _has_others(path, stream[1]):
        return True
    file = os.open(path, READ)
    try:
        return is_open_to_write(file)
    finally:
        os.close(file)


def has_holes(path: Path, patience: float) -> bool:
    """Returns whether parts of a file that changed within so many seconds were never written, as of downloads which
    take their room first. False where the file system does not tell. Raises OSError. Blocks."""
    file = os.open(path, READ)
    try:
        status = os.fstat(file)
        return os.lseek(file, 0, os.SEEK_HOLE) < status.st_size and time.time() - status.st_ctime < patience
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENXIO, errno.ESPIPE}:
            return False
        raise
    finally:
        os.close(file)


def _has_others(path: Path, stem: str) -> bool:
    with os.scandir(path.parent) as entries:
        names = [entry.name.removeprefix(stem) for entry in entries if entry.name.startswith(stem)]
    return any(PUT_TOGETHER.match(name) for name in names if stem + name != path.name)


def _is_there(record: Path) -> bool:
    try:
        return record.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise
