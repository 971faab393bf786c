"""Says how FFmpeg is to read a source: on which clock, and what it must be told beside."""

from __future__ import annotations

from typing import Any

import ffmpeg

from daemon.media.allowlist import DISCONTINUOUS, FORWARD_JUMP, GUARDS, READ_ON, RESTARTABLE, UNSTAMPED
from daemon.media.model import Media
from daemon.recipes.picture import may_change_shape
from daemon.recipes.recipe import Node

# Numbers, by codec, of what says so in frames: where containers say it as well that counts, and FFmpeg takes but one.
_SUPPLEMENTS = {"h264": "6", "hevc": "39|40"}
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def read(source: str, media: Media, threads: int, *, filtered: bool = True, **options: str) -> Node:
    """Returns the source, decoded by so many threads; `options` are more of FFmpeg's for its input."""
    if filtered and media.video and (media.still or may_change_shape(media)):
        options["reinit_filter:v"] = "0"  # else what filters have gathered of the frames before would be lost
    if filtered and media.video and media.video.told_twice and media.video.codec in _SUPPLEMENTS:
        options[f"bsf:{media.video.index}"] = f"filter_units=remove_types={_SUPPLEMENTS[media.video.codec]}"
    return ffmpeg.input(f"file:{source}", threads=threads, **GUARDS, **_reading(media), **options)


def _reading(media: Media) -> dict[str, Any]:
    """How this source is to be read: with its first picture or sound at 0, and its alpha, which VP8 and VP9 hide.

    The encoder sees no name, by which alone the probe may have known some formats.
    """
    known_by_name = media.still or media.format in {"mp3", "mjpeg", RESTARTABLE}
    options: dict[str, Any] = {"f": media.format} if known_by_name else {}
    # Where timestamps may jump ffmpeg itself leaves out what precedes the streams it uses, as far as it knows.
    if media.lead_seconds < -0.001 or (media.lead_seconds > 0.001 and media.format not in DISCONTINUOUS):
        options["itsoffset"] = f"{-media.lead_seconds:.6f}"
    picture = media.video
    # Made up of the order of packets, times of reordered pictures coincide, and one of two would be left out.
    if media.format in UNSTAMPED and not (picture and picture.counted):
        options["fflags"] = "+genpts"
    if media.cut_off or media.held:
        options["fflags"] = "+discardcorrupt"  # half a packet, at its end
    if media.longest_pause_seconds:
        options["dts_delta_threshold"] = f"{media.longest_pause_seconds + FORWARD_JUMP:.3f}"
    elif media.jump_seconds:
        options["dts_delta_threshold"] = f"{media.jump_seconds:.3f}"
    if media.begins_late:
        options |= READ_ON
    if media.cropped:
        options["apply_cropping:v"] = "codec"  # the size is planned as the stream has it
    if picture and picture.tilt:
        options["noautorotate"] = None
    if picture and picture.alpha and picture.codec in _ALPHA_DECODERS:
        options[f"c:{picture.index}"] = _ALPHA_DECODERS[picture.codec]
    return options
