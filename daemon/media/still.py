"""Makes one small still of a media file, with FFmpeg's libraries, in whatever process calls it.

A hostile file may crash or hang the caller: the daemon calls it only through `daemon.media.probe_server`.
"""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as Pictures

from daemon.errors import ProbeError
from daemon.media import demux
from daemon.media.describe import read_media
from daemon.media.media_file import MediaFile
from daemon.media.model import VideoStream
from daemon.media.open_file import UNDECODABLE, opened

LONG_SIDE = 320  # pixels
LATEST = 60.0  # seconds into the file at most: what a still is made of should not take long to reach
INTO = 0.1  # share of the duration: the first picture is often black
MAX_PACKETS = 2000
TURNS = {90: ["clock"], 180: ["clock", "clock"], 270: ["cclock"]}  # for `transpose`, by degrees clockwise


def webp(path: str, patience: float) -> bytes:
    """Returns a WebP of a picture near the beginning, turned upright, in square pixels; LONG_SIDE at most.

    `patience` as for `media.read_media`. Raises ProbeError, in words without the path.
    """
    found = read_media(path, patience)
    if found.video is None:
        raise ProbeError("it holds no picture")
    frame = _frame(path, found.video, min(LATEST, (found.duration_seconds or 0.0) * INTO))
    return _encoded(_upright(frame, found.video))


def _frame(path: str, video: VideoStream, seconds: float) -> VideoFrame:
    with opened(MediaFile(path)) as container:
        stream = container.streams[video.index]
        assert isinstance(stream, Pictures)
        stream.thread_count = 1
        for moment in (seconds, 0.0) if seconds else (0.0,):
            begin = (container.start_time or 0) / av.time_base
            container.seek(int((begin + moment) * av.time_base))
            if frame := _next_frame(container, stream):
                return frame
    raise ProbeError(UNDECODABLE)


def _next_frame(container: av.container.InputContainer, stream: Pictures) -> VideoFrame | None:
    for count, packet in enumerate(demux.packets(container, stream)):
        try:
            for frame in packet.decode():
                assert isinstance(frame, VideoFrame)
                return frame
        except av.error.InvalidDataError:
            pass  # damaged pictures before the first good one
        if count > MAX_PACKETS:
            break
    return None


def _upright(frame: VideoFrame, video: VideoStream) -> VideoFrame:
    shown = (video.width, video.height) if not video.tilt else (video.coded_width, video.coded_height)
    shrink = min(1.0, LONG_SIDE / max(shown))
    width, height = (max(1, round(side * shrink)) for side in shown)
    if video.rotation in {90, 270}:
        width, height = height, width
    graph = Graph()
    chain = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base),
        graph.add("scale", f"{width}:{height}"),
        *(graph.add("transpose", turn) for turn in TURNS.get(video.rotation, ())),
        graph.add("format", "yuva420p" if video.alpha else "yuv420p"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*chain).configure()
    graph.push(frame)
    turned = graph.pull()
    assert isinstance(turned, VideoFrame)
    return turned


def _encoded(frame: VideoFrame) -> bytes:
    """What the encoder gives for one frame is a whole WebP file."""
    encoder = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base, encoder.options = Fraction(1, 25), {"quality": "70"}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
