"""Reads `multipart/form-data` as it arrives: files straight to disk, small fields into memory, limits on both."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from daemon.body_batches import batches
from daemon.errors import EmptyUpload, InvalidRequest, OutOfSpace, TooLarge
from daemon.filenames import check
from daemon.models import new_id
from daemon.scheduling.limits import Reservation
from daemon.scheduling.sources import NewSource

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD_COST = 256  # bytes that a field costs besides what it holds
NOT_FILES = 64 * 1024  # bytes of a form that are not its files', at most but for long specifications
FILES = "files"


class Form:
    """A form is what one request brings: its `files` on disk in `folder`, its other `fields` in the order they came.

    As a context manager it removes the files that nobody took over when it is left.
    """

    def __init__(
        self,
        folder: Path,
        reservation: Reservation | None,
        *,
        max_file_bytes: int,
        max_files: int,
        max_field_bytes: int,
        hashed: bool = False,
    ) -> None:
        """Allows `max_field_bytes` for all fields together; each counts for a little more than it holds.

        Files take from `reservation` as they come; without one nothing of them is kept but their `fingerprint`.
        """
        self.hashed = hashed
        self.files: list[NewSource] = []
        self.fields: list[tuple[str, str]] = []
        self._folder = folder
        self._reservation = reservation
        self._arrived = 0
        self._max_file_bytes = max_file_bytes
        self._max_files = max_files
        self._max_field_bytes = max_field_bytes
        self._field_bytes = 0
        self._written: list[Path] = []
        self._digests: list[str] = []

    async def __aenter__(self) -> Form:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        await asyncio.shield(asyncio.to_thread(self._remove))

    def _remove(self) -> None:
        for path in self._written:
            path.unlink(missing_ok=True)

    async def read(self, content_type: str, stream: AsyncIterator[bytes]) -> None:
        """Reads the whole body. Raises InvalidRequest, BadName, EmptyUpload, TooLarge or OutOfSpace, naming
        the file or field at fault; what the stream raises goes through."""
        parts = _Parts(self)
        try:
            parser = MultipartParser(_boundary(content_type), parts.callbacks())
            async for batch in batches(stream):
                await self._take(len(batch))
                await asyncio.to_thread(parser.write, batch)
            parser.finalize()
        except FormParserError as error:
            raise InvalidRequest(f"the multipart body is malformed: {error}") from error
        except OSError as error:
            raise OutOfSpace.of(error) from error
        finally:
            parts.close()
        if not parts.complete:
            raise InvalidRequest("the multipart body ends before its closing boundary")

    async def _take(self, size: int) -> None:
        """Room for a batch more, which may have been kept already; the batches before it are on the disk."""
        if self._reservation:
            self._reservation.arrived = self._arrived
            self._arrived += size
            await self._reservation.grow(self._arrived - NOT_FILES)

    @property
    def fingerprint(self) -> str:
        """Returns a hash of what the form holds, whatever its boundary was; asked for with `hashed`."""
        assert self.hashed
        files = [(file.name, file.bytes, sha256) for file, sha256 in zip(self.files, self._digests, strict=True)]
        return hashlib.sha256(msgspec.json.encode(["form", self.fields, files])).hexdigest()

    def open_file(self, name: str) -> BinaryIO:
        check(name)
        if len(self._written) >= self._max_files:
            raise InvalidRequest(f"a job takes at most {self._max_files} files")
        path = self._folder / new_id()
        self._written.append(path)
        return path.open("xb") if self._reservation else Path(os.devnull).open("wb")

    def fields_grew(self, name: str, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > self._max_field_bytes:
            raise TooLarge(f"with {name!r} the form's fields are over the limit of {self._max_field_bytes} bytes")

    def file_grew(self, name: str, size: int) -> None:
        if size > self._max_file_bytes:
            raise TooLarge(f"{name} is over the limit of {self._max_file_bytes} bytes")

    def end_file(self, name: str, size: int, sha256: str) -> None:
        if size == 0:
            raise EmptyUpload(f"{name} is empty")
        self._digests.append(sha256)
        self.files.append(NewSource(name=name, bytes=size, upload=self._written[-1]))


class _Parts:
    """Follows the parser through the parts of the body. Runs on a thread, one call at a time."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._header = (b"", b"")
        self._disposition: dict[bytes, bytes] = {}
        self._field = ""
        self._file: BinaryIO | None = None
        self._name = ""
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._text = bytearray()
        self.complete = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._extend_header(data[start:end], b""),
            "on_header_value": lambda data, start, end: self._extend_header(b"", data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._take,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _begin(self) -> None:
        self._disposition, self._file, self._text = {}, None, bytearray()

    def _extend_header(self, field: bytes, value: bytes) -> None:
        self._header = (self._header[0] + field, self._header[1] + value)

    def _end_header(self) -> None:
        field, value = self._header
        if field.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(value)
        self._header = (b"", b"")

    def _open(self) -> None:
        self._field = _text(self._disposition.get(b"name", b""), "the name of a form's field")
        filename = self._disposition.get(b"filename")
        if filename is None:
            return
        if self._field != FILES:
            raise InvalidRequest(f"a file came in the field {self._field!r}: files go into {FILES!r}")
        self._name = _unescape(filename).decode(errors="surrogateescape")
        self._file = self._form.open_file(self._name)
        self._size = 0
        self._sha256 = hashlib.sha256()

    def _take(self, data: bytes, start: int, end: int) -> None:
        chunk = memoryview(data)[start:end]
        if self._file:
            self._file.write(chunk)
            if self._form.hashed:
                self._sha256.update(chunk)
            self._size += len(chunk)
            self._form.file_grew(self._name, self._size)
        else:
            self._form.fields_grew(self._field, len(chunk))
            self._text += chunk

    def _end(self) -> None:
        if self._file is None:
            self._form.fields_grew(self._field, FIELD_COST)
            self._form.fields.append((self._field, _text(self._text, f"the field {self._field!r}")))
            return
        self._file.close()
        self._form.end_file(self._name, self._size, self._sha256.hexdigest())
        self._file = None

    def _finish(self) -> None:
        self.complete = True


async def read_body(stream: AsyncIterator[bytes], limit: int) -> bytes:
    """Returns the whole body. Raises TooLarge as soon as it is over `limit` bytes."""
    body = bytearray()
    async for chunk in stream:
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the body is over the limit of {limit} bytes")
    return bytes(body)


def _unescape(filename: bytes) -> bytes:
    """What browsers percent-encode in a file name, and nothing else (WHATWG, multipart/form-data encoding)."""
    return filename.replace(b"%22", b'"').replace(b"%0D", b"\r").replace(b"%0A", b"\n")


def _text(data: bytes | bytearray, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not UTF-8: {error}") from error


def _boundary(content_type: str) -> bytes:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequest("the Content-Type names no multipart boundary")
    return boundary
