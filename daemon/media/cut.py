"""Finds how much of a film that was cut off while it was written is used: its first pictures, as far as all are there.

Which that are is told by times. A picture is decoded no later than it is shown, and what was not written any more would
have been decoded later than what was: no picture is missing that is shown before the last one is decoded. What stands
behind a picture that others need, as its B-frames do, is left.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import accumulate
from typing import Any, NamedTuple

import av

from daemon.errors import ProbeError
from daemon.media import demux
from daemon.media.media_file import MediaFile
from daemon.media.model import Cut, PieceContent
from daemon.media.open_file import opened

WARM_UP = 2.0  # seconds before a cut from which decoding begins, for filters that remember what went before
CUT_ANYWHERE = {"h264", "hevc"}
GROUPS = 3  # of pictures that are kept: the last two, and one more by which a size may be ahead of another
Packet = Any


def read_piece(path: str, *, to_go_on: bool = True) -> PieceContent:
    """Reads every packet of a file with pictures alone, as far as it can be read; `to_go_on` with it, finds where it is
    cut and decodes what stands before. Raises ProbeError when nothing of it can be read.

    H.264 and HEVC of one size are cut anywhere. A ladder is cut where all sizes have a key frame, since its segments
    begin with one, and so are AV1 and VP9: their encoders count from one key frame to the next, so that what follows
    comes to just what it would have come to undisturbed, which else would be less alike.
    """
    with opened(MediaFile(path)) as container:
        if not container.streams.video and container.start_time is not None:
            return PieceContent(begins=container.start_time / av.time_base, pictures=(), cut=None)
        if not container.streams.video:
            raise ProbeError("it holds no picture")
        tracks = {stream.index: _Track(stream.time_base) for stream in container.streams.video}
        with suppress(av.FFmpegError):  # where it was cut off
            for packet in demux.packets(container, *container.streams.video):
                if packet.size and not packet.is_corrupt and packet.pts is not None and packet.dts is not None:
                    tracks[packet.stream.index].take(packet)
        found = list(tracks.values())
        if not all(track.shown and track.unit for track in found):
            raise ProbeError("it holds no picture that is whole")
        return PieceContent(
            begins=float(found[0].begins),
            pictures=tuple(len(track.shown) for track in found),
            cut=_last_cut(found) if to_go_on else None,
        )


class _Group(NamedTuple):
    """A key frame and the packets up to the next one; `earlier` is how many came before."""

    earlier: int
    packets: list[Packet]


class _Place(NamedTuple):
    """What sizes have to have in common where they are cut: when their first picture is shown, and the first that is
    left, and when that is decoded."""

    begins: Fraction
    shown: Fraction
    decoded: Fraction


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
    def codec(self) -> str:
        return str(self.groups[-1].packets[-1].stream.codec_context.name)

    @property
    def begins(self) -> Fraction:
        return min(self.shown) * self.unit

    def cuts(self, *, at_key_frames: bool) -> dict[_Place, int]:
        """How many pictures come before each place at which all that is decoded before is shown before, too."""
        kept = [packet for group in self.groups for packet in group.packets]
        earlier, last = len(self.shown) - len(kept), kept[-1]
        start = max(self.shown[:earlier], default=kept[0].pts)
        before = list(accumulate((packet.pts for packet in kept), max, initial=start))
        after = list(accumulate((packet.pts for packet in reversed(kept)), min))[::-1]
        return {
            _Place(self.begins, after[number] * self.unit, packet.dts * self.unit): earlier + number
            for number, packet in enumerate(kept)
            if earlier + number
            and before[number] < after[number] <= last.dts
            and (packet.is_keyframe or not at_key_frames)
        }

    def decodes(self, pictures: int) -> bool:
        """Whether the last of that many are all shown that stand behind a key frame."""
        group = next(group for group in reversed(self.groups) if group.earlier < pictures)
        needed = group.packets[: pictures - group.earlier]
        decoder = needed[0].stream.codec_context
        try:
            shown = [frame for packet in (*needed, None) for frame in decoder.decode(packet)]
        except av.FFmpegError:
            return False
        return len(shown) == len(needed) and not any(frame.is_corrupt for frame in shown)


def _last_cut(tracks: Sequence[_Track]) -> Cut | None:
    anywhere = len(tracks) == 1 and tracks[0].codec in CUT_ANYWHERE
    every = [track.cuts(at_key_frames=not anywhere) for track in tracks]
    common = [place for place in every[0] if all(place in cuts for cuts in every)]
    if not common:
        return None
    begins, shown, decoded = place = max(common)
    pictures = tuple(cuts[place] for cuts in every)
    if not all(track.decodes(count) for track, count in zip(tracks, pictures, strict=True)):
        return None
    first = tracks[0]
    earlier = first.shown[: pictures[0]]
    latest = (shown - Fraction(WARM_UP)) / first.unit
    return Cut(
        seconds=float(shown - begins),
        decoded=math.floor(decoded * 1_000_000) / 1_000_000,
        warm=float(max((shown for shown in earlier if shown <= latest), default=min(earlier)) * first.unit),
        pictures=pictures,
    )
