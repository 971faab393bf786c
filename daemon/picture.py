"""What is done to a picture, as nodes of ffmpeg-python's graph: its size, its colours, its frames."""

from __future__ import annotations

import math

from daemon.models import VideoStream
from daemon.plans import Node, Size


def even(pixels: float) -> int:
    """Rounded down to what 4:2:0 can hold, at least 2."""
    return max(2, int(pixels) // 2 * 2)


def bounded(picture: VideoStream, *, short_side: int | None = None, long_side: int | None = None) -> Size:
    """The displayed size, shrunk to the bound but never enlarged, in even numbers."""
    sides = picture.width, picture.height
    factor = min(1.0, (short_side or math.inf) / min(sides), (long_side or math.inf) / max(sides))
    width, height = (even(side * factor + 0.5) for side in sides)
    return width, height


def covering(size: Size, angle: float) -> Size:
    """The size from which a frame of `size`, turned by `angle` radians, can be cut without empty corners."""
    width, height = size
    factor = math.cos(angle) + math.sin(angle) * max(width / height, height / width)
    return even(width * factor + 2), even(height * factor + 2)


def scaled(node: Node, size: Size) -> Node:
    return node.filter("scale", *size).filter("setsar", 1)


def graded(node: Node, picture: VideoStream, pixel_format: str = "yuv420p") -> Node:
    """In 8 bits; HDR mapped to the range of ordinary screens, on which it would look washed out otherwise."""
    if picture.transfer is None:
        return node.filter("format", pixel_format)
    linear = node.filter("zscale", tin=picture.transfer, pin="2020", min="2020_ncl", t="linear", npl=100)
    mapped = linear.filter("format", "gbrpf32le").filter("zscale", p="709").filter("tonemap", "hable", desat=0)
    return mapped.filter("zscale", t="709", m="709", r="limited").filter("format", pixel_format)


def resampled(node: Node, rate: str) -> Node:
    """At a fixed frame rate from 0 on. Without `pass` a source of one short frame would yield none."""
    return node.filter("fps", rate, start_time=0, eof_action="pass")


def thinned(node: Node, picture: VideoStream, most: int) -> Node:
    """Drops frames that follow the last one too soon; the rest keep their times. Nothing is ever doubled."""
    if picture.frame_rate is not None and picture.frame_rate <= most * 1.01:
        return node
    return node.filter("select", f"isnan(prev_selected_t)+gte(t-prev_selected_t,{0.95 / most:.6f})")


def deinterlaced(node: Node) -> Node:
    """Whole frames instead of fields, where a frame says that it is made of fields."""
    return node.filter("bwdif", mode="send_frame", parity="auto", deint="interlaced")
