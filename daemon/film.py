"""Kinds of recipe that keep picture and sound: a plain film, and a refreshed one."""

from __future__ import annotations

from collections.abc import Callable

from daemon import sound, subtitles, tags
from daemon.codecs import ENCODERS, timing
from daemon.models import Media, VideoStream
from daemon.picture import (
    bounded,
    covering,
    even,
    fitted,
    graded,
    kept_rate,
    scaled,
    shown_colour,
    thinned,
    to_deinterlace,
)
from daemon.plans import Node, Options, Plan, Recipe, Size, pictured
from daemon.presets import Preset, RefreshedParameters, VideoParameters
from daemon.traits import Traits


def video(media: Media, preset: Preset, wanted: VideoParameters) -> Recipe:
    picture = pictured(media, preset)
    size = bounded(picture, short_side=wanted.short_side)
    pixel_format = _pixel_format(picture, preset, wanted)
    rate = kept_rate(picture, wanted.max_frame_rate)

    def filtered(node: Node) -> Node:
        sized = fitted(thinned(node, picture, wanted.max_frame_rate), picture, size)
        return graded(sized, picture, pixel_format, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)

    planned = planned_film(media, preset, wanted, size=size, pixel_format=pixel_format, frame_rate=rate)
    return film(media, preset, wanted, planned, filtered)


def refresh(media: Media, preset: Preset, wanted: RefreshedParameters) -> Recipe:
    picture = pictured(media, preset)
    size = even(picture.width), even(picture.height)

    def filtered(node: Node) -> Node:
        filled = scaled(node, covering(size, wanted.rotation))
        shown = graded(filled, picture, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)
        turned = shown.filter("rotate", a=wanted.rotation, ow=size[0], oh=size[1])
        return turned.filter("eq", brightness=wanted.brightness, contrast=wanted.contrast, saturation=wanted.saturation)

    planned = planned_film(media, preset, wanted, size=size, frame_rate=kept_rate(picture))
    return film(media, preset, wanted, planned, filtered)


def _pixel_format(picture: VideoStream, preset: Preset, wanted: VideoParameters) -> str:
    if picture.alpha and preset.encoder == "vp9":
        return "yuva420p"
    return "yuv420p10le" if wanted.bit_depth == 10 else "yuv420p"


def planned_film(
    media: Media,
    preset: Preset,
    wanted: Traits,
    *,
    size: Size,
    pixel_format: str = "yuv420p",
    frame_rate: float | None = None,
) -> Plan:
    """A picture of that size with all of the source's sound, and the subtitles the container takes."""
    picture = pictured(media, preset)
    heard = sound.default_first(media.audio)
    return Plan(
        container=preset.container,
        duration_seconds=media.duration_seconds,
        video=size,
        audio=len(heard),
        subtitles=len(subtitles.carried(preset.container, media, wanted.subtitles)),
        chapters=len(media.chapters) if wanted.chapters == "keep" else 0,
        colour=shown_colour(picture, pixel_format, wanted.tone_map),
        frame_rate=frame_rate,
        video_seconds=picture.duration_seconds,
        audio_seconds=tuple(stream.duration_seconds for stream in heard),
        audio_offset=heard[0].start_seconds - picture.start_seconds if heard else None,
    )


def film(
    media: Media,
    preset: Preset,
    wanted: VideoParameters | RefreshedParameters,
    planned: Plan,
    filtered: Callable[[Node], Node],
) -> Recipe:
    """How that picture is made, and what goes with it."""
    heard = sound.default_first(media.audio)
    read = subtitles.carried(preset.container, media, wanted.subtitles)

    def options(threads: int) -> Options:
        return {
            **timing(),
            **ENCODERS[preset.encoder](wanted.crf, wanted.speed, threads),
            **sound.encoded(preset.container, heard, wanted.audio_bitrate_kbps, wanted.max_channels),
            **subtitles.encoded(preset.container, read),
            **tags.written(wanted.metadata, wanted.chapters, heard, read),
        }

    return Recipe(planned, filtered, heard, options, read, to_deinterlace(pictured(media, preset), wanted.deinterlace))
