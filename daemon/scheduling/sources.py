"""Finds the files of a job: where they come from, how they become the job's, and where they are found again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from daemon.bounded_threads import Workers
from daemon.database.store import Row
from daemon.errors import (
    Conflict,
    EmptyUpload,
    FfspoolError,
    ForbiddenPath,
    Gone,
    InvalidRequest,
    NotFound,
    Unavailable,
    refusal_of_host,
)
from daemon.host import boot_id
from daemon.media.model import Media
from daemon.models import Model, Remote, SourceFile
from daemon.paths import Paths, fsync
from daemon.plaintext import is_text
from daemon.source_files import ANY, EVERYWHERE, GONE, Identity, SourceRefused, identity_of, lies_below, open_source

T = TypeVar("T")

UPLOAD_GONE = "the upload is no longer on the disk: submit it anew"


class NewSource(Model, frozen=True):
    """Describes a file of a new job: `upload` is a file in the spool that is taken over, `path` is read where it is,
    and `remote` is still to be fetched.

    `resumable` is the upload that `upload` is the file of, where it came in pieces: its row goes with it.
    """

    name: str
    bytes: int
    upload: Path | None = None
    path: Path | None = None
    remote: Remote | None = None
    identity: Identity = ANY  # of what is at `path`
    resumable: str | None = None
    media: Media | None = None  # what it holds, where somebody looked already
    without: frozenset[int] = frozenset()  # outputs that are wanted of others and not of it, by their place


class Recorded(Model, frozen=True):
    """Holds what the database knows of a source's file. `path` is None of an upload, of which nothing else is compared
    but its size: a spool that was restored has other inodes. The rest is None where it was not recorded when the job
    was made. `boot` is of the host, since devices have other numbers after the next."""

    job: str
    source: str
    path: str | None
    bytes: int
    device: int | None
    inode: int | None
    modified: int | None
    boot: str | None

    @property
    def unsettled(self) -> bool:
        """Tells whether it was seen to be written to, and not yet to be left alone."""
        return self.inode is not None and self.modified is None


def recorded(job: str, source: str, row: Row) -> Recorded:
    """Returns what is known of a source's file; `row` has the columns of a source."""
    told = {name: row[name] for name in ("path", "bytes", "device", "inode", "modified", "boot")}
    return Recorded(job=job, source=source, **told)


class OpenSource(NamedTuple):
    """Stands for an open file, by its bare descriptor: an object would close it wherever it is let go."""

    descriptor: int
    status: os.stat_result


class Whereabouts:
    """Finds the files of sources: uploads in the spool, all others below a source root that is configured now.

    Whatever it does on the disk that may hang holds up nobody but who wants the same of the same root.
    """

    def __init__(self, paths: Paths, roots: Iterable[Path]) -> None:
        self._paths = paths
        self._roots = tuple(root for root in map(os.path.abspath, roots) if is_text(root))
        self._finding, self._opening, self._reading = map(
            Workers, ("finding a file", "opening a file", "reading a file")
        )
        self._closing = Workers("closing a file", patience=None)
        self._led = dict[str, str]()  # where roots led when they were last looked at: in what order they are tried
        self._being_closed: set[asyncio.Future[None]] = set()
        self.boot = boot_id()

    async def look(self) -> None:
        """Finds out where the roots lead, so that none is asked for a file of another. Those that hang are left out."""
        looks = (self._finding.run(root, partial(self._look, root)) for root in self._roots)
        await asyncio.gather(*looks, return_exceptions=True)

    def _look(self, root: str) -> None:
        self._led[root] = os.path.realpath(root)

    def _nearest(self, *paths: str) -> tuple[str, ...]:
        """The roots, but first those that one of the paths lies below as it stands, or did when last looked at."""
        near = {root for root in self._roots if any(_is_below(path, root, self._led.get(root)) for path in paths)}
        return tuple(sorted(self._roots, key=lambda root: root not in near))

    def of(self, known: Recorded) -> SourceFile:
        """Returns the file as it is to be opened. Touches no disk."""
        if known.path is None:
            return self._upload(known.job, known.source, known.bytes)
        device = known.device if known.boot == self.boot else None
        identity = (None if known.unsettled else known.bytes, device, known.inode, known.modified)
        return SourceFile(path=known.path, roots=self._nearest(known.path), identity=identity)

    def of_new(self, source: NewSource, job: str, identifier: str) -> SourceFile:
        """Returns the same for a job that is being made."""
        if source.path is None:
            return self._upload(job, identifier, source.bytes)
        path = str(source.path)
        return SourceFile(path=path, roots=self._nearest(path), identity=source.identity)

    def _upload(self, job: str, source: str, size: int) -> SourceFile:
        place = self._paths.source(job, source)
        return SourceFile(path=str(place), roots=(str(self._paths.spool),), identity=(size, None, None, None))

    async def find(self, path: str) -> NewSource:
        """Finds a file that is on the host already, below a source root once symlinks are resolved, and not our own.

        Raises ForbiddenPath, Unavailable when its disk does not answer, or as `local_source`.
        """
        if "\0" in path:
            raise InvalidRequest("the path holds a NUL character")
        return await self._finding.run(self._place_of(path), partial(self._find, path))

    def _find(self, path: str) -> NewSource:
        real = os.path.realpath(path)
        if not lies_below(real, self._nearest(path, real)):
            raise ForbiddenPath(f"{path} is not below a source root of this daemon")
        if lies_below(real, (str(self._paths.state),)):  # a root may hold that, as a home folder does
            raise ForbiddenPath(f"{path} is in the daemon's state dir: the token and the database are no sources")
        return local_source(Path(path).name, Path(real), self._nearest(path, real))

    async def open(self, file: SourceFile, name: str) -> OpenSource:
        """Opens the file, to be given to `close`. Raises Gone or Conflict in words that name it, or Unavailable."""
        try:
            return await self._opening.run(self._place_of(file.path), partial(_opened, file), _close)
        except SourceRefused as error:
            raise refusal(name, error) from error

    def close(self, file: SourceFile, opened: OpenSource) -> None:
        """Closes what `open` gave. A disk that does not answer may take long over that; nobody waits for it."""
        closing = asyncio.ensure_future(self._closing.run(self._place_of(file.path), partial(_close, opened)))
        self._being_closed.add(closing)
        closing.add_done_callback(self._being_closed.discard)

    async def read(self, file: SourceFile, work: Callable[[], T]) -> T:
        """Returns what `work` gives, which reads of the file that is open.

        Raises Unavailable when its disk does not answer.
        """
        return await self._reading.run(self._place_of(file.path), work)

    async def has_grown(self, known: Recorded) -> bool:
        """Tells whether a file that is read where it is was written to since it was recorded.

        It is not said of another that took its place: that does not touch what was opened. Raises Unavailable.
        """
        if known.path is None or known.modified is None:
            return False
        found = await self.identity(known)
        return found is not None and (found[0], found[3]) != (known.bytes, known.modified)

    async def identity(self, known: Recorded) -> Identity | None:
        """Returns what the recorded file is by now, however large and whenever written to; None: it is not there.

        Raises Unavailable when its disk does not answer.
        """
        same = self.of(replace(known, modified=None))
        try:
            return await self._opening.run(self._place_of(same.path), partial(_identity, same))
        except SourceRefused:
            return None

    async def is_away(self, known: Recorded) -> bool:
        """Tells whether a file that is read where it is cannot be reached there any more, or another took its place."""
        try:
            return known.path is not None and await self.identity(known) is None
        except Unavailable:
            return True

    async def has_lost(self, known: Recorded) -> bool:
        """Tells whether a file that was uploaded, or fetched, is not in the spool any more. Raises Unavailable."""
        if known.path is not None:
            return False
        path = self.of(known).path
        return not await self._opening.run(self._place_of(path), partial(os.path.lexists, path))

    def _place_of(self, path: str) -> str:
        """The root or spool that a path seems to lie below, whatever it leads to."""
        if path.startswith(spool := str(self._paths.spool)):
            return spool
        return next((root for root in self._roots if _is_below(path, root, self._led.get(root))), "")


def _is_below(path: str, *folders: str | None) -> bool:
    """Tells whether one of the folders holds it, as they are written: nothing is looked at."""
    return any(path.startswith(folder.rstrip("/") + "/") for folder in folders if folder)


def _opened(file: SourceFile) -> OpenSource:
    descriptor = file.open()
    return OpenSource(descriptor=descriptor, status=os.fstat(descriptor))


def _close(opened: OpenSource) -> None:
    os.close(opened.descriptor)


def _identity(file: SourceFile) -> Identity:
    opened = _opened(file)
    _close(opened)
    return identity_of(opened.status)


def refusal(name: str, error: SourceRefused) -> FfspoolError:
    """Returns what to tell of a source that cannot be opened (any more)."""
    if error.errno in GONE:
        return Gone(f"{name} is no longer on the disk")
    return refusal_of_host(error) or Conflict(f"{name} cannot be read: {error.strerror}")


def local_source(name: str, path: Path, roots: Iterable[str] = EVERYWHERE) -> NewSource:
    """Finds a file to be read where it is, at a path without symlinks. Raises InvalidRequest or EmptyUpload in words
    that name it. Blocks; run it where that holds nobody up."""
    if not is_text(str(path)):
        raise InvalidRequest(f"{name} is not named in UTF-8, or a folder it lies in is not: rename it")
    try:
        descriptor = open_source(str(path), roots)
    except SourceRefused as error:
        raise InvalidRequest(f"{name} cannot be read: {error.strerror}") from error
    try:
        identity = identity_of(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    if not (size := identity[0]):
        raise EmptyUpload(f"{name} is empty: leave it out, or fetch it anew")
    return NewSource(name=name, bytes=size, path=path, identity=identity)


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
    """Returns what to tell of an upload that is gone."""
    return NotFound(f"there is no upload {upload} any more: another job took it, or it was deleted")
