"""Tells which streams of an MPEG transport stream belong together: a multiplex holds several channels.

The tables are those of ISO/IEC 13818-1, 2.4.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from daemon.media.media_file import MediaFile

PACKETS = {188: 0, 192: 4}  # how long packets are, by what stands before their first byte: a clock, on discs
SYNC = 0x47
PAT, PMT = 0x00, 0x02  # kinds of tables
PICTURES = {0x01, 0x02, 0x10, 0x1B, 0x24, 0x33, 0x42, 0xD1, 0xEA, 0xDB}  # types of streams
SOUNDS = {0x03, 0x04, 0x0F, 0x11, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0xCF, 0xC1, 0xC2}
PROTECTED = {0xDB, 0xCF, 0xC1, 0xC2}  # types of streams whose samples are encrypted (Apple's SAMPLE-AES)
LOOKED_AT = 512 * 1024  # bytes at each of several places in which it is told whether packets are scrambled


def unrelated_to(file: MediaFile, pid: int) -> set[int]:
    """Returns the identifiers (PID) of streams that are only in other programs than that one; none if nothing tells."""
    programs = [set(program) for program in _programs(file)]
    own = set[int]().union(*(program for program in programs if pid in program))
    return set[int]().union(*programs) - own if own else set()


def streams_of(file: MediaFile, types: set[int]) -> set[int]:
    """Returns the PIDs of streams of those types; none where it is no transport stream."""
    return {pid for program in _programs(file) for pid, kind in program.items() if kind in types}


def scrambled(file: MediaFile) -> set[int]:
    """Returns the PIDs of streams that need a key: most of their packets say so, or the program's map does.

    A receiver may need some seconds to open what it records, so that the beginning alone does not tell.
    """
    all_of, closed = Counter[int](), Counter[int]()
    for piece in _pieces(file):
        for pid, flags in _marks(piece):
            all_of[pid] += 1
            closed[pid] += bool(flags & 0xC0)
    return {pid for pid, count in closed.items() if 2 * count > all_of[pid]} | streams_of(file, PROTECTED)


def _pieces(file: MediaFile) -> Iterator[bytes]:
    with file.open() as content:
        for share in (0.0, 0.4, 0.75):
            content.seek(int(file.size * share) // 188 // 192 * 188 * 192)  # where packets of either length begin
            yield content.read(LOOKED_AT)


def _marks(piece: bytes) -> Iterator[tuple[int, int]]:
    """Yields the PID of each packet, and the byte that tells whether it is scrambled."""
    for size, first in _spacing(piece):
        columns = (piece[first + column :: size] for column in (1, 2, 3))
        for high, low, flags in zip(*columns, strict=False):
            yield (high & 0x1F) << 8 | low, flags


def _programs(file: MediaFile) -> Iterator[dict[int, int]]:
    """Yields the types of each program's streams by their PID."""
    head = file.head
    maps = {pid for section in _sections(head, {0}) if section[0] == PAT for pid in _map_pids(section)}
    for section in _sections(head, maps):
        if section[0] == PMT:
            yield dict(_streams(section))


def _map_pids(section: bytes) -> Iterator[int]:
    for at in range(8, len(section) - 4 - 3, 4):
        if section[at : at + 2] != b"\0\0":  # which is the network's own
            yield _pid(section, at + 2)


def _streams(section: bytes) -> Iterator[tuple[int, int]]:
    at, end = 12 + _length(section, 10), len(section) - 4  # the checksum
    while at + 5 <= end:
        yield _pid(section, at + 1), section[at]
        at += 5 + _length(section, at + 3)


def _sections(head: bytes, wanted: set[int]) -> Iterator[bytes]:
    """Whole tables from the packets of those streams."""
    gathered: dict[int, bytes] = {}
    for pid, begins, payload in _packets(head):
        if pid not in wanted or not payload:
            continue
        if begins:
            gathered[pid] = payload[1 + payload[0] :]
        elif pid in gathered:
            gathered[pid] += payload
        section = gathered.get(pid, b"")
        if len(section) >= 12 and len(section) >= (size := 3 + _length(section, 1)) > 12:
            yield section[:size]
            del gathered[pid]


def _packets(head: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """Yields of each packet its PID, whether a table may begin in it, and what it holds."""
    for size, first in _spacing(head):
        for at in range(first, len(head) - 187, size):
            if head[at] != SYNC:
                return
            flags = head[at + 3]
            begin = at + 4 + (1 + head[at + 4] if flags & 0x20 else 0)
            yield _pid(head, at + 1), bool(head[at + 1] & 0x40), head[begin : at + 188] if flags & 0x10 else b""


def _spacing(head: bytes) -> list[tuple[int, int]]:
    """How long its packets are, and where the first begins; nothing where there are none."""
    fitting = (one for one in PACKETS.items() if head[one[1] : one[1] + 1 + one[0] : one[0]] == b"GG")
    return list(islice(fitting, 1))


def _pid(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x1FFF


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x0FFF
