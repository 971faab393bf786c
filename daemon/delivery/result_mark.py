"""Marks results on disks, so that whichever daemon comes across one knows it: by an extended attribute of the file, or,
where the file system has none, in a record beside it.

Tools that write tags change a file's size and time, or put another in its place: what it plays stays the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import msgspec

from daemon.media.model import Media
from daemon.models import Model

ATTRIBUTE = "user.ffspool"
OF_TRASH = "user.ffspool.trash"
RECORD = ".ffspool-made"  # lines of JSON; `ffspool run` keeps there, too, what it made
CLOSE = 0.05  # seconds by which readers may differ


class Mark(Model, frozen=True):
    """A mark says of a result what it was when it was made: how many bytes, how many seconds it plays, its codec. `by`
    names the delivery that brought it."""

    by: str = ""
    bytes: int = 0
    seconds: float | None = None
    codec: str = ""

    def plays(self, media: Media) -> bool:
        """Tells whether that is what the result held, as far as the mark says what that was."""
        if self.seconds is None or media.duration_seconds is None:
            return False
        codec = media.video.codec if media.video else media.audio[0].codec if media.audio else ""
        return abs(self.seconds - media.duration_seconds) <= CLOSE and self.codec in {"", codec}


class _Line(msgspec.Struct):
    name: str
    bytes: int
    seconds: float | None = None
    codec: str = ""


def put(descriptor: int, mark: Mark) -> None:
    """Marks an open file or folder. That some file systems have no room for a mark is no reason to fail."""
    told = msgspec.structs.replace(mark, bytes=os.fstat(descriptor).st_size)
    with suppress(OSError):
        os.setxattr(descriptor, ATTRIBUTE, msgspec.json.encode(told))


def put_on_all(path: Path, mark: Mark) -> None:
    """Marks a file, or a folder and all in it. Blocks."""
    for one in (path, *(path.rglob("*") if path.is_dir() else ())):
        with suppress(OSError):
            descriptor = os.open(one, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                put(descriptor, mark)
            finally:
                os.close(descriptor)


def put_on_trash(descriptor: int) -> None:
    """Marks an open folder as one that originals are kept in: no daemon makes anything of what lies there."""
    with suppress(OSError):
        os.setxattr(descriptor, OF_TRASH, b"")


def is_trash(descriptor: int) -> bool:
    """Tells whether an open folder is marked as that."""
    try:
        os.getxattr(descriptor, OF_TRASH)
    except OSError:
        return False
    return True


def is_on(folder: int, name: str) -> bool:
    """Tells whether what has that name in an open folder is marked."""
    return _attribute(f"/proc/self/fd/{folder}/{name}") is not None


def record(folder: int, name: str, mark: Mark) -> None:
    """Tells of a result beside it, where it cannot be marked itself; it is about to get that name in an open folder."""
    line = msgspec.json.encode(_Line(name=name, bytes=mark.bytes, seconds=mark.seconds, codec=mark.codec))
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):
        descriptor = os.open(RECORD, how, 0o644, dir_fd=folder)
        try:
            with suppress(PermissionError):
                os.fchmod(descriptor, 0o644)  # whatever a daemon's files are like else: others ask it, too
            os.write(descriptor, line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def marks_of(path: Path) -> list[Mark]:
    """Returns what the file at that path, and records beside or above it, tell of results there. Blocks."""
    said = _attribute(path)
    return [*([said] if said else ()), *(mark for folder in path.parents for mark in _recorded(folder, path))]


def _attribute(path: Path | str) -> Mark | None:
    try:
        return msgspec.json.decode(os.getxattr(path, ATTRIBUTE, follow_symlinks=False), type=Mark)
    except (OSError, msgspec.DecodeError):
        return None


def _recorded(folder: Path, path: Path) -> Iterator[Mark]:
    try:
        status = (folder / RECORD).stat()
    except OSError:
        return
    lines = _lines(folder / RECORD, status.st_ino, status.st_size, status.st_mtime_ns)
    way = path.relative_to(folder)
    if line := lines.get(str(way)):
        yield Mark(bytes=line.bytes, seconds=line.seconds, codec=line.codec)
    if any(str(above) in lines for above in way.parents):  # it lies in an output that is a folder
        yield Mark(bytes=path.stat().st_size)


@lru_cache(maxsize=8)
def _lines(path: Path, *_as_it_is: int) -> Mapping[str, _Line]:
    found = {}
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(msgspec.DecodeError):
                told = msgspec.json.decode(line, type=_Line)
                found[told.name] = told
    return found
