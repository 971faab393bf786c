"""Reads of an AVI file when its streams begin, which FFmpeg goes by and does not tell."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from daemon.media.media_file import MediaFile

HEADER = 64 * 1024  # bytes in which it describes its streams
STREAM = b"strh"  # what the description of one is called
MOST_LATE = 3600.0  # seconds, of which FFmpeg believes no more


def begins(file: MediaFile) -> tuple[float, ...]:
    """Returns the seconds after which each stream begins, in their order; none where it is no AVI file."""
    head = file.head[:HEADER]
    return tuple(_begins(head)) if head[:4] == b"RIFF" and head[8:12] == b"AVI " else ()


def _begins(head: bytes) -> Iterator[float]:
    at = head.find(STREAM)
    while 0 <= at <= len(head) - 40:
        scale, rate, late = struct.unpack_from("<III", head, at + 28)
        seconds = late * scale / rate if rate else 0.0
        yield seconds if seconds <= MOST_LATE else 0.0
        at = head.find(STREAM, at + 40)
