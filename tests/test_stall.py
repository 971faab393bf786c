"""The stall verdicts, on a clock of the test's own."""

from __future__ import annotations

import pytest

from daemon.encode.stall import BUSY_PATIENCE, ENDING, Pace, StallWatch
from daemon.host import Load

LIMIT = 120.0
QUIET, BUSY = Load(0.5, 2), Load(25.3, 2)


def feed(*, seconds: float, cpu_rate: float, io_rate: int, standing: int) -> StallWatch:
    """An encode that got to `seconds` of output, then stood for so long while it used that much."""
    watch = StallWatch(LIMIT, now=0.0)
    watch.vitals(0.0, 0, now=1.0)
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


@pytest.mark.parametrize(
    ("cpu_rate", "io_rate", "load", "words"),
    [
        (0.97, 10**6, QUIET, "no progress for 30 s, but it works: the encoder gets 97 % of a core"),
        (1.4, 10**6, BUSY, "no progress for 30 s, but it works: the encoder gets 140 % of a core"),
        (
            0.14, 0, BUSY,
            "no progress for 30 s, but it works: the encoder gets 14 % of a core, for this machine is busy: "
            "load 25 on 2 cores",
        ),
        (
            0.14, 0, BUSY._replace(host="box2"),
            "no progress for 30 s, but it works: the encoder gets 14 % of a core, for box2 is busy: load 25 on 2 cores",
        ),
        (0.0, 3 * 10**6, BUSY, "no progress for 30 s, but it reads and writes 3.0 MB in a second"),
        (
            0.0, 0, QUIET,
            "no progress for 30 s, and the encoder does nothing: it waits for a disk, or hangs, and is ended in 88 s",
        ),
    ],
)  # fmt: skip
def test_what_is_slow_says_what_it_waits_for(cpu_rate: float, io_rate: int, load: Load, words: str) -> None:
    standing = feed(seconds=29.0, cpu_rate=cpu_rate, io_rate=io_rate, standing=32).standing(33.0, 100.0, load)
    assert standing == (Pace.SLOW, words)


def test_what_another_machine_does_without_an_encoder_is_told() -> None:
    moved = "12 MB of its source have come to the machine"
    for seconds, words in ((29.0, f"no progress for 30 s: {moved}"), (99.5, f"all is encoded: {moved}")):
        watch = feed(seconds=seconds, cpu_rate=0.0, io_rate=10**6, standing=32)
        watch.vitals(0.0, 40 * 10**6, now=33.0, doing=moved)
        told = watch.standing(33.0, 100.0, QUIET)
        assert told
        assert told.words == words


def test_a_film_that_is_read_up_to_where_it_goes_on_says_so() -> None:
    watch = StallWatch(LIMIT, now=0.0)
    watch.restart(now=0.0, begins=29.0)
    watch.progress(29.0, now=1.0)
    watch.vitals(10.0, 0, now=21.0)
    standing = watch.standing(21.0, 100.0, QUIET)
    assert standing
    assert standing.words.startswith("for 20 s the film has been read up to where it goes on, but it works")
    watch.progress(29.1, now=22.0)
    assert watch.standing(23.0, 100.0, QUIET) is None


def test_what_is_proven_for_long_is_not_told_to_hang() -> None:
    watch = feed(seconds=99.5, cpu_rate=0.0, io_rate=0, standing=200)
    assert watch.standing(201.0, 100.0, QUIET) == ENDING
    proving = watch.proving(201.0)
    assert proving == (Pace.FINISHING, "it is encoded, and for 200 s has been compared with what was planned")
