"""Tells what the name of an output may say of its picture or its sound."""

from __future__ import annotations

from daemon.errors import FfspoolError
from daemon.media.model import Media
from daemon.models import Parameters
from daemon.presets.builtin import PRESETS
from daemon.recipes import command
from daemon.recipes.recipe import Plan


def height_and_codec(media: Media, preset: str, parameters: Parameters) -> tuple[str, str]:
    """Returns the height in pixels of what this built-in preset makes of that source, and its codec.

    The codec is the sound's where there is no picture. Empty is what there is none of, and both where nothing can be
    made.
    """
    try:
        planned = command.plan(media, preset, parameters)
    except FfspoolError:
        return "", ""
    return str(planned.video[1]) if planned.video else "", _codec(media, planned, PRESETS[preset].encoder)


def _codec(media: Media, planned: Plan, encoder: str) -> str:
    """The source's own, where that is copied."""
    if not (planned.copied or encoder == "copy"):
        return encoder
    if planned.video and media.video:
        return media.video.codec
    return media.audio[0].codec if media.audio else ""
