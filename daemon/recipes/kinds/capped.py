"""Makes films within a number of bytes: H.264 in two passes, and another if that was too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from daemon.errors import TargetMissed, UnsuitableSource
from daemon.media.model import Media, VideoStream
from daemon.presets.parameters import CappedParameters
from daemon.recipes.encoders import ENCODERS, timing
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.kinds import film
from daemon.recipes.picture import bounded, fitted, graded, kept_rate, thinned
from daemon.recipes.recipe import Node, Options, Recipe, Request, Size, Step, Steps, measuring
from daemon.recipes.sound import default_first

SHORT_SIDES = (2160, 1440, 1080, 720, 540, 480, 360, 240, 144, 120)
BITS_PER_PIXEL = 0.035  # below which a smaller picture looks better than a coarser one
LEAST_VIDEO_BITS = 12_000  # per second; below it no encoder obeys
LEAST_AUDIO_KBPS = 24
AUDIO_SHARE = 0.2  # of all bits, at most
INDEX_BYTES = (8192, 24, 8)  # of an MP4: at all, per picture, per packet of sound
MARGIN = 0.98  # what a two-pass encode is asked for, of what it may take
SHARES = (0.6, 0.04, 0.01)  # of the time: the second pass, and what may be needed beyond it


class Budget(NamedTuple):
    """A budget is bits per second for the picture, kilobits for the sound (0: none)."""

    video: int
    audio_kbps: int


def capped(request: Request[CappedParameters]) -> Recipe:
    """Keeps only the audio track a player would choose: others would take from the picture."""
    picture, wanted = request.picture, request.wanted
    one = request._replace(media=replace(request.media, audio=default_first(request.media.audio)[:1]))
    rate = min(picture.frame_rate or 30.0, float(wanted.max_frame_rate))
    budget = _budget(one.media, rate, wanted)
    size = _affordable(picture, rate, budget, wanted)

    def filtered(node: Node) -> Node:
        sized = fitted(thinned(node, picture, wanted.max_frame_rate), picture, size)
        return graded(sized, picture, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)

    planned = replace(
        film.planned_film(one, size=size, frame_rate=kept_rate(picture, wanted.max_frame_rate)),
        max_bytes=wanted.target_bytes,
    )

    def encoded(video_bits: int) -> Recipe:
        def encode(threads: int) -> Options:
            return {"c:v": "libx264", "preset": wanted.speed, "b:v": video_bits, "pass": 2, "threads": threads}

        return film.film(one, planned, filtered, encode, budget.audio_kbps)

    return encoded(budget.video)._replace(steps=lambda: _passes(encoded, budget.video, wanted.target_bytes))


def _passes(encoded: Callable[[int], Recipe], video_bits: int, target_bytes: int) -> Steps:
    yield Step(_first(encoded(video_bits)), 0.35)
    for share in SHARES:
        passed = yield Step(encoded(video_bits), share)
        if passed.bytes <= target_bytes:
            return
        video_bits = int(video_bits * MARGIN * target_bytes / passed.bytes)
    raise TargetMissed(
        f"it came to {passed.bytes} bytes, though {target_bytes} were the limit and everything was tried: "
        "ask for a larger target_bytes or a smaller short_side"
    )


def _first(recipe: Recipe) -> Recipe:
    """The pass that only looks at the picture; what it learns lies in the folder it runs in.

    Sound goes along, for FFmpeg may count by when it begins: the next pass is to see the same pictures.
    """

    def options(threads: int) -> Options:
        looking = ("c:v", "preset", "b:v", "threads", *timing())
        heard = {"c:a": "copy"} if recipe.sound else {}
        return {**{name: recipe.options(threads)[name] for name in looking}, **heard, "pass": 1}

    return measuring(recipe)._replace(subtitles=(), options=options)


def _budget(media: Media, rate: float, wanted: CappedParameters) -> Budget:
    """Raises UnsuitableSource when the source does not say how long it lasts, or does not fit at all."""
    duration, heard = media.duration_seconds, media.audio
    if duration is None:
        raise UnsuitableSource(
            "the source does not say how long it lasts, so nothing can be made to fit a size: remux it first"
        )
    packets = sum(stream.sample_rate / 1024 for stream in heard)
    fixed, per_picture, per_packet = INDEX_BYTES
    index = fixed + duration * (rate * per_picture + packets * per_packet)
    bits = (wanted.target_bytes * MARGIN - index) * 8 / duration
    affordable = max(LEAST_AUDIO_KBPS, int(bits * AUDIO_SHARE / 1000))
    audio_kbps = min(wanted.audio_bitrate_kbps, affordable) if heard else 0
    video = int(bits - audio_kbps * 1000)
    if video < LEAST_VIDEO_BITS:
        least_bits = LEAST_VIDEO_BITS + (LEAST_AUDIO_KBPS * 1000 if heard else 0)
        least = int((least_bits * duration / 8 + index) / MARGIN) + 1
        raise UnsuitableSource(
            f"{duration:.1f} s do not fit into {wanted.target_bytes} bytes: "
            f"ask for a target_bytes of at least {least}, or cut the source"
        )
    return Budget(video, audio_kbps)


def _affordable(picture: VideoStream, rate: float, budget: Budget, wanted: CappedParameters) -> Size:
    """The largest size, up to what is wanted, that looks well at that many bits."""
    sides = [wanted.short_side, *(side for side in SHORT_SIDES if side < wanted.short_side)]
    sizes = [bounded(picture, short_side=side) for side in sides]
    enough = (size for size in sizes if size[0] * size[1] * rate * BITS_PER_PIXEL <= budget.video)
    return next(enough, sizes[-1])


def _estimated(request: Request[CappedParameters]) -> Estimate:
    """Its plan says how many bytes it may have."""
    return Estimate(cpu_per_megapixel=ENCODERS[request.preset.encoder].cpu(request.wanted.speed))


CAPPED = Kind("capped", (CappedParameters,), capped, _estimated)
