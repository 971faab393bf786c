"""Reads a file of ours on its way to the daemon."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

OnBytes = Callable[[int], None]  # told how many more bytes went


class UploadedFile(io.RawIOBase):
    """A file that is opened when its turn comes: a thousand of them are under way without a thousand descriptors."""

    def __init__(self, path: Path, on_bytes: OnBytes) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._on_bytes = on_bytes
        self._file: BinaryIO | None = None

    def read(self, size: int = -1) -> bytes:
        if self._file is None:
            self._file = self._path.open("rb")
        chunk = self._file.read(size)
        self._on_bytes(len(chunk))
        if not chunk:
            self._file.close()
        return chunk

    def tell(self) -> int:
        return 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Says how long the file is, which is all that httpx asks of it."""
        return self._size if whence == os.SEEK_END else offset
