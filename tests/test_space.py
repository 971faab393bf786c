"""What does not fit on the disk waits and says why; a full disk fails no job."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Daemon, slowed, wait_until
from surroundings import need_mounts
from test_going_on import reader_of, whole_pieces

from daemon.media.describe import read_media
from daemon.models import VariationRequest
from daemon.presets.builtin import PRESETS
from daemon.presets.library import Library
from daemon.recipes import command
from daemon.scheduling.claims import NO_ROOM
from daemon.scheduling.space import ENOUGH, DiskUsage, Experience, Space, learnt, refusal, usual_bytes

MB = 1024**2


# The policy


def test_what_runs_the_reserve_and_what_wants_to_start_share_the_disk() -> None:
    written = [0]
    space = Space(lambda: DiskUsage(total=1000, free=500 - written[0]), kept_free=100)
    assert refusal(400, space.available()) is None
    space.reserve("a", 300, lambda: written[0])
    assert space.available() == 100
    written[0] = 200  # what it wrote is not counted twice
    assert (space.available(), space.reserved) == (100, 100)
    words = refusal(101, space.available())
    assert words is not None
    assert "waits for disk space" in words
    space.release("a")
    assert space.available() == 200


def test_what_rows_do_not_tell_of_is_promised_until_they_do() -> None:
    space = Space(lambda: DiskUsage(total=1000, free=1000), kept_free=100)
    space.reserve("an output", 300, lambda: 200)
    space.reserve("a piece of an upload", 50, lambda: 10, stored=True)
    assert (space.promised, space.reserved, space.available()) == (300, 140, 760)
    space.release("an output")
    assert space.promised == 0
    for wanted, left, word in ((101, 100, "0.0 MB more"), (1, 0, "as much is stored"), (0, -1, "as much is stored")):
        assert word in str(refusal(wanted, 1000, left))
    assert refusal(100, 1000, 100) is None


def test_where_there_is_plenty_nobody_is_asked_what_is_written() -> None:
    asked = list[int]()

    def written() -> int:
        asked.append(60)
        return 60

    space = Space(lambda: DiskUsage(total=2_000, free=1_000), kept_free=0)
    space.reserve("a", 90, written)
    assert (space.available(), asked) == (910, [])
    space.reserve("a", 100, written)
    assert (space.available(), asked) == (960, [60])


@pytest.mark.parametrize(("total", "reserve"), [(1024**4, 1024**3), (100 * MB, 2 * MB)])
def test_the_reserve_is_smaller_on_a_small_disk(total: int, reserve: int) -> None:
    assert Space(lambda: DiskUsage(total=total, free=total), kept_free=None).available() == total - reserve


def test_predictions_follow_what_came_out_lately() -> None:
    experience = Experience()
    assert experience.expected("mp3", 100) == 200
    for _ in range(ENOUGH):
        experience.learn("mp3", usual=100, actual=400)
    assert experience.expected("mp3", 100) == 500
    assert experience.expected("m4a", 100) == 200


def test_what_a_full_disk_teaches_is_what_the_rest_needs_too() -> None:
    assert learnt(1000, seconds=5.0, planned=10.0) == 2500
    assert learnt(1000, seconds=0.0, planned=10.0) == 2000
    assert learnt(1000, seconds=5.0, planned=None) == 2000


@pytest.mark.parametrize("preset", sorted(PRESETS.keys() - {"remux-webm"}))  # which cannot hold the clip
def test_every_preset_has_a_prediction(preset: str, clip: Path) -> None:
    media = read_media(str(clip))
    [wanted] = Library().expand([VariationRequest(preset, {})])
    plan, estimate, *_ = command.prospect(media, preset, wanted.parameters)
    usual = usual_bytes(plan, estimate, media, clip.stat().st_size)
    assert 10_000 < usual < 20_000_000


# A real disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a file system of a given size under the state dir, or gives it another one."""
    need_mounts()
    state = tmp_path / "state"

    def sized(size: str) -> None:
        if state.is_mount():
            subprocess.run(["mount", "-o", f"remount,size={size}", str(state)], check=True)
        else:
            state.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(state)], check=True)

    yield sized
    if state.is_mount():
        subprocess.run(["umount", "--lazy", str(state)], check=True)


def submitted(daemon: Daemon, path: Path, preset: str) -> str:
    spec = {"sources": [{"path": str(path)}], "variations": [{"preset": preset}]}
    answer = daemon.client.post("/api/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def variation(daemon: Daemon, job: str) -> Any:
    return daemon.job(job)["sources"][0]["variations"][0]


def test_what_does_not_fit_waits_and_lets_others_pass(
    small_disk: Callable[[str], None], start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    small_disk("24m")
    daemon = start_daemon("--source-root", str(clip.parent))
    large = submitted(daemon, long_clip, "h264-480p")
    waiting = wait_until(lambda: variation(daemon, large)["waiting"], "the words for it")
    assert "waits for disk space: it may need" in waiting
    assert variation(daemon, large)["status"] == "queued"
    assert daemon.wait_for(submitted(daemon, clip, "mp3"))["status"] == "completed"
    assert variation(daemon, large)["status"] == "queued"
    small_disk("200m")
    wait_until(lambda: variation(daemon, large)["status"] == "processing", "the large one to start by itself", 20)
    assert daemon.client.get("/api/stats").json()["disk"]["reserved_bytes"] > 20 * MB
    daemon.client.post(f"/api/jobs/{large}/cancel")


def test_a_disk_that_fills_up_in_mid_encode_fails_nothing(
    small_disk: Callable[[str], None], start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    small_disk("128m")
    daemon = start_daemon("--source-root", str(clip.parent))
    job = submitted(daemon, long_clip, "h264-480p")
    wait_until(lambda: any(part.stat().st_size > MB for part in daemon.parts()), "a partial file of some size")
    ballast = daemon.state_dir / "ballast"
    with ballast.open("wb", buffering=0) as file:
        fill(file.fileno(), daemon.state_dir)
    put_back = wait_until(lambda: (v := variation(daemon, job))["status"] == "queued" and v, "it to be put back")
    assert (put_back["error"], put_back["attempts"]) == (None, 1)
    assert "waits for disk space" in put_back["waiting"]
    assert daemon.parts() == []
    fill_up(ballast, daemon.state_dir)
    wait_until(lambda: daemon.client.get("/api/stats").json()["disk"]["waiting"], "the daemon to see a full disk")
    assert variation(daemon, job)["attempts"] == 1
    ballast.unlink()
    assert daemon.wait_for(submitted(daemon, clip, "mp3"))["status"] == "completed"
    wait_until(lambda: variation(daemon, job)["status"] == "processing", "it to start again")
    assert variation(daemon, job)["waiting"] is None
    daemon.client.post(f"/api/jobs/{job}/cancel")


@pytest.mark.thorough
def test_a_disk_that_fills_up_before_a_film_is_joined_fails_nothing(
    small_disk: Callable[[str], None],
    start_daemon: Callable[..., Daemon],
    small_film: Path,
    ffmpeg: str,
    tmp_path: Path,
) -> None:
    """It begins anew once there is room, and says why: what was encoded made room for others."""
    small_disk("128m")
    slow = slowed(ffmpeg, tmp_path, rate=12, burst=0)
    daemon = start_daemon("--source-root", str(small_film.parent), FFSPOOL_RESUME_FROM="0", **slow)
    job = submitted(daemon, small_film, "h264-480p")
    wait_until(lambda: variation(daemon, job)["status"] == "processing", "its turn")
    reader = wait_until(lambda: reader_of(psutil.Process(daemon.process.pid)), "a reader of media")
    reader.suspend()  # by which all of it is looked at before
    wait_until(lambda: whole_pieces(daemon), "all of it to be encoded")
    ballast = daemon.state_dir / "ballast"
    with ballast.open("wb", buffering=0) as file:
        fill(file.fileno(), daemon.state_dir)
    reader.resume()
    put_back = wait_until(lambda: (v := variation(daemon, job))["status"] == "queued" and v, "it to be put back")
    assert "waits for disk space" in put_back["waiting"]
    assert daemon.parts() == []
    ballast.unlink()
    assert daemon.wait_for(job)["status"] == "completed"
    assert variation(daemon, job)["begun_anew"] == NO_ROOM


def fill(descriptor: int, folder: Path) -> None:
    """Writes until nothing goes in any more."""
    for size in (MB, 4096):
        try:
            while True:
                os.write(descriptor, bytes(size))
        except OSError:
            continue
    assert psutil.disk_usage(str(folder)).free < MB


def fill_up(path: Path, folder: Path) -> None:
    """Leaves less than the reserve, but enough for the database."""
    with path.open("ab", buffering=0) as file:
        while psutil.disk_usage(str(folder)).free > 1.5 * MB:
            file.write(bytes(MB // 4))
