"""Makes outputs that change as little as can be: remuxed, archived, archived without any loss."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from daemon.errors import UnsuitableSource
from daemon.media.model import AudioStream, Media, VideoStream
from daemon.presets.parameters import ArchiveParameters, LosslessParameters, RemuxParameters
from daemon.presets.traits import KeptTraits
from daemon.recipes import chapters, metadata, stream_copy, subtitles
from daemon.recipes.contents import MOST_IN_FLAC
from daemon.recipes.encoders import ENCODERS, STILLS_CPU, captioned, decimal, timing
from daemon.recipes.kind import Estimate, Kind
from daemon.recipes.kinds import film
from daemon.recipes.picture import bounded, fitted, graded, kept_rate, to_deinterlace, upright
from daemon.recipes.recipe import Node, Options, Plan, Recipe, Request, Size, refuse_lost
from daemon.recipes.sound import default_first, of_all_around

MOST_HIDDEN = 0.1  # seconds; encoders of sound hide less at its beginning
LEAST_SLICED = 16  # pixels of a side, below which FFV1 may find no way to cut a picture up that has coarser colours
# Pixels of which a name tells Matroska's readers how they lie.
RAW = {"yuv420p", "yuv422p", "yuvj420p", "yuvj422p", "yuv410p", "yuv411p", "yuyv422", "uyvy422", "yvyu422"}
RAW |= {"gray", "nv12", "nv21", "rgba"}
FLOATING = re.compile(r"f(?:16|32)(?:le|be)?$")
OF_BLOCKS = {"adpcm_ms", "adpcm_ima_wav"}  # sound of which NUT does not tell how large a block is, as Matroska does
CALLED = {"mp4": "MP4", "webm": "WebM", "matroska": "Matroska"}
_MP4 = "h264 hevc vvc av1 vp9 mpeg4 mpeg2video mpeg1video aac mp3 mp2 ac3 eac3 dts alac opus flac"
_OLD = "theora vp8 mjpeg prores ffv1 huffyuv ffvhuff utvideo rawvideo vc1 wmv1 wmv2 wmv3 msmpeg4v2 msmpeg4v3 h263"
_SOUND = "pcm_s64le pcm_u8 pcm_alaw pcm_mulaw vorbis truehd mlp wmav2 wmapro mp1"
_PCM = " ".join(f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be"))
_EDITED = "cfhd dxv hap jpeg2000 magicyuv snow v210 r210 r10k speedhq y41p yuv4 cljr asv1 asv2 jpegls"
_SCREENS = "zmbv flashsv zlib h261"
_RARE = "dvvideo adpcm_yamaha adpcm_g722 adpcm_ms adpcm_ima_wav wavpack tta flv1 cinepak msvideo1"
HOLDS = {
    "mp4": set(f"{_MP4} {_PCM} mjpeg jpeg2000".split()),
    "webm": {"vp8", "vp9", "av1", "opus", "vorbis"},
    "matroska": set(f"{_MP4} {_OLD} {_PCM} {_SOUND} {_RARE} {_EDITED} {_SCREENS}".split())
    - {"vvc", "pcm_f32be", "pcm_f64be"},
}


def remux(request: Request[RemuxParameters]) -> Recipe:
    """Raises UnsuitableSource that names the codec which the container cannot hold."""
    media, preset, wanted = request.media, request.preset, request.wanted
    refuse_lost(media, "picture")
    heard = default_first(media.audio)[: None if wanted.tracks == "all" else 1]
    if strange := _strange(preset.container, media, heard):
        elsewhere = preset.container != "matroska" and not _strange("matroska", media, heard)
        words = f"{CALLED[preset.container]} cannot hold the source's {', '.join(strange)}"
        raise UnsuitableSource(
            f"{words}: {'take remux-mkv, or encode it' if elsewhere else 'encode it with another preset'}"
        )
    kept: list[AudioStream | VideoStream] = [*([media.video] if media.video else []), *heard]
    _refuse_untrue(media, kept, preset.container)
    if stream_copy.muddled(media):
        raise UnsuitableSource(
            "its file does not tell when all of its pictures are shown, which may be in another order than they are "
            "stored in: encode it"
        )
    size = (media.video.width, media.video.height) if media.video else None
    planned = replace(_planned(request, size, heard), copied=True)
    fast_start = {"movflags": "+faststart"} if preset.container == "mp4" else {}
    options = {**fast_start, "c": "copy", **stream_copy.picture_options(media, preset.container)}
    return _kept(request, planned, options, heard)._replace(direct=media.video)


def _refuse_untrue(media: Media, kept: Iterable[AudioStream | VideoStream], container: str) -> None:
    """Raises UnsuitableSource where a copy of the tracks that are `kept` would show something else than its source."""
    if media.edited:
        raise UnsuitableSource(
            "the source's edit list shows several parts of a track, which no copy can do as exactly: encode it"
        )
    if media.repeated:
        raise UnsuitableSource(
            "parts of the source come twice in its file, and a copy would show them twice: encode it"
        )
    if container != "mp4" and any(stream.hidden_seconds > MOST_HIDDEN for stream in kept):
        raise UnsuitableSource(
            f"the source hides parts by an edit list, which {CALLED[container]} would show: "
            "take remux-mp4, or encode it"
        )
    to_its_own = media.format.startswith("mov")
    if media.redescribed and not (to_its_own and container == "mp4"):
        raise UnsuitableSource(
            f"the source describes parts of a track in different ways, of which {CALLED[container]} keeps one: "
            f"{'take remux-mp4, or ' if to_its_own else ''}encode it"
        )
    turned = media.video is not None and media.video.spherical and _is_turned(media.video)
    if container != "mp4" and turned:
        raise UnsuitableSource(
            f"the source is a 360° film that players have to turn: {CALLED[container]} keeps one of the two. "
            "Take remux-mp4, or encode it"
        )


def _holds(container: str, media: Media, codec: str) -> bool:
    return codec in HOLDS[container] and not (media.format == "nut" and codec in OF_BLOCKS)


def _is_turned(picture: VideoStream) -> bool:
    return bool(picture.rotation or picture.tilt or picture.mirrored)


def _strange(container: str, media: Media, heard: Iterable[AudioStream]) -> list[str]:
    """Names what that container cannot hold of picture and sound."""
    codecs = [*([media.video.codec] if media.video else []), *(stream.codec for stream in heard)]
    strange = [codec for codec in codecs if not _holds(container, media, codec)]
    picture = media.video
    if picture and picture.codec == "rawvideo" and container == "matroska" and picture.pixel_format not in RAW:
        strange.append(f"rawvideo ({picture.pixel_format})")
    if picture and picture.codec == "vp9" and container == "mp4" and (picture.pixel_format or "").startswith("yuv440p"):
        strange.append("vp9 in 4:4:0")
    return strange


def archive(request: Request[ArchiveParameters]) -> Recipe:
    """Makes HEVC in 10 bits: even of an 8-bit source it keeps gradients smoother. HDR stays what it is."""
    media, wanted, picture = request.media, request.wanted, request.picture
    size, deep = bounded(picture), "yuv420p10le"

    def filtered(node: Node) -> Node:
        whole = fitted(node, picture, size)
        return graded(whole, picture, deep, tone_map=wanted.tone_map, alpha_colour=wanted.alpha_colour)

    def options(threads: int) -> Options:
        encode = {"c:v": "libx265", "preset": wanted.speed, "crf": decimal(wanted.crf), "threads": threads}
        quiet = {"x265-params": f"pools={threads}:log-level=warning"}
        return {
            **timing(picture),
            **encode,
            **quiet,
            **captioned(picture, "hevc", kept=wanted.captions != "drop"),
            **kept.options(threads),
        }

    rate = kept_rate(picture)
    planned = film.planned_film(request, size=size, pixel_format=deep, frame_rate=rate)
    heard = default_first(media.audio)
    kept = _kept(request, planned, _sound_as_it_is(media, heard), heard)
    return kept._replace(options=options, filtered=filtered, deinterlace=to_deinterlace(picture, wanted.deinterlace))


def _sound_as_it_is(media: Media, streams: Iterable[AudioStream]) -> Options:
    """What Matroska cannot hold, or would not hide, becomes FLAC."""
    anew = media.redescribed or media.uncopied
    strange = [
        number
        for number, stream in enumerate(streams)
        if anew or not _holds("matroska", media, stream.codec) or stream.hidden_seconds > MOST_HIDDEN
    ]
    return {"c:a": "copy", **{f"c:a:{number}": "flac" for number in strange}}


def lossless(request: Request[LosslessParameters]) -> Recipe:
    """Keeps the picture as it is decoded: fields stay fields, and pixels keep their shape and their depth."""
    picture, wanted = request.picture, request.wanted
    if FLOATING.search(picture.pixel_format or ""):
        told = f"the source's pixels are floating-point numbers ({picture.pixel_format})"
        raise UnsuitableSource(f"{told}, which FFV1 does not hold: encode it with another preset")
    heard = default_first(request.media.audio)
    planned = _planned(request, upright(picture), heard)
    exact = {"c:v": "ffv1", "level": 3, "g": wanted.keyframe_interval, "slicecrc": 1, "c:a": "flac", **_sliced(picture)}
    exact |= {f"c:a:{number}": codec for number, stream in enumerate(heard) if (codec := _finer(stream, request.media))}
    if picture.colour.range == "pc" and (picture.pixel_format or "").startswith("yuv"):
        exact["color_range"] = "pc"  # a container that says otherwise would have it squeezed
    if picture.alpha and picture.codec == "vp8" and picture.colour.matrix:
        exact["colorspace"] = picture.colour.matrix  # which the decoder that sees alpha does not tell
    kept = _kept(request, planned, {**timing(picture), **exact}, heard)
    threaded = kept._replace(options=lambda threads: {**kept.options(threads), "threads": threads})
    # Only filters set clocks, or turn.
    if picture.counted or picture.unstamped or picture.reshaped or picture.tilt or picture.told_twice:
        return threaded._replace(filtered=lambda shown: shown)
    return threaded._replace(direct=picture)


def _finer(stream: AudioStream, media: Media) -> str | None:
    """What takes sound that FLAC cannot: itself, where Matroska holds that, else PCM. FLAC has 24 bits, and knows of no
    sound field."""
    if stream.exact is None and stream.channels <= MOST_IN_FLAC and not of_all_around(stream):
        return None
    return "copy" if _holds("matroska", media, stream.codec) and not media.uncopied else stream.exact or "pcm_s24le"


def _sliced(picture: VideoStream) -> Options:
    """Says in how many parts FFV1 codes it. It refuses four where an odd side would cut a colour sample in two, and
    knows better then; where that leads nowhere, each pixel gets a colour of its own."""
    sides = picture.coded_width, picture.coded_height
    if min(sides) < LEAST_SLICED:
        finer = re.sub(r"^yuvj?(a?)4(?:2[02]|1[01]|40)p", r"yuv\g<1>444p", picture.pixel_format or "")
        return {} if finer == (picture.pixel_format or "") else {"pix_fmt": finer}
    return {} if any(side % 2 for side in sides) else {"slices": 4}


def _planned(request: Request[KeptTraits], size: Size | None, heard: Iterable[AudioStream]) -> Plan:
    media, preset, wanted = request.media, request.preset, request.wanted
    return Plan(
        container=preset.container,
        duration_seconds=media.duration_seconds,
        video=size,
        audio=len(tuple(heard)),
        subtitles=len(subtitles.carried(preset.container, media, wanted.subtitles)),
        chapters=chapters.told(preset.container, media) if wanted.chapters == "keep" else (),
    )


def _kept(request: Request[KeptTraits], planned: Plan, options: Options, heard: tuple[AudioStream, ...]) -> Recipe:
    """Sound, subtitles and their fonts beside a picture that is still to be added."""
    media, preset, wanted = request.media, request.preset, request.wanted
    read = subtitles.carried(preset.container, media, wanted.subtitles)
    beside = {
        **subtitles.encoded(preset.container, read),
        **metadata.options(preset.container, media, wanted, heard, read, media.video),
    }
    attached = media.named_attachments if preset.container == "matroska" else ()
    beside |= {"c:t": "copy"} if attached else {}
    whole = replace(planned, attachments=len(attached))
    return Recipe(whole, None, heard, lambda _threads: {**options, **beside}, read, attached=attached)


def _estimated_archive(request: Request[ArchiveParameters]) -> Estimate:
    return ENCODERS[request.preset.encoder].estimate(request.wanted.crf, request.wanted.speed)


def _estimated_lossless(_request: Request[LosslessParameters]) -> Estimate:
    return Estimate(STILLS_CPU, bits_per_pixel=8.0)


def _estimated_remux(_request: Request[RemuxParameters]) -> Estimate:
    """Its plan says that it is as large as its source."""
    return Estimate(STILLS_CPU)


REMUX = Kind("remux", (RemuxParameters,), remux, _estimated_remux)
ARCHIVE = Kind("archive", (ArchiveParameters,), archive, _estimated_archive)
LOSSLESS = Kind("lossless", (LosslessParameters,), lossless, _estimated_lossless)
