"""What tracks tell of themselves, and what FFmpeg reads of none: passed on, told to be left out, or no longer true."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import av
import pytest
from msgspec.structs import replace
from specimens import CHAPTERS, H264, PCM, Step, chaptered, film, heard
from surroundings import thorough
from test_kinds import make
from test_unread import defaults, made

from daemon.media import id3
from daemon.media.describe import read_media
from daemon.media.model import Media
from daemon.presets.builtin import PRESETS
from daemon.proof.differences import differences
from daemon.recipes.command import plan


def quickly(preset: str) -> dict[str, str]:
    return {"speed": "ultrafast"} if PRESETS[preset].kind == "video" else {}


def of_tracks(*told: str) -> list[str]:
    """Tags of the first picture and of the first sound."""
    return [word for tag in told for kind in "va" for word in (f"-metadata:s:{kind}:0", tag)]


COUNTED = ("BPS=9000000", "BPS-eng=9", "NUMBER_OF_FRAMES=7", "DURATION-eng=00:00:01.600000000")
TOOLS = ("_STATISTICS_WRITING_APP=mkvmerge", "_STATISTICS_TAGS=BPS NUMBER_OF_FRAMES", "artist=Someone")


@pytest.mark.parametrize(
    ("preset", "kept"),
    [
        ("remux-mkv", {0, 1}),
        ("opus", set()),
        thorough("archive-ffv1", {0, 1}),
        thorough("webm-720p", {1}),
        thorough("h264-480p", set()),
        thorough("remux-mp4", set()),
    ],
)
def test_what_tools_counted_of_a_track_is_not_told_of_an_output(
    ffmpeg: str, tmp_path: Path, preset: str, kept: set[int]
) -> None:
    source = made(ffmpeg, tmp_path, "merged.mkv", film(*of_tracks(*COUNTED, *TOOLS), "{out}"))
    planned = plan(read_media(str(source)), preset, {**defaults(preset), **quickly(preset)})
    output = make(ffmpeg, source, tmp_path, preset, **quickly(preset))
    assert differences(read_media(str(output)), planned) == []
    with av.open(str(output)) as container:
        told = [{name.upper() for name in stream.metadata} for stream in container.streams]
    assert not [name for names in told for name in names if re.match("BPS|NUMBER|_STAT|DURATION-", name)]
    assert {number for number, names in enumerate(told) if "ARTIST" in names} == kept
    assert {fact.track for fact in planned.contents.kept if fact.detail == "artist"} == kept
    heard_alone = PRESETS[preset].kind == "audio"
    lost = {fact.track for fact in planned.contents.left_out if fact.detail == "artist"}
    assert lost == {0, 1} - kept - ({0} if heard_alone else set())


@pytest.mark.parametrize("preset", ["flac", thorough("m4a"), thorough("remux-mkv")])
def test_the_day_and_the_hour_that_a_recorder_tells_apart_are_one_moment(
    ffmpeg: str, tmp_path: Path, preset: str
) -> None:
    told = {"origination_date": "2024-05-06", "origination_time": "10:11:12", "description": "Scene"}
    words = [word for name, said in told.items() for word in ("-metadata", f"{name}={said}")]
    source = made(ffmpeg, tmp_path, "scene.wav", heard(*PCM, "-write_bext", "1", *words))
    media = read_media(str(source))
    assert media.created == "2024-05-06T10:11:12"
    assert {"date", "comment"} & {*media.tags} == {"comment"}
    output = read_media(str(make(ffmpeg, source, tmp_path, preset)))
    assert (output.created or "").startswith("2024-05-06T10:11:12")


# What FFmpeg does not read


def frame(name: bytes, content: bytes, version: int) -> bytes:
    size = len(content)
    if version == 2:
        return name + size.to_bytes(3, "big") + content
    told = bytes(size >> 7 * place & 0x7F for place in (3, 2, 1, 0)) if version == 4 else struct.pack(">I", size)
    return name + told + bytes(2) + content


def rated(version: int) -> bytes:
    """An ID3 tag as libraries of music write it: a title, how often it was played, how well it is liked."""
    title, rating, count = (b"TT2", b"POP", b"CNT") if version == 2 else (b"TIT2", b"POPM", b"PCNT")
    frames = [
        frame(title, b"\0" + b"Song " * 40, version),
        frame(rating, b"me@here\0\xff" + bytes(4), version),
        frame(count, bytes(4), version),
    ]
    body = b"".join(frames) + bytes(64)
    size = bytes(len(body) >> 7 * place & 0x7F for place in (3, 2, 1, 0))
    return b"ID3" + bytes([version, 0, 0]) + size + body


@pytest.mark.parametrize(("version", "lost"), [(2, ("cnt", "pop")), (3, ("pcnt", "popm")), (4, ("pcnt", "popm"))])
def test_a_rating_is_told_to_be_left_out(ffmpeg: str, tmp_path: Path, version: int, lost: tuple[str, ...]) -> None:
    bare = made(ffmpeg, tmp_path, "bare.mp3", heard("-c:a", "libmp3lame", "-id3v2_version", "0", "-write_xing", "0"))
    song = tmp_path / "song.mp3"
    song.write_bytes(rated(version) + bare.read_bytes())
    media = read_media(str(song))
    assert (media.tags, media.passed_over) == (("title",), lost)
    told = {fact.detail: fact.why for fact in plan(media, "m4a", defaults("m4a")).contents.left_out}
    assert told == dict.fromkeys(lost, "FFmpeg does not read it")


def test_half_a_tag_and_none_are_no_reason_to_stumble() -> None:
    whole = rated(4)
    for cut in range(len(whole)):
        id3.passed_over(whole[:cut])
    assert id3.passed_over(whole) == ("pcnt", "popm")
    assert id3.passed_over(b"ID3\4\0\0" + b"\x7f" * 4 + b"POPM" + b"\xff" * 40) == ("popm",)


def nested(whole: bytes) -> bytes:
    """The second chapter of two lies within the first; FFmpeg writes each with a byte for how long it is."""
    first = whole.index(b"\xb6", whole.rindex(b"\x10\x43\xa7\x70") + 8)
    second = first + 2 + (whole[first + 1] & 0x7F)
    assert whole[second] == 0xB6
    longer = (whole[first + 1] & 0x7F) + 2 + (whole[second + 1] & 0x7F)
    return whole[: first + 1] + bytes([0x80 | longer]) + whole[first + 2 :]


def many_chapters(ffmpeg: str, folder: Path) -> Media:
    (folder / "c.txt").write_text(CHAPTERS)
    steps: list[Step] = [[word.replace("{work}", str(folder)) for word in chaptered(*H264, "-c:a", "aac")]]
    return read_media(str(made(ffmpeg, folder, "nested.mkv", *steps, edit=nested)))


def test_chapters_within_chapters_are_told_to_be_left_out(ffmpeg: str, tmp_path: Path) -> None:
    media = many_chapters(ffmpeg, tmp_path)
    assert (len(media.chapters), media.inner_chapters) == (1, 1)
    told = [str(fact) for fact in plan(media, "remux-mkv", defaults("remux-mkv")).contents.left_out]
    assert told == ["chapters (1 within others): FFmpeg reads none that lie within others"]
    asked = plan(media, "remux-mkv", {**defaults("remux-mkv"), "chapters": "drop"}).contents.left_out
    assert {fact.meant for fact in asked} == {True}


@pytest.mark.parametrize(
    ("preset", "asked", "told"),
    [
        ("h264-480p", {}, ["channels (track 1, 4 of 6): mixed down to 2: max_channels=6 keeps them"]),
        ("h264-480p", {"max_channels": 6}, []),
        ("hls", {}, ["channels (track 1, 4 of 6): mixed down to 2"]),
        ("mp3", {}, ["channels (track 1, 4 of 6): mixed down to 2"]),
        ("remux-mkv", {}, []),
        ("flac", {}, []),
    ],
)
def test_channels_that_are_mixed_down_are_told(clip: Path, preset: str, asked: dict[str, int], told: list[str]) -> None:
    media = read_media(str(clip))
    around = replace(media, audio=(replace(media.audio[0], channels=6, layout="5.1"),))
    contents = plan(around, preset, {**defaults(preset), **asked}).contents
    assert [str(fact) for fact in contents.left_out if fact.what == "channels"] == told
    failing = {**defaults(preset), **asked, "on_loss": "fail"}
    assert plan(around, preset, failing).audio == 1  # they are heard, if from fewer places


def test_a_lost_name_and_lost_marks_have_reasons_of_their_own(clip: Path) -> None:
    media = read_media(str(clip))
    told = {"language": "de", "full_language": "de-CH", "title": "Kommentar", "marks": ("comment",), "disabled": True}
    track = replace(media.audio[0], **told)
    lost = plan(replace(media, audio=(track,)), "mp3", defaults("mp3")).contents.left_out
    assert {(fact.detail, fact.why) for fact in lost if fact.track == track.index} == {
        ("de", "MP3 has no place for it"),
        ("de-CH", "MP3 has no place for it"),
        ("disabled", "FFmpeg does not pass on that players are not to use it"),
        ("Kommentar", "MP3 has no place for it"),
        ("comment", "MP3 has no place for it"),
    }


@pytest.mark.parametrize("layout", ["2.1", "5.1(side)", "6.1(back)", "7.1", "7.1.4", "5.0", "quad", "cube"])
def test_speakers_that_no_mix_of_two_has_are_told(ffmpeg: str, tmp_path: Path, layout: str) -> None:
    """Each plays alone, in turn."""
    places = [channel.name for channel in av.AudioLayout(layout).channels]
    silent = set[str]()
    for place in places:
        only = ["-af", f"pan={layout}|{place}=c0,aformat=channel_layouts=stereo"]
        alone = made(ffmpeg, tmp_path, f"{place}.wav", heard(*only, *PCM, seconds=0.1))
        silent |= set() if any(alone.read_bytes()[100:]) else {place}
    media = read_media(str(made(ffmpeg, tmp_path, "all.wav", heard(*PCM, seconds=0.1))))
    track = replace(media.audio[0], channels=len(places), layout=layout)
    told = plan(replace(media, audio=(track,)), "mp3", defaults("mp3")).contents.left_out
    assert [fact.detail for fact in told if fact.what == "speakers"] == ([", ".join(sorted(silent))] if silent else [])


@pytest.mark.parametrize(("preset", "told"), [("flac", True), ("remux-mkv", True), ("m4a", False)])
def test_places_of_channels_that_come_out_in_a_usual_order_are_told(
    ffmpeg: str, tmp_path: Path, preset: str, told: bool
) -> None:
    """As of a master that has its mix of two beside its six channels."""
    places = "FL+FR+FC+LFE+BL+BR+DL+DR"
    silence = ["-f", "lavfi", "-i", f"aevalsrc={'|'.join('0' * 8)}:c={places}:d=0.2", "-c:a", "pcm_s16le", "{out}"]
    media = read_media(str(made(ffmpeg, tmp_path, "master.mov", silence)))
    lost = plan(media, preset, defaults(preset)).contents.left_out
    assert [fact.detail for fact in lost if fact.what == "layout"] == ([places] if told else [])
