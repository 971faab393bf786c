"""Tells what the numbers in a frame mean, by FFmpeg's names for what ITU-T H.273 numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from daemon.media.model import Colour

if TYPE_CHECKING:  # the daemon compares durations, and need not load FFmpeg's libraries for that
    from av.video.frame import VideoFrame

PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
}
TRANSFERS = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    11: "smpte2085",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
    15: "ipt-c2",
    16: "ycgco-re",
    17: "ycgco-ro",
}
RANGES = {1: "tv", 2: "pc"}
_MEANING = ("transfer", "primaries", "matrix", "range")
BRIGHT = {"arib-std-b67", "smpte2084"}  # transfers of HDR


def colour(frame: VideoFrame) -> Colour:
    return Colour(
        primaries=PRIMARIES.get(int(frame.color_primaries)),
        transfer=TRANSFERS.get(int(frame.color_trc)),
        matrix=MATRICES.get(int(frame.colorspace)),
        range="pc" if frame.format.name.startswith("yuvj") else RANGES.get(int(frame.color_range)),
    )


def hdr(frame: VideoFrame) -> str | None:
    """Returns the kind of HDR: hlg, pq, hdr10 or hdr10+; None for a picture that has none."""
    transfer = TRANSFERS.get(int(frame.color_trc))
    if transfer == "arib-std-b67":
        return "hlg"
    if transfer != "smpte2084":
        return None
    held = frame.side_data
    if "DYNAMIC_HDR_PLUS" in held:
        return "hdr10+"
    return "hdr10" if "MASTERING_DISPLAY_METADATA" in held else "pq"


def changing(first: Colour, later: Iterable[Colour]) -> str | None:
    """Says what the numbers mean first and then, where HDR begins or ends, or both tell another meaning; else None."""
    for later_one in later:
        pairs = [(getattr(first, name), getattr(later_one, name)) for name in _MEANING]
        begins_or_ends = len({transfer in BRIGHT for transfer in pairs[0]}) > 1
        differing = pairs[:1] if begins_or_ends else [pair for pair in pairs if all(pair) and pair[0] != pair[1]]
        if differing:
            return ", ".join(told or "untold" for told in differing[0])
    return None
