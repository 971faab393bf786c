"""Kinds of recipe that show some frames of the picture, without sound: an animation and a sheet of thumbnails."""

from __future__ import annotations

import ffmpeg

from daemon.errors import UnsuitableSource
from daemon.models import Media
from daemon.picture import bounded, graded, resampled, rewound, scaled, to_deinterlace
from daemon.plans import Node, Plan, Recipe, pictured
from daemon.presets import GifParameters, Preset, SheetParameters


def gif(media: Media, preset: Preset, wanted: GifParameters) -> Recipe:
    picture = pictured(media, preset)
    size = bounded(picture, long_side=wanted.long_side)
    duration = _excerpt(picture.duration_seconds or media.duration_seconds, wanted)

    def filtered(node: Node) -> Node:
        # At a fixed rate first: a long frame would outlast the end of the excerpt.
        frames = resampled(rewound(node, picture), str(wanted.fps))
        excerpt = frames.filter("trim", start=wanted.start_seconds, duration=wanted.seconds)
        begun = excerpt.filter("setpts", "PTS-STARTPTS")
        copies = graded(scaled(begun, size), picture, "yuva444p" if picture.alpha else "yuv444p").split()
        palette = copies[0].filter("palettegen", stats_mode="diff")
        return ffmpeg.filter([copies[1], palette], "paletteuse", dither="bayer", bayer_scale=4, diff_mode="rectangle")

    planned = Plan(container=preset.container, duration_seconds=duration, video=size, audio=0)
    return Recipe(
        planned, filtered, (), lambda _threads: {"c:v": "gif", "loop": 0}, deinterlace=to_deinterlace(picture)
    )


def sheet(media: Media, preset: Preset, wanted: SheetParameters) -> Recipe:
    picture = pictured(media, preset)
    tile = bounded(picture, long_side=wanted.tile_long_side)
    count = wanted.columns * wanted.rows
    duration = picture.duration_seconds or media.duration_seconds
    rate = count / duration if duration else 1.0
    size = tile[0] * wanted.columns, tile[1] * wanted.rows

    def filtered(node: Node) -> Node:
        tiles = graded(scaled(resampled(rewound(node, picture), f"{rate:.6f}"), tile), picture, "yuvj420p")
        return tiles.filter("tile", f"{wanted.columns}x{wanted.rows}")

    options = {"c:v": "mjpeg", "q:v": 3, "frames:v": 1}
    planned = Plan(container=preset.container, duration_seconds=None, video=size, audio=0)
    return Recipe(planned, filtered, (), lambda _threads: options, deinterlace=to_deinterlace(picture))


def _excerpt(duration: float | None, wanted: GifParameters) -> float | None:
    """Seconds that are shown. Raises UnsuitableSource when the source ends before they begin."""
    if duration is None:
        return None
    if wanted.start_seconds >= duration:
        raise UnsuitableSource(f"the source lasts {duration:.1f} s; nothing is left at {wanted.start_seconds:g} s")
    return min(wanted.seconds, duration - wanted.start_seconds)
