"""Finds where a film that was cut off while it was written may be gone on with: at its last key frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

from daemon.errors import ProbeError
from daemon.media import demux
from daemon.media.media_file import MediaFile
from daemon.media.model import KeyFrame, PieceContent
from daemon.media.open_file import opened

WARM_UP = 2.0  # seconds before a key frame from which decoding begins, for filters that remember what went before
Packet = Any


def read_piece(path: str, *, to_go_on: bool = True) -> PieceContent:
    """Reads every packet of a file with a picture alone, as far as it can be read; `to_go_on` with it, finds its last
    key frame and decodes what stands before. Raises ProbeError when nothing of it can be read.
    """
    with opened(MediaFile(path)) as container:
        if not container.streams.video and container.start_time is not None:
            return PieceContent(begins=container.start_time / av.time_base, pictures=0, key_frame=None)
        if not container.streams.video:
            raise ProbeError("it holds no picture")
        stream = container.streams.video[0]
        found = _Groups()
        with suppress(av.FFmpegError):  # where it was cut off
            for packet in demux.packets(container, stream):
                if packet.size and packet.pts is not None and packet.dts is not None:
                    found.take(packet)
        if not found.shown or stream.time_base is None:
            raise ProbeError("it holds no picture that is whole")
        return PieceContent(
            begins=float(min(found.shown) * stream.time_base),
            pictures=len(found.shown),
            key_frame=_last_key_frame(found, stream.time_base) if to_go_on else None,
        )


class _Groups:
    """When each picture is `shown`, in the order of their decoding, and the packets of the last two groups."""

    def __init__(self) -> None:
        self.shown: list[int] = []
        self.before: list[Packet] = []
        self.last: list[Packet] = []

    def take(self, packet: Packet) -> None:
        if packet.is_keyframe:
            self.before, self.last = self.last, []
        self.last.append(packet)
        self.shown.append(packet.pts)


def _last_key_frame(found: _Groups, unit: Fraction) -> KeyFrame | None:
    if not found.before:
        return None
    key = found.last[0]
    earlier, later = found.shown[: -len(found.last)], found.shown[-len(found.last) :]
    if max(earlier) >= key.pts or min(later) < key.pts or not _decodes(found.before):
        return None  # what is decoded before it would have to be shown after it
    latest = key.pts - WARM_UP / unit
    return KeyFrame(
        seconds=float((key.pts - min(earlier)) * unit),
        decoded=math.floor(key.dts * unit * 1_000_000) / 1_000_000,
        warm=float(max((shown for shown in earlier if shown <= latest), default=min(earlier)) * unit),
        pictures=len(earlier),
    )


def _decodes(group: Sequence[Packet]) -> bool:
    decoder = group[0].stream.codec_context
    try:
        shown = sum(len(packet.decode()) for packet in group)
        return shown + len(decoder.decode(None)) == len(group)
    except av.FFmpegError:
        return False
