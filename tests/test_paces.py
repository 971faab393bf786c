"""How fast machines are is learnt and kept, and no encode is lost by that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from daemon.cluster.paces import Paces

AT_ONCE, TIMES = 8, 200


def test_what_tasks_teach_that_end_at_once_is_kept(tmp_path: Path) -> None:
    paces = Paces(tmp_path)
    assert paces.learn("box2", foreseen=4.0, taken=2.0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        kept = [pool.submit(paces.keep) for _ in range(TIMES)]
    assert [one.exception() for one in kept] == [None] * TIMES
    assert Paces(tmp_path).of("box2") == paces.of("box2") > 1.0


def test_what_cannot_be_kept_is_no_fault_of_the_task_that_taught_it(tmp_path: Path) -> None:
    paces = Paces(tmp_path / "gone")
    assert paces.learn("box2", foreseen=4.0, taken=2.0)
    paces.keep()
    assert paces.of("box2") > 1.0
