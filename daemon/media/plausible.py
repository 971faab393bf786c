"""Holds what a reader said of a file to the ceilings once more: the file may have taken the reader over.

What the daemon plans by is computed from these numbers, for all jobs at once. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from daemon.media.allowlist import MAX_PIXELS
from daemon.media.model import Media, PieceContent, VideoStream

MOST_FRAMES_PER_SECOND = 1000
MOST_STRETCH = 8  # a pixel's aspect ratio beyond it is a damaged header
MOST = 10**10  # of any number: in seconds three centuries
LONGEST_SIDE = 2**20
RATIO = re.compile(r"[1-9]\d{0,9}:[1-9]\d{0,9}")


def is_plausible(found: Media | PieceContent) -> bool:
    """Tells whether a reader that does its work can have said this of some file."""
    numbers = all(-MOST <= number <= MOST for number in _numbers(msgspec.to_builtins(found)))
    return numbers and (not isinstance(found, Media) or _is_film(found))


def _is_film(media: Media) -> bool:
    sounds = all(one.channels > 0 and one.sample_rate > 0 for one in media.audio)
    lasts = media.duration_seconds is None or media.duration_seconds >= 0
    return sounds and lasts and (media.video is None or _is_picture(media.video))


def _is_picture(video: VideoStream) -> bool:
    sides = (video.width, video.height, video.coded_width, video.coded_height)
    rate = video.frame_rate
    return (
        all(0 < side <= LONGEST_SIDE for side in sides)
        and video.coded_width * video.coded_height <= MAX_PIXELS
        and video.width * video.height <= MAX_PIXELS * 2 * MOST_STRETCH
        and (rate is None or 0 < rate <= MOST_FRAMES_PER_SECOND)
        and RATIO.fullmatch(video.sample_aspect_ratio) is not None
    )


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value
