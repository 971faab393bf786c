"""Reads what `ffmpeg -progress` writes, and turns it into per cent and remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MAX_LINE = 4096  # bytes; ffmpeg's lines are under 50


class Update(NamedTuple):
    """Tells the `seconds` of output written so far, at `speed` times real time (None: not known yet)."""

    seconds: float
    speed: float | None


class ProgressParser:
    """Takes the stream in chunks of any size. Its seconds never step back, though ffmpeg's may."""

    def __init__(self) -> None:
        self._rest = b""
        self._seconds = 0.0
        self._speed: float | None = None

    def feed(self, chunk: bytes) -> Iterator[Update]:
        """Yields an update for each block that this chunk completes. Garbage is ignored, partial lines are kept."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[:MAX_LINE]
        for line in lines:
            key, equals, value = line.partition(b"=")
            if key == b"out_time_us":
                self._seconds = max(self._seconds, (_number(value) or 0.0) / 1e6)
            elif key == b"speed":
                self._speed = _number(value.strip().removesuffix(b"x"))
            elif key + equals == b"progress=":
                yield Update(self._seconds, self._speed)


def percent(seconds: float, duration: float | None) -> float | None:
    """Returns how much of `duration` is done, 0 to 100; None when the duration is unknown or not positive."""
    if duration is None or duration <= 0:
        return None
    return min(100.0, max(0.0, 100.0 * seconds / duration))


def eta(seconds: float, duration: float | None, speed: float | None) -> float | None:
    """Returns the seconds left at this speed, at least 0; None when duration or speed is unknown or not positive."""
    if duration is None or duration <= 0 or speed is None or speed <= 0:
        return None
    return max(0.0, duration - seconds) / speed


def _number(value: bytes) -> float | None:
    """The finite number it spells, else None: ffmpeg writes N/A until it knows."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
