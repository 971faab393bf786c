"""Puts the picture into a frame of fixed shape, as social networks want it."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from daemon.media.model import VideoStream
from daemon.presets.parameters import Aspect, FramedParameters
from daemon.recipes.encoders import ENCODERS
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.kinds import film
from daemon.recipes.picture import even, graded, is_paced, kept_rate, scaled, thinned
from daemon.recipes.recipe import Node, Recipe, Request, Size

SHAPES: dict[Aspect, tuple[int, int]] = {"9:16": (9, 16), "4:5": (4, 5), "1:1": (1, 1), "16:9": (16, 9)}
BLUR = 8  # the background is blurred at a fraction of its size, which costs little and blurs more


def framed(request: Request[FramedParameters]) -> Recipe:
    picture, wanted = request.picture, request.wanted
    frame = _frame(wanted)
    placed = {"fit": _with_bars, "fill": _cut, "blur": _before_itself}[wanted.fit]

    def filtered(node: Node) -> Node:
        sparse = thinned(node, picture, wanted.max_frame_rate)
        shown = graded(sparse, picture, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)
        return placed(shown, picture, frame)

    rate = kept_rate(picture, wanted.max_frame_rate)
    whole = film.planned_film(request, size=frame, frame_rate=rate)
    planned = replace(whole, all_around=False, stereo=False)  # it is put into one
    encode = partial(ENCODERS[request.preset.encoder].options, wanted.crf, wanted.speed)
    made = film.film(request, planned, filtered, encode, wanted.audio_bitrate_kbps)
    return made._replace(paced=is_paced(picture, wanted.max_frame_rate))


def _frame(wanted: FramedParameters) -> Size:
    width, height = SHAPES[wanted.aspect]
    unit = wanted.short_side / min(width, height)
    return even(width * unit), even(height * unit)


def _with_bars(node: Node, picture: VideoStream, frame: Size) -> Node:
    return scaled(node, _within(picture, frame)).filter("pad", *frame, "(ow-iw)/2", "(oh-ih)/2")


def _cut(node: Node, picture: VideoStream, frame: Size) -> Node:
    return scaled(node, _over(picture, frame)).filter("crop", *frame)


def _before_itself(node: Node, picture: VideoStream, frame: Size) -> Node:
    small = even(frame[0] / BLUR), even(frame[1] / BLUR)
    behind = scaled(node, _over(picture, small)).filter("crop", *small).filter("gblur", sigma=3)
    whole = scaled(node, _within(picture, frame))
    return scaled(behind, frame).overlay(whole, x="(W-w)/2", y="(H-h)/2").filter("format", "yuv420p")


def _within(picture: VideoStream, frame: Size) -> Size:
    """The picture's size when all of it is to be seen in the frame."""
    factor = min(frame[0] / picture.width, frame[1] / picture.height)
    return even(picture.width * factor + 0.5), even(picture.height * factor + 0.5)


def _over(picture: VideoStream, frame: Size) -> Size:
    """The picture's size when it is to fill all of the frame."""
    factor = max(frame[0] / picture.width, frame[1] / picture.height)
    return max(frame[0], even(picture.width * factor + 0.5)), max(frame[1], even(picture.height * factor + 0.5))


def _estimated(request: Request[FramedParameters]) -> Estimate:
    wanted, encoder = request.wanted, ENCODERS[request.preset.encoder]
    kbps, rate = wanted.audio_bitrate_kbps, wanted.max_frame_rate
    return encoder.estimate(wanted.crf, wanted.speed, sound_kbps=kbps, max_frame_rate=rate)


FRAMED = Kind("framed", (FramedParameters,), framed, _estimated)
