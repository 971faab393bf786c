"""Tells how a machine stands while it works: what is free where it does, and why it can make nothing there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import psutil

from daemon.cluster.messages import Pulse
from daemon.errors import HOST_TROUBLE

FULL = {errno.ENOSPC, errno.EDQUOT}
GONE = {  # with the folder: it was removed, unmounted or taken away
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ESTALE,
}  # fmt: skip
TRIED = b"x" * 4096


def pulse(folder: Path) -> Pulse:
    """Returns it of a machine that works in `folder`. Any thread may call it; it may block."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(TRIED)
    except OSError as error:
        return Pulse(free_bytes=_free(folder), why=words(error))
    return Pulse(free_bytes=_free(folder), why=None)


def words(error: OSError) -> str:
    """Returns what to tell of a folder in which a machine cannot work."""
    return f"it cannot write where it works: {os.strerror(error.errno) if error.errno else error}"


def is_trouble(error: OSError) -> bool:
    """Tells whether it lies in the machine, and in nothing that it was given."""
    return error.errno in HOST_TROUBLE | GONE


def _free(folder: Path) -> int:
    try:
        return psutil.disk_usage(str(folder)).free
    except OSError:
        return 0
