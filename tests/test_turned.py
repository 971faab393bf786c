"""Films that players turn by what is no quarter turn come out whole, turned so far."""

from __future__ import annotations

from pathlib import Path

import pytest
from specimens import H264, Step, read
from surroundings import thorough
from test_kinds import frames, make
from test_unread import made

from daemon.media import still
from daemon.media.describe import read_media

QUICK = {"speed": "ultrafast"}


def tilted(ffmpeg: str, folder: Path, degrees: float, *more: str, size: str = "160x90", how: str = "") -> Path:
    """Red, and green at its upper edge, which is to be turned counterclockwise."""
    drawn = f"color=red:size={size}:rate=25:duration=0.4,drawbox=h=ih/4:color=lime:t=fill{how}"
    upright: Step = ["-f", "lavfi", "-i", drawn, *H264, "{work}/upright.mp4"]
    turning = ["-display_rotation", str(degrees), *more, *read("upright.mp4"), "-c", "copy", "{out}"]
    return made(ffmpeg, folder, "tilted.mp4", upright, turning)


def share(path: Path, colour: int) -> float:
    """Of the first frame's pixels, those of that colour: 0 is red, 1 green."""
    pixels = next(frames(path)).to_ndarray(format="rgb24")
    return float((pixels[..., colour] > 128).sum())


@pytest.mark.parametrize("preset", ["h264-480p", "archive-ffv1", thorough("webm-720p")])
@pytest.mark.parametrize(("degrees", "size"), [(30, (184, 158)), (45, (178, 178)), thorough(-100, (118, 174))])
def test_no_corner_is_cut_off(ffmpeg: str, tmp_path: Path, degrees: int, size: tuple[int, int], preset: str) -> None:
    source = tilted(ffmpeg, tmp_path, degrees)
    output = make(ffmpeg, source, tmp_path, preset, **(QUICK if preset != "archive-ffv1" else {}))
    video = read_media(str(output)).video
    assert video is not None
    assert (video.width, video.height, video.tilt) == (*size, 0.0)
    assert share(output, 0) == pytest.approx(160 * 90 * 0.75, rel=0.08)
    assert share(output, 1) == pytest.approx(160 * 90 * 0.25, rel=0.12)


def test_pixels_that_are_no_squares_are_made_such_before(ffmpeg: str, tmp_path: Path) -> None:
    source = tilted(ffmpeg, tmp_path, 45, size="80x90", how=",setsar=2")
    video = read_media(str(make(ffmpeg, source, tmp_path, "h264-480p", **QUICK))).video
    assert video is not None
    assert (video.width, video.height) == (178, 178)


@pytest.mark.parametrize("preset", ["remux-mp4", "remux-mkv"])
def test_a_copy_is_still_to_be_turned_so(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    source = tilted(ffmpeg, tmp_path, 30)
    video = read_media(str(make(ffmpeg, source, tmp_path, preset))).video
    assert video is not None
    assert (video.width, video.height, round(video.tilt)) == (184, 158, 330)


def test_what_is_mirrored_too_is_mirrored_first(ffmpeg: str, tmp_path: Path) -> None:
    """Turned by half a turn and mirrored left to right, which is upside down alone, and 30 degrees more."""
    source = tilted(ffmpeg, tmp_path, 30, "-display_vflip")
    output = make(ffmpeg, source, tmp_path, "archive-ffv1")
    pixels = next(frames(output)).to_ndarray(format="rgb24")
    rows = [row for row in range(pixels.shape[0]) if (pixels[row, :, 1] > 128).any()]
    assert sum(rows) / len(rows) > pixels.shape[0] / 2  # green is below


@pytest.mark.parametrize("degrees", [90.4, 0.3])
def test_what_is_nearly_a_quarter_turn_is_one(ffmpeg: str, tmp_path: Path, degrees: float) -> None:
    video = read_media(str(tilted(ffmpeg, tmp_path, degrees))).video
    assert video is not None
    assert (video.tilt, video.rotation) == (0.0, 270 if degrees > 90 else 0)


def test_a_thumbnail_is_not_squeezed(ffmpeg: str, tmp_path: Path) -> None:
    (tmp_path / "small.webp").write_bytes(still.webp(str(tilted(ffmpeg, tmp_path, 30)), patience=10))
    shown = next(frames(tmp_path / "small.webp"))
    assert shown.width / shown.height == pytest.approx(160 / 90, rel=0.05)
