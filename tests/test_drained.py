"""A machine that was drained gets nothing until it is said to, whatever is started anew meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import forked
import pytest
from conftest import wait_until
from stored import local_engine
from test_cluster import MACHINE, Cluster, cluster
from test_machine_disks import HELLO, NOWHERE

from daemon.cluster import standing
from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.invitations import Guests
from daemon.cluster.messages import Joined
from daemon.errors import NotFound

__all__ = ["cluster"]


def test_who_is_drained_is_kept_with_who_is_invited(tmp_path: Path) -> None:
    invited = {name: Guests(tmp_path).invite(name, "1", ["127.0.0.1"], 1, 2) for name in ("box2", "box3")}
    Guests(tmp_path).drain("box2", True)
    assert Guests(tmp_path).drained() == {"box2"}
    assert Guests(tmp_path).knows("box2", invited["box2"].secret)
    Guests(tmp_path).drain("box3", True)
    Guests(tmp_path).drain("box2", False)
    assert Guests(tmp_path).drained() == {"box3"}
    Guests(tmp_path).revoke("box3")
    Guests(tmp_path).invite("box3", "1", ["127.0.0.1"], 1, 2)
    assert Guests(tmp_path).drained() == set(), "another one of that name"
    with pytest.raises(NotFound, match="no machine box4 is invited"):
        Guests(tmp_path).drain("box4", True)


def test_a_machine_that_comes_back_drained_gets_nothing() -> None:
    async def main() -> None:
        engine = ClusterEngine(local_engine(), NOWHERE, local_slots=0, grace=1.0)
        [away] = standing.machines(engine, ["box2"], {"box2"}, {}).items
        assert (away.state, away.drained, away.why) == ("away", True, None)
        engine.heard(Joined(machine="box2", hello=HELLO, draining=True))
        assert (engine.capacity.slots, engine.machines["box2"].slots) == (0, 0)
        engine.drain("box2", False)
        assert engine.capacity.slots == 2

    asyncio.run(main())


@pytest.mark.thorough
def test_a_drain_outlives_machine_and_daemon(cluster: Cluster) -> None:
    with cluster.machine(MACHINE):
        assert forked.run(["machines", "drain", MACHINE], cluster.daemon.env).returncode == 0
    wait_until(lambda: cluster.standing(MACHINE)["state"] == "away", "it to be away")
    cluster.daemon.stop()
    cluster.daemon.start()
    with cluster.machine(MACHINE, state="draining"):
        assert cluster.standing(MACHINE)["state"] == "draining"
    wait_until(lambda: cluster.standing(MACHINE)["state"] == "away", "it to be away")
    told = forked.run(["machines", "resume", MACHINE], cluster.daemon.env)
    assert (told.returncode, told.stdout) == (0, f"{MACHINE} is away, and gets work when it is back\n")
    with cluster.machine(MACHINE):
        assert cluster.standing(MACHINE)["state"] == "working"
