"""Looks for cues of subtitles that outputs cannot show: those behind the film's end, at once with others, or drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from daemon.media import demux
from daemon.media.media_file import MediaFile
from daemon.media.model import Media, SubtitleStream
from daemon.media.open_file import opened

LARGEST = 64 * 1024**2  # bytes of a file whose cues are read
STYLED = {"ass", "ssa"}
DRAWN = re.compile(rb"\{[^}]*\\p[1-9]")  # how a drawing begins in Advanced SubStation Alpha
LEAST_OVERLAP = 0.05  # seconds


def looked_at(file: MediaFile, media: Media) -> Media:
    """Returns the media with what was found of its cues; as it is where the file is too large to be read for that.

    Raises ProbeError and OSError as reading it does.
    """
    if file.size > LARGEST or not any(stream.text for stream in media.subtitles):
        return media
    cues: dict[int, list[tuple[float, float, bool]]] = {}
    with opened(file, media.format) as container:
        streams = [container.streams[stream.index] for stream in media.subtitles if stream.text]
        ticks = {stream.index: float(stream.time_base or 0) for stream in streams}
        for packet in demux.packets(container, streams):
            if packet.size and packet.pts is not None:
                tick, drawn = ticks[packet.stream_index], DRAWN.search(bytes(packet)) is not None
                begin = packet.pts * tick - media.clock_seconds
                cues.setdefault(packet.stream_index, []).append((begin, begin + (packet.duration or 0) * tick, drawn))
    found = (_told(stream, cues.get(stream.index, []), media.duration_seconds) for stream in media.subtitles)
    return replace(media, subtitles=tuple(found))


def _told(stream: SubtitleStream, cues: list[tuple[float, float, bool]], end: float | None) -> SubtitleStream:
    late = sum(end is not None and begin >= end for begin, _, _ in cues)
    drawn = sum(drawing for *_, drawing in cues) if stream.codec in STYLED else 0
    return replace(stream, late=late, at_once=sum(_at_once(cues)), drawn=drawn)


def _at_once(cues: list[tuple[float, float, bool]]) -> Iterator[bool]:
    """Whether each, in order, begins while another is still shown."""
    latest = 0.0
    for begin, ends, _ in sorted(cues):
        yield begin < latest - LEAST_OVERLAP
        latest = max(latest, ends)
