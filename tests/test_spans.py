"""A film that is encoded in several spans at once comes to what it would have come to whole."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import pytest
from faults.likeness import differences
from msgspec.structs import replace
from surroundings import thorough
from test_resume import encoded, task
from test_resume_ladders import decoded
from test_resume_ladders import lasting as segments

from daemon.media import cut, describe
from daemon.models import VariationRequest, Wanted
from daemon.presets.library import Library
from daemon.recipes import command
from daemon.recipes.recipe import Piece

PICTURE = "testsrc2=size=320x180:rate={rate}:duration=24,negate=enable='lt(mod(t,4),2)'"
SOURCES = {
    "steady.mkv": ("25", ""),
    "late.mp4": ("30000/1001", ",setpts=PTS+0.2/TB"),  # its picture begins a while after its sound
    "varying.mp4": ("30", ",select='not(eq(mod(n,7),3))*not(between(n,200,240))'"),
    "fields.mp4": ("25", ",interlace"),
}
H264 = ("h264-480p", {"speed": "ultrafast"})
CASES = [
    ("steady.mkv", *H264),
    ("varying.mp4", *H264),
    thorough("late.mp4", *H264),
    thorough("fields.mp4", *H264),
    thorough("late.mp4", "hevc-1080p", {"speed": "veryfast", "short_side": 180}),
    thorough("steady.mkv", "av1-720p", {"speed": "ultrafast"}),
    thorough("late.mp4", "webm-720p", {"speed": "ultrafast"}),
]


@pytest.fixture(scope="module")
def source(request: pytest.FixtureRequest, ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rate, change = SOURCES[request.param]
    path = tmp_path_factory.mktemp("spans") / request.param
    inputs = ["-f", "lavfi", "-i", PICTURE.format(rate=rate) + change, "-f", "lavfi", "-i", "sine=duration=24"]
    how = ["-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    fields = ["-flags", "+ilme+ildct"] if "interlace" in change else []
    subprocess.run([ffmpeg, "-v", "error", *inputs, *how, *fields, str(path)], check=True)
    return path


def in_spans(ffmpeg: str, source: Path, folder: Path, wanted: Wanted, least: float) -> tuple[Piece, ...]:
    """What of it is encoded span by span."""
    media, pieces = describe.read_media(str(source)), list[Piece]()
    begins = command.spans(media, wanted.preset, wanted.parameters, least)
    for begin in begins:
        path = folder / f"1-{begin.span}.piece"
        assert encoded(ffmpeg, task(source, path, wanted, begin=begin)).error is None
        content = cut.read_piece(str(path), None)
        pieces.append(Piece(name=path.name, begins=begin.seconds + content.begins))
    return tuple(lasting(pieces))


def lasting(pieces: Sequence[Piece]) -> list[Piece]:
    lasts = [after.begins - before.begins for before, after in pairwise(pieces)]
    return [replace(one, lasts=seconds) for one, seconds in zip_longest(pieces, lasts)]


@pytest.mark.parametrize(("source", "preset", "parameters"), CASES, indirect=["source"])
def test_spans_are_joined_to_what_the_film_would_be(
    ffmpeg: str, source: Path, tmp_path: Path, preset: str, parameters: dict[str, Any]
) -> None:
    [wanted] = Library().expand([VariationRequest(preset, parameters)])
    pieces = in_spans(ffmpeg, source, tmp_path, wanted, 5.0)
    assert len(pieces) >= 3
    assert encoded(ffmpeg, task(source, tmp_path / "whole", wanted)).error is None
    assert encoded(ffmpeg, task(source, tmp_path / "joined", wanted, pieces=pieces)).error is None
    assert list(differences(tmp_path / "joined", tmp_path / "whole", ffmpeg)) == []


@pytest.mark.thorough
@pytest.mark.parametrize("container", ["hls", "dash"])
@pytest.mark.parametrize("source", ["late.mp4"], indirect=True)
def test_spans_of_a_ladder_are_joined_to_the_segments_that_it_would_have(
    ffmpeg: str, source: Path, tmp_path: Path, container: str
) -> None:
    [wanted] = Library().expand([VariationRequest(container, {"speed": "ultrafast", "segment_seconds": 2})])
    pieces = in_spans(ffmpeg, source, tmp_path, wanted, 5.0)
    assert len(pieces) >= 3
    assert encoded(ffmpeg, task(source, tmp_path / "whole", wanted)).error is None
    assert encoded(ffmpeg, task(source, tmp_path / "joined", wanted, pieces=pieces)).error is None
    names = [[names for names, _ in segments(tmp_path / folder, container)] for folder in ("joined", "whole")]
    assert names[0] == names[1]
    for one, other in zip(*(decoded(tmp_path / folder, container) for folder in ("joined", "whole")), strict=True):
        assert one == pytest.approx(other, abs=0.001)
