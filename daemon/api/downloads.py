"""Finished files on their way out: one at a time with ranges, or all as a streamed zip with a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import (
    FileResponse,
    MalformedRangeHeader,
    RangeNotSatisfiable,
    Response,
    StreamingResponse,
)
from zipstream import ZipStream

from daemon.bundle import members
from daemon.errors import BadRange, Gone
from daemon.names import MANIFEST
from daemon.store import Row
from daemon.views import JobView

INERT = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}


def one_variation(path: Path, row: Row) -> Response:
    """The file, with Range and If-Range, or the folder as a stored zip; the ETag is its SHA-256.

    Raises Gone when it was removed by hand. Touches the disk for each file; run it in a thread.
    """
    headers = {"ETag": f'"{row["sha256"]}"'}
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise Gone(f"{row['name']} was completed, but its file is gone from the disk") from error
    headers = {"ETag": f'"{row["sha256"]}"'}
    if path.is_dir():
        return _zip(_archive(members(path)), f"{row['name']}.zip", headers)
    return _File(path, filename=row["name"], headers=headers, stat_result=status)


class _File(FileResponse):
    """Answers a range that is behind the file's end with a problem, and leaves what is no range unheeded."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable as error:
            raise BadRange(file_size) from error


def source_file(path: Path, row: Row) -> Response:
    """A source as it was given, with Range. It may be any file: a browser that opens it shall run nothing of it.

    Raises Gone when it is not where it was.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise Gone(f"{row['name']} is no longer on the disk") from error
    return _File(path, filename=row["name"], headers=INERT, stat_result=status)


def all_files(job: JobView, files: Sequence[tuple[str, Path]]) -> Response:
    """A stored zip of known length. The manifest says what each file is, and what is not there and why.

    A folder is a folder in it. What was removed by hand is left out. Touches the disk for each file; run it in
    a thread.
    """
    there = [(name, path) for name, path in files if path.exists()]
    archive = _archive([member for name, path in there for member in _members(name, path)])
    archive.add(msgspec.json.format(msgspec.json.encode(manifest(job, [name for name, _ in there]))), MANIFEST)
    return _zip(archive, f"ffspool-{job.id}.zip", {})


def manifest(job: JobView, files: Sequence[str]) -> dict[str, Any]:
    """The job with all parameters drawn and hashes, and the names in the zip, in the order of its completed."""
    return {"files": list(files), "job": msgspec.to_builtins(job)}


def _members(name: str, path: Path) -> list[tuple[str, Path]]:
    return [(f"{name}/{inner}", file) for inner, file in members(path)] if path.is_dir() else [(name, path)]


def _archive(files: Sequence[tuple[str, Path]]) -> ZipStream:
    archive = ZipStream(sized=True)
    for name, path in files:
        archive.add_path(path, name)
    return archive


def _zip(archive: ZipStream, name: str, headers: dict[str, str]) -> Response:
    plain = name.encode("ascii", "replace").decode().replace('"', "?").replace("\\", "?")
    named = f'attachment; filename="{plain}"'
    if plain != name:
        named += f"; filename*=utf-8''{quote(name, safe='')}"
    told = {"Content-Length": str(len(archive)), "Content-Disposition": named, **headers}
    return StreamingResponse(_chunks(archive), media_type="application/zip", headers=told)


def _chunks(archive: ZipStream) -> Iterator[bytes]:
    yield from archive
