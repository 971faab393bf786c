"""Tells of a file whether parts of it were never written, or are something else's: demuxers pass over these in silence.

Downloads take the room of the whole file first and fill it in any order; what is not there yet are zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from daemon.media.media_file import MATROSKA, MediaFile, vint

ZEROS = bytes(64 * 1024)  # more than compressed films hold in a row
CHUNK = 1024**2
INDEXED = {"mov,mp4,m4a,3gp,3g2,mj2", "wav", "w64", "aiff", "caf"}  # these find what they hold by an index
TOLD = {"mxf"}  # what they are made of tells where the next begins
SMPTE = b"\x06\x0e\x2b\x34"  # how all that MXF files are made of begins

EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
EVERYWHERE = {0xEC, 0xBF}  # room, and checksums
OF_SEGMENT = EVERYWHERE | {
    CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367,
}  # fmt: skip
OF_CLUSTER = EVERYWHERE | {0xE7, 0xA3, 0xA0, 0xA7, 0xAB, 0x5854, 0xAF}


class Seams:
    """Follows the packets of a file in the order in which they lie there, and looks at what is between them."""

    def __init__(self, file: MediaFile, format_: str) -> None:
        self._file = file
        self._format = format_
        self._counts = format_ not in INDEXED | TOLD and not file.head.startswith(MATROSKA)
        self._end: int | None = None
        self._between: list[tuple[int, int]] = []

    def see(self, position: int | None, size: int) -> None:
        """Takes where a packet lies, as far as the demuxer tells."""
        if position is None or not self._counts:
            return
        if self._end is not None and position > self._end + len(ZEROS):
            self._between.append((self._end, position))
        self._end = max(self._end or 0, position + size)

    def flaw(self) -> int | None:
        """Returns from which byte on something is missing; None: nothing is. Raises OSError."""
        with self._file.open() as file:
            if self._file.head.startswith(MATROSKA):
                return _strange(file, self._file.size)
            if self._format == "mxf":
                return _strange_in_mxf(file, self._file.size, self._file.head.find(SMPTE))
            tail = [] if self._end is None else [(self._end, self._file.size)]
            found = (_zeros(file, begin, end) for begin, end in (*self._between, *tail))
            return next((at for at in found if at is not None), None)


def _zeros(file: BinaryIO, begin: int, end: int) -> int | None:
    """Where so many zeros lie in a row between two bytes."""
    file.seek(begin)
    before, at = b"", begin
    while at < end and (piece := file.read(min(CHUNK, end - at))):
        if (found := (before + piece).find(ZEROS)) >= 0:
            return at - len(before) + found
        at += len(piece)
        before = (before + piece)[-len(ZEROS) + 1 :]
    return None


def _strange_in_mxf(file: BinaryIO, size: int, at: int) -> int | None:
    """Where something begins in an MXF file that is none of its parts, the first of which begins at that byte; it is
    not looked for where that was not found.
    """
    while 0 <= at < size:
        file.seek(at)
        part = file.read(25)
        length = ber(part[16:])
        if not part.startswith(SMPTE) or length is None:
            return at
        at += 16 + length
    return None


def ber(told: bytes) -> int | None:
    """Returns how many bytes a length of MXF and what it counts take; None: it is none."""
    if not told or told[0] == 0x80:
        return None
    more = told[0] & 0x7F if told[0] > 0x80 else 0
    return 1 + more + int.from_bytes(told[1 : 1 + more], "big") if more else 1 + told[0]


def _strange(file: BinaryIO, size: int) -> int | None:
    """Where in a Matroska file something begins that is no part of one."""
    while file.tell() < size:
        name, end = _element(file, size)
        if name == SEGMENT:
            if (found := _strange_in_segment(file, min(end, size))) is not None:
                return found
        elif name in EVERYWHERE | {EBML}:
            file.seek(end)
        else:
            return None  # what lies behind the last segment is none of it
    return None


def _strange_in_segment(file: BinaryIO, end: int) -> int | None:
    for at, name, begin, ends in _elements(file, end):
        if name == EBML:  # of one that was written without going back, as it begins anew
            file.seek(at)
            return None
        if name not in OF_SEGMENT or ends > end:
            return at
        if name == CLUSTER:
            file.seek(begin)
            if (found := _strange_in_cluster(file, ends)) is not None:
                return found
    return None


def _strange_in_cluster(file: BinaryIO, end: int) -> int | None:
    for at, name, _, ends in _elements(file, end):
        if name in OF_SEGMENT - EVERYWHERE or name == EBML:  # the next, of one that did not know its size
            file.seek(at)
            return None
        if name not in OF_CLUSTER or ends > end:
            return at
    return None


def _elements(file: BinaryIO, end: int) -> Iterator[tuple[int, int | None, int, int]]:
    """Yields what follows each other up to the end: where it begins, its name, where its content begins and ends.

    Each is passed over but where somebody else went on in the file.
    """
    while (at := file.tell()) < end:
        name, ends = _element(file, end)
        begin = file.tell()
        yield at, name, begin, ends
        if file.tell() == begin:
            file.seek(ends)


def _element(file: BinaryIO, end: int) -> tuple[int | None, int]:
    """The name of what begins here, None for nothing, and where it ends: of one that does not tell, where all does."""
    first = file.read(1)
    if not first or first[0] < 0x10:
        return None, end
    name = int.from_bytes(first + file.read(8 - first[0].bit_length()), "big")
    length = vint(file)
    return name, end if length is None else file.tell() + length
