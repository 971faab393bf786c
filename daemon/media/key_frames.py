"""Finds where a film that was cut off while it was written may be gone on with: at its last key frame."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple

import av

from daemon.errors import ProbeError
from daemon.media import demux
from daemon.media.media_file import MediaFile
from daemon.media.model import KeyFrame, PieceContent
from daemon.media.open_file import opened

WARM_UP = 2.0  # seconds before a key frame from which decoding begins, for filters that remember what went before
GROUPS = 3  # of pictures that are kept: the last two, and one more by which a size may be ahead of another
Packet = Any


def read_piece(path: str, *, to_go_on: bool = True) -> PieceContent:
    """Reads every packet of a file with pictures alone, as far as it can be read; `to_go_on` with it, finds the last
    key frame that all have and decodes what stands before. Raises ProbeError when nothing of it can be read.
    """
    with opened(MediaFile(path)) as container:
        if not container.streams.video and container.start_time is not None:
            return PieceContent(begins=container.start_time / av.time_base, pictures=(), key_frame=None)
        if not container.streams.video:
            raise ProbeError("it holds no picture")
        tracks = {stream.index: _Track(stream.time_base) for stream in container.streams.video}
        with suppress(av.FFmpegError):  # where it was cut off
            for packet in demux.packets(container, *container.streams.video):
                if packet.size and packet.pts is not None and packet.dts is not None:
                    tracks[packet.stream.index].take(packet)
        found = list(tracks.values())
        if not all(track.shown and track.unit for track in found):
            raise ProbeError("it holds no picture that is whole")
        return PieceContent(
            begins=float(found[0].begins),
            pictures=tuple(len(track.shown) for track in found),
            key_frame=_last_key_frame(found) if to_go_on else None,
        )


class _Group(NamedTuple):
    """A key frame and the packets up to the next one; `earlier` is how many came before."""

    earlier: int
    packets: list[Packet]


class _Track:
    """When each picture is `shown`, in the order of their decoding, and the last groups of them."""

    def __init__(self, unit: Fraction | None) -> None:
        self.unit = unit or Fraction(0)
        self.shown: list[int] = []
        self.groups = deque[_Group](maxlen=GROUPS)

    def take(self, packet: Packet) -> None:
        if packet.is_keyframe or not self.groups:
            self.groups.append(_Group(len(self.shown), []))
        self.groups[-1].packets.append(packet)
        self.shown.append(packet.pts)

    @property
    def begins(self) -> Fraction:
        return min(self.shown) * self.unit

    def keys(self) -> dict[tuple[Fraction, Fraction, Fraction], tuple[_Group, _Group]]:
        """The groups before and after key frames, by what sizes have to have in common: the first picture, and when the
        key frame is shown and decoded."""
        pairs = zip(self.groups, list(self.groups)[1:], strict=False)
        return {self._place(after.packets[0]): (before, after) for before, after in pairs}

    def _place(self, key: Packet) -> tuple[Fraction, Fraction, Fraction]:
        return self.begins, key.pts * self.unit, key.dts * self.unit


def _last_key_frame(tracks: Sequence[_Track]) -> KeyFrame | None:
    every = [track.keys() for track in tracks]
    common = [place for place in every[0] if all(place in keys for keys in every)]
    if not common:
        return None
    begins, shown, decoded = place = common[-1]
    if not all(_is_cut(track, *keys[place]) for track, keys in zip(tracks, every, strict=True)):
        return None
    pictures = tuple(keys[place][1].earlier for keys in every)
    first = tracks[0]
    earlier = first.shown[: pictures[0]]
    latest = (shown - Fraction(WARM_UP)) / first.unit
    return KeyFrame(
        seconds=float(shown - begins),
        decoded=math.floor(decoded * 1_000_000) / 1_000_000,
        warm=float(max((shown for shown in earlier if shown <= latest), default=min(earlier)) * first.unit),
        pictures=pictures,
    )


def _is_cut(track: _Track, before: _Group, after: _Group) -> bool:
    """Whether all that is decoded before the key frame is shown before it, and nothing else is."""
    key = after.packets[0]
    earlier, later = track.shown[: after.earlier], track.shown[after.earlier :]
    return max(earlier) < key.pts and min(later) >= key.pts and _decodes(before.packets)


def _decodes(group: Sequence[Packet]) -> bool:
    decoder = group[0].stream.codec_context
    try:
        shown = sum(len(packet.decode()) for packet in group)
        return shown + len(decoder.decode(None)) == len(group)
    except av.FFmpegError:
        return False
