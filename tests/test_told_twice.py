"""How a picture is to be shown may be told by its container and by its frames: each preset goes by the container."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from specimens import AAC, H264, encoded, run
from surroundings import thorough
from test_kinds import frames, lasting, make
from test_unread import defaults, made

from daemon.encode.diagnosis import Ending, diagnose
from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import plan

PRESETS = [
    *("h264-480p", "archive-ffv1", "gif", thorough("webm-720p"), thorough("hls"), thorough("archive-hevc")),
    *(thorough("poster"), thorough("thumbnail-sheet"), thorough("square-1080p"), "remux-mkv"),
]


def of_two_eyes(ffmpeg: str, folder: Path) -> Path:
    packed = encoded(*H264, "-x264-params", "frame-packing=3", *AAC)
    inner = made(ffmpeg, folder, "inner.mkv", packed)
    return copied(ffmpeg, inner, folder / "eyes.mkv", "-metadata:s:v:0", "stereo_mode=left_right")


def turned(ffmpeg: str, folder: Path) -> Path:
    """Its frames say that it be turned otherwise than its container does."""
    inner = made(ffmpeg, folder, "inner.mp4", encoded(*H264, *AAC))
    outer = folder / "outer.mp4"
    run(ffmpeg, ["-display_rotation", "180", "-i", str(inner), "-c", "copy", str(outer)], outer)
    return copied(ffmpeg, outer, folder / "turned.mp4", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=90")


def copied(ffmpeg: str, source: Path, path: Path, *how: str) -> Path:
    run(ffmpeg, ["-i", str(source), "-c", "copy", *how, str(path)], path)
    return path


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_told_twice_of_two_eyes_is_made(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    path = of_two_eyes(ffmpeg, tmp_path)
    media = read_media(str(path))
    assert media.video
    assert (media.video.stereo, media.video.told_twice) == (True, True)
    output = make(ffmpeg, path, tmp_path, preset)
    if preset not in {"poster", "thumbnail-sheet", "hls"}:
        assert lasting(output, "video") == pytest.approx(1.6, abs=0.1)
        assert differences(read_media(str(output)), plan(media, preset, defaults(preset))) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_told_twice_of_how_it_is_turned_is_turned_as_its_container_says(
    ffmpeg: str, tmp_path: Path, preset: str
) -> None:
    path = turned(ffmpeg, tmp_path)
    media = read_media(str(path))
    assert media.video
    assert (media.video.rotation, media.video.told_twice) == (180, True)
    output = make(ffmpeg, path, tmp_path, preset)
    if preset in {"h264-480p", "archive-ffv1"}:
        assert differences(read_media(str(output)), plan(media, preset, defaults(preset))) == []
        one, other = (next(frames(file)).reformat(320, 180, "gray").to_ndarray() for file in (path, output))
        assert abs(one[::-1, ::-1].astype(int) - other.astype(int)).mean() < 3


def test_what_is_made_of_a_stereoscopic_film_can_be_read_again(ffmpeg: str, tmp_path: Path) -> None:
    source = made(ffmpeg, tmp_path, "packed.mp4", encoded(*H264, "-x264-params", "frame-packing=3", *AAC))
    once = make(ffmpeg, source, tmp_path, "h264-480p")
    again = make(ffmpeg, once.rename(tmp_path / "once.mp4"), tmp_path, "webm-720p")
    assert lasting(again, "video") == pytest.approx(1.6, abs=0.1)


def test_where_frames_tell_it_later_on_it_is_told_in_words(ffmpeg: str, tmp_path: Path) -> None:
    path = of_two_eyes(ffmpeg, tmp_path)
    done = subprocess.run([ffmpeg, "-nostats", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True)
    assert done.returncode != 0
    found = diagnose(Ending(done.returncode, done.stderr.splitlines()))
    assert found
    assert found.what.startswith("the source's container and its frames both tell")
