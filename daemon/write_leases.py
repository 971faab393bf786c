"""Tells whether a file is open to be written, as far as the host can say."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

from daemon import mounts

SHARES = {"nfs", "nfs4", "cifs", "smb3"}
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


def is_open_to_write(file: int) -> bool:
    """Returns whether somebody has the file of that descriptor open to write it; False where nobody can tell: on most
    shares, and of files of another user.

    The kernel leases a file to readers only while nobody writes to it; who would, waits until it is given back. Of
    shares it does only what a server lets it, and else says no more than that it may not.
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # else it is told of a writer by a signal that ends it
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN and mounts.kind_of(file) not in SHARES
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def is_written_to(folder: int, name: str) -> bool:
    """Returns the same of the file of that name in an open folder. Raises OSError."""
    file = os.open(name, READ, dir_fd=folder)
    try:
        return is_open_to_write(file)
    finally:
        os.close(file)
