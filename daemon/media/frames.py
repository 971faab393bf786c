"""Tells of a stream what its frames show: how they are turned, scanned, coloured and spaced."""

from __future__ import annotations

import math
import re
import struct
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as Pictures

from daemon.media import demux
from daemon.media.allowlist import DISCONTINUOUS, FORWARD_JUMP
from daemon.media.durations import JITTER, LEAST_JITTER
from daemon.media.h264_sps import frames_only
from daemon.media.plausible import MOST_FRAMES_PER_SECOND
from daemon.media.shapes import Shapes, is_layered

MAX_PACKETS_BEFORE_A_PICTURE = 1000
LOOKED_AT = 12  # frames, where the first does not settle how the stream is scanned
CAPTIONING = {"h264", "hevc", "mpeg2video"}  # whose frames may carry captions
CAPTIONED = b"GA94"  # what those begin with
LAYERED = 3  # packets that are looked at for layers
TIMED = 240  # packets at most whose distance is looked at
MOST_REORDERED = 17  # pictures, until one is shown that has the time of its packet
RATE_SHARE = 0.1  # by which what is said of a rate may be off
PATIENCE = 2.0  # seconds for all of this, beyond the first frame
HIDING = {"vp8", "vp9", "libvpx", "libvpx-vp9"}  # codecs whose packets may hold what is never shown
NEARLY = 0.5  # degrees, within which FFmpeg takes a turn for that of a quarter
PACKED = re.compile(rb"\x00\x00\x01\xb2DivX\d+(?:b|Build)\d+p")  # how DivX says that packets hold two pictures or none
TICK = 0.0015  # seconds: one of Matroska's clock

# Codecs that can hold fields; a stream of another is progressive.
INTERLACING = {"h264", "hevc", "mpeg2video", "mpeg4", "vc1", "wmv3", "dvvideo", "prores", "dnxhd", "mjpeg", "ffv1"}
FIELD_ORDERS = {1: "progressive", 2: "tff", 3: "bff", 4: "tff", 5: "bff"}  # of AVFieldOrder, by what is shown first


MOST_UNLIKE = 0.05  # of shape, between a picture that holds fewer pixels and what it is shown as


class Impression(NamedTuple):
    """An impression is the first frame, and what it and those after it show. `rate` is None where too few have a time.

    `late` is by how many seconds a packet is to be decoded after what is in it is to be shown: no more than 0.0 but
    where the file errs. It begins at that second of the file's own time, where that is told; before it is, so many
    pictures are `unstamped`. `timed`: any packet that was read has a time. `layered`: some hold more than decoders
    show. `shapes` is what is told of their size, and `size` that of the first, in pixels, before it is turned.
    """

    frame: VideoFrame
    size: tuple[int, int]
    interlaced: bool
    rate: float | None
    variable: bool
    late: float
    captions: bool
    begin: float | None
    unstamped: int
    timed: bool
    layered: bool
    shapes: Shapes


def impression(container: InputContainer, stream: Pictures) -> Impression | None:
    """Returns what the stream shows at its beginning; None when none of its pictures can be decoded."""
    stream.thread_count = 1
    stream.codec_context.flags |= Flags.unaligned  # as ffmpeg has it, which leaves out edges to the pixel
    deadline, told = time.monotonic() + PATIENCE, (stream.width, stream.height)
    tick = float(stream.time_base or 0)
    stamps: list[float] = []
    frames: list[VideoFrame] = []
    read_to = -math.inf  # no picture before this is still to come
    late = 0.0
    captions = timed = layered = False
    shapes = Shapes(stream)
    first: Any = None
    for count, packet in enumerate(demux.packets(container, stream)):
        first = first or packet
        shapes.take(packet)
        layered = layered or (count < LAYERED and is_layered(stream, packet))
        timed = timed or packet.pts is not None
        if packet.pts is not None and tick:
            stamps.append(packet.pts * tick)
            if packet.dts is not None:
                read_to = packet.dts * tick
                late = max(late, (packet.dts - packet.pts) * tick)
        captions = captions or _is_captioned(stream, packet)
        if len(frames) < _enough(stream, frames):
            alone = count == 1 and not frames and not _leads(packet, first) and not _may_hold_fields(stream)
            frames += (alone and _forced(first)) or _decoded(packet)
        if count > MAX_PACKETS_BEFORE_A_PICTURE or (frames and _settled(stream, frames, stamps, deadline)):
            stamps = [stamp for stamp in stamps if stamp <= read_to]
            break
    if not frames:
        return None
    if stream.codec_context.name in HIDING:
        stamps = _shown(stamps)
    rate, variable = _spacing(stamps, FORWARD_JUMP if container.format.name in DISCONTINUOUS else math.inf)
    captions = captions or any("A53_CC" in frame.side_data for frame in frames)
    begin, unstamped = _begin(frames, tick, rate or float(stream.average_rate or 0))
    size, fields = _size(stream, frames[0], told), _interlaced(frames)
    return Impression(frames[0], size, fields, rate, variable, late, captions, begin, unstamped, timed, layered, shapes)


def _size(stream: Pictures, frame: VideoFrame, told: tuple[int, int]) -> tuple[int, int]:
    """Its own, or what its container tells: each picture of AV1 may hold fewer pixels than it is shown with."""
    coded = frame.width, frame.height
    alike = abs(told[0] * coded[1] / (told[1] * coded[0]) - 1) < MOST_UNLIKE
    return told if stream.codec_context.codec.canonical_name == "av1" and alike and told > coded else coded


def _leads(packet: Any, first: Any) -> bool:
    """Whether a picture may be shown before the first one in the file, as those that lead a key frame are."""
    return first.pts is None or (packet.pts is not None and packet.pts < first.pts)


def _begin(frames: Sequence[VideoFrame], tick: float, rate: float) -> tuple[float | None, int]:
    """When the first is shown, in the file's time, and of how many before the first that has a time nothing tells it:
    Matroska may say times below zero, which FFmpeg does not believe."""
    stamped = next(((number, frame.pts) for number, frame in enumerate(frames) if frame.pts is not None), None)
    if stamped is None or (stamped[0] and not rate):
        return None, 0
    number, ticks = stamped
    return ticks * tick - (number / rate if number else 0.0), number


def look_later(container: InputContainer, stream: Pictures, seconds: float, shapes: Shapes) -> tuple[bool, bool]:
    """Tells of some frames from there on whether any is made of fields, and whether any carries captions; gathers what
    is told of their `shapes`."""
    fields = _may_hold_fields(stream)
    if not (fields or shapes.told or stream.codec_context.name in CAPTIONING):
        return False, False
    try:
        container.seek((container.start_time or 0) + int(seconds * av.time_base))
    except av.FFmpegError:  # a stream without an index
        return False, False
    frames: list[VideoFrame] = []
    captions = False
    for count, packet in enumerate(demux.packets(container, stream)):
        shapes.take(packet)
        captions = captions or _is_captioned(stream, packet)
        if fields and len(frames) < LOOKED_AT and count <= 2 * LOOKED_AT:
            frames += _decoded(packet)
        if count > 2 * LOOKED_AT and (captions or count > TIMED):
            break
    return _interlaced(frames), captions


def _is_captioned(stream: Pictures, packet: Any) -> bool:
    """Whether it carries captions as ATSC has them, found without a decoder."""
    return stream.codec_context.name in CAPTIONING and CAPTIONED in bytes(packet)


def _enough(stream: Pictures, frames: Sequence[VideoFrame]) -> int:
    if frames and frames[-1].pts is None:
        return MOST_REORDERED
    return LOOKED_AT if _may_hold_fields(stream) and not _interlaced(frames) else 1


def _may_hold_fields(stream: Pictures) -> bool:
    codec = stream.codec_context
    return codec.name in INTERLACING and not (codec.name == "h264" and frames_only(codec.extradata))


def _interlaced(frames: Sequence[VideoFrame]) -> bool:
    return any(frame.interlaced_frame for frame in frames)


def _settled(stream: Pictures, frames: Sequence[VideoFrame], stamps: Sequence[float], deadline: float) -> bool:
    seen = len(frames) >= _enough(stream, frames) and len(stamps) >= TIMED
    return seen or time.monotonic() > deadline


def _decoded(packet: Any) -> list[VideoFrame]:
    try:
        return list(packet.decode())
    except MemoryError:
        raise
    except av.FFmpegError:  # each decoder has its own for that
        return []  # damaged pictures before the first good one


def _forced(packet: Any) -> list[VideoFrame]:
    """The picture of a packet that was given to its decoder, which need not see those after it to put them in order.

    Where nothing comes of it, the decoder is as before.
    """
    decoder = packet.stream.codec_context
    try:
        found = list(decoder.decode(None)) if packet.is_keyframe else []
    except av.error.InvalidDataError:
        found = []
    if packet.is_keyframe and not found:
        decoder.flush_buffers()
        _decoded(packet)
    return found


def _shown(stamps: Sequence[float]) -> list[float]:
    """Leaves out times of pictures that are only there for others to refer to: a tick before the next that is shown."""
    ordered = sorted(set(stamps))
    return [before for before, after in pairwise(ordered) if after - before > TICK] + ordered[-1:]


def _spacing(stamps: Sequence[float], jump: float) -> tuple[float | None, bool]:
    """Frames per second, and whether their distance varies by more than a clock's rounding; a `jump` is none."""
    gaps = sorted(gap for before, after in pairwise(sorted(set(stamps))) if (gap := after - before) <= jump)
    if len(gaps) < 2:
        return None, False
    usual = gaps[len(gaps) // 2]
    tolerance = max(LEAST_JITTER, usual * JITTER)
    variable = any(abs(gap - usual) > tolerance for gap in (gaps[len(gaps) // 50], gaps[-1 - len(gaps) // 50]))
    return len(gaps) / sum(gaps), variable


# What the stream says, and how far that is to be believed


def counted(stream: Pictures, seen: Impression) -> bool:
    """Tells whether all that is known of its pictures' times is that they follow each other: of AVI with what that was
    not made for, pictures in another order than they are shown in or two of them in a packet, and of a program stream
    without any times."""
    codec, container = stream.codec_context, stream.container.format.name
    reordered = bool(codec.has_b_frames) and codec.name in {"h264", "hevc"}
    packed = codec.name == "mpeg4" and PACKED.search(codec.extradata or b"") is not None
    return ((reordered or packed) and container == "avi") or (not seen.timed and container == "mpeg")


def rate(stream: Pictures, seen: Impression) -> float | None:
    """Returns what the file says, unless its frames come at quite another rate."""
    said = float(stream.average_rate or 0)
    even = not seen.variable or not seen.rate / 2 < said < seen.rate * 2 if seen.rate else False
    if seen.rate and even and misstated(stream, seen) and seen.rate <= MOST_FRAMES_PER_SECOND:
        return seen.rate
    return said if 0 < said <= MOST_FRAMES_PER_SECOND else None


def misstated(stream: Pictures, seen: Impression) -> bool:
    """Tells whether the file says another rate than its frames have: what is copied of it will, too, and muxers take
    the length of the last frame from it."""
    said, apart = float(stream.average_rate or 0), seen.rate or 0.0
    alike = (1, 2) if seen.interlaced else (1,)  # packets to a picture: each of two fields may have one of its own
    return apart > 0 and not any(apart * (1 - RATE_SHARE) < said * each < apart * (1 + RATE_SHARE) for each in alike)


def field_order(stream: Pictures, seen: Impression) -> str | None:
    said = FIELD_ORDERS.get(int(stream.codec_context.field_order))
    if not seen.interlaced:
        return "progressive"
    return said if said != "progressive" else None


# What one frame says


def dolby_vision(frame: VideoFrame) -> bool:
    return "DOVI_METADATA" in frame.side_data


def spherical(frame: VideoFrame) -> bool:
    """Tells whether it is marked as one of a 360° film."""
    return "SPHERICAL" in frame.side_data


def stereo(frame: VideoFrame) -> bool:
    """Tells whether it says how it holds what each eye sees."""
    return "STEREO3D" in frame.side_data


def told_twice(frame: VideoFrame) -> bool:
    """Tells whether it says so, or how it is to be turned, in another way than its container, or once more."""
    held: Any = list(frame.side_data)
    told = [one.type.name for one in held if one.type.name in {"DISPLAYMATRIX", "STEREO3D"}]
    return len(told) > len(set(told))


def mirrored(frame: VideoFrame) -> bool:
    """Tells whether the display matrix flips the picture besides turning it."""
    a, b, c, d = _matrix(frame)
    return a * d - b * c < 0


def turn(frame: VideoFrame) -> tuple[int, float]:
    """Returns the degrees clockwise a player turns the picture, as a quarter turn (0, 90, 180 or 270) or else as what
    is none; a mirrored one was flipped upside down before."""
    a, b, *_ = _matrix(frame)
    degrees = math.degrees(math.atan2(b, a)) % 360
    quarter = round(degrees / 90) * 90
    return (quarter % 360, 0.0) if abs(degrees - quarter) < NEARLY else (0, degrees)


def _matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Where the display matrix has what lies beside a point, and what lies below it."""
    held: Any = list(frame.side_data)
    told = next((one for one in held if one.type.name == "DISPLAYMATRIX"), None)  # its container's
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(told)[:36]) if told is not None else (1, 0, 0, 0, 1)
    return (a, b, c, d) if (a, b) != (0, 0) else (1, 0, 0, 1)


def displayed(width: int, height: int, stretch: float, turned: tuple[int, float]) -> tuple[int, int]:
    """Returns the size in square pixels of a picture that is turned so: all of it is to be seen."""
    squared, (rotation, tilt) = max(1, round(width * stretch)), turned
    if tilt:
        across, down = abs(math.cos(math.radians(tilt))), abs(math.sin(math.radians(tilt)))
        sides = squared * across + height * down, squared * down + height * across
        return math.ceil(sides[0] / 2) * 2, math.ceil(sides[1] / 2) * 2
    return (height, squared) if rotation in {90, 270} else (squared, height)


def _nameless(kinds: type, number: int) -> Any:
    member: Any = object.__new__(kinds)
    member._name_, member._value_ = str(number), number
    return member


# A single type that the library has no name for, such as a photograph's EXIF, would have it refuse all of a frame's.
Type._missing_ = classmethod(_nameless)  # type: ignore[method-assign, assignment]
