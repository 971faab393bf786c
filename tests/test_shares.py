from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.scheduling.costs import Cost, learn
from daemon.scheduling.shares import MAX_MEGAPIXELS, MAX_OUTPUTS, Ready, Share, next_share, simulate


def ready(
    variation: str, encode: float = 1.0, decode: float = 0.1, megapixels: float = 0.9, alone: bool = False
) -> Ready:
    """Its source is the letter its name begins with."""
    cost = Cost(decode=decode, encode=encode)
    return Ready(variation=variation, source=variation[0], cost=cost, megapixels=megapixels, alone=alone)


def first(*waiting: Ready, cores: int = 2, slots: int = 2, running: int = 0, longest: float = 120.0) -> Share:
    return next_share(waiting, cores=cores, slots=slots, running=running, longest=longest)


def test_variations_of_one_source_share_a_process_with_one_thread_each() -> None:
    share = first(*(ready(f"a{number}") for number in range(5)))
    assert share.variations == ("a0", "a1", "a2", "a3", "a4")
    assert set(share.threads.values()) == {1}
    assert (share.cpu_seconds, share.wall_seconds) == (pytest.approx(5.1), pytest.approx(2.55))


def test_who_has_most_to_do_in_a_process_gets_the_threads_that_keeps_busy() -> None:
    ladder = first(*(ready(f"a{lines}", encode=cost) for lines, cost in ((720, 9), (480, 4), (360, 2.3), (240, 1.2))))
    assert ladder.threads == {"a720": 2, "a480": 1, "a360": 1, "a240": 1}
    assert first(ready("a1"), ready("a2"), cores=8).threads == {"a1": 5, "a2": 5}


def test_an_encoder_that_would_keep_one_thread_busy_all_the_time_gets_another() -> None:
    almost = first(*(ready(f"a{lines}", encode=cost) for lines, cost in ((720, 9.4), (480, 5.2), (360, 4))))
    assert almost.threads == {"a720": 2, "a480": 1, "a360": 1}
    assert set(first(ready("a1"), ready("a2"), cores=1).threads.values()) == {1}


def test_variations_of_different_sources_do_not_share() -> None:
    assert first(ready("a1"), ready("b1"), ready("a2")).variations == ("a1", "a2")


def test_a_single_variation_gets_every_core() -> None:
    assert first(ready("a"), cores=16, slots=16).threads == {"a": 16}


def test_many_single_variations_get_one_thread_each_and_the_last_every_core() -> None:
    threads = [
        max(start.share.threads.values())
        for start in simulate([ready(c) for c in "abcdef"], cores=2, slots=2, longest=120)
    ]
    assert threads == [1, 1, 1, 1, 1, 2]


def test_the_source_with_most_to_do_goes_first_unless_they_run_one_by_one() -> None:
    order = [ready("a", 1), ready("b", 5), ready("c", 3), ready("c2", 3)]
    assert [start.share.variations for start in simulate(order, cores=4, slots=2, longest=120)] == [
        ("c", "c2"),
        ("b",),
        ("a",),
    ]
    assert [start.share.variations for start in simulate(order, cores=4, slots=1, longest=120)] == [
        ("a",),
        ("b",),
        ("c", "c2"),
    ]


def test_what_shares_a_process_is_bounded_by_its_predicted_time() -> None:
    long = [ready(f"a{number}", encode=100) for number in range(4)]
    assert first(*long, longest=120).variations == ("a0", "a1")
    assert first(*long, longest=10).variations == ("a0",)


def test_one_that_failed_in_company_runs_alone() -> None:
    assert first(ready("a1", alone=True), ready("a2")).variations == ("a1",)
    assert first(ready("a1"), ready("a2", alone=True), ready("a3")).variations == ("a1", "a3")


@given(
    waiting=st.lists(
        st.builds(
            ready,
            st.text("abc", min_size=1, max_size=8),
            encode=st.floats(0, 1000),
            decode=st.floats(0, 100),
            megapixels=st.floats(0, 9),
            alone=st.booleans(),
        ),
        max_size=30,
        unique_by=lambda one: one.variation,
    ),
    cores=st.integers(1, 64),
    slots=st.integers(1, 64),
    longest=st.floats(1, 1000),
)
def test_a_plan_runs_every_variation_once_within_its_bounds(
    waiting: list[Ready], cores: int, slots: int, longest: float
) -> None:
    by_name = {one.variation: one for one in waiting}
    starts = list(simulate(waiting, cores=cores, slots=slots, longest=longest))
    assert sorted(name for start in starts for name in start.share.variations) == sorted(by_name)
    assert [start.at for start in starts] == sorted(start.at for start in starts)
    for start in starts:
        sharing = [by_name[name] for name in start.share.variations]
        assert len({one.source for one in sharing}) == 1
        assert all(1 <= threads <= cores for threads in start.share.threads.values())
        if len(sharing) > 1:
            assert len(sharing) <= MAX_OUTPUTS
            assert sum(one.megapixels for one in sharing) <= MAX_MEGAPIXELS
            assert start.share.cpu_seconds <= longest * cores + 1e-6
            assert not any(one.alone for one in sharing)
    for start in starts:
        beside = sum(s.at <= start.at < s.at + s.share.wall_seconds for s in starts)
        assert beside <= slots or math.isclose(start.share.wall_seconds, 0)


def test_costs_are_learnt_from_what_encodes_took() -> None:
    correction = 1.0
    for _ in range(30):
        correction = learn(correction, predicted=10 * correction, taken=25)
    assert correction == pytest.approx(2.5, rel=0.01)


def test_one_wild_encode_moves_the_prediction_only_so_far() -> None:
    assert learn(1.0, predicted=1, taken=1000) == pytest.approx(1.9)
    assert learn(1.0, predicted=0, taken=5) == 1.0
