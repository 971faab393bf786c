"""Recordings whose times or tables change in the middle come out whole, or are refused in words."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest
from specimens import AAC, H264, MPEG2, MPEG4, Step, encoded, film, picture, read, shifted, silent, sound
from surroundings import crossed, thorough
from test_kinds import frames, lasting, make
from test_unread import defaults, made

from daemon.errors import ProbeError, UnsuitableSource
from daemon.media.boxes import within
from daemon.media.describe import read_measured, read_media
from daemon.presets.builtin import PRESETS
from daemon.proof.differences import differences
from daemon.recipes.command import plan

HEADER = 13  # bytes of FLV before the first tag
LONG = 4.0  # seconds, beyond what is looked at before the first packet is asked for
QUICK = {"speed": "ultrafast"}


def sent(ffmpeg: str, folder: Path, seconds: float = 1.6) -> bytes:
    """What a sender sends: 25 pictures a second."""
    return made(
        ffmpeg, folder, "sent.flv", film("-ar", "44100", "-g", "10", "-f", "flv", "{out}", seconds=seconds)
    ).read_bytes()


def tags(flv: bytes) -> Iterator[bytes]:
    at = HEADER
    while at + 11 <= len(flv):
        end = at + 11 + int.from_bytes(flv[at + 1 : at + 4], "big") + 4
        yield flv[at:end]
        at = end


def script(name: bytes, seconds: float) -> bytes:
    """A tag with a text for programs, as of that time."""
    told = b"\x08\0\0\0\1\0\x04text\x02\0\x05hello\0\0\x09"
    body, stamp = b"\x02" + struct.pack(">H", len(name)) + name + told, int(seconds * 1000)
    head = b"\x12" + len(body).to_bytes(3, "big") + stamp.to_bytes(3, "big") + bytes(4)
    return head + body + struct.pack(">I", 11 + len(body))


PAUSED: dict[str, tuple[str, str]] = {  # filters of picture and sound, the one of which pauses
    "picture": ("select='not(between(t,2,16))'", "anull"),
    "sound": ("null", "aselect='not(between(t,2,16))'"),
}


@pytest.mark.parametrize(
    ("paused", "preset"), crossed(["picture", "sound"], ["h264-480p", "remux-mkv", "remux-mp4", "webm-720p", "mp3"])
)
def test_a_track_that_pauses_while_the_other_goes_on_is_no_clock_that_was_set(
    ffmpeg: str, tmp_path: Path, paused: str, preset: str
) -> None:
    shown, heard = PAUSED[paused]
    both = [*picture("192x108", "10", 20.0), *sound(20.0), "-vf", shown, "-af", heard, "-fps_mode", "vfr"]
    path = made(ffmpeg, tmp_path, "paused.ts", [*both, *H264, "-bf", "2", "-c:a", "mp2", "{out}"])
    assert read_media(str(path)).duration_seconds == pytest.approx(20.0, abs=0.2)
    output = make(ffmpeg, path, tmp_path, preset, **(QUICK if preset in {"h264-480p", "webm-720p"} else {}))
    assert lasting(output, "audio") == pytest.approx(20.0, abs=0.2)
    if preset != "mp3":
        times = shown_at(output)
        assert len(times) == {"picture": 59, "sound": 200}[paused]
        assert (times[0], times[-1]) == pytest.approx((0.0, 19.9), abs=0.2)
    assert differences(read_media(str(output)), plan(read_media(str(path)), preset, defaults(preset))) == []


def shown_at(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return sorted(float(frame.time or 0.0) for frame in container.decode(video=0))


@pytest.mark.parametrize(
    ("preset", "times"), crossed(["h264-480p", "webm-720p", "remux-mkv", "remux-mp4", "gif"], [2, 3])
)
def test_a_stream_whose_sender_came_back_is_whole(ffmpeg: str, tmp_path: Path, preset: str, times: int) -> None:
    one = sent(ffmpeg, tmp_path)
    path = tmp_path / "stream.flv"
    path.write_bytes(one + one[HEADER:] * (times - 1))
    output = make(ffmpeg, path, tmp_path, preset, **({} if preset in {"remux-mkv", "remux-mp4", "gif"} else QUICK))
    assert lasting(output, "video") == pytest.approx(1.6 * times, abs=0.2)
    if preset != "gif":
        assert len(list(frames(output))) == 40 * times
        assert lasting(output, "audio") == pytest.approx(1.6 * times, abs=0.2)


@pytest.mark.parametrize("name", ["onMetaData", "onTextData", "onCuePoint"])
def test_a_tag_for_programs_in_the_middle_is_no_hindrance(ffmpeg: str, tmp_path: Path, name: str) -> None:
    flv = sent(ffmpeg, tmp_path, LONG)
    before, after = list(tags(flv))[:150], list(tags(flv))[150:]
    path = tmp_path / "stream.flv"
    path.write_bytes(flv[:HEADER] + b"".join([*before, script(name.encode(), 2.0), *after]))
    assert lasting(make(ffmpeg, path, tmp_path, "h264-480p", **QUICK), "video") == pytest.approx(LONG, abs=0.05)


def test_matroska_files_put_end_to_end_are_whole_or_refused(ffmpeg: str, tmp_path: Path) -> None:
    one = made(ffmpeg, tmp_path, "one.mkv", film("-f", "matroska", "-live", "1", "{out}", seconds=3.0)).read_bytes()
    path = tmp_path / "two.mkv"
    path.write_bytes(one + one)
    with pytest.raises(ProbeError, match="it is several Matroska files put end to end"):
        read_media(str(path))


# MP4 files whose samples are described in two ways, as of clips that a phone or an editor put together


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def inside(content: bytes, *path: bytes) -> bytes:
    """What is in the first box of the last of these names, each in the one before."""
    for name in path:
        content = next(inner for found, inner in within(content) if found == name)
    return content


STBL = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def described_twice(one: bytes, other: bytes) -> bytes:
    """A film without sound whose first half is of one file, and whose second of another, each with its description."""
    halves = [inside(whole, *STBL) for whole in (one, other)]
    sizes = [struct.unpack(f">{(len(table) - 12) // 4}I", table[12:]) for table in (inside(h, b"stsz") for h in halves)]
    count, delta = sum(map(len, sizes)), struct.unpack_from(">I", inside(halves[0], b"stts"), 12)[0]
    data = [inside(whole, b"mdat")[-sum(lengths) :] for whole, lengths in zip((one, other), sizes, strict=True)]
    head = box(b"ftyp", inside(one, b"ftyp"))
    begin = len(head) + 8
    tables = {
        b"stsd": numbers(0, 2) + b"".join(inside(half, b"stsd")[8:] for half in halves),
        b"stts": numbers(0, 1, count, delta),
        b"stss": numbers(0, 2, 1, len(sizes[0]) + 1),
        b"stsc": numbers(0, 2, 1, len(sizes[0]), 1, 2, len(sizes[1]), 2),
        b"stsz": numbers(0, 0, count, *sizes[0], *sizes[1]),
        b"stco": numbers(0, 2, begin, begin + len(data[0])),
    }
    stbl = b"".join(box(name, table) for name, table in tables.items())
    lengths = {b"mvhd": (16, 2 * 1600), b"tkhd": (20, 2 * 1600), b"mdhd": (16, count * delta)}

    def rebuilt(name: bytes, content: bytes) -> bytes:
        if name in lengths:
            at, value = lengths[name]
            return box(name, content[:at] + numbers(value) + content[at + 4 :])
        if name == b"stbl" or name not in STBL:
            return box(name, stbl if name == b"stbl" else content)
        return box(name, b"".join(rebuilt(*inner) for inner in within(content) if inner[0] != b"edts"))

    return head + box(b"mdat", b"".join(data)) + rebuilt(b"moov", inside(one, b"moov"))


def clips(ffmpeg: str, folder: Path, *second: str) -> Path:
    """Such a film, its second half encoded that way."""
    files = [
        made(ffmpeg, folder, f"{number}.mp4", silent(*how, "-bf", "0", "-g", "100")).read_bytes()
        for number, how in enumerate((H264, second))
    ]
    path = folder / "clips.mp4"
    path.write_bytes(described_twice(*files))
    return path


CABAC = ("-c:v", "libx264", "-preset", "medium", "-pix_fmt", "yuv420p")


@pytest.mark.parametrize("preset", ["h264-480p", "remux-mp4", "archive-ffv1"])
def test_clips_put_together_decode_to_their_end(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    path = clips(ffmpeg, tmp_path, *CABAC)
    assert len(list(frames(make(ffmpeg, path, tmp_path, preset)))) == 80


def test_a_copy_that_would_keep_one_description_of_two_is_refused(ffmpeg: str, tmp_path: Path) -> None:
    media = read_media(str(clips(ffmpeg, tmp_path, *CABAC)))
    with pytest.raises(UnsuitableSource, match="describes parts of a track in different ways, of which Matroska"):
        plan(media, "remux-mkv", defaults("remux-mkv"))


def test_a_track_that_changes_its_codec_is_refused_in_words(ffmpeg: str, tmp_path: Path) -> None:
    path = clips(ffmpeg, tmp_path, *MPEG4)
    with pytest.raises(ProbeError, match=r"changes its codec midway \(avc1, mp4v\)"):
        read_media(str(path))


# Times that are not told of each picture

PICTURES, SOUND = 0xE0, 0xC0
STAMPS = {0b00: 0, 0b10: 5, 0b11: 10}  # bytes of the times in a packet of a program stream, by how it says so


def stamped(told: Callable[[int], bool], streams: tuple[int, ...] = (PICTURES,)) -> Callable[[bytes], bytes]:
    """A VOB of whose packets with times, by their number, only those keep them."""

    def edit(whole: bytes) -> bytes:
        edited = bytearray(whole)
        for stream in streams:
            at, number, begin = 0, 0, b"\0\0\1" + bytes([stream])
            while (at := edited.find(begin, at)) >= 0:
                size, end = STAMPS[edited[at + 7] >> 6], at + 9 + edited[at + 8]
                if size and not told(number):
                    edited[at + 7] &= 0b00111111
                    edited[at + 9 : end] = edited[at + 9 + size : end] + b"\xff" * size
                number += bool(size)
                at += 4
        return bytes(edited)

    return edit


def never(_number: int) -> bool:
    return False


def each_twelfth(first: int) -> Callable[[int], bool]:
    return lambda number: number % 12 == first


REORDERING = ("-bf", "2")
BEFORE_ZERO = ("-avoid_negative_ts", "disabled", "-output_ts_offset")
ON_DVD = [*MPEG2, *REORDERING, "-c:a", "mp2"]
UNTOLD = {
    "now-and-then.vob": ([encoded(*ON_DVD)], stamped(each_twelfth(0))),
    "not-the-first.vob": ([encoded(*ON_DVD)], stamped(each_twelfth(1))),
    "not-the-first-silent.vob": ([silent(*MPEG2, *REORDERING)], stamped(each_twelfth(1))),
    "no-times.vob": ([encoded(*ON_DVD)], stamped(never)),
    "no-times-of-sound.vob": ([encoded(*ON_DVD)], stamped(never, (SOUND,))),
    "no-times-at-all.vob": ([encoded(*ON_DVD)], stamped(never, (PICTURES, SOUND))),
    "before-zero.mkv": ([film(*REORDERING, *BEFORE_ZERO, "-0.08", "{out}")], None),
    "before-zero-silent.mkv": ([silent(*H264, *REORDERING, *BEFORE_ZERO, "-0.2")], None),
    "sound-before-zero.mkv": (
        [film(*REORDERING, "{work}/f.mkv"), shifted("f.mkv", "-c", "copy", *BEFORE_ZERO, "-0.6", picture=0.5)],
        None,
    ),
}
WRONG_ONCE = {"not-the-first-silent.vob", "no-times-of-sound.vob", "before-zero-silent.mkv", "sound-before-zero.mkv"}
NOT_COPIED = {"no-times.vob", "no-times-at-all.vob"}  # nor what lies before zero


@pytest.mark.parametrize("preset", ["h264-480p", thorough("archive-ffv1"), thorough("webm-720p"), thorough("gif")])
@pytest.mark.parametrize("name", [name if name in WRONG_ONCE else thorough(name) for name in UNTOLD])
def test_pictures_of_which_no_time_is_told_are_all_there(ffmpeg: str, tmp_path: Path, name: str, preset: str) -> None:
    steps, edit = UNTOLD[name]
    path = made(ffmpeg, tmp_path, name, *steps, edit=edit)
    output = make(ffmpeg, path, tmp_path, preset, **(QUICK if PRESETS[preset].kind == "video" else {}))
    assert lasting(output, "video") == pytest.approx(1.6, abs=0.1)
    if preset != "gif":
        assert len(list(frames(output))) == 40
        assert "silent" in name or lasting(output, "audio") == pytest.approx(1.6, abs=0.1)


@pytest.mark.parametrize("name", UNTOLD)
def test_a_copy_has_all_pictures_or_is_refused_for_want_of_their_times(ffmpeg: str, tmp_path: Path, name: str) -> None:
    steps, edit = UNTOLD[name]
    path = made(ffmpeg, tmp_path, name, *steps, edit=edit)
    if name in NOT_COPIED or "zero" in name:
        with pytest.raises(UnsuitableSource, match="does not tell when all of its pictures are shown"):
            plan(read_media(str(path)), "remux-mkv", defaults("remux-mkv"))
    else:
        assert len(list(frames(make(ffmpeg, path, tmp_path, "remux-mkv")))) == 40


def test_pictures_that_lead_the_first_key_frame_are_there(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "led.mp4", silent("-c:v", "libvvenc", "-preset", "faster"))
    shown = [frame.key_frame for frame in frames(path)]
    assert shown.index(True) > 0
    assert len(list(frames(make(ffmpeg, path, tmp_path, "h264-480p", **QUICK)))) == len(shown) == 40


def paused(left_out: str, *how: str) -> list[str]:
    """Eight seconds of sound, and a film of as many that leaves pictures out: one of them stays for that long."""
    kept = ["-vf", f"select='not(between(n,{left_out}))'", "-fps_mode", "passthrough"]
    return [*picture(seconds=8.0), *sound(8.0), *kept, *how, *AAC, "{out}"]


@pytest.mark.parametrize("preset", ["h264-480p", thorough("remux-mp4"), thorough("remux-mkv"), thorough("webm-720p")])
@pytest.mark.parametrize("left_out", ["20,150", thorough("20,198")])  # and more than that follows, or one picture
def test_a_pause_is_no_longer_than_it_is_shown(ffmpeg: str, tmp_path: Path, left_out: str, preset: str) -> None:
    for name, how in (("plain.mp4", [*H264, "-bf", "0"]), ("reordered.mp4", [*CABAC, "-bf", "3"])):
        path = made(ffmpeg, tmp_path, name, paused(left_out, *how))
        for file in (path, make(ffmpeg, path, tmp_path, preset)):
            seen = read_measured(str(file)).video
            assert seen
            assert seen.duration_seconds == pytest.approx(8.0, abs=0.2), file


def begun_late(*how: str) -> Step:
    """A film whose sound begins after nine seconds."""
    late = ["-itsoffset", "9", *sound(2.0), "-map", "0", "-map", "1"]
    return [*picture(seconds=12.0), *late, *how, "{out}"]


LATE = {
    "late.ts": begun_late(*H264, *AAC),
    "late.mkv": begun_late(*H264, "-c:a", "ac3"),
    "live.mkv": begun_late(*H264, *AAC, "-f", "matroska", "-live", "1"),
    "late.mp4": begun_late(*H264, *AAC),
    "late.wmv": begun_late("-c:v", "wmv2", "-c:a", "wmav2"),
}


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("late.ts", "h264-480p"),
        ("late.ts", "remux-mkv"),
        thorough("late.ts", "remux-mp4"),
        thorough("late.ts", "mp3"),
        ("late.mkv", "m4a"),
        ("late.mkv", "h264-480p"),
        thorough("late.mkv", "mp3"),
        thorough("live.mkv", "m4a"),
        ("late.mp4", "webm-720p"),
        ("late.wmv", "m4a"),
    ],
)
def test_sound_that_begins_long_after_the_picture_is_kept_at_its_place(
    ffmpeg: str, tmp_path: Path, name: str, preset: str
) -> None:
    path = made(ffmpeg, tmp_path, name, LATE[name])
    media, quick = read_media(str(path)), QUICK if PRESETS[preset].kind == "video" else {}
    assert not media.unread
    assert media.audio[0].start_seconds == pytest.approx(9.0, abs=0.1)
    output = make(ffmpeg, path, tmp_path, preset, **quick)
    assert differences(read_media(str(output)), plan(media, preset, {**defaults(preset), **quick})) == []
    assert lasting(output, "audio") == pytest.approx(2.0, abs=0.15)
    with av.open(str(output)) as container:
        begins = 0.0 if PRESETS[preset].kind == "audio" else 9.0
        assert next(container.decode(audio=0)).time == pytest.approx(begins, abs=0.15)


@pytest.mark.parametrize("preset", ["mp3", thorough("flac"), thorough("m4a")])
def test_a_packet_that_is_said_to_last_until_the_sound_goes_on_is_followed_by_a_pause(
    ffmpeg: str, tmp_path: Path, preset: str
) -> None:
    """As FFmpeg writes sound that begins late, into fragments."""
    late = begun_late(*H264, *AAC, "-movflags", "frag_keyframe+empty_moov")
    path = made(ffmpeg, tmp_path, "late.mp4", late)
    assert lasting(make(ffmpeg, path, tmp_path, preset), "audio") == pytest.approx(11.0, abs=0.1)


def delayed(*seconds: float) -> Callable[[bytes], bytes]:
    """An animated PNG whose pictures are shown for so long, each."""

    def edit(whole: bytes) -> bytes:
        left, edited, at = iter(seconds), bytearray(whole), 8
        while at < len(whole):
            (size,) = struct.unpack_from(">I", whole, at)
            if whole[at + 4 : at + 8] == b"fcTL":
                struct.pack_into(">HH", edited, at + 28, round(next(left) * 1000), 1000)
                struct.pack_into(">I", edited, at + 8 + size, zlib.crc32(edited[at + 4 : at + 8 + size]))
            at += 12 + size
        return bytes(edited)

    return edit


def test_of_few_pictures_the_last_lasts_until_its_track_ends(ffmpeg: str, tmp_path: Path) -> None:
    """By how far apart they are decoded each would last for seconds."""
    made(ffmpeg, tmp_path, "few.apng", silent("-f", "apng", rate="10", seconds=0.3), edit=delayed(0, 3, 0.1))
    uneven = [*H264, "-bf", "3", "-b_strategy", "0", "-fps_mode", "vfr"]
    path = made(ffmpeg, tmp_path, "few.mp4", [*read("few.apng"), *uneven, "-enc_time_base:v", "demux", "{out}"])
    found = read_media(str(path))
    assert found.video
    assert found.video.reordered
    assert found.duration_seconds == pytest.approx(3.17, abs=0.02)


SHORT = 2.0  # seconds, of parts by which a clock goes back, less than what FFmpeg takes for a jump forward


@pytest.mark.parametrize(
    ("preset", "parts"),
    [
        *(("h264-480p", 2), ("remux-mkv", 3), ("m4a", 3), ("gif", 2)),
        *(thorough("webm-720p", 3), thorough("remux-mp4", 2), thorough("flac", 2), thorough("archive-ffv1", 3)),
    ],
)
def test_short_parts_that_each_begin_at_the_same_time_follow_each_other(
    ffmpeg: str, tmp_path: Path, preset: str, parts: int
) -> None:
    """A packet of a part comes when those of the next have begun: no hole is left where it does."""
    one = made(ffmpeg, tmp_path, "one.ts", encoded(*H264, "-g", "25", "-c:a", "mp2", seconds=SHORT))
    path = tmp_path / "joined.ts"
    path.write_bytes(one.read_bytes() * parts)
    media = read_media(str(path))
    assert media.duration_seconds == pytest.approx(SHORT * parts, abs=0.2)
    planned = plan(media, preset, defaults(preset))
    assert [fact for fact in planned.contents.left_out if fact.what == "gap"] == []
    output = make(ffmpeg, path, tmp_path, preset, **(QUICK if preset in {"h264-480p", "webm-720p"} else {}))
    assert differences(read_media(str(output)), planned) == []
    if preset in {"h264-480p", "remux-mkv", "webm-720p", "archive-ffv1"}:
        times = shown_at(output)
        assert len(times) == 50 * parts
        assert max(after - before for before, after in pairwise(times)) < 0.1
    if preset != "gif":
        assert lasting(output, "audio") == pytest.approx(SHORT * parts, abs=0.2)


def test_where_tracks_pause_a_small_step_forward_is_no_jump(ffmpeg: str, tmp_path: Path) -> None:
    """The sound goes on while the picture stays, and then everything begins anew."""
    shown, heard = "select='not(between(t,0.5,4.5))'", "anull"
    both = [*picture(seconds=5.0), *sound(5.0), "-vf", shown, "-af", heard, "-fps_mode", "vfr"]
    one = made(ffmpeg, tmp_path, "one.ts", [*both, *H264, "-c:a", "mp2", "{out}"])
    path = tmp_path / "joined.ts"
    path.write_bytes(one.read_bytes() * 2)
    assert read_media(str(path)).jump_seconds == 0.0
