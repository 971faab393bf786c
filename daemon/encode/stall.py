"""Tells slow, finishing and hung encodes apart, from progress, CPU time and I/O. Pure: time is an argument."""

from __future__ import annotations

from enum import StrEnum

QUIET = 10.0  # seconds without progress before anything is said
BUSY_PATIENCE = 10  # an encoder that burns CPU but gets nowhere is given so many times the limit of an idle one
IDLE_CPU = 0.03  # of a core; a hung encoder still wakes up to report its progress
IDLE_IO = 64 * 1024  # bytes per second, for the same reason
NEARLY_ALL = 0.98  # of the duration: what follows is the trailer, and the pass that puts it in front


class Pace(StrEnum):
    SLOW = "slow"  # no progress for a while, but it works
    FINISHING = "finishing"  # all is encoded, and the file is being rewritten
    HUNG = "hung"  # nothing moves, or nothing has come of it for far too long


class StallWatch:
    """Watches one encode. Feed it progress and vitals as they come; `pace` is the verdict."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._seconds = -1.0
        self._vitals = (0.0, 0, now)
        self._advanced_at = now  # the output grew
        self._active_at = now  # the output grew, or the process did more than tell how it stands

    def progress(self, seconds: float, now: float) -> None:
        if seconds > self._seconds:
            self._seconds = seconds
            self._advanced_at = self._active_at = now

    def vitals(self, cpu_seconds: float, io_bytes: int, now: float) -> None:
        cpu_before, io_before, then = self._vitals
        elapsed = max(now - then, 1e-3)
        if (cpu_seconds - cpu_before) / elapsed > IDLE_CPU or (io_bytes - io_before) / elapsed > IDLE_IO:
            self._active_at = now
        self._vitals = (cpu_seconds, io_bytes, now)

    def restart(self, now: float) -> None:
        """Forgets the time it stood still for: it was frozen."""
        self._advanced_at = self._active_at = now

    def pace(self, now: float, duration: float | None) -> Pace | None:
        """Tells how it dawdles; None while it gets on. `duration` is what the output will last, in seconds."""
        standing = now - self._advanced_at
        if now - self._active_at >= self._limit or standing >= BUSY_PATIENCE * self._limit:
            return Pace.HUNG
        if standing < min(QUIET, self._limit):
            return None
        return Pace.FINISHING if duration and self._seconds >= NEARLY_ALL * duration else Pace.SLOW
