"""What FFmpeg leaves unsaid of a file is read all the same, and told: languages in full, other editions, tags twice."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import ebml
import pytest
from specimens import AAC, H264, MP3, SUBTITLES, Step, film, heard, mapped, picture, read, sound
from test_contents import box
from test_kinds import make
from test_told_of_tracks import frame
from test_unread import defaults, made

from daemon.errors import ProbeError
from daemon.media import boxes, id3, labels, matroska
from daemon.media.describe import read_media
from daemon.media.media_file import MediaFile
from daemon.media.model import Media
from daemon.proof.differences import differences
from daemon.recipes.command import plan

BRAZILIAN, JAPANESE = ebml.element("22b59d", b"pt-BR"), ebml.element("22b59d", b"ja")
SWITCHED_OFF = ebml.element("b9", b"\0")


def lost(media: Media, preset: str, what: str, **asked: Any) -> list[str]:
    facts = plan(media, preset, {**defaults(preset), **asked}).contents.left_out
    return [str(fact) for fact in facts if fact.what == what]


def two_sounds(*told: str) -> Step:
    return [*picture(seconds=0.6), *sound(0.6), *sound(0.6), *mapped("0", "1", "2"), *H264, *AAC, *told, "{out}"]


def test_a_language_in_full_is_told_and_one_that_stands_alone_is_kept(ffmpeg: str, tmp_path: Path) -> None:
    portuguese = ["-metadata:s:a:0", "language=por"]
    path = made(ffmpeg, tmp_path, "two.mkv", two_sounds(*portuguese), edit=ebml.told_of_tracks((2, BRAZILIAN)))
    path.write_bytes(ebml.told_of_tracks((3, JAPANESE))(ebml.without(3, "22b59c")(path.read_bytes())))
    media = read_media(str(path))
    assert [(one.language, one.full_language) for one in media.audio] == [("por", "pt-BR"), ("ja", None)]
    told = ["language (track 1, pt-BR): FFmpeg passes on the language alone (por)"]
    assert lost(media, "remux-mkv", "language") == told
    assert lost(media, "remux-mp4", "language") == [*told, "language (track 2, ja): MP4 has no place for it"]
    output = read_media(str(make(ffmpeg, path, tmp_path, "remux-mkv")))
    assert [one.language for one in output.audio] == ["por", "ja"]
    assert differences(output, plan(media, "remux-mkv", defaults("remux-mkv"))) == []


def test_a_track_that_players_are_not_to_use_is_told(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "two.mkv", two_sounds(), edit=ebml.told_of_tracks((3, SWITCHED_OFF)))
    words = "mark (track 2, disabled): FFmpeg does not pass on that players are not to use it"
    assert lost(read_media(str(path)), "remux-mkv", "mark") == [words]


def atom(begin: float, uid: int) -> bytes:
    times = [element_of("91", begin), element_of("92", begin + 0.1)]
    return ebml.element("b6", ebml.element("73c4", bytes([uid])), *times)


def element_of(name: str, seconds: float) -> bytes:
    return ebml.element(name, int(seconds * 10**9).to_bytes(8, "big"))


@pytest.mark.parametrize(
    ("editions", "kept"),
    [
        ([[0.0, 0.2, 0.4]], 3),
        ([[0.2, 0.0, 0.4]], 2),
        ([[0.0, 0.4], [0.0, 0.2, 0.5]], 3),
        ([[0.0, 0.0, 0.2], [0.2]], 3),
    ],
)
def test_chapters_of_other_editions_and_in_another_order_are_told(
    ffmpeg: str, tmp_path: Path, editions: list[list[float]], kept: int
) -> None:
    told = [ebml.element("45b9", *(atom(begin, uid + 1) for uid, begin in enumerate(one))) for one in editions]
    edit = ebml.told_beside(ebml.CHAPTERS, b"".join(told))
    media = read_media(str(made(ffmpeg, tmp_path, "film.mkv", film("{out}", seconds=0.6), edit=edit)))
    missing = sum(map(len, editions)) - kept
    assert (len(media.chapters), media.other_chapters) == (kept, missing)
    words = f"chapters ({missing} elsewhere): FFmpeg reads none of other editions, or in another order"
    assert lost(media, "remux-mkv", "chapters") == ([words] if missing else [])
    assert lost(media, "remux-mkv", "chapters", chapters="drop")[-1].endswith("chapters=drop was asked for")


def test_webvtt_that_ffmpeg_does_not_read_is_told_with_a_way_out(ffmpeg: str, tmp_path: Path) -> None:
    def named(entry: bytes) -> bytes:
        told = ((one, b"S_TEXT/WEBVTT" if held == b"S_TEXT/UTF8" else held) for one, held in ebml.parts(entry))
        return b"".join(ebml.element(one, held) for one, held in told)

    tracks = ebml.inside(ebml.TRACKS, ebml.inside(ebml.ENTRY, named))
    (tmp_path / "s.srt").write_text(SUBTITLES)
    steps = [*picture(), *sound(), *read("s.srt"), *H264, *AAC, "-c:s", "srt", "{out}"]
    edit = ebml.inside(ebml.SEGMENT, lambda segment: ebml.settled(tracks(segment)))
    media = read_media(str(made(ffmpeg, tmp_path, "film.mkv", steps, edit=edit)))
    [words] = lost(media, "remux-mkv", "subtitles")
    assert "FFmpeg reads WebVTT in Matroska as WebM has it" in words
    assert "take it out with mkvextract" in words


def tag(*told: tuple[str, str], target: bytes = b"") -> bytes:
    named = ((ebml.element("45a3", name.encode()), ebml.element("4487", said.encode())) for name, said in told)
    return ebml.element("7373", ebml.element("63c0", target), *(ebml.element("67c8", *one) for one in named))


def test_the_second_of_two_tags_of_a_name_is_told(ffmpeg: str, tmp_path: Path) -> None:
    tags = tag(("ARTIST", "One"), ("ARTIST", "Two"), ("TITLE", "Film")) + tag(
        ("TITLE", "Sound"), target=ebml.element("63c5", b"\7")
    )
    path = made(ffmpeg, tmp_path, "film.mkv", film("{out}", seconds=0.6), edit=ebml.told_beside(ebml.TAGS, tags))
    assert lost(read_media(str(path)), "remux-mkv", "tag") == ["tag (artist, another): FFmpeg does not read it"]


def test_the_second_of_two_texts_of_a_song_is_told(ffmpeg: str, tmp_path: Path) -> None:
    bare = made(ffmpeg, tmp_path, "bare.mp3", heard(*MP3, "-id3v2_version", "0", "-write_xing", "0"))
    frames = [(b"TPE1", b"\0One"), (b"TPE1", b"\0Two"), (b"TXXX", b"\0a\0b"), (b"TXXX", b"\0c\0d")]
    body = b"".join(frame(name, said, 3) for name, said in frames) + bytes(64)
    song = tmp_path / "song.mp3"
    song.write_bytes(b"ID3\3\0\0\0\0" + bytes([len(body) >> 7, len(body) & 0x7F]) + body + bare.read_bytes())
    assert id3.repeated(song.read_bytes()) == ("tpe1",)
    assert "tag (tpe1, another): FFmpeg does not read it" in lost(read_media(str(song)), "m4a", "tag")


@pytest.mark.parametrize(
    ("said", "several"),
    [
        (b"\3One\0Two", True),
        (b"\3One\0", False),
        (b"\1\xff\xfeO\0n\0\0\0T\0w\0", True),
        (b"\1\xff\xfeO\0n\0\0\0", False),
        (b"\1\xff\xfe\0\1O\0", False),
        (b"", False),
    ],
)
def test_texts_that_zeros_part_are_several(said: bytes, several: bool) -> None:
    body = frame(b"TPE1", said, 4) + bytes(64)
    head = b"ID3\4\0\0\0\0" + bytes([len(body) >> 7, len(body) & 0x7F]) + body
    assert id3.repeated(head) == (("tpe1",) if several else ())


def test_the_second_of_two_tags_of_apples_is_told() -> None:
    def said(*texts: bytes) -> bytes:
        return b"".join(box(b"data", struct.pack(">II", 1, 0), one) for one in texts)

    held = [box(b"\xa9ART", said(b"One", b"Two")), box(b"\xa9nam", said(b"Film")), box(b"covr", said(b"1", b"2"))]
    moov = box(b"moov", box(b"udta", box(b"meta", bytes(4), box(b"ilst", *held))))
    assert boxes.repeated_tags(moov) == {"artist"}
    assert boxes.repeated_tags(moov[:-20]) <= {"artist"}


def test_no_cut_file_is_a_reason_to_stumble(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "two.mkv", two_sounds(), edit=ebml.told_of_tracks((2, BRAZILIAN)))
    whole, cut = path.read_bytes(), tmp_path / "cut.mkv"
    for size in range(4, 1500, 7):
        cut.write_bytes(whole[:size])
        matroska.tracks(MediaFile(str(cut)))
        matroska.untold(MediaFile(str(cut)))


@pytest.mark.parametrize("last", [False, True])
def test_edges_to_be_left_out_are_found_wherever_tracks_are_told(ffmpeg: str, tmp_path: Path, last: bool) -> None:
    def cropped(entry: bytes) -> bytes:
        crop = ebml.element("54aa", b"\x14")
        return b"".join(
            ebml.element(one, held + crop if one == ebml.VIDEO else held) for one, held in ebml.parts(entry)
        )

    tracks = ebml.inside(ebml.SEGMENT, ebml.inside(ebml.TRACKS, ebml.inside(ebml.ENTRY, cropped)))
    path = made(ffmpeg, tmp_path, "film.mkv", film("{out}", seconds=0.6), edit=tracks)
    path.write_bytes(ebml.inside(ebml.SEGMENT, ebml.tracks_last if last else ebml.settled)(path.read_bytes()))
    media = read_media(str(path))
    assert media.cropped
    assert media.video
    assert (media.video.width, media.video.height) == (320, 180)
    output = read_media(str(make(ffmpeg, path, tmp_path, "h264-480p", speed="ultrafast")))
    assert output.video
    assert (output.video.width, output.video.height) == (320, 180)


def test_a_codec_that_nobody_knows_is_named(ffmpeg: str, tmp_path: Path) -> None:
    path = made(
        ffmpeg, tmp_path, "film.mkv", film("{out}", seconds=0.6), edit=lambda all_: all_.replace(b"A_AAC", b"A_XYZ")
    )
    with pytest.raises(ProbeError, match="sound cannot be read: its codec A_XYZ is none that ffspool decodes"):
        plan(read_media(str(path)), "h264-480p", defaults("h264-480p"))


# Dates


@pytest.mark.parametrize(
    ("told", "created", "tags"),
    [
        ({"creation_time": "1969-07-20T20:17:40.000000Z"}, "1969-07-20T20:17:40.000000Z", ()),
        ({"com.apple.quicktime.creationdate": "2024-05-06T10:11:12+0200"}, "2024-05-06T10:11:12+0200", ()),
        ({"date": "2024-05-06T10:11:12+02:00"}, "2024-05-06T10:11:12+02:00", ()),
        ({"date": "1955-11-05"}, None, ("date",)),
        ({"creation_time": "1904-01-01T00:00:00Z"}, None, ()),
        (
            {
                "creation_time": "2024-05-06T08:11:12Z",
                "com.apple.quicktime.creationdate": "2024-05-06T10:11:12+0200",
            },
            "2024-05-06T08:11:12Z",
            ("com.apple.quicktime.creationdate",),
        ),
    ],
)
def test_a_moment_is_one_whenever_and_wherever_it_was(
    told: dict[str, str], created: str | None, tags: tuple[str, ...]
) -> None:
    assert (labels.created(told), labels.tags(told)) == (created, tags)


@pytest.mark.parametrize(("preset", "moment"), [("remux-mkv", "2024-05-06T08:11:12"), ("flac", "2024-05-06T10:11:12")])
def test_a_moment_with_an_offset_is_kept(ffmpeg: str, tmp_path: Path, preset: str, moment: str) -> None:
    when = ["-movflags", "use_metadata_tags", "-metadata", "com.apple.quicktime.creationdate=2024-05-06T10:11:12+0200"]
    path = made(ffmpeg, tmp_path, "phone.mov", film(*when, "{out}", seconds=0.6))
    planned = plan(read_media(str(path)), preset, defaults(preset))
    assert "date" in {fact.what for fact in planned.contents.kept}
    output = read_media(str(make(ffmpeg, path, tmp_path, preset)))
    assert (output.created or "").startswith(moment)


# Holes


def test_a_hole_in_the_sound_of_a_film_is_told(ffmpeg: str, tmp_path: Path) -> None:
    gap = [*read("f.mkv"), "-c", "copy", "-bsf:a", "noise=drop='gt(n,40)*lt(n,90)'", "{out}"]
    path = made(ffmpeg, tmp_path, "gap.mkv", film("{work}/f.mkv", seconds=3.0), gap)
    words = "gap (track 1, 1.0 s of sound): the source has none in its middle: it is silent"
    assert lost(read_media(str(path)), "h264-480p", "gap") == [words]
    assert lost(read_media(str(tmp_path / "f.mkv")), "h264-480p", "gap") == []
