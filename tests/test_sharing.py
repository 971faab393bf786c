"""Variations of one source share a process: what that saves must cost nobody an output."""

from __future__ import annotations

import io
import re
import sqlite3
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import Daemon, wait_until
from test_unread import defaults

from daemon.media.describe import read_media
from daemon.recipes.command import prospect

PRESETS = ["h264-480p", "h264-720p", "mp3"]


def variations(job: Any) -> list[Any]:
    return [variation for source in job["sources"] for variation in source["variations"]]


def statuses(job: Any) -> list[str]:
    return [variation["status"] for variation in variations(job)]


def test_variations_of_one_source_are_encoded_in_one_process(
    start_daemon: Callable[..., Daemon], long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "2", "--max-shared-seconds", "100000")
    job = daemon.submit(long_clip, presets=PRESETS)["id"]
    daemon.wait_for_encoder()
    assert len(daemon.encoders()) == 1
    shown = daemon.job(job)
    assert [(one["status"], one["sharing"]) for one in variations(shown)] == [("processing", 3)] * 3


def test_each_output_of_a_shared_process_is_proven_and_kept(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=PRESETS)["id"])
    assert [(one["status"], one["sharing"], one["attempts"]) for one in variations(job)] == [("completed", 3, 1)] * 3
    assert job["usage"]["discarded_cpu_seconds"] == 0
    for one in variations(job):
        got = daemon.client.get(f"/api/jobs/{job['id']}/variations/{one['id']}/download")
        assert len(got.content) == one["bytes"]


def test_cancel_of_one_that_shares_a_process_queues_the_others_again(
    start_daemon: Callable[..., Daemon], long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1", "--max-shared-seconds", "100000")
    job = daemon.submit(long_clip, presets=PRESETS)["id"]
    daemon.wait_for_encoder()
    unwanted = variations(daemon.job(job))[1]["id"]
    receipt = daemon.client.post(f"/api/jobs/{job}/variations/{unwanted}/cancel").json()
    assert [stopped["variation"] for stopped in receipt["stopped"]] == [unwanted]
    assert statuses(daemon.job(job))[1] == "cancelled"
    wait_until(lambda: [one["attempts"] for one in variations(daemon.job(job))] == [2, 1, 2], "the others to go on")
    assert [variations(daemon.job(job))[n]["sharing"] for n in (0, 2)] == [2, 2]
    daemon.client.post(f"/api/jobs/{job}/cancel")  # before they have an encoder
    kept = variations(daemon.job(job))[0]["id"]
    log = daemon.client.get(f"/api/jobs/{job}/variations/{kept}/log").text
    assert sum(map(float, re.findall(r"([\d.]+) s of CPU", log))) < 5, "it was encoded to its end"


def test_what_is_being_proven_holds_no_slot(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--slots", "1", "--max-shared-seconds", "0")
    job = daemon.submit(clip, presets=["h264-480p", "mp3"])["id"]
    encoder, prober = daemon.wait_for_encoder(), daemon.prober()
    encoder.suspend()
    assert statuses(daemon.job(job)) == ["processing", "queued"]
    prober.suspend()
    encoder.resume()
    wait_until(lambda: statuses(daemon.job(job))[1] == "processing", "the second to begin")
    assert statuses(daemon.job(job))[0] == "processing"
    prober.resume()
    assert statuses(daemon.wait_for(job)) == ["completed"] * 2


def test_outputs_that_stay_hdr_all_tell_the_screen_they_were_made_for(
    daemon: Daemon, ffmpeg: str, tmp_path: Path
) -> None:
    told = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:max-cll=1000,400"
    screen = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=1,format=yuv420p10le"]
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]
    encode = ["-c:v", "libx265", "-x265-params", f"log-level=0:{told}:{screen}", *tags]
    film = tmp_path / "hdr.mp4"
    subprocess.run([ffmpeg, "-v", "error", *picture, *encode, film], check=True)
    deep = {"preset": "hevc-1080p", "bit_depth": 10, "speed": "ultrafast"}
    job = daemon.wait_for(daemon.submit(film, spec={"variations": [deep, {"preset": "h264-480p"}, deep]})["id"])
    first, _, last = variations(job)
    for one in (first, last):
        got = daemon.client.get(f"/api/jobs/{job['id']}/variations/{one['id']}/download").content
        with av.open(io.BytesIO(got)) as container:
            told = next(container.decode(video=0)).side_data
            assert "MASTERING_DISPLAY_METADATA" in told
            assert "CONTENT_LIGHT_LEVEL" in told


def test_an_output_of_10_bits_keeps_them_beside_one_of_8(daemon: Daemon, ffmpeg: str, tmp_path: Path) -> None:
    """FFmpeg would scale both in the 8 bits of the one, and widen them for the other."""
    ramp = ["-f", "lavfi", "-i", "nullsrc=size=1280x720:rate=5,format=yuv420p10le,geq=lum=64+0.6*X:cb=512:cr=512"]
    encode = ["-t", "1", "-c:v", "ffv1", str(tmp_path / "ramp.mkv")]
    subprocess.run([ffmpeg, "-v", "error", *ramp, *encode], check=True)
    both = [{"preset": "h264-480p"}, {"preset": "hevc-1080p", "short_side": 480, "bit_depth": 10, "crf": 10}]
    done = daemon.wait_for(daemon.submit(tmp_path / "ramp.mkv", spec={"variations": both})["id"])
    assert statuses(done) == ["completed", "completed"]
    assert {variation["sharing"] for variation in variations(done)} == {2}
    wide = variations(done)[1]["id"]
    content = daemon.client.get(f"/api/jobs/{done['id']}/variations/{wide}/download").content
    with av.open(io.BytesIO(content)) as film:
        plane = next(film.decode(video=0)).planes[0]
    line = memoryview(bytes(plane)).cast("H")[: plane.width].tolist()
    slope, start = statistics.linear_regression(range(len(line)), line)
    off = statistics.fmean(abs(value - start - slope * place) for place, value in enumerate(line))
    assert off < 0.45  # of 1024 levels; 0.7 if they were brought to 8 bits first


EVEN = "null"
HALVED = "select=lt(mod(t\\,2)\\,0.5)"
FASTER = "setpts=PTS*PTS*TB/4"


@pytest.mark.parametrize(
    ("rate", "vf", "apart"),
    [("25", EVEN, False), ("60", EVEN, False), ("25", HALVED, True), ("25", FASTER, True), ("0.5", EVEN, True)],
)
def test_what_doubles_frames_is_made_apart(ffmpeg: str, tmp_path: Path, rate: str, vf: str, apart: bool) -> None:
    """FFmpeg's threads would wait for each other until the watchdog ends them."""
    film = tmp_path / "film.mp4"
    source = [
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=size=160x90:rate={rate}:duration=4",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=4",
    ]
    how = ["-vf", vf, "-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", film]
    subprocess.run([ffmpeg, "-v", "error", *source, *how], check=True)
    media = read_media(str(film))
    assert prospect(media, "hls", defaults("hls")).shareable is not apart
    assert all(prospect(media, name, defaults(name)).shareable for name in ("h264-480p", "mp3", "thumbnail-sheet"))


@pytest.fixture
def lonely_encoder(ffmpeg: str, tmp_path: Path) -> Path:
    """The real encoder, but it fails when it is to write more than one file."""
    script = tmp_path / "lonely"
    script.write_text(
        "#!/bin/sh\n"
        'parts=$(printf "%s\\n" "$@" | grep -c "[.]part$")\n'
        '[ "$parts" -lt 2 ] || { echo "no company" >&2; exit 1; }\n'
        f'exec {ffmpeg} "$@"\n'
    )
    script.chmod(0o755)
    return script


def test_those_that_failed_together_are_tried_alone(
    start_daemon: Callable[..., Daemon], clip: Path, lonely_encoder: Path
) -> None:
    daemon = start_daemon("--ffmpeg", str(lonely_encoder), "--sandbox", "off")
    job = daemon.wait_for(daemon.submit(clip, presets=PRESETS)["id"])
    assert [(one["status"], one["sharing"], one["attempts"]) for one in variations(job)] == [("completed", 1, 2)] * 3


def test_one_that_cannot_be_made_leaves_its_siblings_alone(daemon: Daemon, clip: Path) -> None:
    spec = {"variations": [{"preset": "mp3"}, {"preset": "gif", "start_seconds": 3600}, {"preset": "m4a"}]}
    job = daemon.wait_for(daemon.submit(clip, spec=spec)["id"])
    assert statuses(job) == ["completed", "failed", "completed"]
    assert "nothing is left at 3600 s" in variations(job)[1]["error"]


def test_nothing_is_shared_where_that_is_set(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--max-shared-seconds", "0")
    job = daemon.wait_for(daemon.submit(clip, presets=PRESETS)["id"])
    assert [(one["status"], one["sharing"]) for one in variations(job)] == [("completed", 1)] * 3


def test_what_encodes_took_is_remembered(daemon: Daemon, clip: Path) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["h264-480p"])["id"])

    def learnt() -> list[Any]:
        with sqlite3.connect(f"file:{daemon.state_dir}/ffspool.db?mode=ro", uri=True) as database:
            return database.execute("SELECT encode, correction FROM costs").fetchall()

    ((encode, correction),) = wait_until(learnt, "the cost to be recorded")
    assert encode == "h264-480p/veryfast"
    assert correction != 1.0
