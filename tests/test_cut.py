"""Wherever a film was cut off while it was written, what is used of it are its first pictures, whole."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import av
import pytest
from surroundings import thorough
from test_resume import encoded, film, task

from daemon.media import cut
from daemon.models import VariationRequest
from daemon.presets.library import Library
from daemon.recipes import pieces
from daemon.recipes.encoders import ENCODERS
from daemon.recipes.recipe import Begin, Piece

__all__ = ["film"]

ENCODED: list[Any] = [
    ("h264-480p", {"speed": "veryfast"}),
    thorough("h264-480p", {"speed": "slow"}),
    thorough("hevc-1080p", {"speed": "ultrafast", "short_side": 180}),
    thorough("av1-720p", {"speed": "ultrafast"}),
    thorough("webm-720p", {"speed": "ultrafast"}),
]


def pictures(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def readable(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(bool(packet.size and not packet.is_corrupt) for packet in container.demux(video=0))


@pytest.mark.parametrize(("preset", "parameters"), ENCODED)
def test_of_a_film_that_was_cut_off_the_first_pictures_are_used(
    ffmpeg: str, film: Path, tmp_path: Path, preset: str, parameters: dict[str, Any]
) -> None:
    [wanted] = Library().expand([VariationRequest(preset, parameters)])
    whole, part, copied = tmp_path / "whole", tmp_path / "part", tmp_path / "copied.mkv"
    most = ENCODERS[Library().find(preset).encoder or ""].repeated
    encoded(ffmpeg, task(film, whole, wanted, begin=Begin()), killed_at=12.0)
    data, all_of_it = whole.read_bytes(), pictures(whole)
    for size in range(len(data) // 3, len(data), len(data) // 13):
        part.write_bytes(data[:size])
        end = cut.read_piece(str(part)).cut
        if not end:
            assert readable(part) <= most, size
            continue
        assert readable(part) - end.pictures[0] <= most
        piece = Piece(name="part", begins=0.0, lasts=end.seconds, until=end.decoded)
        (tmp_path / "list").write_text(pieces.listed([piece]))
        copying = [ffmpeg, "-v", "error", "-f", "concat", "-i", str(tmp_path / "list"), "-c", "copy"]
        subprocess.run([*copying, "-y", str(copied)], check=True)
        assert pictures(copied) == all_of_it[: end.pictures[0]]
