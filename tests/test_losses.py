"""What an interruption costs at most is told as it is."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import av
import pytest

from daemon.cli import checks
from daemon.presets.library import Library
from daemon.recipes.encoders import ENCODERS
from daemon.recipes.pieces import most_lost
from daemon.scheduling.losses import losses


def test_what_is_lost_is_told_by_what_encoders_hold_back() -> None:
    assert {name: most_lost(encoder, 25.0) for name, encoder in ENCODERS.items()} == pytest.approx(
        {"h264": 4.4, "hevc": 3.6, "av1": 10.28, "vp9": 7.88}
    )


@pytest.mark.parametrize("name", ["av1", "vp9"])
def test_key_frames_are_no_further_apart_than_is_told(ffmpeg: str, tmp_path: Path, name: str) -> None:
    """Where nothing ever moves, which is where they are furthest."""
    encoder, path = ENCODERS[name], tmp_path / "grey.mkv"
    told = encoder.options(encoder.crf, "ultrafast", 2)
    options = [word for key, value in told.items() for word in (f"-{key}", value)]
    grey = ["-f", "lavfi", "-i", "color=gray:size=128x72:rate=25,format=yuv420p", "-frames:v", "520"]
    subprocess.run([ffmpeg, "-v", "error", *grey, *map(str, options), str(path)], check=True, capture_output=True)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    assert max(later - key for key, later in pairwise(keys)) == encoder.repeated


def test_the_doctor_tells_what_an_interruption_costs_by_what_encodes_took(tmp_path: Path) -> None:
    usual = {one.preset: one for one in losses(Library(), {})}
    slow = {one.preset: one for one in losses(Library(), {"h264-1080p/veryfast": 3.0})}
    assert list(usual) == ["h264-1080p", "hevc-1080p", "av1-720p", "webm-720p"]
    assert slow["h264-1080p"].cpu_seconds > 2 * usual["h264-1080p"].cpu_seconds
    assert slow["hevc-1080p"] == usual["hevc-1080p"]
    told = checks.loss(tmp_path, Library())
    assert told.ok
    assert f"5 s of film by h264-1080p ({usual['h264-1080p'].cpu_seconds:.0f} CPU s here)" in told.found
