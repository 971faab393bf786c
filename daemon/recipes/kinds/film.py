"""Makes films that keep picture and sound: a plain one, and a refreshed one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from daemon.errors import UnsuitableSource
from daemon.media.model import AudioStream, VideoStream
from daemon.presets.parameters import RefreshedParameters, VideoParameters
from daemon.presets.traits import FilmTraits, Traits
from daemon.recipes import chapters, crf_search, metadata, sound, stream_copy, subtitles
from daemon.recipes.encoders import ENCODERS, captioned, lasting, timing
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.picture import (
    bounded,
    fitted,
    graded,
    is_paced,
    kept_pictures,
    kept_rate,
    scaled,
    shown_colour,
    stays_all_around,
    stays_stereo,
    thinned,
    to_deinterlace,
    told_of_view,
    turned,
)
from daemon.recipes.recipe import Node, Options, Plan, Recipe, Request, Size

LEAST_PICTURES = 3  # of fewer, FFmpeg takes the clock for their rate
SILENT_FIRST = {"wmav1", "wmav2"}  # whose decoders make nothing of the first packets


def video(request: Request[VideoParameters]) -> Recipe:
    picture, wanted, encoder = request.picture, request.wanted, ENCODERS[request.preset.encoder]
    size = bounded(picture, short_side=wanted.short_side)
    pixel_format = _pixel_format(request)
    rate = kept_rate(picture, wanted.max_frame_rate)

    def filtered(node: Node) -> Node:
        sized = fitted(thinned(node, picture, wanted.max_frame_rate), picture, size)
        return graded(sized, picture, pixel_format, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)

    planned = planned_film(request, size=size, pixel_format=pixel_format, frame_rate=rate)

    def encode(crf: float) -> Callable[[int], Options]:
        return partial(encoder.options, crf, wanted.speed)

    def encoded(crf: float) -> Recipe:
        made = film(request, planned, filtered, encode(crf), wanted.audio_bitrate_kbps)
        made = made._replace(paced=is_paced(picture, wanted.max_frame_rate))
        return _copying(made, request) if wanted.copy else made

    recipe = encoded(wanted.crf)
    if wanted.target_vmaf is None or recipe.direct:
        return recipe
    vmaf, grains = wanted.target_vmaf, encoder.grains
    looking = partial(crf_search.steps, request.media, encoded, encode, wanted.crf, vmaf, grains)
    return recipe._replace(steps=looking)


def refresh(request: Request[RefreshedParameters]) -> Recipe:
    picture, wanted = request.picture, request.wanted
    size = bounded(picture)

    def filtered(node: Node) -> Node:
        straight = scaled(node, size)
        shown = graded(straight, picture, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)
        return turned(shown, size, wanted.rotation).filter(
            "eq", brightness=wanted.brightness, contrast=wanted.contrast, saturation=wanted.saturation
        )

    planned = planned_film(request, size=size, frame_rate=kept_rate(picture))
    encode = partial(ENCODERS[request.preset.encoder].options, wanted.crf, wanted.speed)
    return film(request, planned, filtered, encode, wanted.audio_bitrate_kbps)


def _pixel_format(request: Request[VideoParameters]) -> str:
    if request.picture.alpha and request.preset.encoder == "vp9":
        return "yuva420p"
    return "yuv420p10le" if request.wanted.bit_depth == 10 else "yuv420p"


def planned_film(
    request: Request[FilmTraits], *, size: Size, pixel_format: str = "yuv420p", frame_rate: float | None = None
) -> Plan:
    """Plans a picture of that size with all of the source's sound, and the subtitles the container takes.

    Raises UnsuitableSource for one that the encoder has no use for.
    """
    media, preset, wanted, picture = request.media, request.preset, request.wanted, request.picture
    least = ENCODERS[preset.encoder].least_side
    if min(size) < least:
        said = "×".join(map(str, size))
        raise UnsuitableSource(
            f"the picture would be {said}: the encoder takes none with a side below {least} pixels; take a preset of "
            "another codec, such as h264-720p"
        )
    heard = sound.default_first(media.audio)
    return Plan(
        container=preset.container,
        duration_seconds=media.duration_seconds,
        video=size,
        audio=len(heard),
        subtitles=len(subtitles.carried(preset.container, media, wanted.subtitles)),
        chapters=chapters.told(preset.container, media) if wanted.chapters == "keep" else (),
        colour=shown_colour(picture, pixel_format, wanted.tone_map),
        frame_rate=frame_rate,
        pictures=kept_pictures(picture, getattr(wanted, "max_frame_rate", math.inf)),
        video_seconds=picture.duration_seconds,
        audio_seconds=tuple(stream.duration_seconds for stream in heard),
        audio_offset=offset(picture, heard),
        all_around=stays_all_around(picture, size, preset.container),
        stereo=stays_stereo(picture, preset.container),
        quality=None if wanted.quality == "none" else wanted.quality,
    )


def offset(picture: VideoStream, heard: tuple[AudioStream, ...]) -> float | None:
    """Returns the seconds after the picture at which the sound is heard; None where its packets do not tell."""
    told = heard and heard[0].codec not in SILENT_FIRST
    return heard[0].start_seconds - picture.start_seconds if told else None


def film(
    request: Request[Traits],
    planned: Plan,
    filtered: Callable[[Node], Node],
    encode: Callable[[int], Options],
    audio_bitrate_kbps: int,
) -> Recipe:
    """Says how that picture is made, and what goes with it. `encode` gives its options by the number of threads."""
    media, preset, wanted, picture = request.media, request.preset, request.wanted, request.picture
    heard = sound.default_first(media.audio)
    read = subtitles.carried(preset.container, media, wanted.subtitles)

    def encoded(threads: int) -> Options:
        captions = captioned(picture, preset.encoder, kept=wanted.captions != "drop")
        last = _last_shown(picture, preset.encoder)
        return {**timing(picture), **encode(threads), **captions, **last, **told_of_view(planned)}

    def options(threads: int) -> Options:
        return {
            **encoded(threads),
            **sound.encoded(preset.container, heard, audio_bitrate_kbps, wanted.max_channels),
            **subtitles.encoded(preset.container, read),
            **metadata.options(preset.container, media, wanted, heard, read, picture),
        }

    deinterlaced = to_deinterlace(picture, wanted.deinterlace)
    return Recipe(planned, filtered, heard, options, read, deinterlaced, encoded=encoded)


def _last_shown(picture: VideoStream, encoder: str) -> Options:
    """SVT-AV1 does not tell how long pictures last; of the last one, which no other follows, nothing else does."""
    if encoder != "av1" or picture.duration_seconds is None:
        return {}
    rate = kept_rate(picture)
    if rate is not None and rate * picture.duration_seconds >= LEAST_PICTURES and not picture.held_seconds:
        return {}
    end = picture.start_seconds + picture.duration_seconds
    return lasting(f"max(DURATION,{end:.3f}/TB-PTS)")


def _copying(encoded: Recipe, request: Request[VideoParameters]) -> Recipe:
    """The same, but picture and tracks that already fit are copied, each for itself."""
    media, preset, wanted = request.media, request.preset, request.wanted
    if media.uncopied:
        return encoded
    as_it_is = stream_copy.picture_fits(request) and not stream_copy.muddled(media)
    encode = partial(ENCODERS[preset.encoder].options, wanted.crf, wanted.speed)

    def options(threads: int) -> Options:
        heard = stream_copy.sound_options(encoded.sound, encoded.options(threads), sound.codec(preset.container))
        if not as_it_is:
            return heard
        rest = {name: value for name, value in heard.items() if name not in {*timing(), *encode(threads), "bsf:v"}}
        return {**rest, "c:v": "copy", **stream_copy.picture_options(media, preset.container)}

    if not as_it_is:
        return encoded._replace(options=options)
    planned = replace(encoded.plan, colour=None, copied=True, quality=None)
    bare = encoded._replace(filtered=None, deinterlace=None, encoded=None)
    return bare._replace(plan=planned, options=options, direct=request.picture)


def _estimated(request: Request[VideoParameters]) -> Estimate:
    wanted, encoder = request.wanted, ENCODERS[request.preset.encoder]
    kbps, rate = wanted.audio_bitrate_kbps, wanted.max_frame_rate
    return encoder.estimate(wanted.crf, wanted.speed, sound_kbps=kbps, max_frame_rate=rate)


def _estimated_refreshed(request: Request[RefreshedParameters]) -> Estimate:
    wanted, encoder = request.wanted, ENCODERS[request.preset.encoder]
    return encoder.estimate(wanted.crf, wanted.speed, sound_kbps=wanted.audio_bitrate_kbps)


VIDEO = Kind("video", (VideoParameters,), video, _estimated)
REFRESH = Kind("refresh", (RefreshedParameters,), refresh, _estimated_refreshed)
