"""Films whose fields are pictures of their own, as AVCHD and broadcasts have them, come out whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import pytest
from paff import EACH, SIZE, paff
from specimens import mapped, picture, read, sound
from surroundings import thorough
from test_kinds import make
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import plan

SECONDS = 1.0
FIELDS = [*picture("x".join(map(str, SIZE)), str(2 * EACH), SECONDS, "interlace=scan=tff,format=yuv420p")]


@pytest.fixture
def camcorder(ffmpeg: str, tmp_path: Path) -> Path:
    made(ffmpeg, tmp_path, "picture", [*FIELDS, "-f", "rawvideo", "{out}"])
    (tmp_path / "fields.h264").write_bytes(paff(tmp_path))
    beside = [*read("fields.h264"), *sound(SECONDS), *mapped("0", "1"), "-c:v", "copy", "-c:a", "ac3"]
    return made(ffmpeg, tmp_path, "00001.m2ts", ["-fflags", "+genpts", *beside, "{out}"])


def pixels(ffmpeg: str, path: Path) -> bytes:
    told = [ffmpeg, "-v", "error", "-i", str(path), "-map", "0:v", "-fps_mode", "passthrough", "-f", "framehash", "-"]
    lines = subprocess.run(told, capture_output=True, check=True).stdout.splitlines()
    return b"\n".join(line.rpartition(b",")[2] for line in lines if not line.startswith(b"#"))


def test_fields_that_are_pictures_are_known_as_fields(camcorder: Path) -> None:
    video = read_media(str(camcorder)).video
    assert video
    assert (video.interlaced, video.field_order, video.frame_rate) == (True, "tff", EACH)


@pytest.mark.parametrize(
    "preset", ["h264-480p", "remux-mkv", *map(thorough, ["remux-mp4", "archive-hevc", "archive-ffv1", "webm-720p"])]
)
def test_fields_that_are_pictures_come_out_whole(ffmpeg: str, camcorder: Path, tmp_path: Path, preset: str) -> None:
    output = make(ffmpeg, camcorder, tmp_path, preset)
    assert differences(read_media(str(output)), plan(read_media(str(camcorder)), preset, defaults(preset))) == []
    with av.open(str(output)) as container:
        times = sorted(float(frame.time) for frame in container.decode(video=0) if frame.time is not None)
    assert len(times) == EACH * SECONDS
    assert times[-1] - times[0] == pytest.approx(SECONDS - 1 / EACH, abs=0.005)
    if preset in {"remux-mkv", "remux-mp4", "archive-ffv1"}:
        assert pixels(ffmpeg, output) == pixels(ffmpeg, camcorder)
