"""Tells which streams of an MPEG transport stream belong together: a multiplex holds several channels.

The tables are those of ISO/IEC 13818-1, 2.4.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple

from daemon.media.media_file import MediaFile

PACKETS = {188: 0, 192: 4}  # how long packets are, by what stands before their first byte: a clock, on discs
SYNC = 0x47
PAT, PMT = 0x00, 0x02  # kinds of tables
PICTURES = {0x01, 0x02, 0x10, 0x1B, 0x24, 0x33, 0x42, 0xD1, 0xEA, 0xDB}  # types of streams
SOUNDS = {0x03, 0x04, 0x0F, 0x11, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0xCF, 0xC1, 0xC2}
PROTECTED = {0xDB, 0xCF, 0xC1, 0xC2}  # types of streams whose samples are encrypted (Apple's SAMPLE-AES)
LOOKED_AT = 512 * 1024  # bytes at each of several places in which it is told whether packets are scrambled
WINDOW = 6 * 192  # bytes in which it is told where packets begin
CERTAIN = 4  # packets behind one, after which what looks like the beginning of packets is one
PLACES = 12  # of a long file, at which its maps are read
_CODECS = {
    **dict.fromkeys((0x01, 0x02), "mpeg2video"),
    **dict.fromkeys((0x03, 0x04), "mp2"),
    **dict.fromkeys((0x82, 0x85, 0x86), "dts"),
    **dict.fromkeys((0x84, 0x87), "eac3"),
    0x0F: "aac",
    0x11: "aac_latm",
    0x10: "mpeg4",
    0x1B: "h264",
    0x24: "hevc",
    0x33: "vvc",
    0x42: "cavs",
    0xD1: "dirac",
    0xEA: "vc1",
    0x81: "ac3",
    0x83: "truehd",
}
_PRIVATE = 0x06  # a type whose descriptors tell the codec: those of DVB by their kind, or one by a name
_DESCRIBED = {0x6A: "ac3", 0x7A: "eac3", 0x7B: "dts", 0x7C: "aac"}
_REGISTERED = {b"AC-3": "ac3", b"EAC3": "eac3", b"HEVC": "hevc", b"Opus": "opus", b"BSSD": "s302m", b"AV01": "av1"}
_REGISTRATION = 0x05  # a kind of descriptor
# Kinds of descriptors of what is not decoded here.
_UNDECODED = {0x56: "teletext"}


class Track(NamedTuple):
    """Tells of a stream what a program's map does: its identifier, its type, and its codec; None: that is not told."""

    pid: int
    kind: int
    codec: str | None

    @property
    def sort(self) -> str | None:
        """Names what it holds, "picture" or "sound"; None: anything else."""
        if self.kind in PICTURES or self.codec in {"hevc", "av1"}:
            return "picture"
        return "sound" if self.kind in SOUNDS or self.codec else None


class Map(NamedTuple):
    """Lists the streams of the program of that number, in their order."""

    number: int
    tracks: tuple[Track, ...]


def unrelated_to(file: MediaFile, pid: int) -> set[int]:
    """Returns the identifiers (PID) of streams that are only in other programs than that one; none if nothing tells."""
    programs = [set(program) for program in _programs(file)]
    own = set[int]().union(*(program for program in programs if pid in program))
    return set[int]().union(*programs) - own if own else set()


def streams_of(file: MediaFile, types: set[int]) -> set[int]:
    """Returns the PIDs of streams of those types; none where it is no transport stream."""
    return {pid for program in _programs(file) for pid, kind in program.items() if kind in types}


def is_one(file: MediaFile) -> bool:
    """Tells whether the file begins as a transport stream does."""
    return bool(_spacing(file.head[: 8 * 192]))


def maps(file: MediaFile) -> list[Map]:
    """Returns the maps of programs that are found at several places of the file, in its order."""
    found, pids = list[Map](), set[int]()
    for part in _parts(file):
        pids |= _pids_of_maps(part)
        told = (Map(int.from_bytes(section[3:5], "big"), tuple(_tracks(section))) for section in _sections(part, pids))
        found += [one for one in told if one.tracks]
    return found


def scrambled(file: MediaFile) -> set[int]:
    """Returns the PIDs of streams that need a key: most of their packets say so, or the program's map does.

    A receiver may need some seconds to open what it records, so that the beginning alone does not tell.
    """
    all_of, closed = Counter[int](), Counter[int]()
    for piece in _pieces(file, (int(file.size * share) for share in (0.0, 0.4, 0.75))):
        for pid, flags in _marks(piece):
            all_of[pid] += 1
            closed[pid] += bool(flags & 0xC0)
    return {pid for pid, count in closed.items() if 2 * count > all_of[pid]} | streams_of(file, PROTECTED)


def undecoded(file: MediaFile, pid: int) -> str | None:
    """Names what that stream holds, where its program says that it is what nobody here decodes."""
    sections = _sections(file.head, _pids_of_maps(file.head))
    found = (descriptors for section in sections for one, _, descriptors in _streams(section) if one == pid)
    return next((name for told in found for kind, _ in _descriptors(told) if (name := _UNDECODED.get(kind))), None)


def carries(file: MediaFile, pid: int) -> bool:
    """Tells whether packets of that stream are found at several places of the file."""
    return any(pid == found for part in _parts(file) for found, _ in _marks(part))


def _parts(file: MediaFile) -> Iterator[bytes]:
    """The beginning, the end, and what lies at several places between."""
    head = len(file.head)
    yield file.head
    if file.size > head:
        between = range(head, file.size - LOOKED_AT, max(LOOKED_AT, (file.size - head) // PLACES))
        yield from _pieces(file, [*between, max(head, file.size - LOOKED_AT)])


def _pieces(file: MediaFile, places: Iterable[int]) -> Iterator[bytes]:
    """What lies there, from where packets of either length begin."""
    with file.open() as content:
        for place in places:
            content.seek(place // 188 // 192 * 188 * 192)
            yield content.read(LOOKED_AT + 188 * 192)


def _marks(piece: bytes) -> Iterator[tuple[int, int]]:
    """Yields the PID of each packet, and the byte that tells whether it is scrambled."""
    for size, first in _spacing(piece):
        columns = (piece[first + column :: size] for column in (1, 2, 3))
        for high, low, flags in zip(*columns, strict=False):
            yield (high & 0x1F) << 8 | low, flags


def _programs(file: MediaFile) -> Iterator[dict[int, int]]:
    """Yields the types of each program's streams by their PID."""
    for section in _sections(file.head, _pids_of_maps(file.head)):
        yield {pid: kind for pid, kind, _ in _streams(section)}


def _pids_of_maps(part: bytes) -> set[int]:
    return {pid for section in _sections(part, {0}, PAT) for pid in _map_pids(section)}


def _map_pids(section: bytes) -> Iterator[int]:
    for at in range(8, len(section) - 4 - 3, 4):
        if section[at : at + 2] != b"\0\0":  # which is the network's own
            yield _pid(section, at + 2)


def _streams(section: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yields of each stream in a map its PID, its type, and what describes it further."""
    at, end = 12 + _length(section, 10), len(section) - 4  # the checksum
    while at + 5 <= end:
        after = at + 5 + _length(section, at + 3)
        yield _pid(section, at + 1), section[at], section[at + 5 : min(after, end)]
        at = after


def _tracks(section: bytes) -> Iterator[Track]:
    for pid, kind, descriptors in _streams(section):
        told = dict(_descriptors(descriptors))
        codec = _described(told) if kind == _PRIVATE else _CODECS.get(kind)
        yield Track(pid, kind, codec)


def _described(told: Mapping[int, bytes]) -> str | None:
    by_kind = next((codec for kind, codec in _DESCRIBED.items() if kind in told), None)
    return by_kind or _REGISTERED.get(told.get(_REGISTRATION, b"")[:4])


def _descriptors(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(content):
        yield content[at], content[at + 2 : at + 2 + content[at + 1]]
        at += 2 + content[at + 1]


def _sections(part: bytes, wanted: set[int], kind: int = PMT) -> Iterator[bytes]:
    """Whole tables of that kind from the packets of those streams."""
    gathered: dict[int, bytes] = {}
    for pid, begins, payload in _packets(part, wanted):
        if begins:
            gathered[pid] = payload[1 + payload[0] :]
        elif pid in gathered:
            gathered[pid] += payload
        section = gathered.get(pid, b"")
        if len(section) >= 12 and len(section) >= (size := 3 + _length(section, 1)) > 12:
            if section[0] == kind:
                yield section[:size]
            del gathered[pid]


def _packets(part: bytes, wanted: set[int]) -> Iterator[tuple[int, bool, bytes]]:
    """Yields of each packet of those streams its PID, whether a table may begin in it, and what it holds."""
    for at in _begins(part):
        flags = part[at + 3]
        begin = at + 4 + (1 + part[at + 4] if flags & 0x20 else 0)
        if (pid := _pid(part, at + 1)) in wanted and flags & 0x10 and begin < at + 188:
            yield pid, bool(part[at + 1] & 0x40), part[begin : at + 188]


def _begins(part: bytes) -> Iterator[int]:
    """Where packets begin, also behind one of which some is missing."""
    at = 0
    while spacing := _spacing(part[at : at + WINDOW]):
        [(size, first)] = spacing
        at += first
        while at + 188 <= len(part) and part[at] == SYNC:
            yield at
            at += size


def _spacing(part: bytes) -> list[tuple[int, int]]:
    """How long its packets are, and where the first begins; nothing where there are none."""
    whole = ((size, first) for size, first in PACKETS.items() if part[first : first + 1 + size : size] == b"GG")
    later = (
        (size, first)
        for size in PACKETS
        for first in range(size)
        if part[first : first + 1 + CERTAIN * size : size] == b"G" * (CERTAIN + 1)
    )
    return list(islice(chain(whole, later), 1))


def _pid(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x1FFF


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x0FFF
