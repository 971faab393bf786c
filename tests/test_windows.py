"""Windows of time open and close by the clock on the wall of their zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from daemon.errors import StartupError
from daemon.windows import Hours

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def shown(moment: float | None) -> str | None:
    return datetime.fromtimestamp(moment, BERLIN).strftime("%a %d %H:%M%z") if moment else None


@pytest.mark.parametrize(
    ("windows", "now", "is_open", "next_change"),
    [
        (["22:00-07:00"], "2026-11-25T21:59", False, "Wed 25 22:00+0100"),
        (["22:00-07:00"], "2026-11-25T22:00", True, "Thu 26 07:00+0100"),
        (["22:00-07:00"], "2026-11-26T06:59", True, "Thu 26 07:00+0100"),
        (["22:00-07:00", "Sat-Sun"], "2026-11-28T12:00", True, "Mon 30 07:00+0100"),
        (["Sat-Sun"], "2026-11-27T12:00", False, "Sat 28 00:00+0100"),
        (["Fri-Mon 18:00-24:00"], "2026-11-30T23:00", True, "Tue 01 00:00+0100"),
        (["fri 20:00-04:00"], "2026-11-28T03:00", True, "Sat 28 04:00+0100"),
        (["fri 20:00-04:00"], "2026-11-29T03:00", False, "Fri 04 20:00+0100"),
        (["Mon-Sun"], "2026-11-25T12:00", True, None),
        (["0:00-12:00", "12:00-24:00"], "2026-11-25T12:00", True, None),
        ([], "2026-11-25T12:00", False, None),
    ],
)
def test_it_is_open_within_windows_and_says_until_when(
    windows: list[str], now: str, is_open: bool, next_change: str | None
) -> None:
    hours = Hours(windows, "Europe/Berlin")
    assert hours.is_open(at(now)) == is_open
    assert shown(hours.next_change(at(now))) == next_change


def test_summer_time_moves_windows_with_the_clock_on_the_wall() -> None:
    night = Hours(["22:00-07:00"], "Europe/Berlin")
    assert shown(night.next_change(at("2026-03-28T23:00"))) == "Sun 29 07:00+0200"  # an hour less
    assert shown(night.next_change(at("2026-10-24T23:00"))) == "Sun 25 07:00+0100"  # an hour more


def test_a_time_that_is_skipped_or_comes_twice_opens_once() -> None:
    short = Hours(["02:00-02:30"], "Europe/Berlin")
    skipped = short.next_change(at("2026-03-29T00:00"))
    assert skipped
    assert shown(skipped) == "Sun 29 03:00+0200"
    assert shown(short.next_change(skipped)) == "Sun 29 03:30+0200"
    twice = short.next_change(at("2026-10-25T00:00"))
    assert twice
    assert shown(short.next_change(twice)) == "Sun 25 02:30+0200"
    assert not short.is_open(at("2026-10-25T02:10", fold=1))


def test_what_it_says_next_is_when_it_changes() -> None:
    hours = Hours(["22:00-07:00", "Sat 12:00-13:00", "Wed-Thu 06:00-09:30"], "Europe/Berlin")
    moment, step = at("2026-10-20T00:00"), timedelta(minutes=10).total_seconds()
    for _ in range(7 * 144):
        expected = hours.next_change(moment)
        assert expected
        assert hours.is_open(expected) != hours.is_open(moment)
        assert hours.is_open(moment + step) == (hours.is_open(moment) != (expected <= moment + step))
        moment += step


@pytest.mark.parametrize("text", ["", "22-7", "25:00-26:00", "22:60-23:00", "Sam-Son", "22:00-22:00", "22:00"])
def test_what_is_no_window_is_refused_in_words(text: str) -> None:
    with pytest.raises(StartupError):
        Hours([text], None)


def test_a_zone_that_there_is_not_is_refused_in_words() -> None:
    with pytest.raises(StartupError, match="no time zone 'Mars/Crater'"):
        Hours(["Sat-Sun"], "Mars/Crater")
