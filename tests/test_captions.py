"""Captions in the picture (EIA-608) stay there, or become a subtitle track at their times, or it is told."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import av
import pytest
from specimens import AAC, COPY, H264, mapped, silent, sound
from test_contents import QUICK
from test_kinds import make
from test_unread import defaults, made

from daemon.errors import UnsuitableSource
from daemon.media.describe import read_media
from daemon.presets.builtin import PRESETS
from daemon.proof.differences import differences
from daemon.recipes.command import plan


def said(picture: int) -> bytes:
    """The pair of bytes of EIA-608 that picture has: words are written, shown, cleared; the last ones never are."""
    begin, show, clear = b"\x14\x20", b"\x14\x2f", b"\x14\x2c"
    once = [begin, b"\x14\x2e", b"\x14\x70", b"He", b"ar", show]
    again = [begin, b"\x14\x2e", b"\x14\x70", b"me", b"n!", show]
    pairs = {**dict(enumerate(once, 5)), 20: clear, **dict(enumerate(again, 25))}
    return bytes(byte | (byte.bit_count() % 2 == 0) << 7 for byte in pairs.get(picture, b"\0\0"))


def captioned(whole: bytes, *, wordless: bool = False, begins: int = 0) -> bytes:
    """Raw H.264 with delimiters, in every picture from that one on a pair of bytes of EIA-608 captions."""
    delimiter = b"\0\0\0\1\x09"
    first, *pictures = whole.split(delimiter)
    return first + b"".join(
        delimiter + one[:1] + (_message(0 if wordless else n) if n >= begins else b"") + one[1:]
        for n, one in enumerate(pictures)
    )


def _message(picture: int) -> bytes:
    body = b"\xb5\x00\x31GA94\x03\xc1\xff\xfc" + said(picture) + b"\xff"
    return b"\0\0\0\1\x06\x04" + bytes([len(body)]) + body + b"\x80"


def aired(ffmpeg: str, folder: Path, *, wordless: bool = False, begins: int = 0) -> Path:
    step = silent(*H264, "-pix_fmt", "yuv420p", "-bf", "0", "-bsf:v", "h264_metadata=aud=insert", "{out}", to="-y")
    raw = made(ffmpeg, folder, "raw.h264", step, edit=partial(captioned, wordless=wordless, begins=begins))
    both = ["-r", "25", "-i", str(raw), *sound(), *mapped("0", "1")]
    return made(ffmpeg, folder, "film.ts", [*both, *COPY, *AAC, "{out}"])


@pytest.fixture(scope="module")
def broadcast(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return aired(ffmpeg, tmp_path_factory.mktemp("captions"))


@pytest.mark.parametrize(
    ("preset", "kept"),
    [("h264-480p", True), ("hevc-1080p", True), ("archive-hevc", True), ("remux-mkv", True), ("webm-720p", False)],
)
def test_captions_are_kept_where_the_codec_can_or_it_is_told(
    ffmpeg: str, broadcast: Path, tmp_path: Path, preset: str, kept: bool
) -> None:
    media = read_media(str(broadcast))
    assert media.video
    assert media.video.captions
    quick = QUICK if PRESETS[preset].kind in {"video", "archive"} else {}
    contents = plan(media, preset, {**defaults(preset), **quick}).contents
    where = [{fact.what for fact in facts} for facts in (contents.kept, contents.left_out)]
    assert ["captions" in facts for facts in where] == [kept, not kept]
    output = read_media(str(make(ffmpeg, broadcast, tmp_path, preset, **quick)))
    assert output.video
    assert output.video.captions == kept


@pytest.mark.parametrize("ending", ["ts", "mp4"])
def test_captions_that_begin_later_are_captions_too(ffmpeg: str, tmp_path: Path, ending: str) -> None:
    film = aired(ffmpeg, tmp_path, begins=20)
    if ending == "mp4":
        film = made(ffmpeg, tmp_path, "film.mp4", ["-i", str(film), *COPY, "{out}"])
    media = read_media(str(film))
    assert media.video
    assert media.video.captions
    assert "captions: the output's codec carries none" in [
        str(fact) for fact in plan(media, "webm-720p", defaults("webm-720p")).contents.left_out
    ]


def test_captions_of_frames_that_are_left_out_are_told(broadcast: Path) -> None:
    media = read_media(str(broadcast))
    contents = plan(media, "h264-480p", {**defaults("h264-480p"), "max_frame_rate": 10}).contents
    assert "captions: frames are left out, and their captions with them" in [str(fact) for fact in contents.left_out]


@pytest.mark.parametrize("preset", ["h264-480p", "h264-1080p-smart", "hevc-1080p", "remux-mkv"])
def test_captions_are_left_out_on_request_or_it_is_refused(
    ffmpeg: str, broadcast: Path, tmp_path: Path, preset: str
) -> None:
    wanted = {**defaults(preset), "captions": "drop"}
    if preset == "remux-mkv":
        with pytest.raises(UnsuitableSource, match="a copy cannot leave them out: encode it"):
            plan(read_media(str(broadcast)), preset, wanted)
        return
    contents = plan(read_media(str(broadcast)), preset, wanted).contents
    assert "captions: captions=drop was asked for" in [str(fact) for fact in contents.left_out if fact.meant]
    output = read_media(str(make(ffmpeg, broadcast, tmp_path, preset, **QUICK, captions="drop")))
    assert output.video
    assert not output.video.captions


# As a subtitle track


@pytest.fixture(scope="module")
def late_and_reordered(ffmpeg: str, broadcast: Path) -> Path:
    """Whose picture begins half a second after its sound, in an MP4 with an edit list, and is stored out of order."""
    read = ["-itsoffset", "0.5", "-i", str(broadcast), *sound(), *mapped("0:v", "1")]
    return made(ffmpeg, broadcast.parent, "late.mp4", [*read, *H264, "-bf", "2", *AAC, "{out}"])


def shown(path: Path) -> list[tuple[float, float, str]]:
    """Of all that its last subtitle track shows, from when to when, and what."""
    with av.open(str(path)) as container:
        track = container.streams.subtitles[-1]
        packets = [packet for packet in container.demux(track) if packet.size > 2]
        return [
            (float(one.pts * track.time_base), float((one.pts + one.duration) * track.time_base), bytes(one).decode())
            for one in packets
            if one.pts is not None and one.duration is not None
        ]


@pytest.mark.parametrize(
    ("preset", "source", "begins"),
    [
        ("h264-480p", "broadcast", 0.4),
        ("webm-720p", "broadcast", 0.4),
        ("h264-capped", "late_and_reordered", 0.92),
        ("remux-mkv", "late_and_reordered", 0.92),
    ],
)
def test_captions_become_a_subtitle_track_at_their_times(
    ffmpeg: str, request: pytest.FixtureRequest, tmp_path: Path, preset: str, source: str, begins: float
) -> None:
    film = request.getfixturevalue(source)
    quick = QUICK if PRESETS[preset].kind in {"video", "capped"} else {}
    wanted = {**defaults(preset), **quick, "captions": "text"}
    planned = plan(read_media(str(film)), preset, wanted)
    assert "as a subtitle track" in [fact.detail for fact in planned.contents.kept if fact.what == "captions"]
    output = make(ffmpeg, film, tmp_path, preset, **quick, captions="text")
    assert differences(read_media(str(output)), planned) == []
    one, two = shown(output)
    assert [*one[:2], *two[:2]] == pytest.approx([begins, begins + 0.4, begins + 0.8, begins + 1.2], abs=0.03)
    assert ("Hear" in one[2], "men!" in two[2]) == (True, True)


def test_captions_that_say_nothing_become_an_empty_track(ffmpeg: str, tmp_path: Path) -> None:
    film = aired(ffmpeg, tmp_path, wordless=True)
    output = make(ffmpeg, film, tmp_path, "remux-mp4", captions="text")
    planned = plan(read_media(str(film)), "remux-mp4", {**defaults("remux-mp4"), "captions": "text"})
    assert differences(read_media(str(output)), planned) == []
    assert (planned.subtitles, shown(output)) == (1, [])
