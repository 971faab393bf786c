"""Says what each container tells beside its streams, as FFmpeg writes it."""

from __future__ import annotations

import re
from typing import NamedTuple

ALL_MARKS = frozenset({"comment", "dub", "hearing_impaired", "visual_impaired"})
OF_WORDS = frozenset({"captions", "descriptions"})
# Of Apple's, those that FFmpeg writes.
ITUNES = frozenset(
    {
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping"),
        *("lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords"),
        *(
            "track",
            "disc",
            "compilation",
            "season_number",
            "episode_sort",
            "media_type",
            "hd_video",
            "gapless_playback",
        ),
    }
)
MOMENT, RELEASE = "creation_time", "date"  # FFmpeg's names for when it was recorded, and for when it came out
_ANY, _THREE_LETTERS = ".+", "[a-z]{3}"


class Container(NamedTuple):
    """A container tells `languages` of tracks that fit the pattern, `names` of tracks, `marks` and those of `words`, of
    subtitles alone, and about the whole `tags` (None: every one), the place, and the device that recorded it. `date` is
    where it has the moment of that; where it has but one date, that a work came out comes first. What else tracks tell
    has a place where it says so `of_tracks`."""

    called: str
    languages: str = ""
    names: bool = False
    marks: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    tags: frozenset[str] | None = frozenset()
    date: str = ""
    place: bool = False
    device: bool = False
    of_tracks: bool = False

    def tells_language(self, language: str) -> bool:
        """Tells whether it has a place for that language of a track."""
        return re.fullmatch(self.languages, language) is not None

    def tells_tag(self, tag: str) -> bool:
        """Tells whether it has a place for that tag, by FFmpeg's name for it."""
        return (self.tags is None or tag in self.tags) and not (tag == MOMENT == self.date)


CONTAINERS = {
    "mp4": Container(
        "MP4", _THREE_LETTERS, names=True, marks=ALL_MARKS | OF_WORDS, tags=ITUNES, date=MOMENT, place=True
    ),
    "webm": Container(
        "WebM",
        _ANY,
        names=True,
        words=OF_WORDS | {"metadata"},
        tags=None,
        date=MOMENT,
        place=True,
        device=True,
        of_tracks=True,
    ),
    "matroska": Container(
        *("Matroska", _ANY, True, ALL_MARKS | {"original"}, frozenset({"descriptions"}), None),
        date=MOMENT,
        place=True,
        device=True,
        of_tracks=True,
    ),
    "ipod": Container("M4A", _THREE_LETTERS, tags=ITUNES, date=MOMENT, place=True),
    "mp3": Container("MP3", tags=None, date=RELEASE, place=True, device=True),
    "opus": Container("Ogg", _ANY, tags=None, date=RELEASE, place=True, device=True),
    "flac": Container("FLAC", tags=None, date=RELEASE, place=True, device=True),
    "hls": Container("HLS", "[A-Za-z]{1,8}"),
    "dash": Container("DASH", _THREE_LETTERS),
    "gif": Container("GIF"),
    "webp": Container("WebP"),
    "mjpeg": Container("JPEG"),
    "image2": Container("JPEG"),
}
