"""What waits since no machine is here says so."""

from __future__ import annotations

from pathlib import Path

from conftest import wait_until
from test_cluster import Cluster, cluster, of

__all__ = ["cluster"]


def test_what_waits_for_a_machine_says_so(cluster: Cluster, clip: Path) -> None:
    """And the disk is not said to be what it waits for."""
    job = cluster.daemon.submit(clip, presets=["mp3"])["id"]
    wait_until(lambda: of(cluster.daemon.job(job)), "it to be there")
    [waiting] = of(cluster.daemon.job(job))
    assert "no machine is here that could make it" in str(waiting["waiting"])
    assert cluster.daemon.client.get("/api/stats").json()["disk"]["waiting"] is None
