"""Walks and writes below a folder step by step, each from the handle of the one before: a link leads nowhere."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from daemon.delivery import result_mark
from daemon.delivery.result_mark import Mark
from daemon.proof import output_folder
from daemon.source_files import PASSING, descriptor_path

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OF_USERS = ("user.", "system.posix_acl_access")  # extended attributes
CHUNK = 16 * 1024**2  # bytes between two looks whether it is still wanted
BY_HAND = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}


class Rights(NamedTuple):
    """Says who may do what with a file or folder, and whom it is given to by the numbers of user and group, if anybody.

    One of the two is -1 where it stays. The extended `attributes` are what else is told of it.
    """

    mode: int
    owner: tuple[int, int] | None = None
    attributes: tuple[tuple[str, bytes], ...] = ()

    def give(self, descriptor: int) -> None:
        """Gives it away; whom nothing is said of needs no right to do that."""
        for name, value in self.attributes:  # before the mode, which those of POSIX ACLs change
            os.setxattr(descriptor, name, value)
        if self.owner is not None:
            os.fchown(descriptor, *self.owner)


def rights_of(descriptor: int) -> Rights:
    """Returns the rights to an open file as they are, with the attributes that users may give."""
    found = os.fstat(descriptor)
    return Rights(found.st_mode & 0o777, (found.st_uid, found.st_gid), tuple(_attributes(descriptor)))


def _attributes(descriptor: int) -> Iterator[tuple[str, bytes]]:
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        return
    for name in names:
        if name.startswith(OF_USERS) and name != result_mark.ATTRIBUTE:
            yield name, os.getxattr(descriptor, name)


@contextmanager
def folder(root: int, steps: tuple[str, ...], make: Rights | None = None) -> Iterator[int]:
    """Gives a descriptor of the folder below `root`; what is missing is made with the rights `make`, if any are given.

    Raises FileNotFoundError without it, and NotADirectoryError where a link or a file stands in the way.
    """
    at = os.open(".", OPEN_FOLDER if not steps else PASSING, dir_fd=root)
    try:
        for number, step in enumerate(steps, 1):
            at, above = _entered(at, step, make, OPEN_FOLDER if number == len(steps) else PASSING), at
            os.close(above)
        yield at
    finally:
        os.close(at)


def _entered(at: int, step: str, make: Rights | None, how: int) -> int:
    try:
        return os.open(step, how, dir_fd=at)
    except FileNotFoundError:
        if make is None:
            raise
    with suppress(FileExistsError):  # somebody else made it a moment ago
        os.mkdir(step, 0o700, dir_fd=at)
    made = os.open(step, OPEN_FOLDER, dir_fd=at)
    try:
        make.give(made)
        _set_mode(made, make.mode)
        _fsync_above(at)
        return made if how == OPEN_FOLDER else os.open(".", how, dir_fd=made)
    finally:
        if how != OPEN_FOLDER:
            os.close(made)


def _set_mode(made: int, mode: int) -> None:
    """Keeps the bit that it has of the folder above, by which what is made in it belongs to the same group."""
    inherited = os.fstat(made).st_mode & stat.S_ISGID
    try:
        os.fchmod(made, mode | inherited)
    except PermissionError:  # systemd's RestrictSUIDSGID= refuses the bit
        os.fchmod(made, mode)


def _fsync_above(at: int) -> None:
    above = os.open(".", OPEN_FOLDER, dir_fd=at)
    try:
        fsync_folder(above)
    finally:
        os.close(above)


def fsync_folder(descriptor: int) -> None:
    """Makes the names in an open folder durable, where its file system lets that be asked for."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise


def pour(source: Path, target: int, check: Callable[[], None]) -> None:
    """Copies a file to a descriptor, by the file system itself where it can. `check` is called between chunks."""
    with source.open("rb") as file:
        size, by_kernel = os.fstat(file.fileno()).st_size, True
        while (done := os.lseek(target, 0, os.SEEK_CUR)) < size:
            check()
            by_kernel = by_kernel and _moved_on(file.fileno(), target, size - done)
            if not by_kernel:
                os.lseek(file.fileno(), done, os.SEEK_SET)
                _write(target, os.read(file.fileno(), CHUNK))


def _moved_on(source: int, target: int, left: int) -> bool:
    try:
        return os.copy_file_range(source, target, min(CHUNK, left)) > 0
    except OSError as error:
        if error.errno not in BY_HAND:
            raise
        return False


def _write(target: int, chunk: bytes) -> None:
    if not chunk:
        raise OSError(errno.EIO, "the output is shorter than it was")
    left = memoryview(chunk)
    while left:
        left = left[os.write(target, left) :]


def finish(descriptor: int, rights: Rights, modified: int | None, mark: Mark) -> None:
    """Sets rights and time of a file or folder and marks it, makes it durable, and lets go of what is kept of it in
    memory."""
    result_mark.put(descriptor, mark)  # before it is another user's
    rights.give(descriptor)
    with suppress(PermissionError):  # cards and shares have modes of their own
        os.fchmod(descriptor, rights.mode)
        if modified is not None:
            os.utime(descriptor, ns=(modified, modified))
    os.fsync(descriptor)
    with suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def contents(at: int, name: str, check: Callable[[], None]) -> tuple[int, str] | None:
    """Returns bytes and SHA-256 of the file or folder of that name, as of outputs; None where there is neither."""
    try:
        descriptor = os.open(name, READ_FILE, dir_fd=at)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO}:
            return None
        raise
    try:
        return _contents(descriptor, check)
    finally:
        os.close(descriptor)


def _contents(descriptor: int, check: Callable[[], None]) -> tuple[int, str] | None:
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return status.st_size, _digest(descriptor, check)
    if not stat.S_ISDIR(status.st_mode):
        return None
    total, digests = 0, hashlib.sha256()
    for name, path in output_folder.members(Path(descriptor_path(descriptor))):
        with path.open("rb") as file:
            digests.update(output_folder.line(_digest(file.fileno(), check), name))
            total += os.fstat(file.fileno()).st_size
    return total, digests.hexdigest()


def _digest(descriptor: int, check: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, CHUNK):
        digest.update(chunk)
        check()
    return digest.hexdigest()
