"""Reads animated WebP, as far as it matters: the encoder takes it, the library we probe with does not.

The format is RIFF: https://developers.google.com/speed/webp/docs/riff_container
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from daemon.errors import ProbeError
from daemon.media.allowlist import MAX_PIXELS, TOO_LARGE
from daemon.media.media_file import MediaFile
from daemon.media.model import Media, VideoStream

FORMAT = "webp_anim"
ANIMATED, ALPHA = 0x02, 0x10  # flags of the VP8X chunk
MAX_FRAMES = 100_000
CUT_OFF = "it is a WebP that was cut off: fetch it again"


def animated(head: bytes) -> bool:
    """Tells whether a file that begins so is a WebP that says it is animated."""
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & ANIMATED)


def read(media_file: MediaFile) -> Media:
    """Returns what an animated WebP holds. Raises ProbeError when it is damaged or too large."""
    with media_file.open() as file:
        head = file.read(30)
        if len(head) < 30:
            raise ProbeError(CUT_OFF)
        width, height = 1 + _three(head[24:27]), 1 + _three(head[27:30])
        gaps = list(_frame_durations(file))
    if width * height > MAX_PIXELS:
        raise ProbeError(f"its picture is {width}×{height}; {TOO_LARGE}")
    if not gaps:
        raise ProbeError("it is an animated WebP without a frame: export it again")
    seconds = sum(gaps) / 1000 or None  # one that does not last stays
    return Media(
        format=FORMAT,
        duration_seconds=seconds,
        video=VideoStream(
            index=0,
            codec="webp",
            width=width,
            height=height,
            coded_width=width,
            coded_height=height,
            frame_rate=len(gaps) / seconds if seconds else None,
            variable_frame_rate=len(set(gaps)) > 1,
            pixel_format="argb",
            alpha=bool(head[20] & ALPHA),
            field_order="progressive",
            duration_seconds=seconds,
        ),
        audio=(),
        subtitles=(),
    )


def _frame_durations(file: BinaryIO) -> Iterator[int]:
    """Milliseconds each frame is shown. Raises ProbeError when the file ends within one."""
    for _ in range(MAX_FRAMES):
        header = file.read(8)
        if len(header) < 8:
            return
        name, length = struct.unpack("<4sI", header)
        payload = file.read(length + length % 2) if name == b"ANMF" else b""
        if name != b"ANMF":
            file.seek(length + length % 2, 1)
        elif len(payload) < length:
            raise ProbeError(CUT_OFF)
        else:
            yield _three(payload[12:15])


def _three(number: bytes) -> int:
    return int.from_bytes(number, "little")
