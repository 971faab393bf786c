"""How long a file and its streams last: what the header says, what the data holds, and which of them to believe."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from msgspec.structs import replace

from daemon.models import AudioStream, Media, VideoStream

if TYPE_CHECKING:  # the daemon compares durations, and need not load FFmpeg's libraries for that
    from av.container import InputContainer
    from av.stream import Stream

TICK = 1_000_000  # of a container's own duration, in a second (AV_TIME_BASE)
DAY = 86400.0
LEAST_BITS_PER_SECOND = 2000  # below which a duration of more than a day is a damaged header

Timed = VideoStream | AudioStream
LEAST_GAP = 0.1  # seconds between two packets that are more than a clock's rounding


class Span(NamedTuple):
    """Seconds at which a stream begins and ends, and how many it leaves out between."""

    begin: float
    end: float
    gaps: float = 0.0


Spans = dict[int, Span]  # by a stream's index


def timed(media: Media) -> list[Timed]:
    """The streams whose times count."""
    return [*([media.video] if media.video else []), *media.audio]


def close(one: float, other: float) -> bool:
    """Whether two durations are the same for all that matters: within 0.5 s or 1 %."""
    return abs(one - other) <= max(0.5, 0.01 * other)


# What the header says


def whole(container: InputContainer, streams: Sequence[Timed]) -> float | None:
    """What the file says, None if nothing or nonsense. A stream we do not use (subtitles, data) does not count."""
    ends = [stream.start_seconds + length for stream in streams if (length := stream.duration_seconds) is not None]
    seconds = max(ends) if streams and len(ends) == len(streams) else (container.duration or 0) / TICK
    return seconds if _plausible(seconds, container.size) else None


def _plausible(seconds: float, size: int) -> bool:
    return seconds > 0 and (seconds <= DAY or size * 8 / seconds >= LEAST_BITS_PER_SECOND)


def begin(stream: Stream) -> float:
    return float((stream.start_time or 0) * (stream.time_base or 0))


def of_stream(stream: Stream) -> float | None:
    """Seconds the stream lasts, where the file says it."""
    seconds = float((stream.duration or 0) * (stream.time_base or 0)) or _tagged(stream)
    return seconds if 0 < seconds <= DAY else None


def _tagged(stream: Stream) -> float:
    """Seconds by Matroska's DURATION tag: FFmpeg's counts from 0, mkvmerge's (DURATION-eng) from the first frame."""
    tags = stream.metadata
    if "DURATION" in tags and "_STATISTICS_WRITING_APP" not in tags:
        return _clock(tags["DURATION"]) - begin(stream)
    return next((_clock(value) for name, value in tags.items() if name.startswith("DURATION")), 0.0)


def _clock(tag: str) -> float:
    """Seconds of a text such as 00:00:03.041000000; 0.0 if it is none."""
    found = re.fullmatch(r"(\d\d):(\d\d):(\d\d(?:\.\d+)?)", tag.strip("\0 "))
    if found is None:
        return 0.0
    hours, minutes, seconds = map(float, found.groups())
    return hours * 3600 + minutes * 60 + seconds


# What the data holds


def spans(container: InputContainer, indices: Sequence[int], patience: float) -> Spans | None:
    """When each stream begins and ends by its packets. None when reading them took more than `patience` seconds."""
    deadline = time.monotonic() + patience
    found: dict[int, list[float]] = {}
    for index, begins, ends in _packets(container, indices):
        so_far = found.setdefault(index, [begins, begins, 0.0])
        gap = begins - so_far[1]
        if gap > LEAST_GAP:
            so_far[2] += gap
        so_far[:2] = min(so_far[0], begins), max(so_far[1], ends)
        if time.monotonic() > deadline:
            return None
    return {index: Span(*so_far) for index, so_far in found.items()}


def _packets(container: InputContainer, indices: Sequence[int]) -> Iterator[tuple[int, float, float]]:
    """Stream, begin and end, in seconds, of every packet; a raw stream's have no times, and follow one another."""
    streams = [container.streams[index] for index in indices]
    followed = dict.fromkeys(indices, 0.0)
    ticks = {stream.index: float(stream.time_base or 0) for stream in streams}  # fractions take most of the time
    usual = {stream.index: _frame_seconds(stream) for stream in streams}
    for packet in container.demux(streams):
        if packet.size and not packet.is_discard:
            index = packet.stream_index
            stamp = packet.pts if packet.pts is not None else packet.dts
            begins = followed[index] if stamp is None else stamp * ticks[index]
            followed[index] = begins + ((packet.duration or 0) * ticks[index] or usual[index])
            yield index, begins, followed[index]


def _frame_seconds(stream: Any) -> float:
    return float(1 / stream.average_rate) if stream.type == "video" and stream.average_rate else 0.0


def measured(media: Media, found: Spans | None) -> Media:
    """The same with its durations as the data has them: None where it was not read, 0.0 where there is none."""
    if found is None:
        return _with_durations(media, None, {})
    first = min((span.begin for span in found.values()), default=0.0)
    last = max((span.end for span in found.values()), default=0.0)
    return _with_durations(media, max(0.0, last - first), found)


def gapped(media: Media, found: Spans | None) -> Media:
    """The same, with the gaps of its sound told."""
    spans = found or {}
    heard = (replace(s, gap_seconds=spans[s.index].gaps if s.index in spans else 0.0) for s in media.audio)
    return replace(media, audio=tuple(heard))


def _with_durations(media: Media, seconds: float | None, found: Spans) -> Media:
    def timed_anew(stream: Any) -> Any:
        span = found.get(stream.index, Span(0.0, 0.0))
        return replace(stream, duration_seconds=span.end - span.begin or None)

    return replace(
        media,
        duration_seconds=seconds,
        video=timed_anew(media.video) if media.video else None,
        audio=tuple(timed_anew(stream) for stream in media.audio),
    )


# Whether the end is missing


def cut_off(path: str) -> bool | None:
    """Whether the file ends before its own structure does; None where the format does not tell."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        head = file.read(12)
        if head[4:8] in {b"ftyp", b"moov", b"wide", b"free", b"skip", b"mdat"}:
            return _boxes_end(file, size) > size
        if head[:4] == b"RIFF":
            return 8 + int(struct.unpack("<I", head[4:8])[0]) > size + 1
        if head[:4] == b"\x1aE\xdf\xa3":
            return _segment_end(file, size) > size
    return None


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Where the last box of an MP4 file ends."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        length, _ = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
        end = size if length == 0 else end + max(8, length)
    return end


def _segment_end(file: BinaryIO, size: int) -> int:
    """Where the first segment of a Matroska file says it ends; `size` when it says nothing."""
    file.seek(4)
    header = _vint(file)
    file.seek(0 if header is None else header, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return size
    length = _vint(file)
    return size if length is None else file.tell() + length


def _vint(file: BinaryIO) -> int | None:
    """EBML's number of variable length; None when it stands for "unknown"."""
    first = file.read(1)
    if not first or first == b"\0":
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + file.read(extra), "big")
    return None if value == (1 << (7 * (extra + 1))) - 1 else value
