"""Cues of subtitles that an output cannot show as the source does are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from specimens import AAC, H264, picture, read, sound
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.media.model import Media
from daemon.recipes.command import plan

STYLES = (
    "[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Sans,20\n"
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
EVENT = "Dialogue: 0,0:00:{},0:00:{},Default,,0,0,0,,{}\n"
LATE = "1\n00:00:00,200 --> 00:00:00,900\nHello\n\n2\n00:10:00,000 --> 00:20:00,000\nLater\n"


def told(media: Media, preset: str) -> list[str]:
    left_out = plan(media, preset, defaults(preset)).contents.left_out
    return [f"{fact.detail} {fact.why}" for fact in left_out if fact.what == "cues"]


def subtitled(ffmpeg: str, folder: Path, name: str, text: str, codec: str) -> Media:
    (folder / name).write_text(text)
    step = [*picture(), *sound(), *read(name), *H264, *AAC, "-c:s", codec, "{out}"]
    return read_media(str(made(ffmpeg, folder, "film.mkv", step)))


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mkv", "webm-720p"])
def test_cues_behind_the_end_are_told(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    media = subtitled(ffmpeg, tmp_path, "late.srt", LATE, "srt")
    assert media.duration_seconds == pytest.approx(1.6, abs=0.1)
    assert told(media, preset) == ["1 they begin when the film has ended"]


def test_cues_at_once_are_told_where_one_is_shown_at_a_time(ffmpeg: str, tmp_path: Path) -> None:
    events = [EVENT.format("00.20", "00.90", "One"), EVENT.format("00.50", "00.70", "Two")]
    media = subtitled(ffmpeg, tmp_path, "both.ass", STYLES + "".join(events), "ass")
    assert told(media, "h264-480p") == ["1 MP4 shows one at a time: the one before ends where each of them begins"]
    assert told(media, "remux-mkv") == told(media, "webm-720p") == []


def test_drawings_are_told_where_they_come_out_as_text(ffmpeg: str, tmp_path: Path) -> None:
    events = [EVENT.format("00.20", "00.90", r"{\an7\p1}m 0 0 l 9 0 9 9{\p0}"), EVENT.format("01.00", "01.20", "Two")]
    media = subtitled(ffmpeg, tmp_path, "drawn.ass", STYLES + "".join(events), "ass")
    assert told(media, "h264-480p") == ["1 MP4 has no place for drawings, which come out as text"]
    assert told(media, "webm-720p") == ["1 WebM has no place for drawings, which come out as text"]
    assert told(media, "remux-mkv") == []
