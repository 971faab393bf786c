"""The files of a new job: where they come from, and how they become the job's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from daemon.errors import EmptyUpload, InvalidRequest, NotFound
from daemon.models import Media, Model
from daemon.paths import fsync


class NewSource(Model, frozen=True):
    """A file of a new job: `upload` is a file in the spool that is taken over, or `path` is read where it is.

    `resumable` is the upload that `upload` is the file of, where it came in pieces: its row goes with it.
    """

    name: str
    bytes: int
    upload: Path | None = None
    path: Path | None = None
    resumable: str | None = None
    media: Media | None = None  # what it holds, where somebody looked already


def local_source(name: str, path: Path) -> NewSource:
    """A file to be read where it is. Raises InvalidRequest or EmptyUpload in words that name it."""
    if not _is_text(str(path)):
        raise InvalidRequest(f"{name!r} lies in a folder whose name is not valid text: move or rename it")
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidRequest(f"{name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidRequest(f"{name} is not a regular file")
    if not os.access(path, os.R_OK):
        raise InvalidRequest(f"{name} cannot be read: Permission denied")
    if status.st_size == 0:
        raise EmptyUpload(f"{name} is empty: leave it out, or fetch it anew")
    return NewSource(name=name, bytes=status.st_size, path=path)


def take_over(source: NewSource, file: Path, place: Path) -> None:
    """Makes the upload `file` the job's, durably, at `place`. Raises NotFound when another job took it first."""
    if not source.resumable:
        fsync(file)
        file.rename(place)
        return
    try:  # a second name for it: until the job is committed the file is the upload's, from then on the job's
        place.hardlink_to(file)
    except FileNotFoundError as error:
        raise taken(source.resumable) from error


def taken(upload: str) -> NotFound:
    """What to tell of an upload that is gone."""
    return NotFound(f"there is no upload {upload} any more: another job took it, or it was deleted")


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
