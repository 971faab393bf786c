"""What is told of chapters that are played in an order of their own, of their names, of timecodes, and of objects."""

from __future__ import annotations

from pathlib import Path

import ebml
import pytest
from specimens import CHAPTERS, H264, chaptered, silent
from test_kinds import make
from test_told_of_tracks import frame, rated
from test_unread import defaults, made

from daemon.media import id3
from daemon.media.describe import read_media
from daemon.recipes.command import plan

EDITION, CHAPTER, DISPLAY = "45b9", "b6", "80"
ORDERED = ebml.element("45dd", b"\1")
GERMAN = ebml.element(DISPLAY, ebml.element("85", b"Zwei"), ebml.element("437c", b"ger"))


def told(path: Path, preset: str, what: str) -> list[str]:
    facts = plan(read_media(str(path)), preset, defaults(preset)).contents.left_out
    return [str(fact) for fact in facts if fact.what == what]


def with_chapters(ffmpeg: str, folder: Path, edition: bytes = b"", chapter: bytes = b"") -> Path:
    """A film of two, to each of which that is added, and to what lists them."""
    (folder / "c.txt").write_text(CHAPTERS)
    steps = [[word.replace("{work}", str(folder)) for word in chaptered(*H264, "-c:a", "aac")]]
    path = made(ffmpeg, folder, "chapters.mkv", *steps)
    of_chapters = ebml.inside(CHAPTER, lambda content: content + chapter)
    of_edition = ebml.inside(EDITION, lambda content: edition + of_chapters(content))
    path.write_bytes(ebml.inside(ebml.SEGMENT, ebml.inside(ebml.CHAPTERS, of_edition))(path.read_bytes()))
    return path


@pytest.mark.parametrize("preset", ["remux-mkv", "h264-480p", "hls"])
def test_an_order_of_its_own_is_told(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    path = with_chapters(ffmpeg, tmp_path, edition=ORDERED)
    assert told(path, preset, "order") == [
        "order: players show its chapters alone, in an order of their own: here all is shown as it is stored"
    ]
    assert told(with_chapters(ffmpeg, tmp_path), preset, "order") == []


def test_names_in_other_languages_are_told(ffmpeg: str, tmp_path: Path) -> None:
    path = with_chapters(ffmpeg, tmp_path, chapter=GERMAN)
    assert told(path, "remux-mkv", "chapters") == ["chapters (2 names): FFmpeg reads one name of each, in one language"]


@pytest.mark.parametrize(
    ("preset", "kept"), [("remux-mkv", True), ("remux-mp4", True), ("h264-480p", False), ("hls", False)]
)
def test_a_timecode_is_kept_in_copies_and_else_told(ffmpeg: str, tmp_path: Path, preset: str, kept: bool) -> None:
    path = made(ffmpeg, tmp_path, "timed.mov", silent(*H264, "-timecode", "01:02:03:04"))
    lost = [] if kept else ["data (track 1): only copies keep the timecode that it tells"]
    assert (told(path, preset, "timecode"), told(path, preset, "data")) == ([], lost)
    if kept:
        video = read_media(str(make(ffmpeg, path, tmp_path, preset))).video
        assert video is not None
        assert video.timecode == "01:02:03:04"


@pytest.mark.parametrize(("preset", "count"), [("remux-mp4", 0), ("h264-480p", 1)])
def test_a_timecode_that_matroska_tells_is_no_track(ffmpeg: str, tmp_path: Path, preset: str, count: int) -> None:
    path = made(ffmpeg, tmp_path, "timed.mkv", silent(*H264, "-metadata:s:v", "timecode=01:02:03:04"))
    assert told(path, preset, "timecode") == ["timecode (01:02:03:04): an encode does not pass it on"] * count


def test_a_timecode_of_the_whole_is_told_where_there_is_no_place_for_it(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "timed.mxf", silent("-c:v", "mpeg2video", "-timecode", "01:02:03:04"))
    assert told(path, "hls", "timecode") == ["timecode (01:02:03:04): HLS has no place for it"]


def test_objects_within_an_id3_tag_are_told() -> None:
    body = frame(b"GEOB", b"\0text/plain\0name\0what\0content", 3)
    size = bytes(len(body) >> 7 * place & 0x7F for place in (3, 2, 1, 0))
    assert id3.passed_over(b"ID3\3\0\0" + size + body) == ("geob",)
    assert "geob" not in id3.passed_over(rated(3))
