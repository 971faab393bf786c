"""Reads windows of time, such as `22:00-07:00` or `Sat-Sun`, and says when it is within them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from daemon.errors import StartupError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LOOKED_AT = 9  # days: a week, and what reaches into it from either side

_DAY = "|".join(DAYS)
_WINDOW = re.compile(
    rf"(?P<days>(?:{_DAY})(?:-(?:{_DAY}))?)?\s*(?:(?P<begin>\d\d?:\d\d)-(?P<end>\d\d?:\d\d))?", re.IGNORECASE
)


class Window(NamedTuple):
    """A window opens at `begin` of each of its days (0: Monday), and closes at `end`, which may be on the next day."""

    days: frozenset[int]
    begin: time
    end: time


class Hours:
    """Holds windows in one zone. Each opens and closes by the clock on the wall, once a day, whatever summer time does.

    A time that is skipped when clocks go forward is as late after the one before as on any day, one that comes twice
    counts when it comes first.
    """

    def __init__(self, windows: Sequence[str], zone: str | None) -> None:
        """`zone` is a name such as `Europe/Berlin`; None: the host's. Raises StartupError in words."""
        self._windows = [_window(text) for text in windows]
        try:
            self._zone = ZoneInfo(zone) if zone else None
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise StartupError(f"there is no time zone {zone!r}: name one such as Europe/Berlin") from error

    def is_open(self, now: float) -> bool:
        """Tells whether that moment is within a window."""
        return any(begin <= now < end for begin, end in self._spans(now))

    def next_change(self, now: float) -> float | None:
        """Returns the moment at which it next opens or closes; None: it never does."""
        moments = sorted({moment for span in self._spans(now) for moment in span if moment > now})
        return next((moment for moment in moments if self.is_open(moment) != self.is_open(now)), None)

    def _spans(self, now: float) -> Iterator[tuple[float, float]]:
        today = datetime.fromtimestamp(now, self._zone).date()
        for number in range(-2, LOOKED_AT):
            day = today + timedelta(days=number)
            for window in self._windows:
                if day.weekday() in window.days:
                    later = window.end <= window.begin
                    yield self._moment(day, window.begin), self._moment(day + timedelta(days=later), window.end)

    def _moment(self, day: date, clock: time) -> float:
        return datetime.combine(day, clock, self._zone).timestamp()


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text.strip())
    if not found or not text.strip():
        raise StartupError(f"{text!r} is no window of time: write 22:00-07:00, Sat-Sun or Mon-Fri 18:00-24:00")
    midnight = time()
    begin, end = _clock(found["begin"] or "0:00"), _clock(found["end"] or "24:00")
    if begin == end != midnight:
        raise StartupError(f"{text!r} begins when it ends: leave the times out for whole days")
    return Window(_days(found["days"]), begin, end)


def _clock(text: str) -> time:
    hour, minute = map(int, text.split(":"))
    if (hour, minute) == (24, 0):
        return time()
    if hour > 23 or minute > 59:
        raise StartupError(f"{text} is no time of day: the last is 24:00")
    return time(hour, minute)


def _days(text: str | None) -> frozenset[int]:
    if not text:
        return frozenset(range(7))
    first, *rest = (DAYS.index(day.capitalize()) for day in text.split("-"))
    last = rest[0] if rest else first
    return frozenset((first + number) % 7 for number in range((last - first) % 7 + 1))
