"""Wherever a film was cut off while it was written, what is used of it are its first pictures, whole."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import av
import pytest
from faults.likeness import differences
from surroundings import thorough
from test_resume import KILLED, encoded, film, task, times

from daemon.media import cut
from daemon.media.describe import read_media
from daemon.media.model import MOST_REPEATED, Cut
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


COUNTING: list[Any] = [
    ("webm-av1-1080p", "ultrafast"),
    thorough("webm-av1-1080p", "fast"),
    *(thorough("webm-720p", speed) for speed in ("ultrafast", "veryfast")),
]
RATE = 10  # so slow that groups of pictures last long


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
    most = min(ENCODERS[Library().find(preset).encoder or ""].repeated, MOST_REPEATED * 25)
    encoded(ffmpeg, task(film, whole, wanted, begin=Begin()), killed_at=12.0)
    data, all_of_it = whole.read_bytes(), pictures(whole)
    for size in range(len(data) // 3, len(data), len(data) // 13):
        part.write_bytes(data[:size])
        end = cut.read_piece(str(part), KILLED).cut
        if not end:
            assert readable(part) <= most, size
            continue
        assert readable(part) - end.pictures[0] <= most
        piece = Piece(name="part", begins=0.0, lasts=end.seconds, until=end.decoded)
        (tmp_path / "list").write_text(pieces.listed([piece]))
        copying = [ffmpeg, "-v", "error", "-f", "concat", "-i", str(tmp_path / "list"), "-c", "copy"]
        subprocess.run([*copying, "-y", str(copied)], check=True)
        assert pictures(copied) == all_of_it[: end.pictures[0]]


@pytest.fixture(scope="module")
def slides(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slides.mp4"
    picture = f"testsrc2=size=192x108:rate={RATE}:duration=24,negate=enable='lt(mod(t,4),2)'"
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-preset", "ultrafast", str(path)], check=True)
    return path


def keys(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return [number for number, packet in enumerate(packets) if packet.is_keyframe]


@pytest.mark.parametrize(("preset", "speed"), COUNTING)
def test_of_groups_that_last_long_five_seconds_are_lost_and_what_follows_is_alike(
    ffmpeg: str, slides: Path, tmp_path: Path, preset: str, speed: str
) -> None:
    [wanted] = Library().expand([VariationRequest(preset, {"speed": speed})])
    first, rest, whole, joined = (tmp_path / name for name in ("first", "rest", "whole", "joined"))
    assert encoded(ffmpeg, task(slides, whole, wanted)).error is None
    assert encoded(ffmpeg, task(slides, first, wanted, begin=Begin())).error is None
    data, cuts = first.read_bytes(), list[Cut]()
    for size in range(len(data) // 9, len(data), len(data) // 19):
        first.write_bytes(data[:size])
        found = cut.read_piece(str(first), KILLED).cut
        assert readable(first) - (found.pictures[0] if found else 0) <= MOST_REPEATED * RATE + 1
        cuts += [found] if found else []
    [end, *_] = [found for found in cuts if found.pictures[0] not in keys(whole)]
    begin = Begin(seconds=end.seconds, warm=end.warm, after=end.seconds, pictures=end.pictures[0])
    assert encoded(ffmpeg, task(slides, rest, wanted, begin=begin)).error is None
    assert [begin.pictures + key for key in keys(rest)] == [
        begin.pictures,
        *(key for key in keys(whole) if key > begin.pictures),
    ]
    pieces = Piece(first.name, begins=0.0, lasts=end.seconds, until=end.decoded), Piece(rest.name, begins=end.seconds)
    assert encoded(ffmpeg, task(slides, joined, wanted, pieces=pieces)).error is None
    assert list(differences(joined, whole, ffmpeg)) == []


@pytest.mark.parametrize(
    ("chosen", "preset", "parameters"),
    [
        ("not(mod(n,3))+lt(n,50)", "hls", {"speed": "ultrafast", "segment_seconds": 2}),
        ("1", "h264-480p", {"speed": "ultrafast", "max_frame_rate": 20}),
    ],
)
def test_pictures_of_a_film_that_is_given_a_rate_are_shown_when_they_would_be_however_often_it_is_cut(
    ffmpeg: str, tmp_path: Path, chosen: str, preset: str, parameters: dict[str, Any]
) -> None:
    """Fifteen or thirty a second, of a file that tells thousandths: each cut would add what it is rounded by."""
    source, whole, rest = (tmp_path / name for name in ("film.mkv", "whole", "rest"))
    picture = ["-f", "lavfi", "-i", f"testsrc2=size=192x108:rate=30:duration=6,select='{chosen}'"]
    subprocess.run([ffmpeg, "-v", "error", *picture, "-fps_mode", "vfr", str(source)], check=True)
    [wanted] = Library().expand([VariationRequest(preset, parameters)])
    assert encoded(ffmpeg, task(source, whole, wanted, begin=Begin())).error is None
    shown = times(whole)
    for number in (52, 71):
        begin = Begin(seconds=round(shown[number], 4), after=shown[number], pictures=number)
        assert encoded(ffmpeg, task(source, rest, wanted, begin=begin)).error is None
        assert [begin.seconds + time for time in times(rest)] == pytest.approx(shown[number:], abs=0.0002)


@pytest.fixture(scope="module")
def reordered(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its pictures are stored up to eight earlier than they are shown, which is when a decoder has all before."""
    path = tmp_path_factory.mktemp("reordered") / "reordered.mkv"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25:duration=24"]
    how = ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", "bframes=8:b-adapt=0:b-pyramid=normal"]
    subprocess.run([ffmpeg, "-v", "error", *picture, *how, str(path)], check=True)
    return path


@pytest.mark.parametrize("preset", ["h264-480p", thorough("hevc-1080p"), thorough("refresh")])
def test_of_a_film_whose_encoder_was_asked_to_end_no_picture_is_missing(
    ffmpeg: str, reordered: Path, tmp_path: Path, preset: str
) -> None:
    """Then it is told what the decoder has, and some before those that others need were not read yet."""
    speed = {"h264-480p": "slow"}.get(preset, "ultrafast")
    [wanted] = Library().expand([VariationRequest(preset, {"speed": speed})])
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert encoded(ffmpeg, task(reordered, whole, wanted, begin=Begin())).error is None
    shown, video, holes = times(whole), read_media(str(reordered)).video, 0
    assert video
    for second in (2.0, 3.3, 4.6, 5.9, 7.2, 8.5, 9.8, 11.1, 12.4, 13.7):
        encoded(ffmpeg, task(reordered, part, wanted, begin=Begin()), killed_at=second, by=signal.SIGTERM)
        end, found = cut.read_piece(str(part), video.unsure).cut, times(part)
        assert end
        count = end.pictures[0]
        assert found[:count] == shown[:count]
        assert end.seconds == pytest.approx(shown[count] - shown[0], abs=0.001)
        holes += found != shown[: len(found)]
        if holes == 2:
            return
    pytest.fail("no decoder was left with pictures that others need")
