"""Chooses which of the pictures beside a file's sound is its cover."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from daemon.media import demux
from daemon.media.allowlist import MAX_PIXELS
from daemon.media.model import FRONT_COVER, Cover

KEPT = {"png", "mjpeg"}  # codecs that every container takes a cover in


def attached(stream: Stream) -> bool:
    """Tells whether it is cover art; the pictures of chapters are marked as such as well."""
    return bool(stream.disposition & Disposition.attached_pic)


def chosen(container: InputContainer) -> Cover | None:
    """Returns the front cover, or else the first one, among those that are PNG or JPEG and can be decoded; or None.

    Nothing may have been read of the container: it yields such pictures before all else, and once.
    """
    pictures = [stream for stream in container.streams.video if attached(stream)]
    if not pictures or not container.streams.audio:
        return None
    for stream in pictures:
        stream.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    # Without the sound, a picture of no bytes would have it look for one up to the end of the file.
    packets = demux.packets(container, *pictures, container.streams.audio[0])
    ahead = takewhile(lambda packet: packet.stream.type == "video", packets)
    covers = [(packet.stream.metadata.get("comment"), _cover(packet)) for packet in ahead if _shows(packet)]
    fronts = [cover for told, cover in covers if told == FRONT_COVER]
    return next(iter([*fronts, *(cover for _, cover in covers)]), None)


def _cover(packet: Packet[Any]) -> Cover:
    return Cover(index=packet.stream.index, codec=packet.stream.codec_context.codec.canonical_name, bytes=packet.size)


def _shows(packet: Packet[Any]) -> bool:
    """Whether there is a picture in it. Of one that is not, FFmpeg knows no size, without which it writes no output."""
    stream = packet.stream
    still = not stream.disposition & Disposition.timed_thumbnails
    codec = stream.codec_context.codec if stream.codec_context else None
    if not still or codec is None or codec.canonical_name not in KEPT:
        return False
    try:
        return bool(packet.decode())
    except av.FFmpegError:
        return False
