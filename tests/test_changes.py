"""Tracks that go on in another way than they began are refused in words, wherever containers allow that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from specimens import AAC, H264, MP3, X265, Step, encoded
from test_unread import made

from daemon.errors import ProbeError
from daemon.media import mpegts
from daemon.media.describe import read_media
from daemon.media.media_file import MediaFile

MP2 = ["-c:a", "mp2"]
TS, FLV = ["-f", "mpegts"], ["-ar", "44100", "-f", "flv"]
FLV_HEADER = 13  # bytes
GOES_ON = "it goes on in other tracks midway"
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
