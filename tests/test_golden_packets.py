"""What an undisturbed encode comes to is bit for bit what it was, by the bundled encoder and threads as recipes tell.

No instructions of a CPU change what these come to. x265 only tells of them, which is left out; x264 does so by its
slower speeds. Nothing is scaled and nothing is heard, which FFmpeg does by what a CPU can. Where recipes or the encoder
are changed on purpose, so are these.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from test_resume import encoded, task

from daemon.models import VariationRequest
from daemon.presets.library import Library

LENGTH = 4  # bytes that tell how long a unit of HEVC is
PREFIX_SEI = 39

GOLDEN: list[tuple[str, dict[str, Any], str]] = [
    ("h264-480p", {"speed": "ultrafast"}, "9046c21659c42f43"),
    ("hevc-1080p", {"speed": "veryfast"}, "53478d682baf31dc"),
    ("av1-720p", {"speed": "veryfast"}, "498dcf2712460f13"),
    ("webm-720p", {"speed": "veryfast"}, "f922c592237cdbfb"),
]


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("moving") / "moving.mkv"
    picture = "testsrc2=size=192x108:rate=25:duration=2,negate=enable='gt(t,1)'"
    subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", picture, "-c:v", "ffv1", str(path)], check=True
    )
    return path


def units(packet: bytes) -> Iterator[bytes]:
    while packet:
        end = LENGTH + int.from_bytes(packet[:LENGTH], "big")
        yield packet[:end]
        packet = packet[end:]


def untold(packet: bytes) -> bytes:
    """An HEVC packet without what its encoder says of itself, and of the machine."""
    return b"".join(unit for unit in units(packet) if unit[LENGTH] >> 1 & 0x3F != PREFIX_SEI)


def digest(path: Path) -> str:
    found = hashlib.sha256()
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context.name
        for packet in container.demux(video=0):
            if packet.size:
                found.update(f"{packet.dts} {packet.pts} ".encode())
                found.update(untold(bytes(packet)) if codec == "hevc" else bytes(packet))
    return found.hexdigest()[:16]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the bundled encoder is another one there")
@pytest.mark.parametrize(("preset", "parameters", "golden"), GOLDEN)
def test_an_undisturbed_encode_is_bit_for_bit_what_it_was(
    moving: Path, tmp_path: Path, preset: str, parameters: dict[str, Any], golden: str
) -> None:
    [wanted] = Library().expand([VariationRequest(preset, parameters)])
    made = tmp_path / "made"
    assert encoded(get_ffmpeg_exe(), task(moving, made, wanted)).error is None
    assert digest(made) == golden
