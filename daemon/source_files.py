"""Opens a source by its path: the very file its job was made of, below a root, and nothing that took its place.

Whoever may write below a root can put a symlink, a FIFO, a folder or another file there at any moment. So no path is
looked at and opened afterwards: what is checked is the descriptor, and what is read is read from it. The launcher
and the readers of media come here too, so this imports as little as they do.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

Identity = tuple[int | None, int | None, int | None, int | None]  # bytes, device, inode, ns of the last change

ANY: Identity = (None, None, None, None)
EVERYWHERE = ("/",)
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
PASSING = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
GONE = {errno.ENOENT, errno.ENOTDIR}
ROUNDED = 2_000_000_000  # nanoseconds by which some file systems round times
LARGEST = 2**63 - 1  # number that the database takes


class SourceRefused(OSError):
    """The source is not where it was, or no longer what it was; `strerror` says so in words."""


def open_source(path: str, roots: Iterable[str] = EVERYWHERE, identity: Identity = ANY) -> int:
    """Returns a descriptor of the regular file at `path`, to be read and closed by the caller.

    `path` is absolute and without a symlink, `roots` are absolute folders, below one of which it must lie (or below
    what that leads to). What is None of `identity` is not compared. Raises SourceRefused.
    """
    if not lies_below(path, roots):
        raise SourceRefused(errno.EPERM, "it does not lie below a source root of this daemon")
    try:
        descriptor = _opened(path)
    except SourceRefused:
        raise
    except OSError as error:
        raise SourceRefused(error.errno, error.strerror) from error
    try:
        _refuse_another(identity_of(os.fstat(descriptor)), identity)
    except SourceRefused:
        os.close(descriptor)
        raise
    return descriptor


def identity_of(status: os.stat_result) -> Identity:
    return status.st_size, status.st_dev, inode_of(status), changed_of(status)


def inode_of(status: os.stat_result) -> int:
    """Returns the inode without its highest bit: mergerfs, rclone and others make inodes of hashes."""
    return status.st_ino & LARGEST


def changed_of(status: os.stat_result) -> int:
    """Returns when it was changed last, in ns since the epoch: in 2262 at the latest, whatever its time says."""
    return min(status.st_mtime_ns, LARGEST)


def is_as_old(status: os.stat_result, size: int, modified: int) -> bool:
    """Tells whether that is a regular file of so many bytes and of that time, in nanoseconds, as a move leaves it."""
    is_regular = status.st_mode & 0o170000 == 0o100000
    return is_regular and status.st_size == size and abs(changed_of(status) - modified) <= ROUNDED


def descriptor_path(descriptor: int) -> str:
    """Returns a path by which the process that holds the descriptor opens its file anew, whatever its name is now."""
    return f"/proc/self/fd/{descriptor}"


def lies_below(path: str, roots: Iterable[str]) -> bool:
    """Tells whether an absolute path without symlinks is below one of the roots, or what that leads to.

    Where a root leads is looked at only if the path lies below none as they stand: another's disk may not answer.
    """
    known = list(roots)
    return bool(path.strip("/")) and (_below(path, known) or _below(path, map(os.path.realpath, known)))


def _below(path: str, roots: Iterable[str]) -> bool:
    return any(path.startswith(root.rstrip("/") + "/") for root in roots)


def _opened(path: str) -> int:
    """One folder after the other, since systemd's RestrictSUIDSGID= takes openat2 away."""
    *folders, name = filter(None, path.split("/"))
    if ".." in (*folders, name):
        raise SourceRefused(errno.EINVAL, "its path leads back and forth")
    at = os.open("/", PASSING)
    try:
        for folder in folders:
            at, above = os.open(folder, PASSING, dir_fd=at), at
            os.close(above)
        _refuse_irregular(os.stat(name, dir_fd=at, follow_symlinks=False))  # a device may act on being opened
        descriptor = os.open(name, READING, dir_fd=at)
    finally:
        os.close(at)
    try:
        _refuse_irregular(os.fstat(descriptor))
    except SourceRefused:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_irregular(status: os.stat_result) -> None:
    kind = status.st_mode & 0o170000
    if kind == 0o120000:
        raise SourceRefused(errno.ELOOP, os.strerror(errno.ELOOP))
    if kind != 0o100000:
        raise SourceRefused(errno.EINVAL, "it is not a regular file")


def _refuse_another(found: Identity, wanted: Identity) -> None:
    if any(known is not None and known != is_now for known, is_now in zip(wanted, found, strict=True)):
        raise SourceRefused(errno.ESTALE, "it was changed or replaced since the job was made")
