"""Finds what need not be encoded: a picture, or a track of sound, that already is what the preset would make of it."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.media.model import AudioStream, Media
from daemon.presets.parameters import VideoParameters
from daemon.recipes.picture import kept_rate, to_deinterlace
from daemon.recipes.recipe import Options, Request

FOREIGN = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}  # codecs of which ASF tells one time of each picture


def picture_fits(request: Request[VideoParameters]) -> bool:
    """Tells whether it has that codec, is within the bounds, and shows as it is stored: plain SDR, unturned, whole."""
    picture, wanted = request.picture, request.wanted
    depth = {8: "yuv420p", 10: "yuv420p10le"}[wanted.bit_depth]
    plain = picture.pixel_format == depth and picture.hdr is None and not picture.alpha and picture.colour.range != "pc"
    turned = picture.rotation or picture.tilt or picture.mirrored
    upright = not (turned or picture.reshaped) and picture.sample_aspect_ratio == "1:1"
    small = min(picture.width, picture.height) <= wanted.short_side
    slow = picture.frame_rate is not None and picture.frame_rate <= wanted.max_frame_rate * 1.01
    whole = to_deinterlace(picture, wanted.deinterlace) is None and not (picture.captions and wanted.captions == "drop")
    return picture.codec == request.preset.encoder and plain and upright and small and slow and whole


def muddled(media: Media) -> bool:
    """Tells whether only a decoder finds out when its pictures are to be shown, which are stored in another order."""
    picture = media.video
    if picture is None:
        return False
    untold = media.format in {"h264", "hevc"} or (media.format == "asf" and picture.codec in FOREIGN)
    return (picture.reordered and (untold or picture.by_decoding)) or picture.counted or picture.unstamped > 0


def picture_options(media: Media, container: str) -> Options:
    """Returns what a copied picture takes: Apple's players want to find HEVC in an MP4 under a name that promises its
    parameter sets to be told beforehand, FFmpeg takes to Matroska none that tells of Dolby Vision (dvh1), tells of
    that and of 360° only when it may go beyond the standard, calls DV in ways that others do not know, at a rate that
    is none, and puts pictures elsewhere that come to their decoder too late.
    """
    picture = media.video
    if picture is None:
        return {}
    named: Options = {}
    if picture.codec == "hevc" and not (container == "mp4" and picture.in_band):
        named["tag:v"] = "hvc1"
    if picture.codec == "dvvideo":
        named |= {"tag:v": "dvsd"} | ({"r:v": f"{rate:.6f}"} if (rate := kept_rate(picture)) else {})
    if container == "mp4" and (picture.spherical or picture.stereo or picture.dolby_vision):
        named["strict"] = "unofficial"
    if picture.late_seconds:
        return {**named, "bsf:v": f"setts=pts=PTS:dts=DTS-{picture.late_seconds:.4f}/TB"}
    return named


def sound_options(streams: Iterable[AudioStream], encoded: Options, codec: str) -> Options:
    """Returns `encoded`, but copies tracks that have no gaps and already that codec, in stereo and 48 kHz at most."""
    tracks = list(streams)
    copied = [number for number, track in enumerate(tracks) if _fits(track, codec)]
    if not copied:
        return encoded
    if len(copied) == len(tracks):
        rest = {name: value for name, value in encoded.items() if name not in {"c:a", "b:a"}}
        return {**rest, "c:a": "copy"}
    return {**encoded, **{f"c:a:{number}": "copy" for number in copied}}


def _fits(track: AudioStream, codec: str) -> bool:
    return track.codec == codec and track.channels <= 2 and track.sample_rate <= 48000 and track.gap_seconds == 0
