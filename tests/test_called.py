"""What cannot be copied, or is left out, is called by its name; what is not there is not told to be lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from possessions import possessions, unaccounted
from specimens import AAC, H264, MPEG2, OPUS, VP9, encoded, silent
from surroundings import thorough
from test_kinds import make
from test_unread import defaults, made

from daemon.errors import UnsuitableSource
from daemon.media.describe import read_media
from daemon.proof.differences import differences
from daemon.recipes.command import plan


@pytest.mark.parametrize("pixels", ["yuv440p", thorough("yuv440p12le")])
def test_vp9_of_a_kind_that_mp4_has_no_number_for_is_refused_by_name(ffmpeg: str, tmp_path: Path, pixels: str) -> None:
    media = read_media(str(made(ffmpeg, tmp_path, "film.webm", encoded(*VP9, "-pix_fmt", pixels, *OPUS))))
    with pytest.raises(UnsuitableSource, match="MP4 cannot hold the source's vp9 in 4:4:0: take remux-mkv, or encode"):
        plan(media, "remux-mp4", defaults("remux-mp4"))
    assert plan(media, "remux-mkv", defaults("remux-mkv")).copied


def test_pixels_that_no_copy_holds_are_not_advised_to_be_copied(ffmpeg: str, tmp_path: Path) -> None:
    bare = silent("-c:v", "rawvideo", "-pix_fmt", "gbrpf32le", size="96x64", seconds=0.2)
    media = read_media(str(made(ffmpeg, tmp_path, "floating.nut", bare)))
    with pytest.raises(UnsuitableSource, match="which FFV1 does not hold: encode it with another preset"):
        plan(media, "archive-ffv1", defaults("archive-ffv1"))


def test_the_navigation_of_a_dvd_is_called_so(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "film.vob", encoded(*MPEG2, "-c:a", "ac3", "-f", "dvd"))
    assert [track.why for track in read_media(str(path)).unread] == ["no preset keeps data (navigation of a DVD)"]


TRUEHD = ["-c:a", "truehd", "-strict", "-2", "-ar", "48000", "-f", "mpegts", "-mpegts_m2ts_mode", "1"]


def test_what_may_lie_beside_truehd_and_does_not_is_not_lost(ffmpeg: str, tmp_path: Path) -> None:
    """FFmpeg looks for AC-3 among its packets."""
    media = read_media(str(made(ffmpeg, tmp_path, "film.m2ts", encoded(*H264, *TRUEHD))))
    assert [stream.codec for stream in media.audio] == ["truehd"]
    assert [(track.why, track.lost) for track in media.unread] == [("it holds no sample", False)]
    assert not media.begins_late
    assert plan(media, "h264-480p", {**defaults("h264-480p"), "on_loss": "fail"}).audio == 1


def told_in_capitals(whole: bytes) -> bytes:
    return whole.replace(b"LANGUAGX", b"LANGUAGE")


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mkv", thorough("remux-mp4"), thorough("webm-720p")])
def test_a_language_that_a_tag_of_matroska_tells_is_one(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    told = ["-metadata:s:v", "LANGUAGX=ger", "-metadata:s:a", "LANGUAGX=fre", "{out}"]
    path = made(ffmpeg, tmp_path, "film.mkv", encoded(*H264, *AAC, *told, to="-y"), edit=told_in_capitals)
    planned = plan(read_media(str(path)), preset, defaults(preset))
    assert [fact.language for fact in planned.contents.kept if fact.language] == ["ger", "fre"]
    assert unaccounted(possessions(path), planned.contents) == set()
    assert differences(read_media(str(make(ffmpeg, path, tmp_path, preset))), planned) == []
