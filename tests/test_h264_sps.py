"""What an H.264 stream's header says of fields, against encoders that were told to make them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import pytest

from daemon.media.h264_sps import frames_only


def extradata(ffmpeg: str, path: Path, x264: str, pixels: str = "yuv420p") -> bytes:
    source = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=0.4", "-pix_fmt", pixels]
    command = [ffmpeg, "-v", "error", "-y", *source, "-c:v", "libx264", "-x264-params", x264, str(path)]
    subprocess.run(command, check=True)
    with av.open(str(path)) as container:
        found = container.streams.video[0].codec_context.extradata
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("x264", "pixels", "only"),
    [
        ("ref=3", "yuv420p", True),
        ("cqm=jvt", "yuv420p", True),  # with scaling matrices
        ("cqm=jvt", "yuv444p", True),
        ("ref=3", "yuv420p10le", True),
        ("bframes=0", "gray", True),
        ("interlaced=1", "yuv420p", False),
        ("fake-interlaced=1", "yuv420p", False),
    ],
)
def test_a_stream_that_may_hold_fields_is_told_from_one_that_cannot(
    ffmpeg: str, tmp_path: Path, x264: str, pixels: str, only: bool
) -> None:
    avcc = extradata(ffmpeg, tmp_path / "clip.mp4", x264, pixels)
    assert frames_only(avcc) is only
    assert frames_only(extradata(ffmpeg, tmp_path / "clip.ts", x264, pixels)) is False, "its sets may change"


def test_what_is_no_such_header_is_not_sure(ffmpeg: str, tmp_path: Path) -> None:
    avcc = extradata(ffmpeg, tmp_path / "clip.mp4", "interlaced=1")
    assert not frames_only(None)
    for length in range(len(avcc)):
        assert not frames_only(avcc[:length])
    for at in range(len(avcc)):
        frames_only(bytes([*avcc[:at], avcc[at] ^ 0xFF, *avcc[at + 1 :]]))  # which must not raise
