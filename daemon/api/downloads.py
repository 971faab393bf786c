"""Sends finished files: one at a time with ranges, or all as a streamed zip with a manifest."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import (
    FileResponse,
    MalformedRangeHeader,
    RangeNotSatisfiable,
    Response,
    StreamingResponse,
)
from starlette.types import Receive, Scope, Send
from zipstream import ZipStream

from daemon.database.store import Row
from daemon.errors import BadRange, Gone, NotFound, Unavailable
from daemon.filenames import MANIFEST
from daemon.http.zero_copy import WINDOW, CopiedFile, Run, Window, WindowedFile, windowed
from daemon.jobs.listing import decode_cursor
from daemon.jobs.views import JobView
from daemon.journal import tell
from daemon.media_types import media_type
from daemon.models import Model
from daemon.proof.output_folder import member, members
from daemon.scheduling.sources import OpenSource

log = logging.getLogger(__name__)

SMALL = 256 * 1024  # bytes up to which a zip's members are sent from memory, several at once
INERT = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}


def one_variation(path: Path, row: Row) -> Response:
    """Answers with the file, with Range and If-Range, or the folder as a stored zip; the ETag is its SHA-256.

    Raises Gone when it was removed by hand. Touches the disk for each file; run it in a thread.
    """
    headers = {"ETag": f'"{row["sha256"]}"'}
    with _gone_if_missing(row):
        status = path.stat()
    if path.is_dir():
        return _Zip(members(path), f"{row['name']}.zip", headers)
    return _File(path, filename=row["name"], headers=headers, stat_result=status)


class _File(FileResponse):
    """Answers a range that is behind the file's end with a problem, and leaves what is no range unheeded."""

    chunk_size = WINDOW

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with _cut_short_if_changed(scope["path_params"].get("job")):
            await super().__call__(scope, receive, windowed(send))

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[Any]:
        assert self.stat_result is not None
        with await run_in_threadpool(open, self.path, "rb") as file:
            yield WindowedFile(file, self.stat_result.st_size)

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable as error:
            raise BadRange(file_size) from error

    @classmethod
    def _parse_ranges(cls, range_: str, file_size: int) -> list[tuple[int, int]]:
        """Those that are behind the end do not matter beside one that is not (RFC 9110, section 14.1.2)."""
        ranges = super()._parse_ranges(range_, file_size)
        return [one for one in ranges if 0 <= one[0] < file_size] or ranges


class _OpenFile(_File):
    """What is sent is read from the open file, whatever stands at its path by then."""

    def __init__(
        self, opened: OpenSource, run: Run, close: Callable[[], None], *, filename: str, headers: dict[str, str]
    ) -> None:
        background = BackgroundTask(_called, close)  # the answer "not modified" takes that over, and nothing else
        super().__init__(filename, filename=filename, headers=headers, stat_result=opened.status, background=background)
        self._opened = opened
        self._run = run
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.background = None
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[Any]:
        yield CopiedFile(self._opened.descriptor, self._opened.status.st_size, self._run)


async def _called(close: Callable[[], None]) -> None:
    close()


class _Zip(StreamingResponse):
    """A stored zip of known length, made on the way."""

    def __init__(
        self, files: Sequence[tuple[str, Path]], name: str, headers: dict[str, str], manifest: bytes | None = None
    ) -> None:
        archive = ZipStream(sized=True)
        for inner, path in files:
            archive.add_path(path, inner)
        if manifest is not None:
            archive.add(manifest, MANIFEST)
        plain = name.encode("ascii", "replace").decode().replace('"', "?").replace("\\", "?")
        named = f'attachment; filename="{plain}"'
        if plain != name:
            named += f"; filename*=utf-8''{quote(name, safe='')}"
        told = {"Content-Length": str(len(archive)), "Content-Disposition": named, **headers}
        self._pieces = _pieces(archive, [path for _, path in files])
        content: Iterator[Any] = self._pieces
        super().__init__(content, media_type="application/zip", headers=told)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._job = scope["path_params"].get("job")
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        try:
            with _cut_short_if_changed(self._job):
                await self._send(windowed(send))
        finally:  # of a client that left, files were else open until somebody looks for garbage
            with suppress(ValueError):  # as the daemon ends, a thread may still be reading
                self._pieces.close()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self.body_iterator:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextmanager
def _cut_short_if_changed(job: str | None) -> Iterator[None]:
    """Ends an answer that began where the rest cannot be sent: the client knows how long it should be.

    Its job was deleted, or somebody works in the spool; Starlette and zipstream tell of that by RuntimeError.
    """
    try:
        yield
    except (OSError, EOFError, RuntimeError, Unavailable) as error:
        tell(log, logging.WARNING, "a download was cut short", job=job, error=error)


def _pieces(archive: ZipStream, paths: Sequence[Path]) -> Generator[bytes | Window]:
    """The archive's bytes; the files must be the first in it, in this order.

    Large files are read here for their checksum alone, and sent as windows.
    """
    waiting = bytearray()
    for path in paths:
        entry = archive.file()
        waiting += next(entry)  # its header
        with path.open("rb") as file:
            size, read, sent = os.fstat(file.fileno()).st_size, 0, 0
            while read < size:
                part = next(entry)
                read += len(part)
                if size <= SMALL:
                    waiting += part
                elif read == size or read - sent >= WINDOW:
                    if waiting:
                        yield bytes(waiting)
                        waiting.clear()
                    yield Window(file, sent, read - sent)
                    sent = read
        waiting += b"".join(entry)  # its checksum
        if len(waiting) > SMALL:
            yield bytes(waiting)
            waiting.clear()
    waiting += b"".join(archive)
    yield bytes(waiting)


class FileView(Model, frozen=True):
    """Shows one file of an output that is a folder; folders in its name are parted by "/"."""

    name: str
    bytes: int


class FilePage(Model, frozen=True):
    items: tuple[FileView, ...]
    next_cursor: str | None


def file_page(folder: Path, row: Row, limit: int, cursor: str | None) -> FilePage:
    """Lists files of an output that is a folder, by name.

    Raises InvalidRequest for a strange cursor, Gone without them. Touches the disk for each file; run it in a thread.
    """
    start = decode_cursor(cursor) if cursor else 0
    with _gone_if_missing(row):
        folder.stat()
        every = members(folder)
        items = tuple(FileView(name=name, bytes=path.stat().st_size) for name, path in every[start : start + limit])
    return FilePage(items=items, next_cursor=str(start + limit) if start + limit < len(every) else None)


def one_file(folder: Path, row: Row, name: str) -> Response:
    """Answers with a file of an output's folder, with Range, to be shown in place: a browser runs nothing of it.

    Raises NotFound for any name that is none of its files, Gone without the folder.
    """
    with _gone_if_missing(row):
        folder.stat()
        path = member(folder, name)
        if path is None:
            raise NotFound(f"{row['name']} holds no file {name[:200]!r}")
        status = path.stat()
    tag = hashlib.sha256(f"{row['sha256']}/{name}".encode()).hexdigest()[:32]
    return _File(
        path,
        filename=path.name,
        media_type=media_type(path.name),
        headers={**INERT, "ETag": f'"{tag}"'},
        stat_result=status,
        content_disposition_type="inline",
    )


@contextmanager
def _gone_if_missing(row: Row) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Gone(f"{row['name']} was completed, but its file is gone from the disk") from error


def source_file(opened: OpenSource, run: Run, close: Callable[[], None], row: Row) -> Response:
    """Answers with a source as it was given, with Range: it may be any file, and a browser shall run nothing of it.

    What is sent is read by `run`; however that ends, `close` is called once.
    """
    return _OpenFile(opened, run, close, filename=row["name"], headers=INERT)


def all_files(job: JobView, files: Sequence[tuple[str, Path]]) -> Response:
    """Answers with a stored zip of known length. The manifest says what each file is, and what is not there and why.

    A folder is a folder in it. What was removed by hand is left out. Touches the disk for each file; run it in
    a thread.
    """
    there = [(name, path) for name, path in files if path.exists()]
    files_in_it = [member for name, path in there for member in _members(name, path)]
    listing = msgspec.json.format(msgspec.json.encode(manifest(job, [name for name, _ in there])))
    return _Zip(files_in_it, f"ffspool-{job.id}.zip", {}, manifest=listing)


def manifest(job: JobView, files: Sequence[str]) -> dict[str, Any]:
    """Returns the job with parameters drawn and hashes, and the names in the zip, in the order of what is completed."""
    return {"files": list(files), "job": msgspec.to_builtins(job)}


def _members(name: str, path: Path) -> list[tuple[str, Path]]:
    return [(f"{name}/{inner}", file) for inner, file in members(path)] if path.is_dir() else [(name, path)]
