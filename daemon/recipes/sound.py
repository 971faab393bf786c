"""Chooses which sound is kept, and how it is encoded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from daemon.media.model import AudioStream
from daemon.recipes.recipe import Options

LONGEST_FILLED = 600.0  # seconds of gaps: what fills them waits in memory


def default_first(streams: Iterable[AudioStream]) -> tuple[AudioStream, ...]:
    """Returns all of them, with the one a player would choose in front."""
    return tuple(sorted(streams, key=lambda stream: not stream.default))


def encoded(container: str, streams: Sequence[AudioStream], bitrate_kbps: int, max_channels: int = 2) -> Options:
    """Encodes every stream with its gaps filled, the first one marked as what to play."""
    fast_start = {"movflags": "+faststart"} if container == "mp4" else {}
    if not streams:
        return fast_start
    encoder = {"opus": "libopus"}.get(codec(container), codec(container))
    marks = {f"disposition:a:{number}": _marks(number, stream) for number, stream in enumerate(streams)}
    return {
        **fast_start,
        "c:a": encoder,
        **mixed(encoder),
        "b:a": f"{bitrate_kbps}k",
        **marks,
        **narrowed(streams, max_channels),
    }


def _marks(number: int, stream: AudioStream) -> str:
    """What the track is told to be: the first is the one to play, and a commentary stays one."""
    return "+".join([*(() if number else ("default",)), *stream.marks]) or "0"


def mixed(encoder: str) -> Options:
    """Asks for samples in which channels are mixed alike, whatever the source's are: of integers FFmpeg makes less of
    each, so that a film was half as loud as MP3 as it was as AAC."""
    return {"sample_fmt": _FLOATS[encoder]} if encoder in _FLOATS else {}


_FLOATS = {"libmp3lame": "fltp", "libopus": "flt"}  # of encoders that take others as well


def codec(container: str) -> str:
    """Returns the codec of the sound in films of that container."""
    return "opus" if container == "webm" else "aac"


def narrowed(
    streams: Iterable[AudioStream], max_channels: int = 2, *, rewound: bool = False, whole: bool = False
) -> Options:
    """Allows at most so many channels and 48 kHz, never more than the source has; gaps become silence.

    `rewound` has each begin at 0, whatever it began after. `whole` is for an encoder that takes every rate, and
    channels wherever they are.
    """
    options: Options = {}
    for number, stream in enumerate(streams):
        if stream.channels > max_channels:
            options[f"ac:a:{number}"] = max_channels
        if stream.sample_rate > 48000 and not whole:
            options[f"ar:a:{number}"] = 48000
        if filters := _filters(stream, max_channels, rewound, whole):
            options[f"filter:a:{number}"] = ",".join(filters)
    return options


def moved_to_front(stream: AudioStream) -> list[str]:
    """Returns the filter that makes mono or stereo of one or two channels that say they sit elsewhere, as single tracks
    of a camera or an editor do: encoders take them nowhere else, and mixed there a bass alone would be silent.
    TTA does not say where a single one sits, which AAC does not take either."""
    untold = stream.layout is None and (stream.codec != "tta" or stream.channels > 1)
    if stream.channels > 2 or untold or stream.layout in {"mono", "stereo"}:
        return []
    return ["channelmap=0:mono" if stream.channels == 1 else "channelmap=0|1:stereo"]


def of_all_around(stream: AudioStream) -> str | None:
    """Returns the filter that makes stereo of a sound field (ambisonics, in ACN order), as two microphones to the left
    and the right would hear it, with what is to be heard in both ears anyway; None of other sound."""
    found = _FIELD.fullmatch(stream.layout or "")
    if found is None:
        return None
    beside = (int(found[1]) + 1) ** 2
    left, right = (f"+c{beside}", f"+c{beside + 1}") if found[2] else ("", "")
    if beside == 1:  # of order 0, which has no direction
        return f"pan=stereo|c0=c0{left}|c1=c0{right}"
    return f"pan=stereo|c0=0.5*c0+0.5*c1{left}|c1=0.5*c0-0.5*c1{right}"


def _filled(stream: AudioStream) -> list[str]:
    return ["aresample=async=1"] if 0 < stream.gap_seconds <= LONGEST_FILLED else []


_FIELD = re.compile(r"ambisonic (\d+)(\+stereo)?")
_WIDE = {3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # what every encoder knows by that number


def _filters(stream: AudioStream, max_channels: int, rewound: bool, whole: bool) -> list[str]:
    filters = ["asetpts=PTS-STARTPTS"] if rewound and stream.start_seconds > 0.001 else []
    filters += moved_to_front(stream)
    if around := of_all_around(stream):
        return [*filters, *([] if whole else [around]), *_filled(stream)]
    filters += _filled(stream)
    if stream.layout is None and stream.channels > max(_WIDE):
        filters.append("pan=stereo|c0=c0|c1=c1")  # so many channels without a place cannot be mixed
    elif 2 < stream.channels <= max_channels and not (whole and stream.layout):
        filters.append(f"aformat=channel_layouts={_WIDE[stream.channels]}")
    return filters


def unheard(stream: AudioStream) -> str | None:
    """Names the speakers that FFmpeg leaves out where it mixes two of more; None where it leaves out none."""
    layout = stream.layout or ""
    return _UNMIXED.get(layout) or ("LFE" if re.fullmatch(r"\d\.1(\.2)?(\([a-z-]+\))?", layout) else None)


_UNMIXED = {
    "cube": "TBL, TBR",
    **dict.fromkeys(("5.1.4", "7.1.4", "9.1.4"), "LFE, TBL, TBR"),
    "7.2.3": "LFE, LFE2, TBC",
    "9.1.6": "LFE, TBL, TBR, TSL, TSR",
    "hexadecagonal": "TFC, TBL, TBC, TBR, WL, WR",
    "22.2": "LFE, LFE2, SL, SR, and those above and below",
}
