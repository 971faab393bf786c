"""An independent reader of media: decodes all of a file with PyAV and tells what a viewer would see and hear.

It shares nothing with the daemon's own probe and proof.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import Colorspace

import daemon.media.frames  # noqa: F401 — it lets photographs be looked at

HDR_SIDE_DATA = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS", "DOVI_METADATA"}
GRID = 8  # a picture is looked at as so many squares by so many
Thumbnail = Any  # GRID × GRID × RGB, 0–255
Region = tuple[float, float, float, float]  # left, top, right and bottom, in shares of the picture


@dataclass
class Heard:
    language: str | None
    default: bool
    channels: int
    start: float = 0.0
    end: float = 0.0
    loudness: float = 0.0  # root mean square, full scale 1
    layout: str = ""
    off: float = 0.0  # seconds at most between the end of a frame and the beginning of the next


@dataclass
class Seen:
    size: tuple[int, int]
    aspect: float
    rotation: int
    mirrored: bool
    for_hdr: bool  # whether frames tell of the HDR screen they were made for
    pixel_format: str
    colours: tuple[int, int, int, int]  # primaries, transfer, matrix, range, by ITU-T H.273 and FFmpeg
    times: list[float]
    end: float
    thumbnails: list[Thumbnail] = field(default_factory=list)

    @property
    def start(self) -> float:
        return self.times[0]


@dataclass
class Sleeve:
    """A cover; of one that cannot be decoded there is no size."""

    size: tuple[int, int] | None
    bytes: int
    front: bool  # whether it says that it is the front one


@dataclass
class Reading:
    video: Seen | None
    audio: list[Heard]
    subtitles: int
    chapters: list[str]
    title: str | None
    codecs: list[str]  # of picture and sound
    covers: list[Sleeve] = field(default_factory=list)
    attachments: int = 0

    @property
    def seconds(self) -> float:
        spans = [(part.start, part.end) for part in [*([self.video] if self.video else []), *self.audio]]
        return max(end for _, end in spans) - min(start for start, _ in spans)


def read(path: Path, picture: int | None = None, region: Region = (0.0, 0.0, 1.0, 1.0)) -> Reading:
    """All that is in it; `picture` is the index of the stream to look at, else the best one, of which a `region`."""
    with av.open(str(path)) as container:
        pictures = [s for s in container.streams.video if not int(s.disposition) & 0x400]
        best = max(pictures, key=lambda s: s.width * s.height, default=None)
        seen = best.index if best and picture is None else picture
        audio = [stream.index for stream in container.streams.audio]
        subtitles = len(container.streams.subtitles)
        chapters = [chapter["metadata"].get("title", "") for chapter in container.chapters()]
        told = container.metadata if container.format.name != "ogg" else container.streams[0].metadata
        title = told.get("title")
        looked_at = [stream for stream in container.streams if stream.index in {seen, *audio}]
        codecs = [stream.codec_context.codec.canonical_name for stream in looked_at]
    return Reading(
        video=None if seen is None else _seen(path, seen, region),
        audio=[heard for index in audio if (heard := _heard(path, index))],
        subtitles=subtitles,
        chapters=chapters,
        title=title,
        codecs=codecs,
        covers=_covers(path),
        attachments=_attachments(path),
    )


def _attachments(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(stream.type == "attachment" for stream in container.streams)


def _covers(path: Path) -> list[Sleeve]:
    with av.open(str(path)) as container:
        indices = [stream.index for stream in container.streams.video if int(stream.disposition) & 0x400]
    return [_cover(path, index) for index in indices]


def _cover(path: Path, index: int) -> Sleeve:
    with av.open(str(path)) as container:
        stream: Any = container.streams[index]
        packet = next(container.demux(stream))
        front = stream.metadata.get("comment") == "Cover (front)"
        try:
            frames = [*packet.decode(), *stream.codec_context.decode(None)]
        except av.error.InvalidDataError:
            frames = []
        return Sleeve((frames[0].width, frames[0].height) if frames else None, packet.size, front)


def _seen(path: Path, index: int, region: Region) -> Seen:
    seen: Seen | None = None
    with av.open(str(path)) as container:
        stream: Any = container.streams[index]
        stream.thread_type = "AUTO"
        stream.codec_context.flags |= Flags.unaligned
        usual = float(1 / stream.average_rate) if stream.average_rate else 0.0
        begin = float((stream.start_time or 0) * stream.time_base)
        for count, frame in enumerate(_frames(container, stream)):
            time = float(frame.time) if frame.time is not None else count * usual
            if seen is None:
                seen = Seen(
                    (frame.width, frame.height),
                    float(stream.sample_aspect_ratio or 1),
                    round(frame.rotation),
                    _mirrored(frame),
                    any(name in frame.side_data for name in HDR_SIDE_DATA),
                    frame.format.name,
                    (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), int(frame.color_range)),
                    [],
                    0.0,
                )
            seen.times.append(time)
            lasts = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else usual
            seen.end = max(seen.end, time + lasts)
            if count in {0, 10}:
                seen.thumbnails.append(_thumbnail(frame, region))
        waited = container.format.name == "avi" and stream.codec_context.name in {"h264", "hevc"}
    assert seen is not None, f"{path.name} has no picture"
    seen.times.sort()
    if waited:  # AVI tells when a decoder takes its pictures; players show the first at once
        late = seen.times[0] - begin
        seen.times, seen.end = [time - late for time in seen.times], seen.end - late
    return seen


def _frames(container: Any, stream: Any) -> Any:
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue  # a damaged source; of outputs the daemon has proven the end


def _mirrored(frame: Any) -> bool:
    """Whether the display matrix turns left and right around."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = struct.unpack_from("<5i", bytes(matrix))
    return bool(a * d < b * c)


def _thumbnail(frame: Any, region: Region) -> Thumbnail:
    """Means of squares. An untagged picture is taken for what players take it."""
    matrix = Colorspace.ITU709 if frame.colorspace == 2 and (frame.height > 576 or frame.width >= 1280) else None
    pixels = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray().astype(float)
    left, top, right, bottom = region
    rows = _shares(top * frame.height, bottom * frame.height)
    columns = _shares(left * frame.width, right * frame.width)
    return np.array([[pixels[np.ix_(r, c)].mean(axis=(0, 1)) for c in columns] for r in rows])


def _shares(first: float, last: float) -> list[Any]:
    """So many parts, each of at least one pixel."""
    edges = np.linspace(first, last, GRID + 1)
    return [np.arange(int(a), max(int(a) + 1, int(b))) for a, b in itertools.pairwise(edges)]


def _heard(path: Path, index: int) -> Heard | None:
    heard: Heard | None = None
    energy, samples = 0.0, 0
    with av.open(str(path)) as container:
        stream: Any = container.streams[index]
        for frame in _frames(container, stream):
            time = float(frame.time or 0.0)
            if heard is None:
                language = stream.metadata.get("language")
                heard = Heard(
                    None if language == "und" else language, bool(int(stream.disposition) & 1), stream.channels, time
                )
                heard.layout = frame.layout.name
            elif frame.pts is not None:
                heard.off = max(heard.off, abs(time - heard.end))
            heard.end = max(heard.end, time + frame.samples / frame.sample_rate)
            values = _amplitudes(frame)
            energy, samples = energy + float((values**2).sum()), samples + values.size
    if heard:
        heard.loudness = (energy / max(1, samples)) ** 0.5
    return heard


def _amplitudes(frame: Any) -> Any:
    """Every sample, full scale 1. Not by the library's resampler, which crashes at seven and more channels."""
    if frame.format.is_planar and frame.layout.nb_channels > 7:
        return np.zeros(0)  # nor is its own list of such planes safe
    values = frame.to_ndarray()
    if values.dtype.kind == "f":
        return values
    if values.dtype.kind == "u":
        return values / 128.0 - 1.0
    return values / -float(np.iinfo(values.dtype).min)
