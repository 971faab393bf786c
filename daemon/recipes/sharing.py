"""Tells which outputs can be made beside others in one process."""

from __future__ import annotations

from daemon.media.model import Media
from daemon.recipes.picture_contents import HDR_TRANSFERS
from daemon.recipes.recipe import Plan, Recipe


def may_share(media: Media, recipe: Recipe) -> bool:
    """Tells whether it can be made together with others.

    Gaps in the sound can bring FFmpeg's threads to wait for each other when several films are made at once. So can a
    graph of filters that doubles frames: once its output is ahead of another it is held back, and takes no more of what
    the other waits for. And of all that one graph shows, only the first is told what screen an HDR film was made for,
    and how a 360° or a stereoscopic one is to be shown.
    """
    gaps = any(heard.gap_seconds for heard in media.audio)
    told = _stays_hdr(media, recipe.plan) or recipe.plan.all_around or recipe.plan.stereo
    waited_for = gaps or recipe.filled
    alone = media.video is not None and media.video.told_twice  # what it is read without is the copy's
    return not (recipe.steps or recipe.chapters or waited_for or (recipe.filtered and told) or alone)


def _stays_hdr(media: Media, plan: Plan) -> bool:
    """Whether players are to show the output as HDR."""
    hdr = media.video is not None and media.video.hdr is not None
    return hdr and plan.colour is not None and plan.colour.transfer in HDR_TRANSFERS
