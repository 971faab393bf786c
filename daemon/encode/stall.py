"""Tells slow, finishing and hung encodes apart, from progress, CPU time and I/O. Pure: time is an argument."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from daemon.host import Load

QUIET = 10.0  # seconds without progress before anything is said
BUSY_PATIENCE = 10  # an encoder that burns CPU but gets nowhere is given so many times the limit of an idle one
IDLE_CPU = 0.03  # of a core; a hung encoder still wakes up to report its progress
IDLE_IO = 64 * 1024  # bytes per second, for the same reason
BUSY = 1.5  # times as much wants to run as there are cores
NEARLY_ALL = 0.98  # of the duration: what follows is the trailer, and the pass that puts it in front


class Pace(StrEnum):
    SLOW = "slow"  # no progress for a while, but it works
    FINISHING = "finishing"  # all is encoded, and the file is being rewritten
    HUNG = "hung"  # nothing moves, or nothing has come of it for far too long


class Standing(NamedTuple):
    """Says of an encode that does not get on at what `pace` it goes, and in words what it does and waits for."""

    pace: Pace
    words: str


ENDING = Standing(Pace.HUNG, "nothing comes of it, and it is being ended")


class StallWatch:
    """Watches one encode. Feed it progress and vitals as they come; `pace` is the verdict."""

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._seconds = -1.0
        self._begins = 0.0
        self._vitals = self._before = (0.0, 0, now)  # the latest, and those of when the output grew last
        self._advanced_at = now  # the output grew
        self._active_at = now  # the output grew, or the process did more than tell how it stands
        self._doing: str | None = None  # what is done while no process runs

    def progress(self, seconds: float, now: float) -> None:
        if seconds > self._seconds:
            self._seconds = seconds
            self._advanced_at = self._active_at = now
            self._before = self._vitals

    def vitals(self, cpu_seconds: float, io_bytes: int, now: float, doing: str | None = None) -> None:
        self._doing = doing
        cpu_before, io_before, then = self._vitals
        elapsed = max(now - then, 1e-3)
        if (cpu_seconds - cpu_before) / elapsed > IDLE_CPU or (io_bytes - io_before) / elapsed > IDLE_IO:
            self._active_at = now
        self._vitals = (cpu_seconds, io_bytes, now)

    def restart(self, now: float, begins: float | None = None) -> None:
        """Forgets the time it stood still for: it was frozen, or its process begins, at so many seconds of output."""
        self._advanced_at = self._active_at = now
        self._before = self._vitals
        self._begins = self._begins if begins is None else begins

    def gets_on(self, now: float) -> bool:
        """Tells whether it does not dawdle."""
        return now - self._advanced_at < min(QUIET, self._limit)

    def pace(self, now: float, duration: float | None) -> Pace | None:
        """Tells how it dawdles; None while it gets on. `duration` is what the output will last, in seconds."""
        if self.gets_on(now):
            return None
        standing = now - self._advanced_at
        if now - self._active_at >= self._limit or standing >= BUSY_PATIENCE * self._limit:
            return Pace.HUNG
        return Pace.FINISHING if duration and self._seconds >= NEARLY_ALL * duration else Pace.SLOW

    def standing(self, now: float, duration: float | None, load: Load) -> Standing | None:
        """Tells by `pace` how it dawdles and in words what it does meanwhile, on a host under that load."""
        pace = self.pace(now, duration)
        if pace is None:
            return None
        if pace is Pace.HUNG:
            return ENDING
        if pace is Pace.FINISHING and self._doing:
            return Standing(pace, f"all is encoded: {self._doing}")
        if pace is Pace.FINISHING:
            return Standing(pace, f"all is encoded, and for {self._stood(now)} the file has been completed")
        return Standing(pace, self._why_slow(now, load))

    def proving(self, now: float) -> Standing | None:
        """Tells of one whose process has ended what is done then; None for the first moments."""
        if now - self._advanced_at < QUIET:
            return None
        words = f"it is encoded, and for {self._stood(now)} has been compared with what was planned"
        return Standing(Pace.FINISHING, words)

    def _stood(self, now: float) -> str:
        """How long, to five seconds, so that who follows it is not told anew all the time."""
        return f"{(now - self._advanced_at) // 5 * 5:.0f} s"

    def _why_slow(self, now: float, load: Load) -> str:
        cpu, io = self._spent()
        if self._begins and self._seconds <= self._begins:
            what = f"for {self._stood(now)} the film has been read up to where it goes on"
        else:
            what = f"no progress for {self._stood(now)}"
        if self._doing:
            return f"{what}: {self._doing}"
        if cpu <= IDLE_CPU:
            return f"{what}, {self._why_idle(io, now)}"
        busy = load.running >= BUSY * load.cores and cpu < 1
        where = f", for {load.host} is busy: load {load.running:.0f} on {_cores(load.cores)}" if busy else ""
        return f"{what}, but it works: the encoder gets {100 * cpu:.0f} % of a core{where}"

    def _why_idle(self, io: float, now: float) -> str:
        if io > IDLE_IO:
            return f"but it reads and writes {io / 1e6:.1f} MB in a second"
        left = self._limit - (now - self._active_at)
        return f"and the encoder does nothing: it waits for a disk, or hangs, and is ended in {left:.0f} s"

    def _spent(self) -> tuple[float, float]:
        """CPU seconds and bytes that the process used in each second since the output grew last."""
        (cpu_before, io_before, then), (cpu_seconds, io_bytes, latest) = self._before, self._vitals
        elapsed = max(latest - then, 1e-3)
        return (cpu_seconds - cpu_before) / elapsed, (io_bytes - io_before) / elapsed


def _cores(count: int) -> str:
    return f"{count} core{'s' if count > 1 else ''}"
