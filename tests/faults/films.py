"""Films of every sort that goes on where it was, what is made of them, and who is made beside whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple, TypeVar

from specimens import (
    AAC,
    COPY,
    FIELDS,
    H264,
    MP3,
    MPEG2,
    MPEG4,
    SOFT_ALPHA,
    UNEVENLY,
    VP9,
    X265,
    Specimen,
    Step,
    film,
    picture,
    read,
    shifted,
    silent,
    sound,
    tone_mapped,
    turning,
)

T = TypeVar("T")

SECONDS = 24.0  # libvpx begins a group with every 128th picture, SVT-AV1 with every 161st
CUTS = "negate=enable='lt(mod(t,2),1)'"  # x264 and x265 begin one at each
SIZE = "192x108"
TOGETHER = 3  # variations of one source in a job
SOURCES_AT_ONCE = 2

CHAPTERS = (
    ";FFMETADATA1\ntitle=A film\nartist=Someone\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=8000\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=8000\nEND=24000\ntitle=Two\n"
)
SUBTITLES = "1\n00:00:01,200 --> 00:00:03,900\nHello\n\n2\n00:00:11,000 --> 00:00:12,400\nWorld\n"
SCREEN = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"


def _film(*how: str, rate: str = "25", to: str = "{out}") -> Step:
    return film(*how, to, size=SIZE, rate=rate, seconds=SECONDS, filters=CUTS)


def _encoded(*how: str, more: str = "", size: str = SIZE, rate: str = "25") -> Step:
    filters = f"{CUTS},{more}" if more else CUTS
    return [*picture(size, rate, SECONDS, filters), *sound(SECONDS), *how, "{out}"]


def _unevenly(name: str, chosen: str) -> Specimen:
    return Specimen(name, [film("-vf", f"{CUTS},select='{chosen}'", *UNEVENLY, "{out}", size=SIZE, seconds=SECONDS)])


def _interlaced(name: str, *how: str) -> Specimen:
    return Specimen(name, [_encoded(*how, more="interlace=scan=tff", size="192x112", rate="50")])


def _of_two(name: str, container: str, **late: float) -> Specimen:
    return Specimen(name, [_film(to=f"{{work}}/f.{container}"), shifted(f"f.{container}", **late)])


HDR = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=error:hdr10=1:{SCREEN}", "-tag:v", "hvc1"]
TOLD = [*read("s.srt"), *read("c.txt"), "-map_metadata", "3", "-c:s", "srt", "-metadata:s:s:0", "language=eng"]

SOURCES = (
    Specimen("steady.mp4", [_film("-preset", "fast", "-bf", "3", rate="30000/1001")]),
    Specimen("told.mkv", [_encoded(*TOLD, *H264, *AAC)], companions={"c.txt": CHAPTERS, "s.srt": SUBTITLES}),
    Specimen("hierarchy.mp4", [_film("-preset", "fast", "-x264-params", "bframes=8:b-adapt=0:b-pyramid=normal")]),
    Specimen("open.mkv", [_film("-preset", "fast", "-x264-params", "open-gop=1:bframes=3:keyint=20")]),
    Specimen("fast.mp4", [_film(rate="50")]),
    _unevenly("uneven.mp4", "not(mod(n,3))+lt(n,200)"),
    _unevenly("uneven.mkv", "not(mod(n,5))+gt(n,300)"),
    _interlaced("fields.mkv", *MPEG2, *FIELDS, *AAC),
    _interlaced("fields.ts", *H264, *FIELDS, "-x264opts", "tff=1", "-c:a", "ac3"),
    Specimen("hdr.mp4", [_encoded(*HDR, *AAC, more=tone_mapped("smpte2084", "yuv420p10le"))]),
    Specimen("hevc.mp4", [_encoded(*X265[:-1], "log-level=error:crf=12:bframes=4:keyint=30", "-tag:v", "hvc1", *AAC)]),
    Specimen("turned.mp4", [_film(to="{work}/u.mp4"), turning("u.mp4", "-display_rotation", "90")]),
    Specimen("old.avi", [_encoded(*MPEG4, "-bf", "2", *MP3)]),
    Specimen("reordered.avi", [_encoded(*H264, "-bf", "3", *MP3)]),
    Specimen("plain.ts", [_film()]),
    _of_two("late-picture.mkv", "mkv", picture=0.7),
    _of_two("late-sound.ts", "mp4", sound=0.6),
    Specimen("cut.mp4", [_film("-g", "25", to="{work}/f.mp4"), ["-ss", "0.5", *read("f.mp4"), *COPY, "{out}"]]),
    Specimen("clear.webm", [silent(*VP9, size=SIZE, seconds=SECONDS, more=f"{CUTS},{SOFT_ALPHA}")]),
    Specimen("slow.mp4", [_film(rate="10")]),  # groups of libvpx and SVT-AV1 last long
)

KINDS: dict[str, dict[str, Any]] = {
    "x264": {"preset": "h264-480p", "speed": "veryfast"},
    "x265": {"preset": "hevc-1080p", "speed": "veryfast"},
    "x265 10 bit": {"preset": "hevc-1080p", "speed": "veryfast", "bit_depth": 10},
    "AV1": {"preset": "av1-720p", "speed": "ultrafast"},
    "AV1 10 bit": {"preset": "av1-720p", "speed": "ultrafast", "bit_depth": 10},
    "AV1 in WebM": {"preset": "webm-av1-1080p", "speed": "ultrafast"},
    "VP9": {"preset": "webm-720p", "speed": "ultrafast"},
    "refresh": {"preset": "refresh", "seed": "x"},
    "framed": {"preset": "vertical-1080p", "short_side": 240},
    "thinned": {"preset": "h264-480p", "speed": "veryfast", "max_frame_rate": 20},
    "deinterlaced": {"preset": "h264-480p", "speed": "veryfast", "deinterlace": "always"},
    "smart copy": {"preset": "h264-480p", "speed": "veryfast", "copy": True},
    "HLS": {"preset": "hls", "speed": "veryfast", "segment_seconds": 2},
    "DASH": {"preset": "dash", "speed": "veryfast", "segment_seconds": 2},
}


class Order(NamedTuple):
    """An order is a job: one source by name, and the kinds that are made of it."""

    source: str
    kinds: tuple[str, ...]

    @property
    def variations(self) -> list[dict[str, Any]]:
        return [KINDS[kind] for kind in self.kinds]


@cache
def batches() -> list[tuple[Order, ...]]:
    """Every kind of every source, once: some of one source together, and of some sources at the same time."""
    random = Random("films")
    orders = [order for source in SOURCES for order in _orders(random, source.name)]
    random.shuffle(orders)
    return list(_in_groups(orders, SOURCES_AT_ONCE))


def _orders(random: Random, source: str) -> Iterator[Order]:
    kinds = random.sample(list(KINDS), len(KINDS))
    return (Order(source, group) for group in _in_groups(kinds, TOGETHER))


def _in_groups(things: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    return (tuple(things[n : n + size]) for n in range(0, len(things), size))
