"""Rewrites boxes of MP4 and QuickTime files that FFmpeg has made, whose index stands behind what it speaks of."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from test_contents import box

from daemon.media import boxes

Change = Callable[[bytes], bytes]


def changed(row: bytes, path: Sequence[bytes], change: Change) -> bytes:
    """The row of boxes, of which all that lie at that path hold something else."""
    name, *rest = path
    head = {b"stsd": 8, b"dref": 8, b"meta": 4}

    def within(called: bytes, content: bytes) -> bytes:
        if called != name:
            return content
        if not rest:
            return change(content)
        at = head.get(called, 0)
        return content[:at] + changed(content[at:], rest, change)

    return b"".join(box(called, within(called, content)) for called, content in boxes.within(row))


def edit_list(*edits: tuple[float, float | None], movie: int, track: int) -> bytes:
    """Shows parts of a track: so many seconds of it from that second on, or nothing (None)."""
    told = ((round(length * movie), -1 if begin is None else round(begin * track)) for length, begin in edits)
    table = b"".join(struct.pack(">Iii", *edit, 65536) for edit in told)
    return box(b"edts", box(b"elst", bytes(4), struct.pack(">I", len(edits)), table))


def showing(*edits: tuple[float, float | None]) -> Change:
    """An edit of a file whose tracks show those parts of themselves."""

    def edit(whole: bytes) -> bytes:
        movie = clock(boxes.only(boxes.only(whole, b"moov"), b"mvhd"))

        def of_track(trak: bytes) -> bytes:
            told = edit_list(*edits, movie=movie, track=clock(boxes.only(boxes.only(trak, b"mdia"), b"mdhd")))
            rest = [box(name, content) for name, content in boxes.within(trak) if name != b"edts"]
            return b"".join([rest[0], told, *rest[1:]])

        return changed(whole, [b"moov", b"trak"], of_track)

    return edit


def clock(header: bytes) -> int:
    """The ticks in a second."""
    return int.from_bytes(header[12:16], "big")
