"""Holds what is known of a recipe while it is told what its output keeps of the source, and what of that is said alike
of all kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from daemon.media.model import AudioStream, Media, SubtitleStream, VideoStream
from daemon.models import Kept, LeftOut
from daemon.presets.traits import Family
from daemon.recipes.containers import Container
from daemon.recipes.recipe import Options, Recipe

TIMECODED = {"mp4", "matroska", "webm"}  # containers
_IMPLIED = {"hearing_impaired": "captions", "visual_impaired": "descriptions"}  # in MP4 both stand for one thing
Facts = Iterator[Kept | LeftOut]


class Account(NamedTuple):
    """Is what facts of a recipe are told by. `options` are those of its output."""

    recipe: Recipe
    media: Media
    wanted: Family
    container: Container
    options: Options

    def asked(self, name: str, value: str) -> str | None:
        """Returns that a parameter was given that value, where it was."""
        return f"{name}={value} was asked for" if getattr(self.wanted, name, None) == value else None

    @property
    def encoder(self) -> str | None:
        """Returns FFmpeg's name for what makes the picture, such as "copy"."""
        return self.options.get("c:v", self.options.get("c"))

    def is_exact(self) -> bool:
        """Tells whether frames go into the output untouched."""
        return self.recipe.direct is not None and self.encoder in {"copy", "ffv1"}

    def keeps_timecode(self) -> bool:
        """Tells whether the output begins at the timecode that its source does."""
        fits = self.is_exact() and self.recipe.plan.container in TIMECODED
        return fits and not self.asked("metadata", "strip")

    def track(self, what: str, stream: VideoStream | AudioStream | SubtitleStream, said: tuple[str, ...]) -> Facts:
        """Tells of a track that is kept, and what of what it says has no place."""
        told, stripped = self.container, self.asked("metadata", "strip")
        if what == "picture" and not told.names:
            told = Container(told.called)
        marks = tuple(mark for mark in said if mark not in {_IMPLIED.get(other) for other in said})
        language = stream.language if stream.language and told.tells_language(stream.language) else None
        name = stream.title if told.names and not stripped else None
        places = {*told.marks, *({"forced"} if told.names else ()), *(told.words if what == "subtitles" else ())}
        held = tuple(mark for mark in marks if mark in places)
        yield Kept(what=what, track=stream.index, language=language, name=name, marks=held, detail=stream.codec)
        why = f"{told.called} has no place for it"
        if stream.language and not language:
            yield LeftOut(what="language", why=why, track=stream.index, detail=stream.language)
        if stream.full_language:
            alone = f"FFmpeg passes on the language alone ({language})" if language else why
            yield LeftOut(what="language", why=alone, track=stream.index, detail=stream.full_language)
        if stream.disabled:
            unsaid = "FFmpeg does not pass on that players are not to use it"
            yield LeftOut(what="mark", why=unsaid, track=stream.index, detail="disabled")
        if stream.title and not name:
            meant = bool(stripped)
            yield LeftOut(what="name", why=stripped or why, track=stream.index, detail=stream.title, meant=meant)
        for mark in marks:
            if mark not in held:
                yield LeftOut(what="mark", why=why, track=stream.index, detail=mark)
        yield from self._tags_of_track(what, stream, stripped)

    def _tags_of_track(
        self, what: str, stream: VideoStream | AudioStream | SubtitleStream, stripped: str | None
    ) -> Facts:
        passed_on = what != "picture" or self.is_exact()
        why = f"{self.container.called} has no place for it" if passed_on else "an encode does not pass it on"
        held = self.container.of_tracks and passed_on and not stripped
        for tag in stream.tags:
            if held:
                yield Kept(what="tag", track=stream.index, detail=tag)
            else:
                meant = bool(stripped)
                yield LeftOut(what="tag", why=stripped or why, track=stream.index, detail=tag, meant=meant)

    def told(self, what: str, detail: str, *, held: bool) -> Facts:
        """Tells of what stands beside all tracks whether the container has held it."""
        stripped = self.asked("metadata", "strip")
        if stripped:
            yield LeftOut(what=what, why=stripped, detail=detail, meant=True)
        else:
            yield from either(what, f"{self.container.called} has no place for it", kept=held, detail=detail)


def either(what: str, why: str, *, kept: bool, detail: str | None = None) -> Facts:
    """Tells that something is kept, or why it is not."""
    yield Kept(what=what, detail=detail) if kept else LeftOut(what=what, why=why, detail=detail)
