"""The stall verdicts, on a clock of the test's own."""

from __future__ import annotations

import pytest

from daemon.encode.stall import BUSY_PATIENCE, Pace, StallWatch

LIMIT = 120.0


def feed(*, seconds: float, cpu_rate: float, io_rate: int, standing: int) -> StallWatch:
    """An encode that got to `seconds` of output, then stood for so long while it used that much."""
    watch = StallWatch(LIMIT, now=0.0)
    watch.progress(seconds, now=1.0)
    for elapsed in range(2, standing + 2, 2):
        watch.vitals(cpu_rate * elapsed, io_rate * elapsed, now=1.0 + elapsed)
    return watch


@pytest.mark.parametrize(
    ("seconds", "cpu_rate", "io_rate", "standing", "expected"),
    [
        (5.0, 1.0, 10**6, 4, None),
        (5.0, 1.0, 10**6, 30, Pace.SLOW),
        (99.5, 0.2, 10**7, 30, Pace.FINISHING),
        (99.5, 0.0, 10**7, 130, Pace.FINISHING),
        (5.0, 0.0, 3000, 118, Pace.SLOW),
        (5.0, 0.0, 3000, 130, Pace.HUNG),
        (99.5, 0.0, 3000, 130, Pace.HUNG),
        (5.0, 1.0, 10**6, BUSY_PATIENCE * 120 - 10, Pace.SLOW),
        (5.0, 1.0, 10**6, BUSY_PATIENCE * 120 + 10, Pace.HUNG),
    ],
)
def test_slow_finishing_and_hung_are_told_apart(
    seconds: float, cpu_rate: float, io_rate: int, standing: int, expected: Pace | None
) -> None:
    watch = feed(seconds=seconds, cpu_rate=cpu_rate, io_rate=io_rate, standing=standing)
    assert watch.pace(1.0 + standing, duration=100.0) == expected


def test_output_of_unknown_duration_is_never_called_finishing() -> None:
    assert feed(seconds=99.5, cpu_rate=1.0, io_rate=10**7, standing=30).pace(31.0, duration=None) == Pace.SLOW


def test_time_spent_frozen_does_not_count() -> None:
    watch = feed(seconds=5.0, cpu_rate=0.0, io_rate=0, standing=200)
    assert watch.pace(201.0, duration=100.0) == Pace.HUNG
    watch.restart(now=201.0)
    assert watch.pace(202.0, duration=100.0) is None
