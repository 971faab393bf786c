"""Makes tiles at even intervals, on one or more sheets, with a WebVTT index of them.

Players show the tile of a time above their bar: a cue of the index says for each interval which rectangle of
which sheet that is (`sprites-001.jpg#xywh=160,90,160,90`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from daemon.errors import UnsuitableSource
from daemon.presets.parameters import SpritesParameters
from daemon.recipes.encoders import JPEG
from daemon.recipes.kind import Kind
from daemon.recipes.picture import bounded, graded, resampled, rewound, scaled, to_deinterlace
from daemon.recipes.recipe import SPRITES_INDEX, SPRITES_SHEET, Node, Plan, Recipe, Request, Size, Sprites

MAX_TILES = 20_000


def sprites(request: Request[SpritesParameters]) -> Recipe:
    media, wanted, picture = request.media, request.wanted, request.picture
    duration = picture.duration_seconds or media.duration_seconds
    if duration is None:
        raise UnsuitableSource(
            "the source does not say how long it lasts, so tiles cannot be indexed by time: remux it first"
        )
    count = max(1, math.ceil(duration / wanted.interval_seconds - 1e-3))
    if count > MAX_TILES:
        least = math.ceil(duration / MAX_TILES)
        raise UnsuitableSource(f"{count} tiles are too many: ask for an interval_seconds of at least {least}")
    tile = bounded(picture, long_side=wanted.tile_long_side)
    columns, rows = min(wanted.columns, count), min(wanted.rows, math.ceil(count / wanted.columns))
    sheets = math.ceil(count / (columns * rows))

    def filtered(node: Node) -> Node:
        frames = resampled(rewound(node, picture), f"1/{wanted.interval_seconds:g}")
        tiles = graded(scaled(frames, tile), picture, "yuvj420p")
        # A source that ends early shows its last frame on: the index speaks of every tile.
        exactly = tiles.filter("tpad", stop=-1, stop_mode="clone").filter("trim", end_frame=count)
        return exactly.filter("tile", f"{columns}x{rows}")

    planned = Plan(
        container=request.preset.container,
        duration_seconds=None,
        video=(tile[0] * columns, tile[1] * rows),
        audio=0,
        seen_seconds=media.duration_seconds,
        folder=Sprites(sheets=sheets),
    )
    cues = _cues(count, picture.start_seconds, duration, wanted.interval_seconds, tile, (columns, rows))
    index = {SPRITES_INDEX: "\n".join(cues)}
    options = {"c:v": "mjpeg", "q:v": 4, "fps_mode": "passthrough"}
    which = to_deinterlace(picture)
    return Recipe(planned, filtered, (), lambda _threads: options, deinterlace=which, entry=SPRITES_SHEET, files=index)


def _cues(count: int, start: float, duration: float, interval: float, tile: Size, grid: Size) -> Iterator[str]:
    yield "WEBVTT\n"
    for number in range(count):
        sheet, place = divmod(number, grid[0] * grid[1])
        row, column = divmod(place, grid[0])
        begin, end = number * interval, min((number + 1) * interval, duration)
        yield f"{_clock(start + begin)} --> {_clock(start + end)}"
        yield f"{SPRITES_SHEET % (sheet + 1)}#xywh={column * tile[0]},{row * tile[1]},{tile[0]},{tile[1]}\n"


def _clock(seconds: float) -> str:
    """`3725.5` → `01:02:05.500`."""
    millis = round(seconds * 1000)
    return f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:{millis // 1000 % 60:02}.{millis % 1000:03}"


SPRITES = Kind("sprites", (SpritesParameters,), sprites, lambda _request: JPEG, silent=True)
