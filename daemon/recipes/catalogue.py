"""Describes presets with what recipes know of them, beside what they say of themselves."""

from __future__ import annotations

from typing import Any

from daemon.errors import UnsuitableSource
from daemon.media.model import AudioStream, Media, VideoStream
from daemon.models import VariationRequest
from daemon.presets.library import Library
from daemon.recipes import command

_PICTURE = VideoStream(
    index=0, codec="mpeg4", width=1920, height=1080, coded_width=1920, coded_height=1080, frame_rate=25.0
)
_SOUND = AudioStream(index=1, codec="aac", channels=2, sample_rate=48000)
FILM = Media("mov,mp4", 60.0, _PICTURE, (_SOUND,), ())  # one of the usual sort, that no preset can copy


def catalogue(library: Library) -> list[dict[str, Any]]:
    """Returns every preset as `Library.describe` does, and whether a film that it encodes is `resumable`: gone on with
    after an interruption. Of one of the user's own its own defaults decide.
    """
    return [{**described, "resumable": _resumable(library, described["name"])} for described in library.describe()]


def _resumable(library: Library, name: str) -> bool:
    [wanted, *_] = library.expand([VariationRequest(name, {})])
    try:
        return command.prospect(FILM, library.find(name).base, wanted.parameters).resumable
    except UnsuitableSource:  # it encodes no film
        return False
