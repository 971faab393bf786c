"""Defines what a kind of output tells of itself, all in its own file of `kinds/`: parameters, recipe, what it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from daemon.errors import BadParameter
from daemon.media.model import Media
from daemon.models import Parameters
from daemon.presets.builtin import Preset
from daemon.presets.traits import Family
from daemon.recipes.recipe import Recipe, Request
from daemon.text_forms import in_words

KEPT_SOUND_KBPS = 800  # of a track that is not encoded, or without loss
K = TypeVar("K", bound=Family)


class Estimate(NamedTuple):
    """Holds what outputs of a kind usually take, before this host's own encodes correct it.

    The frame rate is `frame_rate`, or the source's where that is None, and never above `max_frame_rate`.
    """

    cpu_per_megapixel: float = 0.0  # CPU seconds to encode
    bits_per_pixel: float = 0.0  # of every frame
    sound_kbps: int = KEPT_SOUND_KBPS  # kilobits per second of each track
    frame_rate: float | None = None
    max_frame_rate: float = math.inf


class Kind(NamedTuple, Generic[K]):
    """Describes a kind of output, by the name that rows of presets give it.

    `parameters` are the types it takes; the first one is taken where a preset's own is none of them, as of a look
    that was drawn. One that is `silent` is to have no sound.
    """

    name: str
    parameters: tuple[type[K], ...]
    recipe: Callable[[Request[K]], Recipe]
    estimate: Callable[[Request[K]], Estimate]
    silent: bool = False

    def request(self, media: Media, preset: Preset, parameters: Parameters) -> Request[K]:
        """Parses the parameters, once for all that is made of them. Raises BadParameter."""
        own = (taken for taken in self.parameters if taken is type(preset.defaults))
        try:
            return Request(media, preset, msgspec.convert(parameters, next(own, self.parameters[0])))
        except msgspec.ValidationError as error:
            words = in_words(str(error))
            raise BadParameter(f"these parameters are not the preset {preset.name}'s: {words}") from error
