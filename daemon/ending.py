"""Whether the end of a file can be decoded: what a damaged or cut output fails at."""

from __future__ import annotations

import time

import av
from av.container import InputContainer

from daemon import webp
from daemon.durations import Timed, timed
from daemon.errors import ProbeError
from daemon.media import opened
from daemon.models import Media

LAST = 1.0  # seconds that must be decoded


def decode(path: str, media: Media, patience: float) -> None:
    """Returns once the last second of picture and sound is decoded, or `patience` seconds have passed.

    Raises ProbeError when it cannot be decoded.
    """
    if media.format == webp.FORMAT:  # which the library cannot decode
        return
    deadline = time.monotonic() + patience
    for stream in timed(media):
        with opened(path) as container:
            _seek(container, _end(stream, media) - LAST)
            if not _decoded(container, stream.index, deadline):
                noun = "picture" if stream is media.video else "sound"
                raise ProbeError(f"the last second of its {noun} cannot be decoded")


def _end(stream: Timed, media: Media) -> float:
    """Seconds at which this stream ends, which may be before the others do."""
    whole = media.duration_seconds or 0.0
    return min(whole, stream.start_seconds + stream.duration_seconds) if stream.duration_seconds else whole


def _seek(container: InputContainer, seconds: float) -> None:
    if seconds > 0:
        container.seek((container.start_time or 0) + int(seconds * av.time_base))


def _decoded(container: InputContainer, index: int, deadline: float) -> bool:
    """Whether a frame comes of the rest of that stream, and no damaged one."""
    stream = container.streams[index]
    frames = 0
    for packet in container.demux(stream):
        try:
            frames += len(packet.decode())
        except av.error.InvalidDataError:
            return False
        if time.monotonic() > deadline:
            return True
    return frames > 0
