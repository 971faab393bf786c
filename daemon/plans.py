"""What an output shall be, and what is to be done to make it so: the terms in which recipes are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from daemon.errors import UnsuitableSource
from daemon.models import AudioStream, Colour, Media, Model, SubtitleStream, VideoStream
from daemon.presets import Preset

Node = Any  # of ffmpeg-python's graph, which has no types
Options = dict[str, Any]
Size = tuple[int, int]


class Plan(Model, frozen=True):
    """What an output shall be. `container` is ffmpeg's name for the format, `audio` counts its audio streams.

    `duration_seconds` is None where it is not known or, for a still picture, not meant; the rest likewise.
    """

    container: str
    duration_seconds: float | None
    video: Size | None
    audio: int
    subtitles: int = 0
    chapters: int = 0
    colour: Colour | None = None
    frame_rate: float | None = None  # None also where it varies
    video_seconds: float | None = None  # of the picture alone
    audio_seconds: tuple[float | None, ...] = ()  # of each audio stream
    audio_offset: float | None = None  # seconds after the picture at which the first audio stream begins

    @property
    def still(self) -> bool:
        """Whether it is one picture, which has no duration."""
        return self.container == "mjpeg"


class Recipe(NamedTuple):
    """One output: what is planned, what is done to the picture, what is kept beside it, how all is encoded.

    `deinterlace` names the frames it is done to: "interlaced" ones, "all", or None.
    """

    plan: Plan
    filtered: Callable[[Node], Node] | None
    sound: tuple[AudioStream, ...]
    options: Callable[[int], Options]  # by the number of threads
    subtitles: tuple[SubtitleStream, ...] = ()
    deinterlace: str | None = None


def pictured(media: Media, preset: Preset) -> VideoStream:
    """The picture this preset needs. Raises UnsuitableSource when the source has none."""
    if media.video is None:
        raise UnsuitableSource(f"the source has no picture, which the preset {preset.name} needs")
    return media.video
