"""Foretells what an interruption costs: how much of a film is encoded twice at most, and what that takes."""

from __future__ import annotations

from typing import NamedTuple

from daemon.models import VariationRequest
from daemon.presets.library import Library
from daemon.recipes import command
from daemon.recipes.catalogue import FILM, catalogue
from daemon.recipes.encoders import ENCODERS
from daemon.recipes.pieces import most_lost
from daemon.scheduling import costs
from daemon.scheduling.costs import Corrections


class Loss(NamedTuple):
    """A loss is at most so many `seconds` of film that a preset encodes twice, and the CPU seconds that takes."""

    preset: str
    seconds: float
    cpu_seconds: float


def losses(library: Library, corrections: Corrections) -> list[Loss]:
    """Returns what a usual film loses by the first preset of each encoder that goes on after an interruption."""
    resumable = (library.find(preset["name"]) for preset in catalogue(library) if preset["resumable"])
    first = {preset.encoder: preset.name for preset in reversed(list(resumable))}
    return [_loss(library, first[encoder], encoder, corrections) for encoder in ENCODERS if encoder in first]


def _loss(library: Library, preset: str, encoder: str, corrections: Corrections) -> Loss:
    assert FILM.video
    assert FILM.video.frame_rate
    assert FILM.duration_seconds
    [wanted, *_] = library.expand([VariationRequest(preset, {})])
    plan, estimate, *_ = command.prospect(FILM, library.find(preset).base, wanted.parameters)
    correction = costs.correction(corrections, preset, wanted.parameters)
    cost = costs.predict(FILM, plan, estimate, correction)
    seconds = most_lost(ENCODERS[encoder], FILM.video.frame_rate)
    return Loss(preset, seconds, seconds * (cost.decode + cost.encode) / FILM.duration_seconds)
