"""How the sound is encoded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.models import AudioStream
from daemon.plans import Options


def encoded(container: str, streams: Sequence[AudioStream], bitrate_kbps: int) -> Options:
    fast_start = {"movflags": "+faststart"} if container == "mp4" else {}
    if not streams:
        return fast_start
    encoder = "libopus" if container == "webm" else "aac"
    return {**fast_start, "c:a": encoder, "b:a": f"{bitrate_kbps}k", **narrowed(streams)}


def narrowed(streams: Iterable[AudioStream]) -> Options:
    """At most stereo and 48 kHz; mono stays mono."""
    options: Options = {}
    for number, stream in enumerate(streams):
        if stream.channels > 2:
            options[f"ac:a:{number}"] = 2
        if stream.sample_rate > 48000:
            options[f"ar:a:{number}"] = 48000
    return options
