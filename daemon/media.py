"""Reads what a media file holds, with FFmpeg's libraries, in whatever process calls it.

A hostile file may crash or hang the caller: the daemon calls it only through `daemon.probing`.
"""

from __future__ import annotations

import math
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as Pictures
from msgspec.structs import replace

from daemon.demuxers import DECODERS, GUARDS, MAX_PIXELS
from daemon.errors import ProbeError
from daemon.models import AudioStream, Media, SubtitleStream, VideoStream

MAX_STREAMS = 64
MAX_PACKETS_BEFORE_A_PICTURE = 1000
DAY = 86400.0
LEAST_BITS_PER_SECOND = 2000  # below which a duration of more than a day is a damaged header
MOST_FRAMES_PER_SECOND = 1000
MOST_STRETCH = 8  # a pixel's aspect ratio beyond it is a damaged header

# Demuxers that have no index and guess the duration from the first bit rate they meet.
GUESSING = {"mp3", "aac", "ac3", "eac3", "dts", "amr", "amrnb", "amrwb", "h264", "hevc", "m4v", "mpegvideo", "mjpeg"}
TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}  # ITU-T H.273 numbers of the HDR transfer functions

Timed = Sequence[VideoStream | AudioStream]


def read_media(path: str, patience: float = 10.0) -> Media:
    """What the file holds, one picture of it decoded. `patience` bounds, in seconds, the reading of a whole
    file that does not say how long it lasts.

    Raises ProbeError, in words without the path.
    """
    media = _read(path)
    if media.duration_seconds is None or media.format in GUESSING:
        return _with_duration(media, measure(path, media, patience) or None)
    return media


def read_measured(path: str) -> Media:
    """As `read_media`, but `duration_seconds` is where the data ends, which takes reading all of it."""
    media = _read(path)
    return _with_duration(media, measure(path, media, math.inf))


def measure(path: str, media: Media, patience: float) -> float | None:
    """Seconds from the first to the end of the last picture or sound in the file, 0.0 if there is none.

    None when reading it all took longer than `patience` seconds.
    """
    deadline = time.monotonic() + patience
    first, last = math.inf, -math.inf
    with _opened(path) as container:
        for begin, end in _packet_times(container, [stream.index for stream in _timed(media)]):
            first, last = min(first, begin), max(last, end)
            if time.monotonic() > deadline:
                return None
    return max(0.0, last - first)


def _timed(media: Media) -> Timed:
    return [*([media.video] if media.video else []), *media.audio]


def _with_duration(media: Media, seconds: float | None) -> Media:
    """The same with a measured duration; what the file said of its streams goes, being no better."""
    unknown = {"duration_seconds": None}
    return replace(
        media,
        duration_seconds=seconds,
        video=replace(media.video, **unknown) if media.video else None,
        audio=tuple(replace(stream, **unknown) for stream in media.audio),
    )


# Opening


def _read(path: str) -> Media:
    _refuse_unreadable(path)
    with _opened(path) as container:
        return _described(container)


def _refuse_unreadable(path: str) -> None:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise ProbeError(f"the file cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ProbeError("it is not a file")
    if status.st_size == 0:
        raise ProbeError("the file is empty")


@contextmanager
def _opened(path: str) -> Iterator[InputContainer]:
    """Raises ProbeError for whatever FFmpeg says, then and while the file is read."""
    try:
        with av.open(f"file:{path}", options=dict(GUARDS), metadata_errors="replace") as container:
            yield container
    except MemoryError as error:
        raise ProbeError("reading it needs more memory than a media file should") from error
    except PermissionError as error:
        raise ProbeError("the file cannot be opened: permission denied") from error
    except av.FFmpegError as error:
        if _misses_its_index(path):
            raise ProbeError("its index (moov) is missing: the file was cut off, or is still being written") from error
        raise ProbeError("it is not a media file ffspool can read") from error


def _misses_its_index(path: str) -> bool:
    """Whether it begins as an MP4 or QuickTime file does; FFmpeg refuses such a file when it has no index."""
    with Path(path).open("rb") as file:
        return file.read(12)[4:8] in {b"ftyp", b"mdat", b"wide"}


# Describing


def _described(container: InputContainer) -> Media:
    if len(container.streams) > MAX_STREAMS:
        raise ProbeError(f"it holds {len(container.streams)} streams; {MAX_STREAMS} are the limit")
    audio = tuple(_audio(stream) for stream in container.streams.audio if _hearable(stream))
    video = _video(container)
    if video is None and not audio:
        raise ProbeError(f"it holds neither a picture nor sound ffspool can decode{_named_codecs(container)}")
    return Media(
        format=container.format.name,
        duration_seconds=_duration(container, [*([video] if video else []), *audio]),
        video=video,
        audio=audio,
        subtitles=tuple(_subtitle(stream) for stream in container.streams.subtitles if _decoder(stream)),
    )


def _named_codecs(container: InputContainer) -> str:
    names = sorted({codec.canonical_name for stream in container.streams if (codec := _codec(stream))})
    return f" (it has {', '.join(names)})" if names else ""


def _codec(stream: Stream) -> Any:
    context = stream.codec_context
    return context.codec if context is not None else None


def _decoder(stream: Stream) -> str | None:
    """The canonical name of the stream's codec; None when there is no decoder for it, or none we allow."""
    codec = _codec(stream)
    return codec.canonical_name if codec is not None and codec.name in DECODERS else None


def _language(stream: Stream) -> str | None:
    language = stream.metadata.get("language", "").strip()[:35]
    return language if language not in {"", "und"} else None


def _hearable(stream: Any) -> bool:
    return _decoder(stream) is not None and stream.channels > 0 and stream.sample_rate > 0


def _audio(stream: Any) -> AudioStream:
    return AudioStream(
        index=stream.index,
        codec=_decoder(stream) or "",
        channels=stream.channels,
        sample_rate=stream.sample_rate,
        language=_language(stream),
        duration_seconds=_stream_duration(stream),
    )


def _subtitle(stream: Stream) -> SubtitleStream:
    return SubtitleStream(index=stream.index, codec=_decoder(stream) or "", language=_language(stream))


# The picture


def _video(container: InputContainer) -> VideoStream | None:
    """The first candidate that yields a picture. Raises ProbeError when there are candidates and none does."""
    candidates = sorted(filter(_moving, container.streams.video), key=_prominence, reverse=True)
    for tried, stream in enumerate(candidates):
        _refuse_oversized(stream)
        if tried:
            container.seek(0)
        frame = _first_frame(container, stream)
        if frame is not None:
            return _pictured(stream, frame)
    if candidates and not container.streams.audio:
        raise ProbeError("its picture cannot be decoded: the file is damaged")
    return None


def _moving(stream: Pictures) -> bool:
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return _decoder(stream) is not None and not stream.disposition & still


def _prominence(stream: Pictures) -> tuple[bool, int]:
    return bool(stream.disposition & Disposition.default), stream.width * stream.height


def _refuse_oversized(stream: Pictures) -> None:
    if stream.width <= 0 or stream.height <= 0:  # FFmpeg hides a size over the limit
        raise ProbeError(f"its picture has no size, or more than {MAX_PIXELS // 10**6} megapixels")
    if stream.width * stream.height > MAX_PIXELS:
        raise ProbeError(
            f"its picture is {stream.width}×{stream.height}; {MAX_PIXELS // 10**6} megapixels are the limit"
        )


def _first_frame(container: InputContainer, stream: Pictures) -> VideoFrame | None:
    stream.thread_count = 1
    for count, packet in enumerate(container.demux(stream)):
        try:
            for frame in packet.decode():
                return frame
        except av.error.InvalidDataError:
            pass  # damaged pictures before the first good one
        if count > MAX_PACKETS_BEFORE_A_PICTURE:
            break
    return None


def _pictured(stream: Pictures, frame: VideoFrame) -> VideoStream:
    rotation = _quarter_turns(frame.rotation)
    width, height = _displayed(frame.width, frame.height, _stretch(stream), rotation)
    return VideoStream(
        index=stream.index,
        codec=_decoder(stream) or "",
        width=width,
        height=height,
        coded_width=frame.width,
        coded_height=frame.height,
        rotation=rotation,
        frame_rate=_frame_rate(stream),
        pixel_format=frame.format.name,
        alpha=any(part.is_alpha for part in frame.format.components) or stream.metadata.get("alpha_mode") == "1",
        interlaced=bool(frame.interlaced_frame),
        transfer=TRANSFERS.get(int(frame.color_trc)),
        duration_seconds=_stream_duration(stream),
    )


def _frame_rate(stream: Pictures) -> float | None:
    rate = float(stream.average_rate or 0)
    return rate if 0 < rate <= MOST_FRAMES_PER_SECOND else None


def _quarter_turns(counterclockwise: float) -> int:
    """Degrees clockwise, a multiple of 90: FFmpeg turns the picture's frame by these only."""
    turned = round(-counterclockwise) % 360
    return turned if turned % 90 == 0 else 0


def _stretch(stream: Pictures) -> float:
    """How much wider than high a pixel is shown."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 1 / MOST_STRETCH <= ratio <= MOST_STRETCH else 1.0


def _displayed(width: int, height: int, stretch: float, rotation: int) -> tuple[int, int]:
    squared = max(1, round(width * stretch))
    return (height, squared) if rotation in {90, 270} else (squared, height)


# Durations


def _duration(container: InputContainer, streams: Timed) -> float | None:
    """What the file says, None if nothing or nonsense. A stream we do not use (subtitles, data) does not count."""
    begins = [_begin(container.streams[stream.index]) for stream in streams]
    lengths = [stream.duration_seconds for stream in streams]
    ends = [begin + length for begin, length in zip(begins, lengths, strict=True) if length is not None]
    whole = (container.duration or 0) / av.time_base
    seconds = max(ends) - min(begins) if len(ends) == len(begins) else whole
    return seconds if _plausible(seconds, container.size) else None


def _plausible(seconds: float, size: int) -> bool:
    return seconds > 0 and (seconds <= DAY or size * 8 / seconds >= LEAST_BITS_PER_SECOND)


def _begin(stream: Stream) -> float:
    return float((stream.start_time or 0) * _tick(stream))


def _stream_duration(stream: Stream) -> float | None:
    if stream.duration:
        seconds = float(stream.duration * _tick(stream))
    else:
        seconds = _tagged_end(stream.metadata.get("DURATION", "")) - _begin(stream)
    return seconds if 0 < seconds <= DAY else None


def _tagged_end(tag: str) -> float:
    """Seconds in Matroska's DURATION tag, such as 00:00:03.041000000, which counts from 0; 0.0 if it is none."""
    found = re.fullmatch(r"(\d\d):(\d\d):(\d\d(?:\.\d+)?)", tag.strip("\0 "))
    if found is None:
        return 0.0
    hours, minutes, seconds = map(float, found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _tick(stream: Stream) -> Any:
    return stream.time_base or 0


def _packet_times(container: InputContainer, indices: Sequence[int]) -> Iterator[tuple[float, float]]:
    """Begin and end, in seconds, of every packet that has a timestamp."""
    for packet in container.demux([container.streams[index] for index in indices]):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            yield float(stamp * packet.time_base), float((stamp + (packet.duration or 0)) * packet.time_base)
