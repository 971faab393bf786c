"""Every verb in every state: what it answers, and that the answer is true when it is given."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Daemon, Media, told, wait_until

from daemon.scheduling.claims import ASIDE, MAX_CRASHES, SUSPECT_AFTER, judge

VERBS = ("cancel", "fail", "retry", "pause", "resume")
# (status, changed) of a 200, or 409 and the state that forbids the verb
TABLE: dict[str, dict[str, tuple[int, str, bool | None]]] = {
    "queued": {
        "cancel": (200, "cancelled", True),
        "fail": (200, "failed", True),
        "retry": (200, "queued", False),
        "pause": (200, "queued", True),
        "resume": (200, "queued", False),
    },
    "processing": {
        "cancel": (200, "cancelled", True),
        "fail": (200, "failed", True),
        "retry": (200, "processing", False),
        "pause": (200, "processing", True),
        "resume": (200, "processing", False),
    },
    "paused": {
        "cancel": (200, "cancelled", True),
        "fail": (200, "failed", True),
        "retry": (200, "processing", False),
        "pause": (200, "processing", False),
        "resume": (200, "processing", True),
    },
    "completed": {
        "cancel": (409, "completed", None),
        "fail": (409, "completed", None),
        "retry": (409, "completed", None),
        "pause": (409, "completed", None),
        "resume": (200, "completed", False),
    },
    "failed": {
        "cancel": (409, "failed", None),
        "fail": (200, "failed", False),
        "retry": (200, "queued", True),
        "pause": (409, "failed", None),
        "resume": (200, "failed", False),
    },
    "cancelled": {
        "cancel": (200, "cancelled", False),
        "fail": (409, "cancelled", None),
        "retry": (200, "queued", True),
        "pause": (409, "cancelled", None),
        "resume": (200, "cancelled", False),
    },
}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with one slot for the whole table."""
    daemon = Daemon(tmp_path_factory.mktemp("busy") / "state", "--slots", "1")
    yield daemon
    daemon.stop()


def post(daemon: Daemon, job: str, verb: str) -> Any:
    return daemon.client.post(f"/api/jobs/{job}/{verb}")


def job_in(daemon: Daemon, state: str, clip: Path, long_clip: Path) -> str:
    """A job that is in that state and stays there."""
    if state == "completed":
        job: str = daemon.submit(clip, presets=["mp3"])["id"]
        assert daemon.wait_for(job)["status"] == "completed"
        return job
    job = daemon.submit(long_clip)["id"]
    if state != "queued":
        wait_until(lambda: daemon.job(job)["status"] == "processing", "the job to start")
        wait_until(daemon.parts, "a partial file")
    if state == "paused":
        post(daemon, job, "pause")
    if state in {"failed", "cancelled"}:
        post(daemon, job, {"failed": "fail", "cancelled": "cancel"}[state])
    return job


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", TABLE)
def test_every_verb_in_every_state(busy: Daemon, state: str, verb: str, clip: Path, long_clip: Path) -> None:
    blocker = None
    if state == "queued":
        blocker = job_in(busy, "processing", clip, long_clip)
    job = job_in(busy, state, clip, long_clip)
    if state in {"failed", "cancelled"} and verb == "retry":
        blocker = job_in(busy, "processing", clip, long_clip)
    try:
        code, status, changed = TABLE[state][verb]
        answer = post(busy, job, verb)
        body = answer.json()
        assert answer.status_code == code, body
        if code == 409:
            assert (body["code"], body["state"]) == ("conflict", status)
        else:
            assert (body["status"], body["changed"]) == (status, changed)
            assert busy.job(job)["status"] == status
            again = post(busy, job, verb)
            assert (again.status_code, again.json()["changed"]) == (200, False), "the verb is not idempotent"
    finally:
        for live in filter(None, (job, blocker)):
            busy.client.delete(f"/api/jobs/{live}")


def test_a_paused_encode_stands_still_and_gives_its_slot_away(busy: Daemon, clip: Path, long_clip: Path) -> None:
    job = job_in(busy, "processing", clip, long_clip)
    encoder = busy.wait_for_encoder()
    assert post(busy, job, "pause").json()["paused"] is True
    assert encoder.status() == psutil.STATUS_STOPPED
    other = busy.submit(clip, presets=["mp3"])["id"]
    assert busy.wait_for(other)["status"] == "completed"
    assert encoder.status() == psutil.STATUS_STOPPED
    assert post(busy, job, "resume").json()["paused"] is False
    assert encoder.status() != psutil.STATUS_STOPPED
    part = busy.parts()[0]
    size = part.stat().st_size
    wait_until(lambda: part.stat().st_size > size, "the thawed encode to go on")
    busy.client.delete(f"/api/jobs/{job}")


def test_a_paused_job_is_paused_after_a_restart(
    start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    job = job_in(daemon, "paused", clip, long_clip)
    assert daemon.stop() == 0
    daemon.start()
    other = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    view = daemon.job(job)
    assert (other["status"], view["status"], view["paused"]) == ("completed", "queued", True)
    assert post(daemon, job, "resume").json()["changed"] is True
    daemon.wait_for_encoder()
    post(daemon, job, "cancel")


def test_the_whole_queue_is_paused_and_resumed(
    start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    job = job_in(daemon, "processing", clip, long_clip)
    encoder = daemon.wait_for_encoder()
    assert daemon.client.post("/api/queue/pause").json() == {"state": "paused", "changed": True}
    assert encoder.status() == psutil.STATUS_STOPPED
    daemon.stop()
    daemon.start()
    assert daemon.client.get("/api/queue").json() == {"state": "paused", "slots": 1, "schedule": None}
    assert daemon.encoders() == []
    assert daemon.client.post("/api/queue/resume").json() == {"state": "running", "changed": True}
    daemon.wait_for_encoder()
    post(daemon, job, "cancel")


def test_slots_are_changed_while_it_works_and_stay_so(start_daemon: Callable[..., Daemon], long_clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    jobs = [daemon.submit(long_clip, presets=["h264-480p"])["id"] for _ in range(3)]
    daemon.wait_for_encoder()
    answer = daemon.client.patch("/api/queue", json={"slots": 2})
    assert answer.json() == {"state": "running", "slots": 2, "schedule": None, "changed": True}
    wait_until(lambda: len(daemon.encoders()) == 2, "a second encoder")
    assert daemon.client.patch("/api/queue", json={"slots": 2}).json()["changed"] is False
    daemon.stop()
    daemon.start()
    assert daemon.client.get("/api/queue").json() == {"state": "running", "slots": 2, "schedule": None}
    wait_until(lambda: len(daemon.encoders()) == 2, "both again")
    assert daemon.client.patch("/api/queue", json={"slots": None}).json()["slots"] == 1
    assert len(daemon.encoders()) == 2, "what runs goes on"
    queue = daemon.client.get("/api/stats").json()["queue"]
    assert (queue["slots"], queue["slots_used"]) == (1, 2)
    for job in jobs:
        post(daemon, job, "cancel")


@pytest.mark.parametrize("slots", [0, -1, 1001, 1.5, "2", True])
def test_slots_out_of_bounds_are_refused_in_words(shared_daemon: Daemon, slots: Any) -> None:
    answer = shared_daemon.client.patch("/api/queue", json={"slots": slots})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "slots" in answer.json()["detail"]


def test_drain_finishes_what_runs_and_starts_nothing(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    running = daemon.submit(clip, presets=["h264-1080p"])["id"]
    daemon.wait_for_encoder()
    assert daemon.client.post("/api/queue/drain").json() == {"state": "draining", "changed": True}
    waiting = daemon.submit(clip, presets=["mp3"])["id"]
    assert daemon.wait_for(running)["status"] == "completed"
    assert daemon.job(waiting)["status"] == "queued"
    daemon.client.post("/api/queue/resume")
    assert daemon.wait_for(waiting)["status"] == "completed"


def test_what_failed_of_a_kind_is_retried_in_all_jobs(daemon: Daemon, media: Media, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    unreadable = [daemon.submit(broken, presets=["mp3"])["id"] for _ in range(2)]
    mixed = daemon.submit(media("no-audio.mp4"), broken, presets=["mp3", "thumbnail-sheet"])["id"]
    for job in (*unreadable, mixed):
        daemon.wait_for(job)
    daemon.client.post("/api/queue/pause")
    assert retry_all(daemon, because="encoder") == {"matched": 3, "changed": 0, "variations": 0}
    assert retry_all(daemon, because="unsuitable", status="completed") == {"matched": 1, "changed": 1, "variations": 1}
    [silent, other] = daemon.job(mixed)["sources"]
    assert [v["status"] for v in silent["variations"]] == ["queued", "completed"]
    assert [v["status"] for v in other["variations"]] == ["failed", "failed"]
    assert other["error"] == other["variations"][0]["error"], "what is not tried again keeps its reason"
    assert retry_all(daemon, because="unreadable") == {"matched": 3, "changed": 3, "variations": 4}
    assert daemon.client.get("/api/jobs", params={"has": "failed"}).json()["items"] == []
    assert daemon.client.post("/api/jobs/retry", params={"because": "weather"}).status_code == 422


def retry_all(daemon: Daemon, **query: str) -> Any:
    return daemon.client.post("/api/jobs/retry", params=query).json()


def test_a_retry_of_a_kind_leaves_the_rest_of_a_job(shared_daemon: Daemon, media: Media) -> None:
    job = shared_daemon.submit(media("no-audio.mp4"), presets=["mp3", "thumbnail-sheet"])["id"]
    shared_daemon.wait_for(job)
    answer = shared_daemon.client.post(f"/api/jobs/{job}/retry", params={"because": "encoder"})
    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    again = shared_daemon.client.post(f"/api/jobs/{job}/retry", params={"because": "unsuitable"})
    assert again.json()["changed"] is True
    shared_daemon.wait_for(job)


def test_a_retry_of_a_part_leaves_the_rest_of_a_job(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, broken, presets=["mp3", "m4a"])["id"]
    post(daemon, job, "cancel")
    [first, second] = daemon.job(job)["sources"]
    one, other = first["variations"]
    answer = post(daemon, job, f"variations/{one['id']}/retry").json()
    assert answer == {
        "id": one["id"], "job": job, "title": one["name"], "status": "queued", "paused": False, "changed": True
    }  # fmt: skip
    states = {v["id"]: v["status"] for source in daemon.job(job)["sources"] for v in source["variations"]}
    assert [v for v, status in states.items() if status == "queued"] == [one["id"]]
    answer = post(daemon, job, f"sources/{second['id']}/retry").json()
    assert (answer["id"], answer["title"], answer["changed"]) == (second["id"], "broken.mp4", True)
    daemon.client.post("/api/queue/resume")
    ended = daemon.wait_for(job)
    assert [[v["status"] for v in source["variations"]] for source in ended["sources"]] == [
        ["completed", "cancelled"], ["failed", "failed"]
    ]  # fmt: skip
    refused = post(daemon, job, f"variations/{one['id']}/retry")
    assert (refused.status_code, refused.json()["state"]) == (409, "completed")
    assert f"{one['id']} ({one['name']}) is completed: there is nothing to try again" in refused.text
    because = f"variations/{other['id']}/retry?because=unreadable"
    assert post(daemon, job, because).json()["changed"] is False
    assert post(daemon, job, f"variations/{first['id']}/retry").status_code == 404
    assert post(daemon, job, f"sources/{one['id']}/retry").status_code == 404


def test_retry_encodes_only_what_is_missing(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    job = daemon.submit(clip, clip, presets=["mp3", "h264-480p"])["id"]
    wait_until(lambda: daemon.job(job)["completed_variations"] >= 1, "the first to complete")
    post(daemon, job, "cancel")
    later = "2099-01-01T00:00:00Z"
    daemon.client.patch(f"/api/jobs/{job}", json={"expires_at": later})
    before = daemon.job(job)
    assert post(daemon, job, "retry").status_code == 200
    after = daemon.wait_for(job)
    assert after["expires_at"] == later
    assert (after["status"], after["cancel_requested_at"], after["cancelled_at"]) == ("completed", None, None)
    kept = [v for s in before["sources"] for v in s["variations"] if v["status"] == "completed"]
    again = {v["id"]: v for s in after["sources"] for v in s["variations"]}
    assert kept
    for variation in kept:
        assert again[variation["id"]] == variation
    assert after["completed_variations"] == 4


def test_a_retry_does_not_go_past_the_most_that_may_be_queued(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--max-queued", "3")
    daemon.client.post("/api/queue/pause")
    first = daemon.submit(clip, presets=["mp3", "m4a"])["id"]
    assert post(daemon, first, "cancel").status_code == 200
    second = daemon.submit(clip, presets=["mp3", "m4a"])["id"]
    refused = post(daemon, first, "retry")
    assert (refused.status_code, refused.json()["code"]) == (429, "limit_reached")
    assert "2 variations wait, and 2 more are over the limit of 3" in refused.json()["detail"]
    assert daemon.job(first)["status"] == "cancelled"
    assert daemon.client.get("/api/stats").json()["queue"]["depth"] == 2
    assert post(daemon, second, "cancel").status_code == 200
    assert post(daemon, first, "retry").json()["status"] == "queued"


def test_a_new_priority_reorders_at_once(start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    blocker = job_in(daemon, "processing", clip, long_clip)
    first, second = (daemon.submit(clip, presets=["mp3"])["id"] for _ in range(2))
    patched = daemon.client.patch(f"/api/jobs/{second}", json={"priority": 9, "name": "urgent"}).json()
    assert (patched["priority"], patched["name"]) == (9, "urgent")
    post(daemon, blocker, "cancel")
    assert daemon.wait_for(second)["started_at"] < daemon.wait_for(first)["started_at"]
    later = "2099-01-01T00:00:00Z"
    assert daemon.client.patch(f"/api/jobs/{first}", json={"expires_at": later}).json()["expires_at"] == later
    assert daemon.client.patch(f"/api/jobs/{first}", json={"colour": 1}).status_code == 422


def test_bulk_verbs_take_the_lists_filter(start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    done = job_in(daemon, "completed", clip, long_clip)
    running = job_in(daemon, "processing", clip, long_clip)
    queued = [daemon.submit(clip, presets=["mp3"])["id"] for _ in range(3)]
    answer = daemon.client.post("/api/jobs/cancel", params={"status": "queued"}).json()
    assert answer == {"matched": 3, "changed": 3}
    assert daemon.job(running)["status"] == "processing"
    assert daemon.client.post("/api/jobs/cancel").json() == {"matched": 1, "changed": 1}
    assert daemon.encoders() == []
    assert daemon.client.delete("/api/jobs", params={"status": "cancelled"}).json() == {"matched": 4, "changed": 4}
    assert [item["id"] for item in daemon.client.get("/api/jobs").json()["items"]] == [done]
    assert all(daemon.client.get(f"/api/jobs/{job}").status_code == 404 for job in queued)


def test_bulk_verbs_find_jobs_by_text_and_by_pause(daemon: Daemon, clip: Path) -> None:
    daemon.client.post("/api/queue/pause")
    names = ("harbour one", "harbour two", "a walk")
    jobs = {name: daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": name})["id"] for name in names}
    post(daemon, jobs["a walk"], "pause")
    assert daemon.client.post("/api/jobs/cancel", params={"q": "harbour"}).json() == {"matched": 2, "changed": 2}
    assert daemon.client.post("/api/jobs/cancel", params={"q": "harbour"}).json() == {"matched": 0, "changed": 0}
    assert daemon.client.delete("/api/jobs", params={"q": "two"}).json() == {"matched": 1, "changed": 1}
    assert daemon.client.delete("/api/jobs", params={"paused": "true"}).json() == {"matched": 1, "changed": 1}
    assert [item["id"] for item in daemon.client.get("/api/jobs").json()["items"]] == [jobs["harbour one"]]
    assert daemon.client.delete("/api/jobs", params={"q": "\0"}).status_code == 422


def test_fail_is_idempotent_though_some_of_the_job_was_cancelled(daemon: Daemon, clip: Path) -> None:
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, presets=["mp3", "m4a"])
    first = job["sources"][0]["variations"][0]["id"]
    assert daemon.client.post(f"/api/jobs/{job['id']}/variations/{first}/cancel").status_code == 200
    assert [daemon.client.post(f"/api/jobs/{job['id']}/fail").json()["changed"] for _ in range(2)] == [True, False]


def test_what_stands_still_has_no_time_left(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-480p"])["id"]
    wait_until(lambda: daemon.job(job)["eta_seconds"] and daemon.job(job)["progress"], "some of it, and a time left")
    post(daemon, job, "pause")
    variation = daemon.job(job)["sources"][0]["variations"][0]
    assert (daemon.job(job)["eta_seconds"], variation["eta_seconds"], variation["speed"]) == (None, None, None)
    assert variation["progress"] > 0


def test_a_time_to_keep_a_job_until_is_told_at_once(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip)["id"]
    later = "2099-01-01T00:00:00Z"
    assert daemon.client.patch(f"/api/jobs/{job}", json={"expires_at": later}).json()["expires_at"] == later
    assert daemon.job(job)["expires_at"] == later


def test_what_may_pass_is_tried_again_and_what_is_the_sources_fault_is_not(
    start_daemon: Callable[..., Daemon], long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1", FFSPOOL_RETRY_DELAY="0.1")
    job = daemon.submit(long_clip)["id"]
    for attempt in range(1, 5):
        view = wait_until(
            lambda attempt=attempt: (
                (v := daemon.job(job)["sources"][0]["variations"][0])["attempts"] == attempt
                and v["status"] == "processing"
                and daemon.encoders()
                and v
            ),
            f"attempt {attempt}",
        )
        assert view
        daemon.wait_for_encoder().kill()
    done = daemon.wait_for(job)
    variation = done["sources"][0]["variations"][0]
    assert (done["status"], variation["attempts"]) == ("failed", 4)
    assert "signal 9" in variation["error"]


@pytest.mark.parametrize("rebooted", [False, True])
def test_a_file_that_takes_the_daemon_down_again_and_again_is_not_tried_again(
    daemon: Daemon, long_clip: Path, rebooted: bool
) -> None:
    """A reboot is nobody's fault."""
    job = daemon.submit(long_clip)["id"]
    wait_until(lambda: daemon.job(job)["progress"], "its handle to be known, and the encode to get on")
    daemon.stop(signal.SIGKILL)
    told(daemon, f"UPDATE variations SET crashes = {MAX_CRASHES - 1}")
    if rebooted:
        told(daemon, "UPDATE attempts SET handle = json_replace(handle, '$.boot', 'another')")
    daemon.start()
    done = daemon.job(job)
    assert (done["status"] == "failed") != rebooted
    if not rebooted:
        assert f"the daemon died {MAX_CRASHES} times" in done["sources"][0]["variations"][0]["error"]


def test_what_the_daemon_dies_of_waits_longer_each_time() -> None:
    """So many deaths in a row as a storm of them brings, or a power that comes and goes, fail nothing."""
    asked = {"retries": 0, "cancel_requested_at": None, "fail_requested_at": None}
    verdicts = [
        judge({**asked, "crashes": crashes}, failure=None, crashed=True, now=100.0, retry_delay=1.0)
        for crashes in range(MAX_CRASHES - 1)
    ]
    waits = [None if verdict.not_before is None else verdict.not_before - 100.0 for verdict in verdicts]
    assert waits == [None, 1, 2, 4, 8, 16, ASIDE, ASIDE, ASIDE]


def test_what_the_daemon_may_have_died_of_runs_when_nothing_else_does(daemon: Daemon, clip: Path) -> None:
    daemon.client.post("/api/queue/pause")
    suspect, others = daemon.submit(clip, presets=["mp3"]), daemon.submit(clip, presets=["mp3", "m4a"])
    daemon.stop()
    told(daemon, f"UPDATE variations SET crashes = {SUSPECT_AFTER} WHERE seq = 1")
    daemon.start()
    daemon.client.post("/api/queue/resume")
    assert daemon.wait_for(suspect["id"])["started_at"] >= daemon.wait_for(others["id"])["finished_at"]


def test_what_the_daemon_may_have_died_of_holds_up_nothing_while_it_is_paused(
    daemon: Daemon, long_clip: Path, clip: Path
) -> None:
    suspect = daemon.submit(long_clip)["id"]
    daemon.wait_for_encoder()
    daemon.stop()
    told(daemon, f"UPDATE variations SET crashes = {SUSPECT_AFTER} WHERE seq = 1")
    daemon.start()
    daemon.wait_for_encoder()
    daemon.client.post(f"/api/jobs/{suspect}/pause").raise_for_status()
    assert daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["status"] == "completed"


def test_a_hung_encoder_is_ended_tried_once_more_and_then_failed(
    start_daemon: Callable[..., Daemon], long_clip: Path
) -> None:
    daemon = start_daemon("--grace", "0.2", FFSPOOL_HUNG_AFTER="1", FFSPOOL_RETRY_DELAY="0.1")
    job = daemon.submit(long_clip)["id"]
    for _ in range(2):
        encoder = daemon.wait_for_encoder()
        encoder.suspend()  # behind the daemon's back
        wait_until(lambda encoder=encoder: not encoder.is_running(), "the hung encoder to be ended")
    done = daemon.wait_for(job)
    variation = done["sources"][0]["variations"][0]
    assert (done["status"], variation["attempts"]) == ("failed", 2)
    assert "hung" in variation["error"]
