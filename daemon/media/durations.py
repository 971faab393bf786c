"""Tells how long a file and its streams last: what the header says, what the data holds, and which to believe."""

from __future__ import annotations

import math
import re
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from daemon.errors import ProbeError
from daemon.media import colours, demux
from daemon.media.allowlist import DISCONTINUOUS, FORWARD_JUMP
from daemon.media.jumps import Jumps
from daemon.media.model import AudioStream, Media, VideoStream
from daemon.media.shapes import Shapes

if TYPE_CHECKING:  # the daemon compares durations, and need not load FFmpeg's libraries for that
    from av.container import InputContainer
    from av.stream import Stream

TICK = 1_000_000  # of a container's own duration, in a second (AV_TIME_BASE)
DAY = 86400.0
HEADER = 64 * 1024  # bytes in which an AVI or a WAV tells of itself
UNKNOWN = 0x7FFFF000  # bytes, from which on a WAV file's length stands for one that nobody knows
CLOCKED = {"asf"}  # whose header tells of the whole when it ends, by a clock that may have begun before it
BARE = {"h264", "hevc"}  # whose pictures have the rate that the stream tells, and FFmpeg tells another
WRAPPED = 2**32
LEAST_BITS_PER_SECOND = 2000  # below which a duration of more than a day is a damaged header

Timed = VideoStream | AudioStream
# What a packet of such sound holds at most, however long a file says that it lasts: until the next, after a pause.
IN_FRAMES, MOST_SAMPLES = {"aac", "mp3", "mp2", "ac3", "eac3", "opus"}, 5760
LEAST_LATE = 0.5  # seconds by which a track begins later than it seems, and not by what its encoder puts before
JITTER, LEAST_JITTER = 0.25, 0.002  # of the usual distance of frames, or seconds: below it, a clock that rounds
LEAST_EVEN = 3  # distances of pictures, by which one knows their rate
LEAST_SLOW = 0.0009  # seconds, below which Matroska's clock could not tell pictures apart
LEAST_PAUSE, MANY = 0.5, 5  # seconds without a picture, and times what is usual, that are no rate any more
LEAST_GAP = 0.1  # seconds between two packets that are more than a clock's rounding
OFF, LEAST_OFF, OFF_SHARE = 0.5, 0.28, 0.2  # seconds that lengths may be off, as MP3's at 8 kHz; of short ones a share
LEAST_RESTART = 1.0  # seconds back that no muxer's order of packets explains


class ClockRestarted(ProbeError):
    """Says that the times of a file begin anew in the middle, in a format in which they go on."""

    def __init__(self) -> None:
        super().__init__(
            "its time begins anew in the middle, as of several recordings put end to end: take them apart, or join "
            "them with a program that makes one clock of theirs"
        )


class Span(NamedTuple):
    """A span is when a stream begins and ends, what it leaves out between, and what it holds but hides, in seconds.

    Of a picture, `pauses` are those between two that are far longer than usual, `pictures` how many are shown, and
    `fleeting` those that follow the one before at once; it is `reshaped` where they change their size, `in_band` where
    they change how they are coded, `regraded` where their numbers mean something else, and `lacking_alpha` is whether
    "some" or "all" have no transparency beside them. Where they come evenly, so many in a second are its `rate`, and
    the last is `held` for so much longer. The `longest` pause is one of any track while another went on, that seems to
    be a jump of the clock; `back` is by how little that went back at least, and `jump` what is taken for one, in
    FFmpeg, too.
    """

    begin: float
    end: float
    gaps: float = 0.0
    hidden: float = 0.0
    pauses: float = 0.0
    pictures: int = 0
    fleeting: int = 0
    longest: float = 0.0
    reshaped: bool = False
    in_band: bool = False
    regraded: str | None = None
    lacking_alpha: str | None = None
    rate: float | None = None
    held: float = 0.0
    back: float = math.inf
    jump: float = 0.0


Spans = dict[int, Span]  # by a stream's index


def timed(media: Media) -> list[Timed]:
    """Returns the streams whose times count."""
    return [*([media.video] if media.video else []), *media.audio]


def close(one: float, other: float) -> bool:
    """Tells whether two durations are the same for all that matters: within 0.5 s, which is less of what is short, or
    1 % of the `other`."""
    return abs(one - other) <= max(min(OFF, max(LEAST_OFF, other * OFF_SHARE)), 0.01 * other)


# What the header says


def whole(container: InputContainer, streams: Sequence[Timed]) -> float | None:
    """Returns the seconds the file says it lasts; None if nothing or nonsense. Subtitles and data do not count."""
    ends = [stream.start_seconds + length for stream in streams if (length := stream.duration_seconds) is not None]
    seconds = max(ends) if streams and len(ends) == len(streams) else (container.duration or 0) / TICK
    return seconds if _plausible(seconds, container.size) else None


def _plausible(seconds: float, size: int) -> bool:
    return seconds > 0 and (seconds <= DAY or size * 8 / seconds >= LEAST_BITS_PER_SECOND)


def begin(stream: Stream) -> float:
    return float((stream.start_time or 0) * (stream.time_base or 0))


def of_stream(stream: Stream) -> float | None:
    """Returns the seconds the stream lasts, or None where the file does not say it."""
    seconds = _tagged(stream) if _tells_by_tags(stream) else float((stream.duration or 0) * (stream.time_base or 0))
    if stream.container.format.name in CLOCKED:
        seconds -= begin(stream)
    return seconds if 0 < seconds <= DAY else None


def _tells_by_tags(stream: Stream) -> bool:
    """Whether its container has no field for it: FFmpeg then gives the whole file's length for the stream's."""
    return bool(stream.container.format.name.startswith("matroska"))


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


def spans(container: InputContainer, media: Media, patience: float, forward: float = FORWARD_JUMP) -> Spans | None:
    """Returns when each stream begins and ends by its packets; None when reading took more than `patience` seconds, or
    where not all that goes `forward` by more is a jump of the clock.

    A picture begins with the first that can be decoded: a recording may start in the middle of one.
    """
    deadline = time.monotonic() + patience
    longest = {stream.index: MOST_SAMPLES / stream.sample_rate for stream in media.audio if stream.codec in IN_FRAMES}
    read: dict[int, list[float]] = {}
    hidden: dict[int, float] = {}
    times, last = list[float](), (-math.inf, -math.inf)
    shown = media.video.index if media.video else None
    jumps = Jumps(forward) if container.format.name in DISCONTINUOUS else None
    shapes = Shapes(container.streams[shown]) if shown is not None else None
    for index, begins, ends in _packets(container, [stream.index for stream in timed(media)], hidden, jumps, shapes):
        so_far = read.setdefault(index, [begins, begins, 0.0, begins])
        gap = begins - min(so_far[1], so_far[3] + longest.get(index, math.inf))
        if gap > LEAST_GAP:
            so_far[2] += gap
        so_far[:] = min(so_far[0], begins), max(so_far[1], ends), so_far[2], begins
        if index == shown:
            times.append(begins)
            last = max(last, (begins, ends))
        if time.monotonic() > deadline:
            return None
    found = {index: Span(one[0], one[1], one[2], hidden.get(index, 0.0)) for index, one in read.items()}
    if jumps and forward < FORWARD_JUMP and not jumps.certain:
        return None
    if jumps:
        paused, back, jump = jumps.longest_pause, jumps.least_back, forward % FORWARD_JUMP
        found = {index: span._replace(longest=paused, back=back, jump=jump) for index, span in found.items()}
    if media.video and shapes and media.video.index in found:
        span = _shown(container, media, media.video, found[media.video.index], times, last)
        told = colours.changing(media.video.colour, shapes.colours)
        span = span._replace(reshaped=shapes.changing, in_band=shapes.retold, regraded=told)
        found[media.video.index] = span._replace(lacking_alpha=shapes.lacking_alpha)
    return found


def _shown(
    container: InputContainer,
    media: Media,
    picture: VideoStream,
    span: Span,
    times: Sequence[float],
    last: tuple[float, float],
) -> Span:
    """The span of a picture whose packets are shown at these times, the `last` of them from when until when."""
    begin = (container.start_time or 0) / TICK + media.lead_seconds + picture.start_seconds
    end = _last_end(container, picture, *last)
    first = max(begin if picture.unstamped else span.begin, min(begin, end))
    shown = sorted(time for time in times if time >= first - LEAST_JITTER)
    apart = [after - before for before, after in pairwise(shown)]
    rate, pauses = _pace(apart)
    usual = rate or picture.frame_rate
    stays = end - shown[-1] if rate else 0.0
    held = stays - 1 / rate if rate and stays > max(LEAST_PAUSE, MANY / rate) else 0.0
    # Pictures come in the order they are decoded in, so that only their number tells how many are missing.
    missing = end - held - span.begin - len(times) / usual if usual else 0.0
    return span._replace(
        begin=first,
        end=end,
        rate=rate,
        held=held,
        gaps=max(0.0, missing),
        pauses=pauses,
        pictures=len(shown),
        fleeting=_fleeting(apart),
    )


def _fleeting(apart: Sequence[float]) -> int:
    """How many, so far `apart`, follow the one before at once; none where a camera for slow motion took all of them."""
    at_once = [length for length in apart if length <= LEAST_JITTER]
    slow = len(at_once) == len(apart) >= LEAST_EVEN and min(at_once) >= LEAST_SLOW
    return 0 if slow else len(at_once)


def _pace(apart: Sequence[float]) -> tuple[float | None, float]:
    """How many frames, so far `apart`, come in a second, and the seconds of pauses but for which they come evenly; None
    where they do not."""
    between = sorted(length for length in apart if length > LEAST_JITTER)  # others are never shown
    usual = between[len(between) // 2] if between else 0.0
    least = max(LEAST_PAUSE, MANY * usual)
    even = [length for length in between if length < least]
    ends = (even[len(even) // 50], even[-1 - len(even) // 50]) if even else ()
    if any(abs(length - usual) > max(LEAST_JITTER, usual * JITTER) for length in ends):
        return None, 0.0
    return len(even) / sum(even) if len(even) >= LEAST_EVEN else None, sum(between[len(even) :])


def _last_end(container: InputContainer, picture: VideoStream, begins: float, ends: float) -> float:
    """When the picture ends that is shown last, by what its packet tells.

    Of a stream that is not decoded in that order may a packet tell how much later the next is decoded: after a pause,
    for one. It then counts until its track ends, or, where that is not told, for as long as most pictures last.
    """
    stream = container.streams[picture.index]
    end, usual = begin(stream) + (of_stream(stream) or 0.0), _frame_seconds(stream)
    if not picture.reordered or not (end > begins or usual):
        return ends
    return min(ends, end if end > begins + LEAST_JITTER else begins + usual)


def _packets(
    container: InputContainer,
    indices: Sequence[int],
    hidden: dict[int, float],
    jumps: Jumps | None,
    shapes: Shapes | None,
) -> Iterator[tuple[int, float, float]]:
    """Stream, begin and end, in seconds, of every packet; a raw stream's have no times, and follow one another.

    Raises ClockRestarted where an encoder would lose what follows.

    Those that are not to be shown add to what is `hidden` of their stream instead. Times of a broadcast that jump go
    on as if they did not, as the encoder has them.
    """
    streams = [container.streams[index] for index in indices]
    followed = dict.fromkeys(indices, (container.start_time or 0) / TICK)
    ticks = {stream.index: float(stream.time_base or 0) for stream in streams}  # fractions take most of the time
    usual = {stream.index: _frame_seconds(stream) for stream in streams}
    latest = dict.fromkeys(indices, -math.inf)
    for packet in demux.packets(container, streams):
        if not packet.size:  # the end, which is told of streams nobody asked for, too
            continue
        index = packet.stream_index
        if shapes and index == shapes.index:
            shapes.take(packet)
        lasts = _signed(packet.duration or 0) * ticks[index] or usual[index]
        if packet.is_discard:
            hidden[index] = hidden.get(index, 0.0) + lasts
        else:
            stamp = packet.pts if packet.pts is not None else packet.dts
            begins = followed[index] if stamp is None else stamp * ticks[index]
            if packet.dts is not None:
                decoded = packet.dts * ticks[index]
                if jumps:
                    begins -= jumps.seconds_before(index, decoded, lasts)
                elif decoded < latest[index] - LEAST_RESTART:
                    raise ClockRestarted()
                latest[index] = max(latest[index], decoded)
            followed[index] = begins + lasts
            yield index, begins, followed[index]


def _signed(ticks: int) -> int:
    """Ticks of a packet; of sound that ends before its last packet does FFmpeg tells them as 32 bits without a sign."""
    return ticks - WRAPPED if WRAPPED // 2 <= ticks < WRAPPED else ticks


def _frame_seconds(stream: Any) -> float:
    return float(1 / stream.average_rate) if stream.type == "video" and stream.average_rate else 0.0


def measured(media: Media, found: Spans | None) -> Media:
    """Returns the media with durations as the data has them: None where it was not read, 0.0 where there is none."""
    there = found or {}
    first = min((span.begin for span in there.values()), default=0.0)
    last = max((span.end for span in there.values()), default=0.0)
    return _with_durations(media, None if found is None else max(0.0, last - first), there)


def gapped(media: Media, found: Spans | None) -> Media:
    """Returns the media with what it leaves out and hides, and with sound that begins when it does; a picture with gaps
    has no constant frame rate."""
    spans, picture = found or {}, media.video
    heard = (
        _heard(stream, spans[stream.index], media.clock_seconds) if stream.index in spans else stream
        for stream in media.audio
    )
    if picture and picture.index in spans:
        span = spans[picture.index]
        misstated = picture.misstated_rate and not picture.interlaced
        bare = media.format in BARE and not picture.interlaced
        rate = ((misstated or bare) and span.rate) or picture.frame_rate
        slowest = 1.5 / rate if rate else LEAST_GAP
        unknown = misstated and span.rate is None and span.pictures > LEAST_EVEN
        uneven = picture.variable_frame_rate or unknown or span.pauses > 0 or span.gaps > max(LEAST_GAP, slowest)
        picture = replace(
            picture,
            frame_rate=rate,
            variable_frame_rate=uneven,
            held_seconds=span.held,
            hidden_seconds=span.hidden,
            gap_seconds=span.pauses,
            pictures=span.pictures,
            fleeting=span.fleeting,
            reshaped=picture.reshaped or span.reshaped,
            regraded=picture.regraded or span.regraded,
            in_band=picture.in_band or span.in_band,
            alpha=picture.alpha and span.lacking_alpha is None,
            seldom_clear=picture.alpha and span.lacking_alpha == "some",
        )
    longest = max((span.longest for span in spans.values()), default=0.0)
    jump = max((span.jump for span in spans.values()), default=0.0)
    return replace(media, audio=tuple(heard), video=picture, longest_pause_seconds=longest, jump_seconds=jump)


def _heard(stream: AudioStream, span: Span, clock: float) -> AudioStream:
    """The same as its packets have it: of what begins late, some formats do not tell when."""
    begin = span.begin - clock + stream.skipped_seconds
    late = begin if abs(begin - stream.start_seconds) > LEAST_LATE else stream.start_seconds
    return replace(stream, gap_seconds=span.gaps, hidden_seconds=span.hidden, start_seconds=late)


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


# What a header speaks of


def promised(media: Media, head: bytes) -> Media:
    """Returns the media with the duration that the `head` of a file of a `PROMISING` format speaks of."""
    seconds = PROMISING[media.format](head[:HEADER])
    return _with_durations(media, seconds, {}) if seconds else media


def _avi_seconds(head: bytes) -> float | None:
    at = head.find(b"avih")
    if at < 0 or len(head) < at + 28:
        return None
    microseconds, frames = struct.unpack_from("<I12xI", head, at + 8)
    return float(microseconds * frames / TICK)


def _wav_seconds(head: bytes) -> float | None:
    """None also for what was written to a pipe, whose end was not known."""
    form, data = head.find(b"fmt "), head.find(b"data")
    if form < 0 or data < 0 or len(head) < max(form + 20, data + 8):
        return None
    (bytes_per_second,), (size,) = struct.unpack_from("<I", head, form + 16), struct.unpack_from("<I", head, data + 4)
    return size / bytes_per_second if bytes_per_second and size < UNKNOWN else None


# Formats of which FFmpeg tells what is there, by what reads the seconds that the beginning of a file speaks of.
PROMISING: dict[str, Callable[[bytes], float | None]] = {"avi": _avi_seconds, "wav": _wav_seconds}
