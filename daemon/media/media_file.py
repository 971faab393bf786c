"""Reads a file while it is described: what several readers ask of it is read once."""

from __future__ import annotations

import io
import os
import struct
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from daemon.media import boxes, flv

MATROSKA = b"\x1aE\xdf\xa3"  # how such files begin
TAIL = 64 * 1024  # bytes
HEAD = 4 * 1024**2  # bytes: the tables of a broadcast come several times in them


class MediaFile:
    """Stands for the file at `path`. All else is read when it is first asked for; then OSError may be raised."""

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def status(self) -> os.stat_result:
        return Path(self.path).stat()

    @property
    def size(self) -> int:
        """Returns its size in bytes."""
        return self.status.st_size

    @cached_property
    def head(self) -> bytes:
        """Returns the first HEAD bytes; all of a file that is no larger."""
        with Path(self.path).open("rb") as file:
            return file.read(HEAD)

    @property
    def boxed(self) -> bool:
        """Tells whether it is made of boxes, as MP4 and QuickTime files are."""
        return boxes.is_one(self.head)

    @cached_property
    def index(self) -> bytes:
        """Returns the `moov` of a file made of boxes; nothing where there is none."""
        if not self.boxed:
            return b""
        with self.open() as file:
            return boxes.first(file, b"moov", most=boxes.LARGEST_INDEX)

    @cached_property
    def flv(self) -> flv.Tags:
        """Returns what the tags of an FLV file hold; nothing where it is none."""
        if not self.head.startswith(flv.BEGIN):
            return flv.Tags(frozenset(), frozenset(), goes_on=False)
        with self.open() as file:
            return flv.tags(file, self.size)

    @cached_property
    def cut_off(self) -> bool | None:
        """Tells whether the file ends before its own structure does; None where the format does not tell."""
        head = self.head[:12]
        if self.boxed:
            with self.open() as file:
                return boxes.end(file, self.size) > self.size
        if head[:4] == b"RIFF":
            return 8 + int(struct.unpack("<I", head[4:8])[0]) > self.size + 1 or self.ends_in_zeros
        if head[:4] == MATROSKA:
            with self.open() as file:
                return (segment_end(file) or 0) > self.size or self.ends_in_zeros
        return None

    @cached_property
    def ends_in_zeros(self) -> bool:
        """Tells whether its end was never written, as of a download that has a place for all. Of WAV nobody knows:
        silence is zeros there.
        """
        if self.size < 2 * TAIL or self.head[8:12] == b"WAVE":
            return False
        with self.open() as file:
            file.seek(self.size - TAIL)
            return not file.read(TAIL).strip(b"\0")

    def open(self) -> BinaryIO:
        """Opens its content at the beginning: out of memory where the head is all of it."""
        return io.BytesIO(self.head) if self.size <= len(self.head) else Path(self.path).open("rb")


def segment_end(file: BinaryIO) -> int | None:
    """Returns where the first segment of a Matroska file says it ends; None when it says nothing."""
    file.seek(4)
    header = vint(file)
    file.seek(0 if header is None else header, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return None
    length = vint(file)
    return None if length is None else file.tell() + length


def vint(file: BinaryIO) -> int | None:
    """Returns EBML's number of variable length; None when it stands for "unknown", or is none."""
    first = file.read(1)
    if not first or first == b"\0":
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + file.read(extra), "big")
    return None if value == (1 << (7 * (extra + 1))) - 1 else value
