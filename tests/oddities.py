"""Files that are odd in a way that muxers or editors make, and the presets that odd way once stopped."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from specimens import AAC, H264, MPEG4, PCM, Specimen, encoded, film, picture, read, remuxed, silent, subtitled

FINE = ("-video_track_timescale", "2147483647")
HELD = "setts=duration='if(eq(NEXT_DTS,NOPTS),DURATION*{times},DURATION)'"


def held(name: str, times: int, seconds: float, *how: str) -> Specimen:
    """The last picture stays for so many times as long as the others."""
    steps = [
        film("-bf", "0", "{work}/f.mov", seconds=seconds),
        remuxed("f.mov", *how, "-bsf:v", HELD.replace("{times}", str(times))),
    ]
    return Specimen(name, steps, frames=False)


def stream_header(kind: bytes, offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Overwrites bytes of the header (`strh`) of an AVI's stream of that kind."""

    def edit(whole: bytes) -> bytes:
        at = whole.index(b"strh\x38\0\0\0" + kind) + 8 + offset
        return whole[:at] + value + whole[at + len(value) :]

    return edit


def telecined(whole: bytes) -> bytes:
    """MPEG-2 whose pictures, 24 in a second, players are told to show for three fields and two by turns."""
    edited, before, count = bytearray(whole), 0, 0
    for mark in re.finditer(rb"\x00\x00\x01([\xb3\xb8\x00]|\xb5[\x80-\x8f])", whole):
        at = mark.end()
        if mark[1] == b"\xb3":
            edited[at + 3] = edited[at + 3] & 0xF0 | 4  # 30000/1001
        elif mark[1] == b"\xb8":
            before = count
        elif mark[1] == b"\0":
            number, count = before + (whole[at] << 2 | whole[at + 1] >> 6), count + 1
        else:
            top, again = ((1, 1), (0, 0), (0, 1), (1, 0))[number % 4]
            edited[at + 2] = edited[at + 2] & ~0x82 | top << 7 | again << 1
            edited[at + 3] |= 0x80
    return bytes(edited)


SINE = "sine=frequency=440:sample_rate=48000:duration=1.6,pan=4c|c0=c0|c1=c0|c2=0*c0|c3=0*c0"
# A sound field of four channels (ambisonics), heard from the left.
FIELD = [
    ["-f", "lavfi", "-i", SINE, "-f", "s16le", "{work}/a.pcm"],
    [
        *(*picture(), "-f", "s16le", "-ar", "48000", "-ch_layout", "ambisonic 1", *read("a.pcm")),
        *(*H264, "-c:a", "libopus", "-mapping_family", "2", "{out}"),
    ],
]


def unnamed(name: str, pixels: str) -> Specimen:
    """Bare pixels of a kind that Matroska has no name for."""
    bare = ["-c:v", "rawvideo", "-pix_fmt", pixels, *PCM]
    refused = dict.fromkeys(("remux-mkv", "remux-mp4"), f"cannot hold the source's rawvideo.*{pixels}.*: encode it")
    return Specimen(name, [encoded(*bare)], refused=refused, colours=False, corners=False)


FILMS = ("h264-480p", "hevc-1080p", "av1-720p", "webm-720p", "hls", "dash", "archive-hevc", "remux-mkv")

# Each with the presets that it is tried by.
ODDITIES: tuple[tuple[Specimen, tuple[str, ...]], ...] = (
    (held("held-last.mov", 100, 1.6, "-use_editlist", "0"), FILMS),
    (held("held-last.mp4", 50, 22.0), ("hls", "dash", "av1-720p")),
    (
        Specimen("slow-by-seconds.mp4", [silent(*H264, "-video_track_timescale", "1", rate="1/2", seconds=8)]),
        ("hls", "dash", "webm-720p"),
    ),
    (
        Specimen(
            "another-rate.avi",
            [encoded(*MPEG4, *PCM)],
            edit=stream_header(b"vids", 20, struct.pack("<II", 1001, 30000)),
            frames=False,
        ),
        FILMS[:-1],
    ),
    (
        Specimen(
            "late-by-header.avi",
            [encoded(*MPEG4, *PCM, seconds=3)],
            edit=stream_header(b"auds", 28, struct.pack("<I", 24000)),
            frames=False,
        ),
        ("h264-480p", "webm-720p", "hls", "dash", "opus", "mp3", "remux-mkv"),
    ),
    (
        Specimen(
            "cropped-within.mov",
            [film("{work}/f.mov"), remuxed("f.mov", "-bsf:v", "h264_metadata=crop_left=20:crop_top=10")],
            size=(300, 170),
            corners=False,
        ),
        ("h264-480p", "webm-720p", "hls", "archive-ffv1", "remux-mkv", "gif"),
    ),
    (
        Specimen("sound-field.mkv", FIELD),
        ("h264-480p", "webm-720p", "m4a-r128", "opus", "archive-ffv1"),
    ),
    (unnamed("palette.avi", "pal8"), ("h264-480p", "remux-mkv", "remux-mp4")),
    (unnamed("black-and-white.nut", "monow"), ("h264-480p", "remux-mkv")),
    (
        Specimen(
            "half-bytes.nut",
            [silent("-c:v", "rawvideo", "-pix_fmt", "bgr4")],
            error="FFmpeg cannot convert the source's pixels|has no sound|cannot hold",
        ),
        ("h264-480p", "gif"),
    ),
    (
        Specimen(
            "floating.nut",
            [silent("-c:v", "rawvideo", "-pix_fmt", "gbrpf32le", size="96x64", seconds=0.2)],
            refused={"archive-ffv1": "floating-point numbers .gbrpf32le., which FFV1 does not hold"},
            colours=False,
            corners=False,
        ),
        ("archive-ffv1",),
    ),
    (Specimen("plain-pixels.avi", [encoded("-c:v", "rawvideo", "-pix_fmt", "yuv420p", *PCM)]), ("remux-mkv",)),
    (
        Specimen(
            "long-cue.mkv",
            [subtitled(*H264, *AAC, "-c:s", "srt")],
            companions={"s.srt": f"1\n00:00:00,200 --> 00:00:00,900\n{'Hello ' * 12000}\n"},
            refused=dict.fromkeys(("h264-480p", "remux-mp4"), "a subtitle is longer than MP4 takes"),
        ),
        ("h264-480p", "remux-mp4", "webm-720p", "remux-mkv"),
    ),
    (Specimen("fine-clock.mp4", [film(*FINE, "{out}")]), (*FILMS, "archive-ffv1", "remux-mp4")),
)
