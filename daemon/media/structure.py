"""Tells of a file whether its own structure goes on behind its end, be it by a byte: then something of it is missing.

That is seen without reading all of it, and more exactly than by how long it lasts. MPEG's program streams tell nothing
of the kind, nor do raw ones, and a transport stream no more than that it ends within a packet.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

from daemon.media import boxes
from daemon.media.durations import UNKNOWN
from daemon.media.media_file import MATROSKA, MediaFile, vint

SEGMENT, CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
ASF, ASF_FILE = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
BROADCAST, HEADER = 1, 64 * 1024
MXF = bytes.fromhex("060e2b34020501010d0102010102")
LAST_PAGE, PAGES = 4, 128 * 1024  # bytes in which two pages of Ogg lie


def lacks_end(file: MediaFile) -> bool:
    """Tells whether something of the file is missing at its end; False, too, where nothing tells. Raises OSError."""
    look = next((look for begin, look in LOOKS.items() if file.head.startswith(begin)), None)
    try:
        with file.open() as opened:
            if file.boxed:
                return file.cut_off is True or _fragments_end(opened, file.size) > file.size
            return file.ends_in_zeros or look(opened, file.size) if look else _ends_within_a_packet(file)
    except (struct.error, ValueError, IndexError):  # it is not what it seems
        return False


def _fragments_end(file: BinaryIO, size: int) -> int:
    """Where the last fragment ends that the first index at the top of an MP4 tells of; 0: there is no such index."""
    begin, end = next(((begin, end) for name, begin, end in boxes.top(file, size) if name == b"sidx"), (0, 0))
    file.seek(begin)
    index = file.read(min(end - begin, boxes.LARGEST_INDEX))
    if not index:
        return 0
    gap, at = (">Q", 28) if index[8] else (">I", 24)
    first = end + struct.unpack_from(gap, index, at)[0]
    at += struct.calcsize(gap) + 2
    entries = range(at + 2, at + 2 + 12 * struct.unpack_from(">H", index, at)[0], 12)
    return int(first + sum(struct.unpack_from(">I", index, entry)[0] & 0x7FFFFFFF for entry in entries))


def _ends_within_a_packet(file: MediaFile) -> bool:
    """Tells of a transport stream, also with a time before each packet."""
    for before, length in ((0, 188), (4, 192)):
        marks = file.head[before : before + 5 * length : length]
        if marks == b"G" * 5:
            return bool(file.size % length) or file.ends_in_zeros
    return False


def _matroska(file: BinaryIO, size: int) -> bool:
    """One that was written without going back tells the sizes of its parts, and not that of the whole."""
    while file.tell() < size:
        first = file.read(1)
        name = first + file.read(8 - first[0].bit_length()) if first[0] else b""
        length = vint(file)
        if length is None and name in {SEGMENT, CLUSTER} and file.tell() < size:
            continue
        if not name or (length is None and file.tell() < size):
            return False
        if file.tell() >= size:
            return length != 0
        file.seek(length or 0, 1)
    return file.tell() > size


def _avi(file: BinaryIO, size: int) -> bool:
    """A long one has several chunks at its top, each of which tells its size."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF" or length >= UNKNOWN:
            break
        end += 8 + length + length % 2
    return end > size + 1


def _flv(file: BinaryIO, size: int) -> bool:
    """Tells it by the last of its parts, behind each of which stands how long that is."""
    file.seek(size - 4)
    (length,) = struct.unpack(">I", file.read(4))
    file.seek(max(0, size - 4 - length))
    (told,) = struct.unpack(">I", file.read(4))
    return bool(length > size or 11 + (told & 0xFFFFFF) != length)


def _asf(file: BinaryIO, size: int) -> bool:
    head = file.read(HEADER)
    at = head.index(ASF_FILE)
    (whole,), (flags,) = struct.unpack_from("<Q", head, at + 40), struct.unpack_from("<I", head, at + 88)
    return whole > size and not flags & BROADCAST


def _mxf(file: BinaryIO, size: int) -> bool:
    return footer(file) >= size


def footer(file: BinaryIO) -> int:
    """Returns where the last partition of an MXF file begins, which its header tells; 0: it was not known."""
    file.seek(0)
    head = file.read(100)
    begin = 17 + (head[16] & 0x7F if head[16] & 0x80 else 0)
    return int.from_bytes(head[begin + 24 : begin + 32], "big")


def _ogg(file: BinaryIO, size: int) -> bool:
    """The last page of a stream says that it is the last."""
    file.seek(max(0, size - PAGES))
    tail = file.read(PAGES)
    at = tail.rindex(b"OggS")
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    return not tail[at + 5] & LAST_PAGE or at + 27 + tail[at + 26] + sum(segments) > len(tail)


LOOKS: dict[bytes, Callable[[BinaryIO, int], bool]] = {
    MATROSKA: _matroska,
    b"RIFF": _avi,
    b"FLV": _flv,
    ASF: _asf,
    MXF: _mxf,
    b"OggS": _ogg,
    b"\0\0\1\xba": lambda _file, _size: False,  # a program stream
}
