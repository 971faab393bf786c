"""Gives a file or folder its name without ever replacing another, on file systems that can and on those that cannot."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
from collections import defaultdict

from daemon.source_files import changed_of, inode_of

_libc = ctypes.CDLL(None, use_errno=True)

NOREPLACE, EXCHANGE = 1, 2
UNKNOWN = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}  # to a file system that has no such way
_turns: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)  # by device


def put(folder: int, part: str, name: str, into: int | None = None) -> bool:
    """Renames `part` to `name` within the folder of that descriptor, or `into` another of the same file system.

    Returns False where something has that name already.

    Another program that makes the same name at the same moment is noticed where the file system knows
    RENAME_NOREPLACE or hard links, which is nearly everywhere.
    """
    target = folder if into is None else into
    failed = _rename(folder, part, target, name, NOREPLACE)
    if failed in {0, errno.EEXIST, errno.ENOTEMPTY}:
        return failed == 0
    if failed not in UNKNOWN:
        raise OSError(failed, os.strerror(failed))
    with _turns[os.fstat(folder).st_dev]:
        return _put_by_other_ways(folder, part, target, name)


def exchange(folder: int, one: str, other: str) -> bool:
    """Lets two names change places at one moment; False where the file system cannot."""
    failed = _rename(folder, one, folder, other, EXCHANGE)
    if failed and failed not in UNKNOWN:
        raise OSError(failed, os.strerror(failed))
    return not failed


def status(folder: int, name: str) -> os.stat_result | None:
    """Returns what has that name, be it a link; None when nothing has."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def file_key(folder: int, name: str) -> tuple[int, int, int] | None:
    """Returns inode, bytes and time of the last change, in ns, of the file of that name; None where there is none."""
    found = status(folder, name)
    if found is None or not stat.S_ISREG(found.st_mode):
        return None
    return inode_of(found), found.st_size, changed_of(found)


def _rename(folder: int, old: str, target: int, new: str, flags: int) -> int:
    """The error's number, 0 for none."""
    done = _libc.renameat2(folder, os.fsencode(old), target, os.fsencode(new), ctypes.c_uint(flags))
    return ctypes.get_errno() if done else 0


def _put_by_other_ways(folder: int, part: str, target: int, name: str) -> bool:
    found = os.stat(part, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):  # of what is there, a rename replaces an empty folder and nothing else
        return status(target, name) is None and _renamed(folder, part, target, name)
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        # A server may have done it and lost its answer.
        if (there := status(target, name)) is None or not os.path.samestat(there, found):
            return False
    except OSError as error:
        if error.errno not in UNKNOWN | {errno.EMLINK}:
            raise
        return status(target, name) is None and _renamed(folder, part, target, name)
    os.unlink(part, dir_fd=folder)
    return True


def _renamed(folder: int, part: str, target: int, name: str) -> bool:
    os.rename(part, name, src_dir_fd=folder, dst_dir_fd=target)
    return True
