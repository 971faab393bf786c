"""The main job over HTTP: a batch goes in, proven variations come out, and the truth is told on the way."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from conftest import Daemon, Media, make_clip, wait_until

BATCH = ["vfr.mp4", "turned-270.mp4", "cartoon.avi", "h263.3gp", "languages.mkv"]


def seconds(file: Path | io.BytesIO) -> float:
    """Where the last decoded frame ends, by a reader that is not the daemon's own proof."""
    with av.open(file if isinstance(file, io.BytesIO) else str(file)) as container:
        heard_or_seen = [*container.streams.audio, *container.streams.video]
        times = [frame.time for frame in container.decode(heard_or_seen) if frame.time is not None]
        return max(times) - min(times)


def test_a_real_batch_becomes_a_zip_whose_files_last_as_long_as_their_sources(daemon: Daemon, media: Media) -> None:
    job = daemon.submit(
        *(media(name) for name in BATCH),
        spec={"variations": [{"preset": "h264-480p", "speed": "ultrafast"}, {"preset": "m4a"}, {"preset": "mp3"}]},
    )
    assert (job["status"], job["total_variations"]) == ("queued", 15)
    done = daemon.wait_for(job["id"])
    assert (done["status"], done["completed_variations"], done["progress"]) == ("completed", 15, 100)
    answer = daemon.client.get(f"/api/jobs/{job['id']}/download")
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert sorted(archive.namelist()) == sorted([*manifest["files"], "manifest.json"])
        names = iter(manifest["files"])
        for source in manifest["job"]["sources"]:
            for variation in source["variations"]:
                content = archive.read(name := next(names))
                assert name.endswith(f"/{variation['name']}")
                assert hashlib.sha256(content).hexdigest() == variation["sha256"]
                assert seconds(io.BytesIO(content)) == pytest.approx(seconds(media(source["name"])), abs=0.5)


def test_the_job_is_shaped_as_the_contract_says(daemon: Daemon, clip: Path) -> None:
    spec = {"variations": [{"preset": "h264-480p", "crf": 30}], "name": "n", "priority": 3, "metadata": {"a": [1]}}
    job = daemon.wait_for(daemon.submit(clip, spec=spec)["id"])
    assert {k: job[k] for k in ("name", "priority", "metadata", "paused")} == {
        "name": "n", "priority": 3, "metadata": {"a": [1]}, "paused": False,
    }  # fmt: skip
    for time in ("created_at", "started_at", "finished_at", "expires_at"):
        assert job[time].endswith("Z"), time
    assert (job["cancel_requested_at"], job["cancelled_at"], job["error"], job["eta_seconds"]) == (None, None, None, 0)
    [source] = job["sources"]
    assert (source["name"], source["bytes"], source["status"]) == ("clip.mp4", clip.stat().st_size, "completed")
    assert source["media"]["duration_seconds"] == pytest.approx(2, abs=0.1)
    assert source["media"]["video"]["width"] == 640
    [variation] = source["variations"]
    assert (variation["name"], variation["attempts"], variation["progress"]) == ("clip_h264-480p.mp4", 1, 100)
    assert variation["parameters"]["crf"] == 30
    usage = job["usage"]
    assert usage["output_bytes"] == variation["bytes"]
    assert usage["output_seconds"] == pytest.approx(2, abs=0.1)
    assert usage["cpu_seconds"] > 0
    assert usage["discarded_cpu_seconds"] == 0


def test_a_single_download_has_ranges_an_etag_and_its_name(daemon: Daemon, clip: Path) -> None:
    odd = clip.with_name("tä\"st'; x.mp4")
    odd.write_bytes(clip.read_bytes())
    job = daemon.wait_for(daemon.submit(odd, presets=["mp3"])["id"])
    variation = job["sources"][0]["variations"][0]
    url = f"/api/jobs/{job['id']}/variations/{variation['id']}/download"
    whole = daemon.client.get(url)
    assert hashlib.sha256(whole.content).hexdigest() == variation["sha256"]
    assert whole.headers["etag"] == f'"{variation["sha256"]}"'
    assert "t%C3%A4_st%27%3B%20x_mp3.mp3" in whole.headers["content-disposition"]
    part = daemon.client.get(url, headers={"Range": "bytes=100-199", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"


@pytest.mark.thorough
def test_refresh_makes_the_same_looks_from_the_same_seed(daemon: Daemon, clip: Path) -> None:
    spec = {"variations": [{"preset": "refresh", "count": 3, "seed": "s", "speed": "ultrafast"}]}
    looks = []
    for _ in range(2):
        job = daemon.wait_for(daemon.submit(clip, spec=spec)["id"])
        assert job["status"] == "completed"
        looks.append([variation["parameters"] for variation in job["sources"][0]["variations"]])
    assert looks[0] == looks[1]
    assert len({json.dumps(look) for look in looks[0]}) == 3


def test_one_bad_source_fails_alone_and_says_why(daemon: Daemon, media: Media, clip: Path) -> None:
    job = daemon.submit(clip, media("commands.gif"), media("hls.mp4"), presets=["mp3"])
    done = daemon.wait_for(job["id"])
    good, *bad = done["sources"]
    assert (done["status"], good["status"]) == ("completed", "completed")
    for source in bad:
        assert source["status"] == "failed"
        assert source["name"] in source["error"]
        assert source["variations"][0]["error"] == source["error"]


def test_a_truncated_source_is_a_failure_that_says_so(daemon: Daemon, ffmpeg: str, tmp_path: Path) -> None:
    whole = make_clip(ffmpeg, tmp_path / "whole.mkv", seconds=8)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    job = daemon.wait_for(
        daemon.submit(cut, presets=["h264-480p", "mp3", "poster", "thumbnail-sheet", "sprite-sheet"])["id"]
    )
    assert job["status"] == "failed"
    for variation in job["sources"][0]["variations"]:
        assert "truncated" in variation["error"]
    assert not list((daemon.state_dir / "spool").rglob("*.log")), "it was encoded, though known to be cut short"
    assert not list((daemon.state_dir / "spool").rglob("outputs/*"))


def test_the_log_holds_the_command_and_no_path_of_the_host(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["h264-480p"])["id"])
    variation = job["sources"][0]["variations"][0]
    log = daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/log").text
    assert log.startswith("$ ffmpeg -hide_banner")
    assert "libx264" in log
    assert "# exit code 0" in log
    assert str(daemon.state_dir) not in log


def test_work_goes_back_to_the_queue_at_sigterm_and_is_done_after_the_restart(
    start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    first = daemon.submit(long_clip, presets=["h264-480p"])
    second = daemon.submit(clip, presets=["mp3"])
    encoder = daemon.wait_for_encoder()
    assert daemon.stop(signal.SIGTERM) == 0
    assert not encoder.is_running()
    assert [part.name for part in daemon.parts()] in ([], ["1.piece"])  # a film may be gone on with
    daemon.start()
    daemon.wait_for_encoder()
    again = daemon.job(first["id"])["sources"][0]["variations"][0]
    assert (again["status"], again["attempts"]) == ("processing", 2)
    daemon.client.post(f"/api/jobs/{first['id']}/cancel")
    assert daemon.wait_for(second["id"])["status"] == "completed"


@pytest.mark.thorough
def test_a_killed_daemon_leaves_no_encoder_and_loses_no_job(daemon: Daemon, clip: Path, long_clip: Path) -> None:
    done = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    job = daemon.submit(long_clip, clip, presets=["h264-480p"])
    encoder = daemon.wait_for_encoder()
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not encoder.is_running(), "the encoder to die with its daemon")
    daemon.start()
    assert daemon.job(done["id"])["sources"] == done["sources"]
    wait_until(lambda: daemon.job(job["id"])["completed_variations"] == 1, "the short one to complete")
    daemon.client.post(f"/api/jobs/{job['id']}/cancel")
    assert daemon.job(job["id"])["completed_variations"] == 1


def test_higher_priority_goes_first_then_age(start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    blocker = daemon.submit(long_clip)
    daemon.wait_for_encoder()
    waiting = [
        daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "priority": priority})["id"]
        for priority in (0, 5, 0, 5)
    ]
    daemon.client.post(f"/api/jobs/{blocker['id']}/cancel")
    started = {job: daemon.wait_for(job)["started_at"] for job in waiting}
    assert sorted(waiting, key=lambda job: started[job]) == [waiting[1], waiting[3], waiting[0], waiting[2]]


def test_lists_are_paged_newest_first_and_filtered(daemon: Daemon, clip: Path) -> None:
    made = [daemon.submit(clip, presets=["mp3"])["id"] for _ in range(5)]
    for job in made:
        daemon.wait_for(job)
    seen, cursor = [], None
    while True:
        page = daemon.client.get("/api/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    by_status = {
        status: len(daemon.client.get("/api/jobs", params={"status": status}).json()["items"])
        for status in ("queued", "completed", "failed")
    }
    assert by_status == {"queued": 0, "completed": 5, "failed": 0}


def test_files_of_the_host_are_taken_only_below_a_source_root(
    start_daemon: Callable[..., Daemon], clip: Path, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    for folder in (root, outside):
        (folder / "clip.mp4").write_bytes(clip.read_bytes())
    (root / "link.mp4").symlink_to(outside / "clip.mp4")
    os.mkfifo(root / "fifo")
    daemon = start_daemon("--source-root", str(root))

    def post(path: Path | str) -> tuple[int, str]:
        body = {"sources": [{"path": str(path)}], "variations": [{"preset": "mp3"}]}
        answer = daemon.client.post("/api/jobs", json=body)
        return answer.status_code, answer.json().get("code") or answer.json()["id"]

    for path in (outside / "clip.mp4", root / "link.mp4", root / ".." / "outside" / "clip.mp4", "/etc/passwd"):
        assert post(path) == (403, "forbidden_path")
    assert post(root / "nothing.mp4") == (422, "invalid_request")
    assert post(root / "fifo") == (422, "invalid_request")
    status, job = post(root / "clip.mp4")
    assert status == 202
    assert daemon.wait_for(job)["status"] == "completed"
    assert (root / "clip.mp4").exists()


def test_the_token_is_the_owners_alone(daemon: Daemon) -> None:
    assert stat.S_IMODE((daemon.state_dir / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.state_dir.stat().st_mode) == 0o700
