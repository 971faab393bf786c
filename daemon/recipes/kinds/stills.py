"""Shows some frames of the picture, without sound: as animations, a poster, a sheet of thumbnails."""

from __future__ import annotations

import ffmpeg

from daemon.errors import UnsuitableSource
from daemon.media.model import VideoStream
from daemon.presets.parameters import GifParameters, PosterParameters, SheetParameters, WebpParameters
from daemon.recipes.encoders import JPEG, STILLS_CPU
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.picture import WEBP_COLOUR, bounded, graded, resampled, rewound, scaled, to_deinterlace
from daemon.recipes.recipe import Node, Plan, Recipe, Request, Size

POSTER_CANDIDATES = 24  # frames among which the most typical one is looked for


def gif(request: Request[GifParameters]) -> Recipe:
    def filtered(node: Node) -> Node:
        shown = graded(_excerpt(node, request, size), picture, "yuva444p" if picture.alpha else "yuv444p")
        palette = shown.filter("palettegen", stats_mode="diff")
        return ffmpeg.filter([shown, palette], "paletteuse", dither="bayer", bayer_scale=4, diff_mode="rectangle")

    picture, size, planned = _animation(request)
    options = {"c:v": "gif", "loop": 0}
    return Recipe(planned, filtered, (), lambda _threads: options, deinterlace=to_deinterlace(picture))


def webp(request: Request[WebpParameters]) -> Recipe:
    def filtered(node: Node) -> Node:
        pixels = "yuva420p" if picture.alpha else "yuv420p"
        return graded(_excerpt(node, request, size), picture, pixels, as_colour=WEBP_COLOUR)

    picture, size, planned = _animation(request)
    options = {"c:v": "libwebp_anim", "quality": request.wanted.quality, "loop": 0}
    return Recipe(planned, filtered, (), lambda _threads: options, deinterlace=to_deinterlace(picture))


def _animation(request: Request[GifParameters]) -> tuple[VideoStream, Size, Plan]:
    picture, wanted = request.picture, request.wanted
    size = bounded(picture, long_side=wanted.long_side)
    duration = _shown_seconds(picture.duration_seconds or request.media.duration_seconds, wanted)
    return picture, size, Plan(container=request.preset.container, duration_seconds=duration, video=size, audio=0)


def _excerpt(node: Node, request: Request[GifParameters], size: Size) -> Node:
    wanted = request.wanted
    # At a fixed rate first: a long frame would outlast the end of the excerpt.
    frames = resampled(rewound(node, request.picture), str(wanted.fps))
    excerpt = frames.filter("trim", start=wanted.start_seconds, duration=wanted.seconds)
    return scaled(excerpt.filter("setpts", "PTS-STARTPTS"), size)


def poster(request: Request[PosterParameters]) -> Recipe:
    picture, wanted = request.picture, request.wanted
    size = bounded(picture, long_side=wanted.long_side)
    duration = picture.duration_seconds or request.media.duration_seconds
    if wanted.at_seconds is not None and duration is not None and wanted.at_seconds >= duration:
        raise UnsuitableSource(
            f"the source lasts {duration:.1f} s; there is no frame at {wanted.at_seconds:g} s: ask for an earlier one"
        )

    def filtered(node: Node) -> Node:
        return graded(scaled(_chosen(rewound(node, picture), duration, wanted.at_seconds), size), picture, "yuvj420p")

    options = {"c:v": "mjpeg", "q:v": 2, "frames:v": 1}
    planned = Plan(container=request.preset.container, duration_seconds=None, video=size, audio=0)
    return Recipe(planned, filtered, (), lambda _threads: options, deinterlace=to_deinterlace(picture))


def _chosen(node: Node, duration: float | None, at_seconds: float | None) -> Node:
    """The frame shown at that time or, without one, the most typical of some from the whole source."""
    if at_seconds is not None:
        return resampled(node, "30").filter("trim", start=at_seconds)
    rate = POSTER_CANDIDATES / duration if duration else 1.0
    return resampled(node, f"{rate:.6f}").filter("thumbnail", n=POSTER_CANDIDATES)


def sheet(request: Request[SheetParameters]) -> Recipe:
    picture, wanted = request.picture, request.wanted
    tile = bounded(picture, long_side=wanted.tile_long_side)
    count = wanted.columns * wanted.rows
    duration = picture.duration_seconds or request.media.duration_seconds
    rate = count / duration if duration else 1.0
    size = tile[0] * wanted.columns, tile[1] * wanted.rows

    def filtered(node: Node) -> Node:
        tiles = graded(scaled(resampled(rewound(node, picture), f"{rate:.6f}"), tile), picture, "yuvj420p")
        return tiles.filter("tile", f"{wanted.columns}x{wanted.rows}")

    options = {"c:v": "mjpeg", "q:v": 3, "frames:v": 1}
    seen = request.media.duration_seconds
    planned = Plan(container=request.preset.container, duration_seconds=None, video=size, audio=0, seen_seconds=seen)
    return Recipe(planned, filtered, (), lambda _threads: options, deinterlace=to_deinterlace(picture))


def _shown_seconds(duration: float | None, wanted: GifParameters) -> float | None:
    """Seconds that are shown. Raises UnsuitableSource when the source ends before they begin."""
    if duration is None:
        return None
    if wanted.start_seconds >= duration:
        raise UnsuitableSource(
            f"the source lasts {duration:.1f} s; nothing is left at {wanted.start_seconds:g} s: ask to begin earlier"
        )
    return min(wanted.seconds, duration - wanted.start_seconds)


def _estimated_gif(request: Request[GifParameters]) -> Estimate:
    return Estimate(STILLS_CPU, bits_per_pixel=4.0, frame_rate=request.wanted.fps)


def _estimated_webp(request: Request[WebpParameters]) -> Estimate:
    return Estimate(STILLS_CPU, bits_per_pixel=1.0, frame_rate=request.wanted.fps)


GIF = Kind("gif", (GifParameters,), gif, _estimated_gif, silent=True)
WEBP = Kind("webp", (WebpParameters,), webp, _estimated_webp, silent=True)
POSTER = Kind("poster", (PosterParameters,), poster, lambda _request: JPEG, silent=True)
SHEET = Kind("sheet", (SheetParameters,), sheet, lambda _request: JPEG, silent=True)
