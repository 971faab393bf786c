"""Kinds of recipe that keep picture and sound: a plain film, and a refreshed one."""

from __future__ import annotations

from collections.abc import Callable

from daemon import sound
from daemon.codecs import ENCODERS, timing
from daemon.models import Media
from daemon.picture import bounded, covering, even, graded, scaled, thinned
from daemon.plans import Node, Options, Plan, Recipe, Size, pictured
from daemon.presets import Preset, RefreshedParameters, VideoParameters


def video(media: Media, preset: Preset, wanted: VideoParameters) -> Recipe:
    picture = pictured(media, preset)
    size = bounded(picture, short_side=wanted.short_side)

    def filtered(node: Node) -> Node:
        return graded(scaled(thinned(node, picture, wanted.max_frame_rate), size), picture)

    return _film(media, preset, size, filtered, wanted)


def refresh(media: Media, preset: Preset, wanted: RefreshedParameters) -> Recipe:
    picture = pictured(media, preset)
    size = even(picture.width), even(picture.height)

    def filtered(node: Node) -> Node:
        filled = scaled(node, covering(size, wanted.rotation))
        turned = graded(filled, picture).filter("rotate", a=wanted.rotation, ow=size[0], oh=size[1])
        return turned.filter("eq", brightness=wanted.brightness, contrast=wanted.contrast, saturation=wanted.saturation)

    return _film(media, preset, size, filtered, wanted)


def _film(
    media: Media,
    preset: Preset,
    size: Size,
    filtered: Callable[[Node], Node],
    wanted: VideoParameters | RefreshedParameters,
) -> Recipe:
    """A picture of that size with all of the source's sound."""

    def options(threads: int) -> Options:
        encode = ENCODERS[preset.encoder]
        heard = sound.encoded(preset.container, media.audio, wanted.audio_bitrate_kbps)
        return {**timing(), **encode(wanted.crf, wanted.speed, threads), **heard}

    planned = Plan(
        container=preset.container,
        duration_seconds=media.duration_seconds,
        video=size,
        audio=len(media.audio),
    )
    return Recipe(planned, filtered, media.audio, options)
