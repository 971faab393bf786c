"""Tracks that go on in another way than they began are refused in words, wherever containers allow that."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from specimens import AAC, H264, MP3, X265, Step, encoded, film
from test_contents import box
from test_kinds import make
from test_unread import made

from daemon.errors import ProbeError
from daemon.media import boxes, mpegts
from daemon.media.describe import read_media
from daemon.media.media_file import MediaFile

MP2 = ["-c:a", "mp2"]
TS, FLV = ["-f", "mpegts"], ["-ar", "44100", "-f", "flv"]
FLV_HEADER = 13  # bytes
GOES_ON = "it goes on in other tracks midway"
ANOTHER = ["-mpegts_service_id", "2", "-mpegts_start_pid", "300", "-mpegts_pmt_start_pid", "5000"]
LATER = ["-output_ts_offset", "1"]
JOINED: dict[str, tuple[Step, Step, str]] = {
    "picture.ts": ([*H264, *MP2, *TS], [*X265, *MP2, *TS], r"changes its codec midway \(h264, hevc\)"),
    "sound.ts": ([*H264, *MP2, *TS], [*H264, *AAC, *TS], r"changes its codec midway \(aac, mp2\)"),
    "dvb.ts": (
        [*H264, "-c:a", "ac3", *TS, "-mpegts_flags", "system_b"],
        [*H264, "-c:a", "eac3", *TS, "-mpegts_flags", "system_b"],
        r"changes its codec midway \(ac3, eac3\)",
    ),
    "elsewhere.ts": ([*H264, *MP2, *TS], [*H264, *MP2, "-mpegts_start_pid", "300", *TS], GOES_ON),
    "another-sender.ts": ([*H264, *MP2, *TS], [*H264, *MP2, *ANOTHER, *TS], GOES_ON),
    "first-sender.ts": (
        [*H264, *MP2, *TS],
        [*X265, *MP2, "-mpegts_service_id", "2", *TS],
        r"codec midway \(h264, hevc\)",
    ),
    "sound.flv": ([*H264, *MP3, *FLV], [*H264, *AAC, *LATER, *FLV], r"changes its codec midway \(aac, mp3\)"),
    "picture.flv": (
        [*H264, *MP3, *FLV],
        ["-c:v", "flv1", *MP3, *LATER, *FLV],
        r"changes its codec midway \(flv1, h264\)",
    ),
    "newer.flv": ([*H264, *AAC, *FLV], [*X265, *AAC, *LATER, *FLV], r"changes its codec midway \(h264, hevc\)"),
}


@pytest.mark.parametrize("name", JOINED)
def test_a_track_that_changes_its_codec_midway_is_refused(ffmpeg: str, tmp_path: Path, name: str) -> None:
    *halves, words = JOINED[name]
    paths = [made(ffmpeg, tmp_path, f"{n}", encoded(*how, seconds=1.0)) for n, how in enumerate(halves)]
    first, second = (path.read_bytes() for path in paths)
    joined = tmp_path / name
    joined.write_bytes(first + (second[FLV_HEADER:] if name.endswith("flv") else second))
    for path in paths:
        assert read_media(str(path)).video
    with pytest.raises(ProbeError, match=words):
        read_media(str(joined))


def tag(kind: int, content: bytes, seconds: float) -> bytes:
    """A part of an FLV file, and how long it is."""
    ticks = round(seconds * 1000)
    time = (ticks & 0xFFFFFF).to_bytes(3, "big") + bytes([ticks >> 24])
    head = bytes([kind]) + len(content).to_bytes(3, "big") + time + bytes(3)
    return head + content + (11 + len(content)).to_bytes(4, "big")


def test_sound_that_an_flv_holds_late_and_never_announced_is_not_lost(ffmpeg: str, tmp_path: Path) -> None:
    """Nor what the probe does not come to."""
    shown, heard = [*H264, "-an", *FLV], [*MP3, "-vn", *LATER, *FLV]
    silent, loud = (made(ffmpeg, tmp_path, f"{n}.flv", encoded(*how)) for n, how in enumerate((shown, heard)))

    def behind(megabytes: int) -> Path:
        path = tmp_path / "late.flv"
        filled = b"".join(tag(18, bytes(10**6), 1.0) for _ in range(megabytes))
        path.write_bytes(silent.read_bytes() + filled + loud.read_bytes()[FLV_HEADER:])
        return path

    for path in (behind(10), make(ffmpeg, behind(10), tmp_path, "remux-mkv")):
        assert [stream.codec for stream in read_media(str(path)).audio] == ["mp3"]
    with pytest.raises(ProbeError, match="its sound begins so late"):
        read_media(str(behind(70)))


def paced(rate: float) -> Callable[[bytes], bytes]:
    """An MP4 whose edits, the index behind its data, are told to play that fast."""

    def edit(whole: bytes) -> bytes:
        edited = bytearray(whole)
        for found in re.finditer(b"elst", whole):
            assert struct.unpack_from(">II", whole, found.start() + 4) == (0, 1)
            struct.pack_into(">i", edited, found.start() + 20, round(rate * 65536))
        return bytes(edited)

    return edit


@pytest.mark.parametrize(("rate", "called"), [(0.5, r"\(0.5×\)"), (2.0, r"\(2×\)"), (-1.0, r"\(-1×\)")])
def test_what_is_to_be_played_at_another_speed_is_refused(
    ffmpeg: str, tmp_path: Path, rate: float, called: str
) -> None:
    path = made(ffmpeg, tmp_path, "slow.mp4", film("{out}", seconds=0.4), edit=paced(rate))
    with pytest.raises(ProbeError, match=f"played at another speed {called}"):
        read_media(str(path))


def test_speeds_are_those_of_edits_that_show_something() -> None:
    def moov(version: int, *edits: tuple[int, int, float]) -> bytes:
        entry = ">Qqi" if version else ">Iii"
        packed = b"".join(struct.pack(entry, length, begin, round(rate * 65536)) for length, begin, rate in edits)
        table = box(b"elst", bytes([version, 0, 0, 0]), struct.pack(">I", len(edits)), packed)
        return box(b"moov", box(b"trak", box(b"edts", table)))

    for version in (0, 1):
        assert boxes.speeds(moov(version, (100, -1, 0.0), (100, 0, 1.0))) == {1.0}
        assert boxes.speeds(moov(version, (100, 0, 1.0), (100, 50, 0.0))) == {0.0, 1.0}
        assert boxes.speeds(moov(version, (100, 0, 0.0))) == set()
        assert boxes.speeds(moov(version)[:-3]) == set()


def test_maps_are_found_at_the_end_of_a_long_recording(ffmpeg: str, tmp_path: Path) -> None:
    """Of which a break cuts a packet in two."""
    halves = (H264, X265)
    one, two = (made(ffmpeg, tmp_path, f"{n}.ts", encoded(*how, *MP2)).read_bytes() for n, how in enumerate(halves))
    path = tmp_path / "long.ts"
    path.write_bytes(one * (5 * 2**20 // len(one)) + one[:1000] + two)
    pictures = [track.codec for told in mpegts.maps(MediaFile(str(path))) for track in told.tracks[:1]]
    assert {*pictures} == {"h264", "hevc"}


def test_a_map_that_ends_in_the_middle_is_no_reason_to_stumble(ffmpeg: str, tmp_path: Path) -> None:
    whole = made(ffmpeg, tmp_path, "clip.ts", encoded(*H264, *MP2, seconds=0.2)).read_bytes()
    path = tmp_path / "damaged.ts"
    for at in range(188, 188 * 3):
        path.write_bytes(re.sub(b"\0", b"\xff", whole[:at]) + whole[at:])
        mpegts.maps(MediaFile(str(path)))
