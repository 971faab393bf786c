"""Reads the boxes of an MP4 or QuickTime file (ISO/IEC 14496-12, 4.2), and what its tracks' sample tables say."""

from __future__ import annotations

import io
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

BEGINNINGS = {b"ftyp", b"moov", b"wide", b"free", b"skip", b"mdat"}
NAME = re.compile(rb"[ -~\xa9][ -~]{3}")
LARGEST_INDEX = 64 * 1024**2  # bytes of a moov that are read
_ITUNES = {
    b"\xa9ART": "artist",
    b"aART": "album_artist",
    b"\xa9gen": "genre",
    b"\xa9wrt": "composer",
    b"\xa9nam": "title",
}


class Track(NamedTuple):
    """Holds the names of a track's sample descriptions, their contents, and which of them (from 1) samples refer to;
    what kind of track it is ("vide", "soun", …), and whether some of its samples lie in another file."""

    names: tuple[bytes, ...]
    described: tuple[bytes, ...]
    used: frozenset[int]
    kind: bytes
    elsewhere: bool


def is_one(head: bytes) -> bool:
    """Tells whether a file that begins so is made of boxes."""
    return head[4:8] in BEGINNINGS


def tracks(moov: bytes) -> list[Track]:
    """Returns the tracks that the index speaks of, in order."""
    return [_track(trak) for name, trak in within(moov[8:]) if name == b"trak"]


class Edit(NamedTuple):
    """Shows a part of a track, so many ticks of the movie's clock long, from that tick of its own on, at a speed of 1.0
    as it was recorded; or nothing (None) for that long."""

    length: int
    begin: int | None
    speed: float


def edits(moov: bytes) -> list[list[Edit]]:
    """Returns what the edit list of each track has players show, in order; an empty list where it has none."""
    return [[*_edits(only(only(trak, b"edts"), b"elst"))] for name, trak in within(moov[8:]) if name == b"trak"]


def _edits(table: bytes) -> Iterator[Edit]:
    size, entry = (20, ">Qqi") if table[:1] == b"\1" else (12, ">Iii")
    for at in range(8, len(table) - size + 1, size):
        length, begin, rate = struct.unpack_from(entry, table, at)
        if length:
            yield Edit(length, begin if begin >= 0 else None, rate / 65536)


def speeds(moov: bytes) -> set[float]:
    """Returns how fast edit lists have players play what they show: 1.0 is as it was recorded."""
    return {speed for track in edits(moov) for speed in _speeds(track)}


def _speeds(edits: Iterable[Edit]) -> Iterator[float]:
    """A list of one edit alone does not stop at a picture: muxers say 0 of it that mean nothing."""
    shown = [edit.speed for edit in edits if edit.begin is not None]
    yield from shown if shown != [0.0] else []


def repeated_tags(moov: bytes) -> set[str]:
    """Returns the names of tags of which an Apple list holds several: covers are no tags."""
    held = only(only(only(moov[8:], b"udta"), b"meta")[4:], b"ilst")
    atoms = [(name, content) for name, content in within(held) if name not in {b"covr", b"----"}]
    names = Counter(name for name, content in atoms for inner, _ in within(content) if inner == b"data")
    return {_ITUNES.get(name, name.decode("latin-1").strip("\xa9 ")) for name, count in names.items() if count > 1}


def is_endless(moov: bytes) -> bool:
    """Tells whether that index announces fragments, and not how long they last: as recorders write it on the way."""
    index = list(within(moov[8:]))
    extends = next((content for name, content in index if name == b"mvex"), None)
    header = next((content for name, content in index if name == b"mvhd"), b"")
    at, size = (24, 8) if header[:1] == b"\1" else (16, 4)
    said = int.from_bytes(header[at : at + size], "big")
    return extends is not None and said == 0 and all(name != b"mehd" for name, _ in within(extends))


def first(file: BinaryIO, wanted: bytes, most: int) -> bytes:
    """Returns the first `most` bytes of the first box of that name at the top of an MP4 file; none if there is none."""
    size = file.seek(0, io.SEEK_END)
    for name, begin, end in top(file, size):
        if name == wanted:
            file.seek(begin)
            return file.read(min(end - begin, most))
    return b""


def end(file: BinaryIO, size: int) -> int:
    """Returns where the last box at the top of a file of that `size` ends, which may be behind it."""
    return max((end for _, _, end in top(file, size)), default=0)


def within(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and content of each box of a row of them."""
    at = 0
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        head = 8
        if length == 1 and at + 16 <= len(content):
            length, head = struct.unpack_from(">Q", content, at + 8)[0], 16
        if length < head:  # 0 stands for the rest of a file, and has no place within a box
            return
        yield name, content[at + head : at + length]
        at += length


def top(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields name, begin and end of every box at the top; the last may end behind the file. What has no name that a box
    may have is none: cameras write data of their own behind the last.
    """
    end = 0
    while end + 8 <= size:
        begin = end
        file.seek(begin)
        length, name = struct.unpack(">I4s", file.read(8))
        if not NAME.fullmatch(name):
            return
        if length == 1:
            length = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
        end = size if length == 0 else begin + max(8, length)
        yield name, begin, end


def _track(trak: bytes) -> Track:
    media = only(trak, b"mdia")
    tables = only(only(media, b"minf"), b"stbl")
    entries = list(within(only(tables, b"stsd")[8:]))
    references = [*within(only(only(only(media, b"minf"), b"dinf"), b"dref")[8:])]
    numbers = {int.from_bytes(content[6:8], "big") for _, content in entries}
    return Track(
        names=tuple(name for name, _ in entries),
        described=tuple(content for _, content in entries),
        used=frozenset(_descriptions(only(tables, b"stsc"))) & frozenset(range(1, len(entries) + 1)),
        kind=only(media, b"hdlr")[8:12],
        elsewhere=any(_leads_away(told) for number, (_, told) in enumerate(references, 1) if number in numbers),
    )


def _leads_away(reference: bytes) -> bool:
    """Whether a data reference names another file; one that names nothing is muxers' word for their own."""
    return len(reference) > 4 and not reference[3] & 1 and reference[4:].strip(b"\0") != b""


def only(content: bytes, wanted: bytes) -> bytes:
    """Returns what the first box of that name in a row of them holds; nothing where there is none."""
    return next((inside for name, inside in within(content) if name == wanted), b"")


def _descriptions(table: bytes) -> Iterator[int]:
    for at in range(8, len(table) - 11, 12):
        yield struct.unpack_from(">I", table, at + 8)[0]
