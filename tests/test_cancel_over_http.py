"""Cancelling jobs, sources and variations of a real daemon: nothing runs on, nothing partial stays, nothing is lost."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Daemon, wait_until
from surroundings import thorough
from test_main_path import seconds


def variations(job: Any) -> list[Any]:
    return [variation for source in job["sources"] for variation in source["variations"]]


def cancel(daemon: Daemon, *path: str) -> Any:
    answer = daemon.client.post("/".join(["/api/jobs", *path, "cancel"]))
    assert answer.status_code == 200, answer.text
    return answer.json()


def assert_nothing_is_left(daemon: Daemon, job: str) -> None:
    """No encoder, no partial file; what is on disk as an output is what the job calls completed."""
    assert daemon.encoders() == []
    assert daemon.parts() == []
    folder = daemon.state_dir / "spool" / "jobs" / job / "outputs"
    completed = {v["id"]: v for v in variations(daemon.job(job)) if v["status"] == "completed"}
    assert {path.stem for path in folder.glob("*")} == set(completed)
    for path in folder.glob("*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == completed[path.stem]["sha256"]


def test_a_polite_encoder_ends_at_quit_and_the_receipt_tells_it(
    start_daemon: Callable[..., Daemon], long_clip: Path
) -> None:
    daemon = start_daemon("--grace", "20")
    job = daemon.submit(long_clip)
    daemon.wait_for_encoder()
    wait_until(daemon.parts, "a partial file")
    receipt = cancel(daemon, job["id"])
    assert_nothing_is_left(daemon, job["id"])
    [stopped] = receipt["stopped"]
    assert stopped["variation"] == variations(job)[0]["id"]
    assert stopped["stage"] == "quit"
    assert (receipt["id"], receipt["status"], receipt["changed"]) == (job["id"], "cancelled", True)
    assert (receipt["completed_variations"], receipt["total_variations"]) == (0, 1)
    assert receipt["cancel_requested_at"] <= receipt["cancelled_at"]
    after = daemon.job(job["id"])
    assert (after["status"], after["cancelled_variations"]) == ("cancelled", 1)
    assert after["cancel_requested_at"] == receipt["cancel_requested_at"]
    assert after["usage"]["discarded_cpu_seconds"] > 0
    again = cancel(daemon, job["id"])
    assert (again["changed"], again["status"], again["stopped"]) == (False, "cancelled", [])


DEAF_FFMPEG = """#!{python}
import signal, subprocess, sys
if sys.argv[1:] == ["-version"]:
    print("ffmpeg version deaf"); sys.exit()
{ignore}
open(sys.argv[-1].removeprefix("file:"), "wb").write(b"partial")
while True: signal.pause()
"""


@pytest.mark.parametrize(
    ("ignore", "stage"),
    [("", "terminate"), ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "kill")],
    ids=["deaf to q", "deaf to both"],
)
def test_a_deaf_encoder_is_ended_at_the_stage_it_listens_to(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path, ignore: str, stage: str
) -> None:
    deaf = tmp_path / "deaf-ffmpeg"
    deaf.write_text(DEAF_FFMPEG.format(python=shutil.which("python3"), ignore=ignore))
    deaf.chmod(0o755)
    daemon = start_daemon("--ffmpeg", str(deaf), "--grace", "0.3")
    job = daemon.submit(clip)
    wait_until(daemon.parts, "a partial file")
    receipt = cancel(daemon, job["id"])
    assert [stopped["stage"] for stopped in receipt["stopped"]] == [stage]
    assert receipt["bytes_freed"] >= len(b"partial")
    assert_nothing_is_left(daemon, job["id"])


def test_a_frozen_encoder_is_cancelled_too(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip)
    encoder = daemon.wait_for_encoder()
    wait_until(daemon.parts, "a partial file")
    os.kill(encoder.pid, signal.SIGSTOP)
    wait_until(lambda: encoder.status() == psutil.STATUS_STOPPED)
    assert cancel(daemon, job["id"])["status"] == "cancelled"
    assert_nothing_is_left(daemon, job["id"])


def test_cancel_keeps_completed_variations(start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    job = daemon.submit(clip, long_clip, presets=["h264-480p"])
    wait_until(lambda: daemon.job(job["id"])["completed_variations"] == 1, "the first to complete")
    receipt = cancel(daemon, job["id"])
    assert (receipt["status"], receipt["completed_variations"], receipt["total_variations"]) == ("cancelled", 1, 2)
    assert_nothing_is_left(daemon, job["id"])
    done = variations(daemon.job(job["id"]))[0]
    answer = daemon.client.get(f"/api/jobs/{job['id']}/variations/{done['id']}/download")
    assert hashlib.sha256(answer.content).hexdigest() == done["sha256"]
    with zipfile.ZipFile(io.BytesIO(daemon.client.get(f"/api/jobs/{job['id']}/download").content)) as archive:
        assert archive.namelist() == ["clip/clip_h264-480p.mp4", "manifest.json"]


@pytest.mark.thorough
def test_one_source_or_one_variation_is_cancelled_alone(
    start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "2")
    job = daemon.submit(long_clip, long_clip, clip, presets=["h264-480p", "mp3"])
    wait_until(lambda: len(daemon.encoders()) == 2, "two encoders")
    first, second, third = job["sources"]
    receipt = cancel(daemon, job["id"], "sources", first["id"])
    assert (receipt["id"], receipt["status"], receipt["total_variations"]) == (first["id"], "cancelled", 2)
    one = second["variations"][0]["id"]
    receipt = cancel(daemon, job["id"], "variations", one)
    assert (receipt["id"], receipt["status"], receipt["total_variations"]) == (one, "cancelled", 1)
    done = daemon.wait_for(job["id"])
    assert [[v["status"] for v in source["variations"]] for source in done["sources"]] == [
        ["cancelled", "cancelled"], ["cancelled", "completed"], ["completed", "completed"],
    ]  # fmt: skip
    assert (done["status"], done["cancel_requested_at"]) == ("cancelled", None)
    assert_nothing_is_left(daemon, job["id"])
    assert third["variations"]


def test_queued_work_is_cancelled_without_ever_starting(
    start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    running = daemon.submit(long_clip)
    daemon.wait_for_encoder()
    waiting = daemon.submit(clip)
    receipt = cancel(daemon, waiting["id"])
    assert (receipt["status"], receipt["changed"], receipt["stopped"]) == ("cancelled", True, [])
    assert variations(daemon.job(waiting["id"]))[0]["attempts"] == 0
    assert len(daemon.encoders()) == 1
    cancel(daemon, running["id"])


def test_concurrent_cancels_are_one_cancel(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip)
    wait_until(daemon.parts, "a partial file")
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: cancel(daemon, job["id"]), range(8)))
    changed = [receipt for receipt in receipts if receipt["changed"]]
    assert len({str(receipt) for receipt in changed}) == 1
    assert {receipt["cancel_requested_at"] for receipt in receipts} == {changed[0]["cancel_requested_at"]}
    assert_nothing_is_left(daemon, job["id"])


def test_completion_that_was_first_wins(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    answer = daemon.client.post(f"/api/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "conflict", "completed")
    assert daemon.job(job["id"]) == job


def test_a_cancel_does_not_wait_for_a_probe_that_hangs(daemon: Daemon, clip: Path) -> None:
    prober = daemon.prober()
    prober.suspend()
    job = daemon.submit(clip)
    receipt = cancel(daemon, job["id"])
    assert prober.status() == psutil.STATUS_STOPPED, "the answer waited for the probe"
    assert (receipt["status"], receipt["stopped"]) == ("cancelled", [])
    prober.resume()
    assert daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["status"] == "completed"


@pytest.mark.parametrize("cancels", [4, thorough(40)])
def test_cancels_at_random_moments_leave_nothing_and_lose_nothing(
    start_daemon: Callable[..., Daemon], clip: Path, cancels: int
) -> None:
    daemon = start_daemon("--slots", "2")
    chance = random.Random(20)
    for _ in range(cancels):
        job = daemon.submit(clip, clip, presets=["h264-480p", "mp3", "m4a"])
        threading.Event().wait(chance.uniform(0, 1.2))  # the random moment itself, not a guess at a condition
        before = daemon.job(job["id"])
        answer = daemon.client.post(f"/api/jobs/{job['id']}/cancel")
        assert answer.status_code in {200, 409}, answer.text
        assert_nothing_is_left(daemon, job["id"])
        after = daemon.job(job["id"])
        assert after["status"] == answer.json().get("status" if answer.status_code == 200 else "state")
        kept = {v["id"]: v["status"] for v in variations(after)}
        assert all(kept[v["id"]] == "completed" for v in variations(before) if v["status"] == "completed")
        download = daemon.client.get(f"/api/jobs/{job['id']}/download")
        assert download.status_code == (200 if after["completed_variations"] else 404)
        if download.status_code == 200:
            with zipfile.ZipFile(io.BytesIO(download.content)) as archive:
                for name in archive.namelist()[:-1]:
                    assert seconds(io.BytesIO(archive.read(name))) == pytest.approx(2, abs=0.2)


def test_delete_stops_and_forgets_everything(daemon: Daemon, clip: Path, long_clip: Path) -> None:
    job = daemon.submit(long_clip, clip)
    daemon.wait_for_encoder()
    assert daemon.client.delete(f"/api/jobs/{job['id']}").status_code == 204
    assert daemon.encoders() == []
    assert not (daemon.state_dir / "spool" / "jobs" / job["id"]).exists()
    assert daemon.client.get(f"/api/jobs/{job['id']}").status_code == 404
    assert daemon.client.delete(f"/api/jobs/{job['id']}").status_code == 404
