"""Makes of what the host refuses what users are told, and says whether another try may help."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.errors import Undelivered

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FINAL = {errno.ENAMETOOLONG, errno.EILSEQ}  # by what it is called, and so for as long as it is
AWAY = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENODEV}
REFUSED = {
    errno.EROFS: "the folder it goes to is read-only",
    errno.EACCES: "the daemon's user may not write to the folder it goes to",
    errno.EPERM: "the daemon's user may not write to the folder it goes to, or not give files there to another",
}


@contextmanager
def in_words() -> Iterator[None]:
    """Raises Undelivered for what the host refuses. Nothing that it says has a path of the host in it."""
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        if number in FULL:
            raise full() from error
        if number in REFUSED:
            raise Undelivered(REFUSED[number]) from error
        words = f"the folder it goes to refuses it: {os.strerror(number)}"
        raise Undelivered(words, final=number in FINAL, away=number in AWAY) from error


def refuse_if_full(folder: int, needed: int) -> None:
    """Raises Undelivered where so many bytes do not fit into the file system of an open folder."""
    found = os.fstatvfs(folder)
    if found.f_blocks and found.f_bavail * found.f_frsize < needed:
        raise full()


def full() -> Undelivered:
    """Returns what to say of a disk on which there is no room."""
    return Undelivered("there is no room for it where it goes to")


def taken(name: str) -> Undelivered:
    """Returns what to say where something has its name and is to stay."""
    words = "take it away and retry, or set another `conflict`, in a new job or its folder's table"
    return Undelivered(f"{name} is there already: {words}", final=True)


def unseen(name: str) -> Undelivered:
    """Returns what to say of what is not there, where it cannot be told whether it ever was."""
    words = "if nobody took it from there, a retry brings it once more"
    return Undelivered(
        f"{name} was about to get its name when ffspool was ended, and is not there: {words}", final=True
    )
