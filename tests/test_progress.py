from __future__ import annotations

import pytest

from daemon.encode.progress import ProgressParser, Update, eta, percent

BLOCKS = b"""\
frame=0
fps=0.00
out_time_us=N/A
out_time_ms=N/A
out_time=N/A
speed=N/A
progress=continue
frame=36
out_time_us=1440000
out_time_ms=1440000
out_time=00:00:01.440000
speed= 2.8x
progress=continue
out_time_us=2000000
speed=3.1e+01x
progress=end
"""
UPDATES = [Update(0.0, None), Update(1.44, 2.8), Update(2.0, 31.0)]


def test_every_block_is_one_update() -> None:
    assert list(ProgressParser().feed(BLOCKS)) == UPDATES


@pytest.mark.parametrize("size", [1, 7, 64])
def test_it_does_not_matter_where_the_stream_is_cut(size: int) -> None:
    parser = ProgressParser()
    chunks = [BLOCKS[start : start + size] for start in range(0, len(BLOCKS), size)]
    assert [update for chunk in chunks for update in parser.feed(chunk)] == UPDATES


def test_time_never_steps_back() -> None:
    parser = ProgressParser()
    times = [b"out_time_us=%d\nprogress=continue\n" % time for time in (3_000_000, 1_000_000, -5, 4_000_000)]
    assert [update.seconds for time in times for update in parser.feed(time)] == [3.0, 3.0, 3.0, 4.0]


def test_garbage_is_ignored() -> None:
    garbage = b"\xff\xfe=\n\n===\nout_time_us=\nout_time_us=inf\nout_time_us=nan\nspeed=fast\nprogress\n"
    assert list(ProgressParser().feed(garbage + b"progress=end\n")) == [Update(0.0, None)]


def test_a_line_without_end_does_not_grow_in_memory() -> None:
    parser = ProgressParser()
    for _ in range(100):
        assert list(parser.feed(b"x" * 65536)) == []
    assert len(parser._rest) < 10_000
    assert list(parser.feed(b"\nprogress=end\n")) == [Update(0.0, None)]


@pytest.mark.parametrize(
    ("seconds", "duration", "expected"),
    [(5, 10, 50.0), (11, 10, 100.0), (-1, 10, 0.0), (5, None, None), (5, 0, None), (5, -1, None)],
)
def test_percent_stays_within_bounds(seconds: float, duration: float | None, expected: float | None) -> None:
    assert percent(seconds, duration) == expected


@pytest.mark.parametrize(
    ("seconds", "duration", "speed", "expected"),
    [
        (4, 10, 2, 3.0),
        (12, 10, 2, 0.0),
        (4, None, 2, None),
        (4, 0, 2, None),
        (4, 10, None, None),
        (4, 10, 0, None),
    ],
)
def test_eta_is_what_is_left_at_this_speed(
    seconds: float, duration: float | None, speed: float | None, expected: float | None
) -> None:
    assert eta(seconds, duration, speed) == expected
