"""Finds out of a GIF what browsers show otherwise than FFmpeg does."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from daemon.media.media_file import MediaFile

COLOURS, CONTROL, EXTENSION, IMAGE, CLEARED = 0x80, 0xF9, 0x21, 0x2C, 2
HURRIED = 1  # hundredths of a second for which FFmpeg shows a picture, and browsers for ten


class _Image(NamedTuple):
    delay: int
    disposal: int
    clear: int | None  # the colour that stands for transparency
    left: int
    top: int
    width: int
    height: int

    def covers(self, other: _Image) -> bool:
        across = self.left <= other.left and other.left + other.width <= self.left + self.width
        return self.clear is None and across and self.top <= other.top and other.bottom <= self.bottom

    @property
    def bottom(self) -> int:
        return self.top + self.height


def is_hurried(file: MediaFile) -> bool:
    """Tells whether pictures are shown for a hundredth of a second, which browsers do for a tenth."""
    return any(image.delay == HURRIED for image in _images(file.head))


def is_filled(file: MediaFile) -> bool:
    """Tells whether FFmpeg fills with a colour what browsers leave transparent: around the first picture, or where one
    was that goes before the next, unless that colour is the transparent one."""
    head, images = file.head, [*_images(file.head)]
    if not images or not head[10] & COLOURS:
        return False
    width, height, ground = *struct.unpack_from("<HH", head, 6), head[11]
    screen = _Image(0, 0, None, 0, 0, width, height)
    left = any(
        one.disposal == CLEARED and one.clear != ground and not after.covers(one) for one, after in pairwise(images)
    )
    return left or (images[0].clear is None and not images[0].covers(screen))


def _images(head: bytes) -> Iterator[_Image]:
    """Those that are there whole."""
    if not head.startswith(b"GIF8") or len(head) < 13:
        return
    at, delay, disposal, clear = 13 + _colours(head[10]), 0, 0, None
    while at + 10 < len(head) and head[at] in {EXTENSION, IMAGE}:
        if head[at] == IMAGE:
            yield _Image(delay, disposal, clear, *struct.unpack_from("<4H", head, at + 1))
            at, delay, disposal, clear = at + 11 + _colours(head[at + 9]), 0, 0, None
        else:
            if head[at + 1] == CONTROL:
                flags, delay, colour = struct.unpack_from("<BHB", head, at + 3)
                disposal, clear = flags >> 2 & 7, colour if flags & 1 else None
            at += 2
        while at < len(head) and head[at]:
            at += 1 + head[at]
        at += 1


def _colours(flags: int) -> int:
    """How many bytes a table of colours has."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & COLOURS else 0
