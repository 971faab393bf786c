"""Predicts what an encode will cost, in CPU seconds: by sane defaults, corrected by what this host's own encodes took.

The module is pure: whoever has the history hands it in.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.media.model import Media, VideoStream
from daemon.models import Model, Parameters
from daemon.recipes.kind import Estimate
from daemon.recipes.recipe import Plan

USUAL_FRAME_RATE = 30.0  # of a picture that does not say
USUAL_DURATION = 60.0  # seconds, of a source that does not say
START_UP = 0.05  # CPU seconds that any process takes
DECODING = 0.005  # CPU seconds per megapixel
FILTERING = 0.003  # the same, of the source's picture on its way to one output
SOUND = 0.01  # CPU seconds to encode one second of one track
TRUST = 0.3  # in the newest encode, against all before it
WILD = 4.0  # times more or less than predicted: no single encode moves the prediction further


class Cost(Model, frozen=True):
    """A cost is the CPU seconds of one output. Those of `decode` are spent once by outputs that share a process."""

    decode: float
    encode: float


Corrections = Mapping[str, float]  # by key: how many times the default this host takes


def key(preset: str, parameters: Parameters) -> str:
    """Returns what encodes are told apart by when their costs are learnt."""
    speed = parameters.get("speed")
    return f"{preset}/{speed}" if speed else preset


def correction(known: Corrections, preset: str, parameters: Parameters) -> float:
    """Returns how many times the default such an encode takes; 1.0 before there was one."""
    return known.get(key(preset, parameters), 1.0)


def predict(media: Media, plan: Plan, estimate: Estimate, correction: float = 1.0) -> Cost:
    """Predicts what one output of that source takes."""
    seconds = media.duration_seconds or USUAL_DURATION
    shown = seconds if plan.duration_seconds is None else min(seconds, plan.duration_seconds)
    decode = START_UP + (_megapixels(media.video, seconds) * DECODING if media.video and plan.video else 0.0)
    encode = plan.audio * seconds * SOUND
    if media.video and plan.video:
        width, height = plan.video
        frames = shown * (media.video.frame_rate or USUAL_FRAME_RATE)
        encode += frames * width * height / 1e6 * estimate.cpu_per_megapixel
        encode += _megapixels(media.video, shown) * FILTERING
    return Cost(decode=decode, encode=encode * correction)


def _megapixels(picture: VideoStream, seconds: float) -> float:
    return seconds * (picture.frame_rate or USUAL_FRAME_RATE) * picture.coded_width * picture.coded_height / 1e6


def learn(correction: float, predicted: float, taken: float) -> float:
    """Returns the correction after an encode that was `predicted` with it, in CPU seconds, and took `taken`."""
    if predicted <= 0 or taken <= 0:
        return correction
    ratio = min(max(taken / predicted, 1 / WILD), WILD)
    return correction * (1 + TRUST * (ratio - 1))
