"""Pictures whose numbers mean something else midway, as where HDR was spliced to what was not, are told to do so."""

from __future__ import annotations

from pathlib import Path

import pytest
from specimens import H264, Step, run, silent, tone_mapped
from surroundings import thorough
from test_changes import TS
from test_kinds import lasting, make
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.recipes.command import plan

HEVC = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:repeat-headers=1"]
DEEP = [*H264[:-1], "yuv420p10le"]


def bright(codec: list[str], transfer: str) -> Step:
    return silent(*codec, more=tone_mapped(transfer, "yuv420p10le"), seconds=1.0)


def ordinary(codec: list[str], told: str = "unknown") -> Step:
    more = f"format=yuv420p10le,setparams=color_trc={told}:color_primaries={told}:colorspace={told}"
    return silent(*codec, more=more, seconds=1.0)


def spliced(ffmpeg: str, folder: Path, ending: str, *parts: Step) -> Path:
    paths = [made(ffmpeg, folder, f"{number}.ts", [*part[:-1], *TS, part[-1]]) for number, part in enumerate(parts)]
    whole = folder / "whole.ts"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    if ending == "ts":
        return whole
    path = folder / f"spliced.{ending}"
    run(ffmpeg, ["-i", str(whole), "-c", "copy", str(path)], path)
    return path


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("ts", HEVC), ("mkv", DEEP), thorough("mp4", HEVC), thorough("mkv", HEVC), thorough("ts", DEEP)],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_hdr_that_begins_or_ends_midway_is_told(
    ffmpeg: str, tmp_path: Path, ending: str, codec: list[str], backwards: bool
) -> None:
    parts = [bright(codec, "arib-std-b67"), ordinary(codec)]
    media = read_media(str(spliced(ffmpeg, tmp_path, ending, *(parts[::-1] if backwards else parts))))
    for preset, told in (("h264-480p", True), ("archive-hevc", True), ("remux-mkv", False)):
        lost = plan(media, preset, defaults(preset)).contents.left_out
        assert any(fact.what == "colours" and "midway" in fact.why for fact in lost) is told, preset


def test_what_is_another_kind_of_hdr_midway_is_told(ffmpeg: str, tmp_path: Path) -> None:
    parts = [bright(HEVC, "arib-std-b67"), bright(HEVC, "smpte2084")]
    media = read_media(str(spliced(ffmpeg, tmp_path, "ts", *parts)))
    lost = plan(media, "h264-480p", defaults("h264-480p")).contents.left_out
    assert [fact.detail for fact in lost if fact.what == "colours"] == ["arib-std-b67, smpte2084"]


RARE = "h264_metadata=matrix_coefficients={}:colour_primaries=1:transfer_characteristics=1"


@pytest.mark.parametrize(
    "preset", ["h264-480p", "archive-ffv1", "poster", *map(thorough, ("gif", "hls", "webm-720p", "sprite-sheet"))]
)
@pytest.mark.parametrize("numbers", [(1, 8), thorough((8, 1)), thorough((1, 11)), thorough((9, 10))])
def test_numbers_that_no_scaler_takes_midway_stop_nothing(
    ffmpeg: str, tmp_path: Path, preset: str, numbers: tuple[int, int]
) -> None:
    parts = [[*silent(*H264, seconds=1.0)[:-1], "-bsf:v", RARE.format(number), "{out}"] for number in numbers]
    path = spliced(ffmpeg, tmp_path, "ts", *parts)
    lost = plan(read_media(str(path)), "h264-480p", defaults("h264-480p")).contents.left_out
    assert any(fact.what == "colours" and "midway" in fact.why for fact in lost)
    output = make(ffmpeg, path, tmp_path, preset)
    if preset in {"h264-480p", "archive-ffv1", "gif", "webm-720p"}:
        assert lasting(output, "video") == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("told", ["bt709", "unknown"])
def test_what_only_changes_its_size_has_the_same_colours(ffmpeg: str, tmp_path: Path, told: str) -> None:
    smaller = [part.replace("size=320x180", "size=256x144") for part in ordinary(DEEP, told)]
    media = read_media(str(spliced(ffmpeg, tmp_path, "ts", ordinary(DEEP, told), smaller)))
    assert media.video
    assert media.video.reshaped
    lost = plan(media, "h264-480p", defaults("h264-480p")).contents.left_out
    assert [fact for fact in lost if fact.what == "colours"] == []


@pytest.mark.parametrize(
    "preset", ["h264-480p", "gif", thorough("webm-720p"), thorough("archive-hevc"), thorough("hls")]
)
@pytest.mark.parametrize("told", ["unknown", thorough("bt709")])
def test_hdr_that_ends_midway_is_made_whole(ffmpeg: str, tmp_path: Path, preset: str, told: str) -> None:
    """Filters of light know no way from what is told of nothing."""
    path = spliced(ffmpeg, tmp_path, "ts", bright(HEVC, "arib-std-b67"), ordinary(HEVC, told))
    output = make(ffmpeg, path, tmp_path, preset)
    if output.is_file():
        assert lasting(output, "video") == pytest.approx(2.0, abs=0.1)
