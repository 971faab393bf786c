"""Who comes by an invitation that another has come by is told so, also where both come at the same moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from msgspec.structs import replace
from stored import local_engine
from test_coming_home import HELLO, NOWHERE

from daemon.cluster import coordinator, standing
from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.coordinator import Coordinator
from daemon.cluster.messages import Joined, Left, Refused


def test_of_two_that_come_at_once_by_one_invitation_the_second_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that did not come after all is waited for no longer than some seconds."""
    writer: Any = create_autospec(coordinator.asyncio.StreamWriter, instance=True)
    waiting = Coordinator(replace(NOWHERE, folder=str(tmp_path)), writer)
    hello = replace(HELLO, clock=time.time())
    assert waiting.welcome("box2", hello) is None
    assert "another one is just coming by this invitation" in str(waiting.welcome("box2", hello))
    assert waiting.welcome("box3", hello) is None
    monkeypatch.setattr(coordinator, "COMES_WITHIN", 0.0)
    assert waiting.welcome("box2", hello) is None


def test_what_kept_another_away_while_a_machine_was_here_is_not_told_when_it_left() -> None:
    engine = ClusterEngine(local_engine(), NOWHERE, local_slots=0, grace=1.0)
    for notice in (
        Joined(machine="box2", hello=HELLO),
        Refused(machine="box2", why="a machine called box2 is at work already"),
        Left(machine="box2"),
    ):
        engine.heard(notice)
    assert standing.view(engine, "box2", drained=False, makes=()).why is None
