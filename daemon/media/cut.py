"""Finds how much of a film that was cut off while it was written is used: its first pictures, as far as all are there.

Which that are is told by times. A picture is decoded no later than it is shown, and what was not written any more would
have been decoded later than what was: no picture is missing that is shown before the last one is decoded. What stands
behind a picture that others need, as its B-frames do, is left.

An encoder that was asked to end encodes all that its decoder has, also a picture of the source that others need and
that is shown after some which were not read yet: of so many at the end it is not sure that none is missing between.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import accumulate
from operator import sub
from typing import Any, NamedTuple

import av
from av.video.stream import VideoStream as Pictures

from daemon.errors import ProbeError
from daemon.media import demux
from daemon.media.media_file import MediaFile
from daemon.media.model import MOST_REPEATED, WARM_UP, Cut, PieceContent, Unsure
from daemon.media.open_file import opened

# Of films of one size, places to cut at from the likest on: pictures behind a key frame come in so many, None: at one.
_PLACES: dict[str, tuple[int | None, ...]] = {"h264": (1,), "hevc": (1,), "av1": (None, 32, 1), "vp9": (None, 8, 1)}
GROUPS = 3  # of pictures that are kept: the last two, and one more by which a size may be ahead of another
ROUNDED = 0.0015  # seconds that times may be off which Matroska rounds, twice
KEPT = 136  # pictures that are kept at least, however short groups are
ARRAYS = 22  # bytes of HEVC's header, before the count of its arrays of units
SEI, UNREGISTERED = 39, b"\x05"  # of units the kind, and of what these hold
Packet = Any


def read_piece(path: str, unsure: Unsure | None, joints: Sequence[float] = ()) -> PieceContent:
    """Reads every packet of a file with pictures alone, as far as it can be read; to go on with one that is `unsure` at
    its end, finds where it is cut and decodes what stands before. What there is of pictures is told apart by `joints`,
    in seconds after the first is shown. Raises ProbeError when nothing of it can be read.

    H.264 and HEVC of one size are cut anywhere. A ladder is cut where all sizes have a key frame, since its segments
    begin with one. So are AV1 and VP9, whose encoders count from one key frame to the next: what follows comes to what
    it would have come to undisturbed. Where that would cost too much, they are cut where their hierarchy of pictures,
    or of quantisers, begins anew.
    """
    with opened(MediaFile(path)) as container:
        if not container.streams.video and container.start_time is not None:
            return PieceContent(begins=container.start_time / av.time_base, pictures=())
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
            parts=tuple(zip(*(track.parts(joints) for track in found), strict=True)) if joints else (),
            headers=_headers(container.streams.video),
            cut=_last_cut(found, unsure) if unsure else None,
        )


def _headers(tracks: Iterable[Pictures]) -> str:
    codecs = [track.codec_context for track in tracks]
    told = [one for codec in codecs for one in (b"", *_told(codec.extradata or b"", codec.name))]
    return hashlib.sha256(b"".join(len(one).to_bytes(4, "big") + one for one in told)).hexdigest()


def _told(header: bytes, codec: str) -> Iterable[bytes]:
    """What decoders must know. In that of HEVC x265 tells of itself, too, and of its threads, which may be others."""
    if codec != "hevc" or header[:1] != b"\x01":
        yield header
        return
    yield header[:ARRAYS]
    at = ARRAYS + 1
    for _ in range(int.from_bytes(header[ARRAYS:at])):
        kind, count = int.from_bytes(header[at : at + 1]) & 0x3F, int.from_bytes(header[at + 1 : at + 3])
        at += 3
        for _ in range(count):
            end = at + 2 + int.from_bytes(header[at : at + 2])
            unit, at = header[at + 2 : end], end
            if kind != SEI or unit[2:3] != UNREGISTERED:
                yield unit
            if at >= len(header):
                return


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
        self.groups = deque[_Group]()

    def take(self, packet: Packet) -> None:
        if packet.is_keyframe or not self.groups:
            self.groups.append(_Group(len(self.shown), []))
            while len(self.groups) > GROUPS and len(self.shown) - self.groups[1].earlier >= KEPT:
                self.groups.popleft()
        self.groups[-1].packets.append(packet)
        self.shown.append(packet.pts)

    @property
    def codec(self) -> str:
        return str(self.groups[-1].packets[-1].stream.codec_context.codec.canonical_name)

    @property
    def begins(self) -> Fraction:
        return min(self.shown) * self.unit

    def parts(self, joints: Sequence[float]) -> Iterator[int]:
        """How many pictures there are before each joint and behind the last."""
        shown, begins = sorted(self.shown), self.begins
        places = [bisect_left(shown, (begins + Fraction(joint - ROUNDED)) / self.unit) for joint in joints]
        return map(sub, [*places, len(shown)], [0, *places])

    def cuts(self, every: int | None, unsure: Unsure) -> dict[_Place, int]:
        """How many pictures come before each place at which all that is decoded before is shown before, too, and is
        sure, of those that lie a multiple of so many pictures behind a key frame; None: only of key frames.
        """
        kept = [packet for group in self.groups for packet in group.packets]
        earlier, last = len(self.shown) - len(kept), kept[-1]
        start = max(self.shown[:earlier], default=kept[0].pts)
        before = list(accumulate((packet.pts for packet in kept), max, initial=start))
        after = list(accumulate((packet.pts for packet in reversed(kept)), min))[::-1]
        sure = min(last.dts, self._sure(unsure))
        behind = [number for group in self.groups for number in range(len(group.packets))]
        return {
            _Place(self.begins, after[number] * self.unit, packet.dts * self.unit): earlier + number
            for number, packet in enumerate(kept)
            if earlier + number
            and before[number] < after[number] <= sure
            and (packet.is_keyframe if every is None else not behind[number] % every)
        }

    def _sure(self, unsure: Unsure) -> float:
        """What is shown before that is all there."""
        ends = sorted(packet.pts for group in self.groups for packet in group.packets)
        by_time = float(ends[-1]) - unsure.seconds / float(self.unit)
        return min(by_time, float(ends[-min(len(ends), unsure.pictures)]))

    def given_up(self, shown: Fraction) -> Fraction:
        """How many seconds of what is there are given up by a cut before what is shown then."""
        last: int = self.groups[-1].packets[-1].dts
        return last * self.unit - shown

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


def _last_place(tracks: Sequence[_Track], unsure: Unsure) -> tuple[_Place, tuple[int, ...]] | None:
    """Where a film is best cut, and how many pictures of each size come before; None: it is best begun anew."""
    first, found = tracks[0], None
    for every in _PLACES.get(first.codec, (None,)) if len(tracks) == 1 else (None,):
        found = _last_common([track.cuts(every, unsure) for track in tracks]) or found
        if first.given_up(found[0].shown if found else first.begins) <= MOST_REPEATED:
            break
    return found


def _last_common(cuts: Sequence[dict[_Place, int]]) -> tuple[_Place, tuple[int, ...]] | None:
    common = [place for place in cuts[0] if all(place in others for others in cuts)]
    return (max(common), tuple(some[max(common)] for some in cuts)) if common else None


def _last_cut(tracks: Sequence[_Track], unsure: Unsure) -> Cut | None:
    found = _last_place(tracks, unsure)
    if not found:
        return None
    (begins, shown, decoded), pictures = found
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
