"""Finds what files of sound tell that FFmpeg passes over: chunks of WAV, as recorders write them, and APEv2 in MP3."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from daemon.media.media_file import MediaFile

MOST = 200  # chunks, or tags
LARGEST = 64 * 1024  # bytes of tags
# Of chunks, what FFmpeg reads, and what tells nothing of the recording.
READ = {b"fmt ", b"data", b"fact", b"bext", b"ds64", b"cue ", b"id3 ", b"ID3 ", b"JUNK", b"junk", b"PAD ", b"FLLR"}
READ |= {b"filr", b"PEAK"}
UNKNOWN = 0xFFFFFFFF  # how RF64 says that a size is told elsewhere
ID3, FOOTER, APE = 128, 32, b"APETAGEX"


def passed_over(file: MediaFile, format_: str) -> tuple[str, ...]:
    """Returns the names of all that. Raises OSError."""
    try:
        with file.open() as opened:
            if format_ == "wav":
                return tuple(sorted({*_chunks(opened, file.size)}))
            return tuple(sorted({*_of_ape(opened, file.size)})) if format_ == "mp3" else ()
    except struct.error:  # it ends in the midst of them
        return ()


def _chunks(file: BinaryIO, size: int) -> Iterator[str]:
    at = 12
    large = 0
    for _ in range(MOST):
        if at + 12 > size:
            return
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"ds64":
            _, large = struct.unpack("<QQ", file.read(16))
        kind = file.read(4)
        if name == b"LIST" and kind not in {b"INFO", b"adtl"}:
            yield _called(kind)
        elif name not in {b"LIST", *READ} and name.isascii():
            yield _called(name)
        length = large if length == UNKNOWN else length
        at += 8 + length + length % 2


def _of_ape(file: BinaryIO, size: int) -> Iterator[str]:
    """They stand at the end, also before the tag of 128 bytes that is behind all others."""
    for behind in (0, ID3):
        file.seek(max(0, size - behind - FOOTER))
        mark, _, length, count = struct.unpack("<8sIII12x", file.read(FOOTER))
        if mark == APE and FOOTER < length <= min(LARGEST, size):
            file.seek(max(0, size - behind - length))
            yield from _names(file.read(length - FOOTER), min(count, MOST))
            return


def _names(tags: bytes, count: int) -> Iterator[str]:
    at = 0
    for _ in range(count):
        (length,) = struct.unpack_from("<I", tags, at)
        name, _, _ = tags[at + 8 : at + 8 + 255].partition(b"\0")
        yield f"{_called(name).lower()} (APEv2)"
        at += 8 + len(name) + 1 + length


def _called(name: bytes) -> str:
    return name.decode("ascii", "replace").strip()
