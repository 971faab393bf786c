"""Films and music as collections have them: formats of music libraries, dozens of fonts and subtitles."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from specimens import AAC, AV1, H264, MPEG2, SUBTITLES, X265, Step, encoded, heard, mapped, picture, silent, sound
from test_kinds import frames, lasting, make
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.recipes.command import plan

FORMATS = {
    "album.wv": heard("-c:a", "wavpack"),
    "album.tta": heard("-c:a", "tta"),
    "sun.au": heard("-c:a", "pcm_s16be"),
    "blaster.voc": heard("-c:a", "pcm_u8", "-ar", "22050", channels="mono"),
    "concert.thd": heard("-c:a", "truehd", "-strict", "-2", "-f", "truehd"),
    "aired.wtv": encoded(*MPEG2, "-c:a", "mp2", "-f", "wtv"),
    "old.rm": encoded("-c:v", "rv20", "-c:a", "ac3", "-f", "rm"),
    "raw.y4m": silent("-pix_fmt", "yuv420p"),
    "raw.ivf": silent(*AV1),
    "raw.obu": silent(*AV1, "-f", "obu"),
    "any.nut": encoded(*H264, *AAC, "-f", "nut"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_ffmpeg_reads_of_libraries_and_tools_is_read(ffmpeg: str, tmp_path: Path, name: str) -> None:
    path = made(ffmpeg, tmp_path, name, FORMATS[name])
    media = read_media(str(path))
    assert media.duration_seconds == pytest.approx(1.6, abs=0.1)
    kind, preset = ("video", "h264-480p") if media.video else ("audio", "flac")
    assert lasting(make(ffmpeg, path, tmp_path, preset), kind) == pytest.approx(1.6, abs=0.1)


def test_a_record_in_dsd_is_read(ffmpeg: str, tmp_path: Path) -> None:
    path = tmp_path / "record.dsf"
    path.write_bytes(dsf(seconds=1.0))
    assert lasting(make(ffmpeg, path, tmp_path, "flac"), "audio") == pytest.approx(1.0, abs=0.05)


def dsf(seconds: float, rate: int = 2_822_400, block: int = 4096) -> bytes:
    """A tone in one bit for each of so many samples per second, as DSD has it, for one channel."""
    count, error, bits = int(seconds * rate), 0.0, bytearray()
    for at in range(0, count, 8):
        byte = 0
        for bit in range(8):
            error += 0.5 * math.sin((at + bit) * 2 * math.pi * 440 / rate)
            byte |= (error > 0) << bit
            error -= 1 if error > 0 else -1
        bits.append(byte)
    data = bytes(bits) + bytes(-len(bits) % block)
    form = struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 1, 1, rate, 1, count, block, 0)
    head = struct.pack("<4sQQQ", b"DSD ", 28, 28 + 52 + 12 + len(data), 0)
    return head + form + struct.pack("<4sQ", b"data", 12 + len(data)) + data


def fonts(count: int) -> Step:
    kind = "mimetype=application/x-truetype-font"
    return [
        word
        for number in range(count)
        for word in (
            *("-attach", "{work}/font.ttf", f"-metadata:s:t:{number}", kind),
            *(f"-metadata:s:t:{number}", f"filename=font{number}.ttf"),
        )
    ]


@pytest.mark.parametrize(("preset", "kept"), [("remux-mkv", 70), ("h264-480p", 0)])
def test_dozens_of_fonts_are_no_hindrance(ffmpeg: str, tmp_path: Path, preset: str, kept: int) -> None:
    (tmp_path / "font.ttf").write_bytes(b"\0\1\0\0" + bytes(2000))
    path = made(ffmpeg, tmp_path, "anime.mkv", [*picture(), *sound(), *H264, *AAC, *fonts(70), "{out}"])
    assert read_media(str(make(ffmpeg, path, tmp_path, preset))).attachments == kept


def test_a_disc_with_eight_sounds_and_sixty_subtitles_is_kept_whole(ffmpeg: str, tmp_path: Path) -> None:
    (tmp_path / "s.srt").write_text(SUBTITLES)
    inputs = [*picture(), *sound(), "-i", "{work}/s.srt", *mapped("0", *["1"] * 8, *["2"] * 60)]
    path = made(ffmpeg, tmp_path, "disc.mkv", [*inputs, *H264, *AAC, "-c:s", "srt", "{out}"])
    media = read_media(str(make(ffmpeg, path, tmp_path, "remux-mkv")))
    assert (len(media.audio), len(media.subtitles)) == (8, 60)


def in_band(whole: bytes) -> bytes:
    """An MP4 whose packets alone have the parameter sets of its HEVC."""
    edited, at = bytearray(whole), whole.rindex(b"hvcC") + 4
    left = struct.unpack_from(">I", whole, at - 8)[0] - 31
    edited[at + 22 : at + 23 + left] = b"\0" + struct.pack(">I", left) + b"free" + bytes(left - 8)
    struct.pack_into(">I", edited, at - 8, 31)
    return bytes(edited)


@pytest.mark.parametrize("preset", ["remux-mp4", "remux-mkv"])
def test_hevc_that_tells_its_parameters_in_its_packets_is_copied(ffmpeg: str, tmp_path: Path, preset: str) -> None:
    step = encoded(*X265[:-1], f"{X265[-1]}:repeat-headers=1", *AAC)
    path = made(ffmpeg, tmp_path, "film.mp4", step, edit=in_band)
    output = make(ffmpeg, path, tmp_path, preset)
    assert lasting(output, "video") == pytest.approx(1.6, abs=0.05)
    assert b"hvc1" not in output.read_bytes()


AGAIN = "log-level=error:crf=12:cbqpoffs=9"


@pytest.mark.parametrize(("size", "told"), [("160x90", X265[-1]), ("320x180", AGAIN)])
def test_hevc_that_tells_other_parameters_midway_is_copied_with_them(
    ffmpeg: str, tmp_path: Path, size: str, told: str
) -> None:
    """A name that promises all of them beforehand would have FFmpeg leave them out of the packets."""
    one = made(ffmpeg, tmp_path, "one.ts", silent(*X265, "-pix_fmt", "yuv420p"))
    later = silent(*X265[:-1], told, "-pix_fmt", "yuv420p", "-output_ts_offset", "1.6", size=size)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + made(ffmpeg, tmp_path, "two.ts", later).read_bytes())
    copied = make(ffmpeg, joined, tmp_path, "remux-mp4")
    shown = [[hash(frame.to_ndarray().tobytes()) for frame in frames(path)] for path in (joined, copied)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("name", [b"dvh1", b"dvhe", b"hev1"])
def test_hevc_is_copied_to_matroska_whatever_an_mp4_calls_it(ffmpeg: str, tmp_path: Path, name: bytes) -> None:
    step = encoded(*X265, "-tag:v", "hvc1", *AAC)
    path = made(ffmpeg, tmp_path, "film.mp4", step, edit=lambda whole: whole.replace(b"hvc1", name))
    output = make(ffmpeg, path, tmp_path, "remux-mkv")
    assert lasting(output, "video") == pytest.approx(1.6, abs=0.05)


def test_sound_that_joins_a_broadcast_later_is_not_called_empty(ffmpeg: str, tmp_path: Path) -> None:
    two = [*picture(), *sound(), *sound(frequency=880), *mapped("0", "1"), *H264, *AAC]
    one = made(ffmpeg, tmp_path, "one.ts", [*two, "{out}"])
    other = made(ffmpeg, tmp_path, "two.ts", [*two, *mapped("2"), "-output_ts_offset", "1.6", "{out}"])
    joined = tmp_path / "later.ts"
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    media = read_media(str(joined))
    told = {fact.why for fact in plan(media, "remux-mkv", defaults("remux-mkv")).contents.left_out}
    assert told == {"it begins too late for ffspool to find out what it holds"}
