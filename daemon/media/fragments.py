"""Tells of a fragmented MP4 whether its fragments follow each other in time (ISO/IEC 14496-12, 8.8).

Who puts one together of what a stream sent may have some twice, or in another order. Players go by their times; FFmpeg
leaves out what it decodes a second time, and copies it as if it came later.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

from daemon.media import boxes
from daemon.media.media_file import MediaFile

LARGEST = 1024**2  # bytes of what describes a fragment


class Order(Enum):
    """Says how fragments come: in time, some of them again, or some before earlier ones."""

    IN_TIME = auto()
    REPEATED = auto()
    MIXED = auto()


def order(file: MediaFile) -> Order:
    """Returns how they come. Raises OSError."""
    seen: dict[int, set[int]] = {}
    latest: dict[int, int] = {}
    found = Order.IN_TIME
    for track, begin in _begins(file) if file.boxed else ():
        before = seen.setdefault(track, set())
        if begin in before:
            found = Order.REPEATED
        elif begin < latest.get(track, begin):
            return Order.MIXED
        before.add(begin)
        latest[track] = max(begin, latest.get(track, begin))
    return found


def _begins(file: MediaFile) -> Iterator[tuple[int, int]]:
    """Yields which track each part is of, and when it begins, where it tells that and has samples."""
    with file.open() as content:
        for name, begin, end in boxes.top(content, file.size):
            if name == b"moof":
                content.seek(begin + 8)
                for inner, part in boxes.within(content.read(min(end - begin - 8, LARGEST))):
                    if inner == b"traf" and (told := _begin(part)):
                        yield told


def _begin(part: bytes) -> tuple[int, int] | None:
    track, time = boxes.only(part, b"tfhd")[4:8], boxes.only(part, b"tfdt")
    samples = sum(int.from_bytes(run[4:8], "big") for name, run in boxes.within(part) if name == b"trun")
    if not samples or len(time) < 8:
        return None
    return int.from_bytes(track, "big"), int.from_bytes(time[4 : 12 if time[0] == 1 else 8], "big")
