"""What cannot be copied, or is left out, is called by its name; what is not there is not told to be lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from possessions import possessions, unaccounted
from specimens import AAC, H264, MPEG2, OPUS, PCM, VP9, encoded, mapped, picture, silent, sound
from surroundings import thorough
from test_kinds import make
from test_unread import defaults, made

from daemon.errors import ProbeError, UnsuitableSource
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


def checksum(content: bytes) -> int:
    """That of tables in transport streams (ISO/IEC 13818-1, annex A)."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def last_described_as(kind: int) -> Callable[[bytes], bytes]:
    """A transport stream whose last track of AC-3 is told by another kind of descriptor to be something else."""

    def edit(whole: bytes) -> bytes:
        edited = bytearray(whole)
        for table in re.finditer(rb"\x47[\x40-\x5f].[\x10-\x1f]\x00\x02\xb0", whole, re.DOTALL):
            begin = table.end() - 2
            end = begin + 3 + (int.from_bytes(whole[begin + 1 : begin + 3], "big") & 0xFFF)
            last = whole.rindex(b"AC-3\x6a", begin, end)
            edited[last : last + 5] = b"none" + bytes([kind])
            edited[end - 4 : end] = checksum(edited[begin : end - 4]).to_bytes(4, "big")
        return bytes(edited)

    return edit


def test_teletext_is_called_by_name(ffmpeg: str, tmp_path: Path) -> None:
    both = [*picture(), *sound(), *sound(), *mapped("0", "1", "2"), *H264, "-c:a", "ac3", "-mpegts_flags", "system_b"]
    path = made(ffmpeg, tmp_path, "film.ts", [*both, "{out}"], edit=last_described_as(0x56))
    assert [track.why for track in read_media(str(path)).unread] == ["its codec teletext is none that ffspool decodes"]


def test_pictures_that_are_not_what_their_header_says_are_told_to_be_damaged(ffmpeg: str, tmp_path: Path) -> None:
    """A decoder says of them that an argument is invalid, which is no reason to call an AVI no media."""
    path = made(ffmpeg, tmp_path, "film.avi", encoded("-c:v", "alias_pix", *PCM))
    with pytest.raises(
        ProbeError, match="the source's picture cannot be read: it cannot be decoded: the file is damaged"
    ):
        plan(read_media(str(path)), "h264-480p", defaults("h264-480p"))
    assert plan(read_media(str(path)), "mp3", defaults("mp3")).audio == 1


FIELDS = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:interlace=1"]


def test_fields_of_hevc_are_not_taken_for_pictures(ffmpeg: str, tmp_path: Path) -> None:
    """FFmpeg shows each of them alone, at half the height."""
    apart = "interlace=scan=tff,setfield=tff,separatefields"
    path = made(ffmpeg, tmp_path, "film.mkv", encoded(*FIELDS, *AAC, size="320x240", rate="50", more=apart))
    media = read_media(str(path))
    for preset in ("h264-480p", "archive-ffv1", "poster"):
        with pytest.raises(
            UnsuitableSource, match="fields of HEVC, which FFmpeg takes for pictures of half the height"
        ):
            plan(media, preset, defaults(preset))
    assert plan(media, "remux-mp4", defaults("remux-mp4")).copied
    assert plan(media, "mp3", defaults("mp3")).audio == 1


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
