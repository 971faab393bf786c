"""Which streams of an MPEG transport stream belong together: a multiplex holds several channels.

The tables are those of ISO/IEC 13818-1, 2.4.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

HEAD = 4 * 1024**2  # bytes that are read: each table comes several times a second
PACKETS = {188: 0, 192: 4}  # how long packets are, by what stands before their first byte: a clock, on discs
SYNC = 0x47
PAT, PMT = 0x00, 0x02  # kinds of tables


def strangers_to(path: str, pid: int) -> set[int]:
    """The packet identifiers (PID) of streams that are only in other programs than that one; none if nothing tells."""
    with Path(path).open("rb") as file:
        programs = list(_programs(file.read(HEAD)))
    own = set[int]().union(*(program for program in programs if pid in program))
    return set[int]().union(*programs) - own if own else set()


def _programs(head: bytes) -> Iterator[set[int]]:
    maps = {pid for section in _sections(head, {0}) if section[0] == PAT for pid in _map_pids(section)}
    for section in _sections(head, maps):
        if section[0] == PMT:
            yield set(_stream_pids(section))


def _map_pids(section: bytes) -> Iterator[int]:
    for at in range(8, len(section) - 4 - 3, 4):
        if section[at : at + 2] != b"\0\0":  # which is the network's own
            yield _pid(section, at + 2)


def _stream_pids(section: bytes) -> Iterator[int]:
    at, end = 12 + _length(section, 10), len(section) - 4  # the checksum
    while at + 5 <= end:
        yield _pid(section, at + 1)
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
    """Of each its PID, whether a table may begin in it, and what it holds."""
    whole = [(size, first) for size, first in PACKETS.items() if head[first : first + 1 + size : size] == b"GG"]
    for size, first in whole[:1]:
        for at in range(first, len(head) - 187, size):
            if head[at] != SYNC:
                return
            flags = head[at + 3]
            begin = at + 4 + (1 + head[at + 4] if flags & 0x20 else 0)
            yield _pid(head, at + 1), bool(head[at + 1] & 0x40), head[begin : at + 188] if flags & 0x10 else b""


def _pid(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x1FFF


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big") & 0x0FFF
