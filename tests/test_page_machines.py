"""The page tells how the machines of a cluster stand and what each makes, and lets one rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Visit, violations
from conftest import Daemon
from playwright.sync_api import expect
from test_cluster import MACHINE, Cluster, at_work, cluster

__all__ = ["cluster"]

NARROW = {"width": 360, "height": 740}


def test_a_host_that_works_alone_has_no_word_of_machines(shared_daemon: Daemon, visit: Visit) -> None:
    page = visit(shared_daemon)
    expect(page.get_by_role("link", name="Stats")).to_be_visible()
    expect(page.get_by_role("link", name="Machines")).to_have_count(0)


@pytest.mark.thorough
def test_a_machine_tells_what_it_makes_and_is_let_rest(cluster: Cluster, visit: Visit, long_clip: Path) -> None:
    cluster.invite("box3")
    with cluster.machine(MACHINE):
        job = cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"]
        at_work(cluster, job)
        page = visit(cluster.daemon, viewport=NARROW)
        page.get_by_role("link", name="Machines").click()
        machine = page.get_by_role("region", name=MACHINE)
        expect(machine).to_contain_text("1 of 2 slots in use")
        expect(machine.get_by_role("listitem")).to_contain_text("h264-480p")
        expect(page.get_by_role("region", name="box3")).to_contain_text("away")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the phone"
        assert not violations(page)
        machine.get_by_role("button", name="Drain").click()
        expect(machine.get_by_role("button", name="Resume")).to_be_visible()
        assert cluster.standing(MACHINE)["state"] == "draining"
        machine.get_by_role("button", name="Resume").click()
        expect(machine.get_by_role("button", name="Drain")).to_be_visible()
        machine.get_by_role("link", name=long_clip.name).click()
        expect(page.get_by_role("heading", name=long_clip.name)).to_be_visible()
        cluster.daemon.client.post(f"/api/jobs/{job}/cancel")
