"""What recorders leave behind: cut off where they crashed, or of so few pictures that nothing tells their rate."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Daemon
from specimens import film, picture, silent
from surroundings import thorough
from test_kinds import frames, lasting, make
from test_unread import made

FRAGMENTED = ("-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-g", "25")


def crashed(ffmpeg: str, folder: Path, share: float, *flags: str, name: str = "crash.mp4") -> Path:
    """A recording of 6 s that ends at that share of its bytes."""
    return made(
        ffmpeg, folder, name, film(*flags, "{out}", seconds=6.0), edit=lambda whole: whole[: int(len(whole) * share)]
    )


@pytest.mark.parametrize("preset", ["h264-480p", "webm-720p", "remux-mkv", "remux-mp4", "mp3", "hls"])
@pytest.mark.parametrize("share", [0.35, 0.6])
def test_a_fragmented_recording_is_used_as_far_as_it_goes(
    daemon: Daemon, ffmpeg: str, tmp_path: Path, preset: str, share: float
) -> None:
    path = crashed(ffmpeg, tmp_path, share, *FRAGMENTED)
    job = daemon.wait_for(daemon.submit(path, presets=[preset])["id"])
    [variation] = job["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    assert 6 * share - 1.1 < variation["output_seconds"] < 6 * share + 0.6
    log = daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/log").text
    assert "# left out: end: the source ends in the middle of a recording: what is there is used" in log


def test_a_quicktime_recording_in_fragments_is_used_as_far_as_it_goes(ffmpeg: str, tmp_path: Path) -> None:
    path = crashed(ffmpeg, tmp_path, 0.5, "-movflags", "+frag_keyframe+empty_moov", "-g", "10", name="crash.mov")
    assert 2.0 < lasting(make(ffmpeg, path, tmp_path, "remux-mkv"), "video") < 3.5


@pytest.mark.parametrize(
    "preset", ["h264-480p", *map(thorough, ("webm-720p", "webm-av1-1080p", "av1-720p", "hevc-1080p"))]
)
@pytest.mark.parametrize("count", [2, thorough(3), thorough(5)])
def test_an_animation_of_few_slow_pictures_is_shown_as_long(
    daemon: Daemon, ffmpeg: str, tmp_path: Path, preset: str, count: int
) -> None:
    path = made(ffmpeg, tmp_path, "slides.gif", silent("-f", "gif", size="100x100", rate="1", seconds=count))
    job = daemon.wait_for(daemon.submit(path, presets=[preset])["id"])
    [variation] = job["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    assert variation["output_seconds"] == pytest.approx(count, abs=0.1)


def test_slides_in_a_film_keep_their_number(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "slides.gif", [*picture("100x100", "1", 2.0), "-f", "gif", "{out}"])
    assert len(list(frames(make(ffmpeg, path, tmp_path, "webm-720p", speed="ultrafast")))) == 2
