"""Finds that parts of a file are zeros, as of a download that has a place for all of it and not all of it yet."""

from __future__ import annotations

from typing import Any

from av.container import InputContainer

from daemon.errors import ProbeError
from daemon.media.media_file import MediaFile

# No packet of these begins with so many zeros; samples that are not compressed do, where nothing is heard or seen.
COMPRESSED = {
    "h264",
    "hevc",
    "av1",
    "vp8",
    "vp9",
    "mpeg4",
    "mpeg2video",
    "mjpeg",
    "prores",
    "dnxhd",
    "aac",
    "mp3",
    "ac3",
}
INDEXED = ("mov", "avi")  # formats that tell where all packets are
LOOKED_AT, LEAST_LOOKED_AT = 64, 16  # packets
SMALL, BEGIN = 64, 2048  # bytes of a packet that tells nothing, and of others that are looked at
LEAST = 0.05  # of the file; less is damage like other damage, which players and encoders go over


def refuse_hollow(file: MediaFile, container: InputContainer) -> None:
    """Raises ProbeError where much of the picture, or of the sound that is alone, was never written."""
    stream: Any = next(iter((*container.streams.video, *container.streams.audio)), None)
    if stream is None or not container.format.name.startswith(INDEXED):
        return
    entries = stream.index_entries
    if stream.codec_context is None or stream.codec_context.codec.canonical_name not in COMPRESSED:
        return
    places = [entries[at] for at in range(0, len(entries), max(1, len(entries) // LOOKED_AT))]
    told = [place for place in places if place.size >= SMALL and place.pos + place.size <= file.size]
    if len(told) < LEAST_LOOKED_AT:
        return
    with file.open() as opened:
        share = sum(_is_zeros(opened, place) for place in told) / len(told)
    if share > LEAST:
        raise ProbeError(
            f"some {share:.0%} of it are zeros, as of a download or copy that was not completed: fetch it again"
        )


def _is_zeros(file: Any, place: Any) -> bool:
    file.seek(place.pos)
    return not file.read(min(place.size, BEGIN)).strip(b"\0")
