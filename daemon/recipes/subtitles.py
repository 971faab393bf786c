"""Chooses which subtitles a container takes, and as what."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.media.model import Media, SubtitleStream
from daemon.recipes.recipe import Options

ENCODERS = {"mp4": "mov_text", "webm": "webvtt"}
MATROSKA = {"subrip", "ass", "ssa", "webvtt", "text", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}


def carried(container: str, media: Media, wanted: str) -> tuple[SubtitleStream, ...]:
    """Returns the streams this container can hold; none if `wanted` is to drop them."""
    if wanted == "drop":
        return ()
    if container == "matroska":
        return media.subtitles
    return tuple(stream for stream in media.subtitles if stream.text) if container in ENCODERS else ()


def encoded(container: str, streams: Sequence[SubtitleStream]) -> Options:
    """Encodes them as the container's own kind of text; in Matroska, as they are."""
    if container != "matroska":
        return {"c:s": ENCODERS[container]} if streams else {}
    unbidden = len(streams) > 1 and not any(stream.default for stream in streams)
    shown = {"disposition:s:0": _marks(streams[0])} if unbidden else {}  # else FFmpeg has players show it
    return shown | {
        f"c:s:{number}": "copy" if stream.codec in MATROSKA else "srt" if stream.text else "dvdsub"
        for number, stream in enumerate(streams)
    }


def _marks(stream: SubtitleStream) -> str:
    return "+".join([*(("forced",) if stream.forced else ()), *stream.marks]) or "0"
