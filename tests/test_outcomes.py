"""How a job ended, beside its state: what failed is found, and what no preset suits is left out where asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import Visit, row
from conftest import Daemon, Media
from playwright.sync_api import expect
from test_cli import ffspool, printed

BOTH = ["thumbnail-sheet", "mp3"]
PAIR = {"variations": [{"preset": preset} for preset in BOTH]}


@pytest.fixture
def still(media: Media) -> Path:
    """A film without sound."""
    return media("no-audio.mp4")


def skipping(name: str, **more: str) -> dict[str, object]:
    return {**PAIR, "name": name, "on_unsuitable": "skip", **more}


def test_what_no_preset_suits_is_skipped_only_where_that_was_asked(
    shared_daemon: Daemon, still: Path, clip: Path
) -> None:
    asked = shared_daemon.wait_for(shared_daemon.submit(still, clip, spec=skipping("asked"))["id"])
    unasked = shared_daemon.wait_for(shared_daemon.submit(still, spec={**PAIR, "name": "unasked"})["id"])
    states = [[variation["status"] for variation in source["variations"]] for source in asked["sources"]]
    assert states == [["completed", "skipped"], ["completed", "completed"]]
    assert "no sound" in asked["sources"][0]["variations"][1]["error"]
    counted = [asked[f"{state}_variations"] for state in ("total", "completed", "failed", "skipped")]
    assert (asked["status"], asked["outcome"], asked["progress"], counted) == ("completed", "all", 100, [4, 3, 0, 1])
    assert (unasked["status"], unasked["outcome"], unasked["failed_variations"]) == ("completed", "some", 1)


def test_a_job_of_nothing_but_skipped_ones_is_failed_and_not_tried_again(shared_daemon: Daemon, still: Path) -> None:
    spec = {"variations": [{"preset": "mp3"}], "on_unsuitable": "skip"}
    job = shared_daemon.wait_for(shared_daemon.submit(still, spec=spec)["id"])
    assert (job["status"], job["outcome"], job["skipped_variations"]) == ("failed", "none", 1)
    assert "no sound" in job["error"]
    answer = shared_daemon.client.post(f"/api/jobs/{job['id']}/retry")
    assert (answer.status_code, "not tried again" in answer.json()["detail"]) == (409, True)


def test_what_failed_is_found_however_its_job_ended(daemon: Daemon, still: Path, clip: Path) -> None:
    some = daemon.submit(still, spec={**PAIR, "name": "some"})["id"]
    none = daemon.submit(still, presets=["mp3"])["id"]
    good = daemon.submit(clip, presets=["mp3"])["id"]
    for job in (some, none, good):
        daemon.wait_for(job)
    ask = {"has": "failed"}
    found = daemon.client.get("/api/jobs", params=ask).json()["items"]
    assert [job["id"] for job in found] == [none, some]
    found = daemon.client.get("/api/jobs", params={**ask, "status": "completed", "limit": 1}).json()
    assert ([job["id"] for job in found["items"]], found["next_cursor"]) == ([some], None)
    assert daemon.client.get("/api/stats").json()["queue"]["jobs_with_failures"] == 2
    assert [job["id"] for job in printed("ls", "--has", "failed", env=daemon.env)["items"]] == [none, some]
    assert "completed, 1 failed" in ffspool("ls", env=daemon.env).stdout
    assert daemon.client.delete("/api/jobs", params={**ask, "ended": "true"}).json()["changed"] == 2
    assert [job["id"] for job in daemon.client.get("/api/jobs").json()["items"]] == [good]


@pytest.mark.parametrize(
    ("presets", "how", "code"),
    [(BOTH, [], 0), (BOTH, ["--on-unsuitable", "fail"], 1), (["mp3"], [], 1)],
)
def test_run_skips_what_does_not_suit_and_its_exit_code_says_if_anything_failed(
    still: Path, tmp_path: Path, presets: list[str], how: list[str], code: int
) -> None:
    wanted = [word for preset in presets for word in ("-p", preset)]
    done = ffspool("run", still, *wanted, *how, "-o", tmp_path / "out", "--json")
    job = json.loads(done.stdout)
    assert (done.returncode, job["skipped_variations"]) == (code, int(not how))


def test_the_page_says_what_failed_of_a_job_that_is_done(daemon: Daemon, visit: Visit, still: Path) -> None:
    daemon.wait_for(daemon.submit(still, spec={**PAIR, "name": "Mixed"})["id"])
    page = visit(daemon)
    expect(row(page, "Mixed").get_by_text("1 of 2 done, 1 failed", exact=True)).to_be_visible()
    page.get_by_role("button", name="Failed 1").click()
    expect(row(page, "Mixed")).to_be_visible()
