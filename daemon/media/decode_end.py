"""Tells whether the end of a file can be decoded: what a damaged or cut output fails at."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.frame import Frame
from av.packet import Packet
from av.video.frame import VideoFrame

from daemon.errors import ProbeError
from daemon.media import demux, webp
from daemon.media.appended import refuse_appended
from daemon.media.durations import Timed, timed
from daemon.media.media_file import MediaFile
from daemon.media.model import AudioStream, Media, VideoStream
from daemon.media.open_file import opened
from daemon.media.seams import ZEROS, Seams

LAST = 1.0  # seconds that must be decoded
ESCAPED, UNWRITTEN = {"h264", "hevc"}, bytes(4096)  # codecs of which no picture has so many zeros in a row
LARGER = 1.02  # times a side of a picture, which is more than edges that some decoders leave out
BARE = ("pcm", "adpcm", "dsd")  # of silence they are zeros
SOLO = 10.0  # seconds up to which one thread decodes: others would cost a quarter more, of cores that are to encode


def decode(path: str, media: Media, patience: float) -> None:
    """Returns once the last second of picture and sound is decoded, or `patience` seconds have passed.

    Raises ProbeError when it cannot be decoded.
    """
    if media.format == webp.FORMAT:  # which the library cannot decode
        return
    deadline = time.monotonic() + patience
    threads = 1 if (media.duration_seconds or 0.0) <= SOLO else 0  # 0: as many as FFmpeg likes
    file = MediaFile(path)
    with opened(file, media.format) as container:
        for number, stream in enumerate(timed(media)):
            seconds = max(0.0, _end(stream, media) - LAST)
            last = Fraction(container.start_time or 0, av.time_base) + Fraction(seconds)
            sought = _seek(container, last) if seconds > 0 or number else True
            frames = _decoded(container, stream.index, threads, last, deadline) if sought else 0
            if frames == 0:  # what is sought is the picture, and sound may lie before the first
                with opened(file, media.format) as anew:
                    frames = _decoded(anew, stream.index, threads, last, deadline)
            if not frames:
                noun = "picture" if stream is media.video else "sound"
                raise ProbeError(f"the last second of its {noun} cannot be decoded")


def decode_all(path: str, media: Media) -> None:
    """Returns once every picture and all sound are decoded, nothing between them was passed over, and none of them has
    more than the first: what is made of it goes by that.

    Raises ProbeError, which tells where one is damaged or has more, or something is missing.
    """
    if media.format == webp.FORMAT:  # which the library cannot decode
        return
    file = MediaFile(path)
    refuse_appended(file, searched=math.inf)
    seams = Seams(file, media.format)
    streams = {stream.index: stream for stream in timed(media)}
    with opened(file, media.format) as container:
        for packet in demux.packets(container, *(container.streams[index] for index in streams)):
            seams.see(packet.pos, packet.size)
            frames = _whole(packet)
            seconds = 0.0 if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)
            if frames is None:
                raise ProbeError(f"it cannot be decoded whole: it is damaged at {seconds:.1f} s")
            if more := next(filter(None, (_more(frame, streams[packet.stream.index]) for frame in frames)), None):
                raise ProbeError(f"{more} from {seconds:.1f} s on, and an output would be as it begins")
    if (at := seams.flaw()) is not None:
        raise ProbeError(f"it cannot be decoded whole: from its byte {at} on something of it is missing")


def _whole(packet: Packet[Any]) -> list[Frame] | None:
    """What is decoded of a packet; None where something of that is damaged."""
    codec = packet.stream.codec_context.name
    if codec in ESCAPED and bytes(packet).find(UNWRITTEN) >= 0:
        return None
    packed = codec == "dvvideo" or (packet.stream.type == "audio" and not codec.startswith(BARE))
    if packed and packet.size >= len(ZEROS) and bytes(packet).find(ZEROS) >= 0:  # beside sound, or in its place
        return None
    try:
        frames: list[Frame] = [frame for frame in packet.decode() if isinstance(frame, Frame)]
    except av.error.InvalidDataError:
        return None
    return None if any(frame.is_corrupt for frame in frames) else frames


def _more(frame: Frame, stream: Timed) -> str | None:
    """What a frame has more of than the first of its stream."""
    if isinstance(frame, VideoFrame) and isinstance(stream, VideoStream):
        if frame.width > LARGER * stream.coded_width or frame.height > LARGER * stream.coded_height:
            size = f"{stream.coded_width}×{stream.coded_height}"
            return f"its picture is {frame.width}×{frame.height} instead of {size}"
        if (bits := max(part.bits for part in frame.format.components)) > stream.bit_depth:
            return f"its picture has {bits} bits of each colour instead of {stream.bit_depth}"
    if isinstance(frame, AudioFrame) and isinstance(stream, AudioStream):
        if (channels := frame.layout.nb_channels) > stream.channels:
            return f"its sound has {channels} channels instead of {stream.channels}"
        if frame.sample_rate > stream.sample_rate:
            return f"its sound has {frame.sample_rate} samples in a second instead of {stream.sample_rate}"
    return None


def _end(stream: Timed, media: Media) -> float:
    """Seconds at which this stream ends, which may be before the others do."""
    whole = media.duration_seconds or 0.0
    return min(whole, stream.start_seconds + stream.duration_seconds) if stream.duration_seconds else whole


def _seek(container: InputContainer, moment: Fraction) -> bool:
    """Goes to where decoding can begin, before that moment in the container's time; False where FFmpeg does not find
    it, as amid few large packets of FLAC without an index."""
    try:
        container.seek(int(moment * av.time_base))
    except PermissionError:
        return False
    return True


def _decoded(container: InputContainer, index: int, threads: int, last: Fraction, deadline: float) -> int | None:
    """How many frames come of the rest of that stream; None where one is damaged.

    What comes before `last` only leads there: frames that no other refers to are left out, and nowhere are the edges
    of blocks smoothed. That is half of the work, and hides no damage: it makes pixels, which nobody looks at.
    """
    stream = container.streams[index]
    decoder = stream.codec_context
    decoder.options = {"skip_loop_filter": "all"}
    decoder.skip_frame = "NONREF"
    decoder.thread_count, decoder.thread_type = threads, "AUTO"
    frames = 0
    for packet in demux.packets(container, stream):
        if packet.pts is None or packet.time_base is None or packet.pts * packet.time_base >= last:
            decoder.skip_frame = "DEFAULT"
        try:
            frames += len(packet.decode())
        except av.error.InvalidDataError:
            return None
        if time.monotonic() > deadline:
            return max(1, frames)
    return frames
