"""Keeps resumable uploads: files that arrive in pieces, over days and restarts, until a job takes them.

A piece is written and fsynced first, then its offset is committed: an offset that a client was told is
never ahead of the disk. What a crash leaves beyond it is cut off before the next piece is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from daemon import filenames
from daemon.callers import OURSELVES, Caller
from daemon.database.store import Row, Store, Transaction
from daemon.errors import (
    ChecksumMismatch,
    Conflict,
    Doubtful,
    EmptyUpload,
    FfspoolError,
    Gone,
    NotFound,
    OutOfSpace,
    TooLarge,
    UploadLocked,
    UploadUnfinished,
)
from daemon.jobs.request_bodies import RequestBodies
from daemon.models import Model, new_id
from daemon.paths import Paths, fsync_folder, remove
from daemon.scheduling.limits import Quota
from daemon.settings import Settings

T = TypeVar("T")

BATCH = 1024 * 1024  # bytes handed to a thread at a time
COMMIT_EVERY = 8 * 1024 * 1024  # bytes; a crash costs a client no more than this


class Checksum(Model, frozen=True):
    """Says what the bytes of one piece must hash to; `algorithm` is a name hashlib knows."""

    algorithm: str
    digest: bytes


class Upload(Model, frozen=True):
    id: str
    name: str
    metadata: str | None  # the client's `Upload-Metadata`, as it was sent
    length: int
    offset: int  # bytes that are here, and durable
    expires_at: float
    media: str | None = None  # what was found in it, as JSON; None: nobody looked, or it cannot be read
    unreadable: str | None = None  # why, if so


class Uploads:
    """Makes uploads, lets them grow and forgets them. Taking a finished one is the job's business."""

    def __init__(
        self,
        store: Store,
        paths: Paths,
        settings: Settings,
        bodies: RequestBodies,
        quota: Quota,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.max_bytes = settings.max_upload_bytes
        self._quota = quota
        self._store = store
        self._paths = paths
        self._kept = settings.upload_expiry
        self._now = now
        self._bodies = bodies
        self._growing: dict[str, asyncio.Task[object]] = {}

    async def close(self) -> None:
        """Returns when every piece under way is settled; none begins once what arrives is stopped."""
        if self._growing:
            await asyncio.wait(self._growing.values())

    async def create(
        self, name: str, length: int, metadata: str | None = None, *, caller: Caller = OURSELVES
    ) -> Upload:
        """Makes a new, empty upload of `length` bytes, the caller's.

        Raises BadName, TooLarge, LimitReached or OutOfSpace.
        """
        filenames.check(name)
        if length > self.max_bytes:
            raise TooLarge(f"{name} is over the limit of {self.max_bytes} bytes")
        now = self._now()
        row = {"id": new_id(), "name": name, "metadata": metadata, "length": length, "now": now, "owner": caller.name}
        return _upload(await self._store.write(partial(self._insert, {**row, "expires_at": now + self._kept}, caller)))

    def _insert(self, row: dict[str, Any], caller: Caller, transaction: Transaction) -> Row | None:
        self._quota.check_uploads(transaction)
        self._quota.check_bytes(transaction, row["length"], caller)
        self._quota.check_disk(row["length"])
        return transaction.one("insert_upload", **row)

    async def get(self, upload: str) -> Upload:
        """Returns the upload as far as it is durable. Raises NotFound, or Gone when its file was removed by hand."""
        return await self._store.read(partial(durable_upload, self._paths, upload, self._now()))

    async def delete(self, upload: str) -> None:
        """Forgets the upload; a piece under way comes to nothing. Raises NotFound."""
        if not await self._store.write(lambda t: t.run("delete_upload", id=upload)):
            raise _unknown(upload)
        await asyncio.to_thread(remove, self._paths.upload(upload))

    async def append(
        self, upload: str, offset: int, stream: AsyncIterator[bytes], checksum: Checksum | None = None
    ) -> Upload:
        """Takes the piece that begins at `offset`, and returns the upload with all of it durable.

        When the stream raises, or the caller is cancelled, what has arrived is kept and the exception goes
        on; with a `checksum` a piece is kept whole or not at all. Raises NotFound, Gone, Conflict (the
        upload is at another offset), UploadLocked (another piece is under way), TooLarge (longer than was
        said), UploadStalled, ChecksumMismatch, OutOfSpace, or Unavailable when the daemon stops.
        """
        with self._alone(upload):
            row = await self._store.write(partial(self._touch, upload))
            if row["offset"] != offset:
                raise Conflict(f"the upload {upload} is at offset {row['offset']}, not {offset}: go on from there")
            piece = _Piece(self._paths.upload(upload), row, checksum)
            try:
                await _on_thread(piece.open)
                with self._quota.arriving(piece.expected, piece.written):
                    return await self._receive(upload, piece, stream)
            except NotFound:
                await _on_thread(partial(remove, self._paths.upload(upload)))  # deleted, or taken, after it was found
                raise
            finally:
                await _on_thread(piece.close)

    async def _receive(self, upload: str, piece: _Piece, stream: AsyncIterator[bytes]) -> Upload:
        try:
            async for chunk in self._bodies.of(stream):
                piece.take(chunk)
                if piece.pending >= BATCH:
                    await _on_thread(piece.write)
                if piece.uncommitted >= COMMIT_EVERY and piece.may_be_split:
                    await self._commit(upload, piece)
        except BaseException:
            if piece.may_be_split:
                await self._commit(upload, piece)
            raise
        await _on_thread(piece.verify)
        return await self._commit(upload, piece)

    async def _commit(self, upload: str, piece: _Piece) -> Upload:
        offset = await _on_thread(piece.sync)
        expires_at = self._now() + self._kept
        with piece.vouched(offset):
            row = await self._store.write(
                lambda t: t.one("grow_upload", id=upload, offset=offset, expires_at=expires_at)
            )
        if row is None:
            raise _unknown(upload)
        return _upload(row)

    def _touch(self, upload: str, transaction: Transaction) -> Row:
        now = self._now()
        row = transaction.one("touch_upload", id=upload, now=now, expires_at=now + self._kept)
        if row is None:
            raise _unknown(upload)
        return row

    @contextmanager
    def _alone(self, upload: str) -> Iterator[None]:
        if upload in self._growing:
            raise UploadLocked(f"another request is sending to the upload {upload}: try again when it has ended")
        task = asyncio.current_task()
        assert task is not None
        self._growing[upload] = task
        try:
            yield
        finally:
            del self._growing[upload]


class _Piece:
    """One request's bytes on their way into an upload's file. One call at a time; what blocks runs on a thread."""

    def __init__(self, path: Path, row: Row, checksum: Checksum | None) -> None:
        self._path = path
        self._name = row["name"]
        self._length = row["length"]
        self._start = self._committed = self._end = row["offset"]  # `_end`: of what is in the file
        self._in_doubt = False  # whether a commit may have been, or not
        self._checksum = checksum
        self._hash = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
        self._buffer = bytearray()
        self._file: int | None = None

    @property
    def pending(self) -> int:
        return len(self._buffer)

    @property
    def uncommitted(self) -> int:
        return int(self._end - self._committed)

    @property
    def expected(self) -> int:
        """Bytes that the upload lacks."""
        return int(self._length - self._start)

    def written(self) -> int:
        """Bytes of this piece that are in the file."""
        return int(self._end - self._start)

    @property
    def may_be_split(self) -> bool:
        """Whether a part of it is worth keeping: not while a checksum has to vouch for the whole."""
        return self._checksum is None

    def open(self) -> None:
        """Opens the file and cuts off what no commit vouches for. Blocks."""
        new = self._start == 0
        try:
            self._file = os.open(self._path, os.O_RDWR | (os.O_CREAT if new else 0), 0o600)
        except FileNotFoundError as error:
            raise _lost(self._name) from error
        except OSError as error:
            raise OutOfSpace.of(error) from error
        if os.fstat(self._file).st_size < self._start:
            raise _lost(self._name)
        os.ftruncate(self._file, self._start)
        if new:
            fsync_folder(self._path.parent)

    @contextmanager
    def vouched(self, offset: int) -> Iterator[None]:
        """While it lasts, that offset is committed."""
        self._in_doubt = True
        try:
            yield
        except Doubtful:
            raise
        except FfspoolError:  # for certain it is not, as when another program holds the database
            self._in_doubt = False
            raise
        self._committed, self._in_doubt = offset, False

    def close(self) -> None:
        """Gives back what is beyond the offset: a disk that is full needs the room, and no account speaks of it."""
        if self._file is not None:
            if self._end > self._committed and not self._in_doubt:
                with suppress(OSError):
                    os.ftruncate(self._file, self._committed)
            os.close(self._file)
            self._file = None

    def take(self, chunk: bytes) -> None:
        if self._end + len(self._buffer) + len(chunk) > self._length:
            raise TooLarge(f"{self._name} was said to be {self._length} bytes long, and more are coming")
        self._buffer += chunk

    def write(self) -> None:
        """Writes what is pending. Blocks. What fails is not tried again: it is not pending any more."""
        batch, self._buffer = self._buffer, bytearray()
        if self._hash:
            self._hash.update(batch)
        assert self._file is not None
        try:
            with memoryview(batch) as rest:
                written = 0
                while written < len(batch):
                    count = os.pwrite(self._file, rest[written:], self._end)
                    written += count
                    self._end += count
        except OSError as error:
            raise OutOfSpace.of(error) from error

    def sync(self) -> int:
        """Makes everything taken durable and returns where it ends. Blocks."""
        self.write()
        assert self._file is not None
        try:
            os.fsync(self._file)
        except OSError as error:
            raise OutOfSpace.of(error) from error
        return int(self._end)

    def verify(self) -> None:
        """Raises ChecksumMismatch when the piece is not what its checksum says. Blocks."""
        self.write()
        if self._checksum and self._hash and self._hash.digest() != self._checksum.digest:
            raise ChecksumMismatch(
                f"the bytes that came for {self._name} do not have the {self._checksum.algorithm} they were sent with: "
                f"send them again from offset {self._start}"
            )


def durable_upload(paths: Paths, upload: str, now: float, transaction: Transaction) -> Upload:
    """Returns the upload, once it is sure that its file holds what its row says. Raises NotFound or Gone."""
    row = transaction.one("upload", id=upload, now=now)
    if row is None:
        raise _unknown(upload)
    path = paths.upload(upload)
    if row["offset"] and (not path.exists() or path.stat().st_size < row["offset"]):
        raise _lost(row["name"])
    return _upload(row)


def finished_upload(
    paths: Paths, upload: str, now: float, transaction: Transaction, *, owner: str | None = None
) -> Upload:
    """Returns an upload that is complete, and an `owner`'s where that is given; another's is as none.

    Raises as `durable_upload`, UploadUnfinished or EmptyUpload.
    """
    if owner is not None and not transaction.one("owned_upload", id=upload, owner=owner):
        raise _unknown(upload)
    found = durable_upload(paths, upload, now, transaction)
    if found.offset < found.length:
        missing = found.length - found.offset
        raise UploadUnfinished(f"the upload {upload} lacks {missing} of {found.length} bytes: send them first")
    if found.length == 0:
        raise EmptyUpload(f"{found.name} is empty")
    return found


def _upload(row: Row | None) -> Upload:
    assert row is not None
    return Upload(**{field: row[field] for field in Upload.__struct_fields__})


def _unknown(upload: str) -> NotFound:
    return NotFound(f"there is no upload {upload}: it expired, was deleted, or a job took it")


def _lost(name: str) -> Gone:
    return Gone(f"what was uploaded of {name} is gone from the disk: begin again")


async def _on_thread(work: Callable[[], T]) -> T:
    """Runs `work` on a thread. A cancelled caller still waits for it, lest it writes to a file closed meanwhile."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
