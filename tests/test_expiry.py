"""A job is gone the moment it expires, whenever its files go; and nobody deletes one by a time that is past."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, wait_until


@pytest.fixture
def unswept(start_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that deletes nothing while the test looks at it."""
    return start_daemon("--sweep-every", "3600")


def expired(daemon: Daemon, clip: Path) -> Any:
    """A job that ended and expired, and was not deleted yet."""
    spec = {"name": "brief", "variations": [{"preset": "mp3"}], "expires_in": 0}
    job = daemon.submit(clip, spec=spec)
    gone = f"/api/jobs/{job['id']}"
    wait_until(lambda: daemon.client.get(gone).status_code == 410, "the job to be gone", seconds=20)
    assert list(daemon.state_dir.rglob("outputs/*.mp3")), "its files are gone too"
    return job


def test_an_expired_job_is_gone_before_it_is_swept(unswept: Daemon, clip: Path) -> None:
    job = expired(unswept, clip)
    [source] = job["sources"]
    [variation] = source["variations"]
    whole, one = f"/api/jobs/{job['id']}", f"/api/jobs/{job['id']}/variations/{variation['id']}"
    reads = [f"{whole}/download", f"{one}/download", f"{one}/log", f"{whole}/thumbnail", f"{whole}/events"]
    answers = {path: unswept.client.get(path) for path in [*reads, f"{whole}/sources/{source['id']}/download"]}
    answers |= {f"POST {verb}": unswept.client.post(f"{whole}/{verb}") for verb in ("cancel", "retry", "pause", "fail")}
    answers["PATCH"] = unswept.client.patch(whole, json={"expires_at": "2099-01-01T00:00:00Z"})
    answers["DELETE"] = unswept.client.delete(whole)
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 410)


def test_no_list_tells_of_an_expired_job(unswept: Daemon, clip: Path) -> None:
    expired(unswept, clip)
    kept = unswept.wait_for(unswept.submit(clip, presets=["mp3"])["id"])["id"]
    for query in ("", "?status=completed", "?q=brief", "?q=clip"):
        listed = [job["id"] for job in unswept.client.get(f"/api/jobs{query}").json()["items"]]
        assert listed == ([] if "brief" in query else [kept])
    assert unswept.client.request("DELETE", "/api/jobs?status=completed").json()["matched"] == 1


def test_a_time_that_is_past_is_refused_and_not_taken_for_a_wish_to_delete(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    path = f"/api/jobs/{job['id']}"
    refused = daemon.client.patch(path, json={"expires_at": "2020-01-01T00:00:00Z", "name": "other"})
    assert refused.status_code == 422
    assert f"DELETE {path}" in refused.json()["detail"]
    assert daemon.job(job["id"]) == job
