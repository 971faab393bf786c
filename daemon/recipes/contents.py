"""Tells what an output keeps of its source, and what it leaves out and why, by the recipe that was made for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from daemon.errors import UnsuitableSource
from daemon.media.model import TIMED, AudioStream, Media, SubtitleStream, VideoStream
from daemon.models import Contents, Kept, LeftOut, in_lines
from daemon.presets.traits import Family
from daemon.recipes import chapters
from daemon.recipes.containers import MOMENT, RELEASE, Container
from daemon.recipes.metadata import GAINS, told_by
from daemon.recipes.picture import is_mistaken, is_thinned, may_change_shape
from daemon.recipes.recipe import Options, Recipe
from daemon.recipes.sound import of_all_around, unheard

LEAST_HOLE = 0.5  # seconds without sound, amid it, that are worth a word
MOST_IN_FLAC, STEREO = 8, 2  # channels
HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}
STAYS = {"hdr10+": "hdr10"}  # of HDR, what an encode passes on
_HEARD_OR_SEEN = {"picture", "sound", "subtitles", "captions"}
_OF_PICTURES = {"picture", "hdr", "transparency", "end"}
_IMPLIED = {"hearing_impaired": "captions", "visual_impaired": "descriptions"}  # in MP4 both stand for one thing
SEE_THROUGH = {"libvpx-vp9", "gif", "libwebp_anim"}  # encoders that are given what is transparent, where it is
APART = {"vp8", "vp9"}  # whose transparency is a stream of its own beside each picture
TIMECODED = {"mp4", "matroska", "webm"}  # containers
_Facts = Iterator[Kept | LeftOut]


def accounted(recipe: Recipe, media: Media, wanted: Family, *, silent: bool) -> Recipe:
    """Returns the same, its plan with all that the source has, kept or left out. What is `silent` is pictures alone.

    Raises UnsuitableSource when tracks or captions would be lost and that is not to be.
    """
    account = _Account(recipe, media, wanted, told_by(recipe.plan.container, media), recipe.options(1))
    facts = [*account.facts()]
    kept = tuple(fact for fact in facts if isinstance(fact, Kept))
    lost = (fact for fact in facts if isinstance(fact, LeftOut))
    left_out = tuple(replace(fact, meant=fact.meant or (silent and fact.what not in _OF_PICTURES)) for fact in lost)
    if wanted.on_loss == "fail":
        _refuse_losses(left_out)
    return recipe._replace(plan=replace(recipe.plan, contents=Contents(kept=kept, left_out=left_out)))


def _refuse_losses(left_out: Sequence[LeftOut]) -> None:
    if lost := in_lines(fact for fact in left_out if fact.what in _HEARD_OR_SEEN):
        words = f"on_loss=fail was asked for, and it would be without {'; '.join(lost)}"
        raise UnsuitableSource(f"{words}; ask for on_loss=tell to have the rest")


class _Account(NamedTuple):
    recipe: Recipe
    media: Media
    wanted: Family
    container: Container
    options: Options

    def facts(self) -> _Facts:
        yield from self._picture()
        yield from self._sound()
        yield from self._subtitles()
        for track in self.media.unread:
            if track.why == TIMED and self._keeps_timecode():
                yield Kept(what=track.kind, track=track.index, detail="timecode")
            else:
                yield LeftOut(what=track.kind, why=track.why, track=track.index)
        yield from self._beside()
        yield from self._recording()
        yield from self._tags()
        if self.media.cut_off or self.media.lacks_end:
            yield LeftOut(what="end", why="the source ends in the middle of a recording: what is there is used")

    def _asked(self, name: str, value: str) -> str | None:
        """That it was asked for, if it was."""
        return f"{name}={value} was asked for" if getattr(self.wanted, name, None) == value else None

    # The picture

    def _picture(self) -> _Facts:
        picture = self.media.video
        if picture is None:
            return
        if not self.recipe.plan.video:
            why, index = "the preset keeps sound alone", picture.index
            yield LeftOut(what="picture", why=why, track=index, detail=picture.codec, meant=True)
            return
        yield from self._track("picture", picture, picture.marks)
        yield from self._frames(picture)
        yield from self._hdr(picture)
        if is_mistaken(picture) and not self._is_exact():
            why = "no filter converts them, and they are taken for usual ones: remux it"
            yield LeftOut(what="colours", why=why, track=picture.index, detail=picture.colour.matrix)
        if picture.regraded and self._encoder != "copy":
            why = "they change their meaning midway, and all are taken for what the first are: cut it in two there"
            yield LeftOut(what="colours", why=why, track=picture.index, detail=picture.regraded)
        if picture.alpha:
            yield from self._transparency(picture)
        if picture.dolby_vision:
            why = "an encode keeps only the picture below it"
            yield from _either("dolby_vision", why, kept=self._encoder == "copy")
        if picture.timecode and not any(track.why == TIMED for track in self.media.unread):
            why = "an encode does not pass it on"
            yield from _either("timecode", why, kept=self._keeps_timecode(), detail=picture.timecode)
        if picture.spherical:
            why = "only an encode in its own size and shape passes it on, to MP4, MKV or WebM: remux it"
            yield from _either("spherical", why, kept=self._is_exact() or self.recipe.plan.all_around)
        if self.media.cropped:
            why = "an encode shows the edges, too, that players are asked to leave out: remux it"
            yield from _either("crop", why, kept=self._encoder == "copy")
        if picture.stereo:
            why = "only an encode that turns or frames nothing passes it on, to MP4, MKV or WebM: remux it"
            yield from _either("stereo", why, kept=self._is_exact() or self.recipe.plan.stereo)
        if picture.captions:
            yield from self._captions(picture)
        elif self._asked("captions", "text"):
            yield LeftOut(what="captions", why="captions=text was asked for, and none are found")

    def _keeps_timecode(self) -> bool:
        fits = self._is_exact() and self.recipe.plan.container in TIMECODED
        return fits and not self._asked("metadata", "strip")

    def _frames(self, picture: VideoStream) -> _Facts:
        if picture.gap_seconds:
            hole, why = (
                f"{picture.gap_seconds:.1f} s of the picture",
                "the source has none in its middle: the last stays",
            )
            yield LeftOut(what="gap", why=why, track=picture.index, detail=hole)
        if picture.fleeting and self._encoder != "copy":
            why = "by its times each follows the one before at once: no screen shows both, and not all are kept"
            detail = f"{picture.fleeting} of {picture.pictures}"
            yield LeftOut(what="pictures", why=why, track=picture.index, detail=detail)
        if picture.reshaped and self._encoder != "copy" and not may_change_shape(self.media):
            why = "its pictures change their size midway, and those of an odd one get no bars: later ones are stretched"
            yield LeftOut(what="shape", why=why, track=picture.index)

    @property
    def _encoder(self) -> str | None:
        """FFmpeg's name for what makes the picture, such as "copy"."""
        return self.options.get("c:v", self.options.get("c"))

    def _is_exact(self) -> bool:
        """Whether its frames go into the output untouched."""
        return self.recipe.direct is not None and self._encoder in {"copy", "ffv1"}

    def _hdr(self, picture: VideoStream) -> _Facts:
        colour = self.recipe.plan.colour
        if picture.hdr is None:
            return
        if self._is_exact():
            yield Kept(what="hdr", detail=picture.hdr)
        elif colour is None or colour.transfer not in HDR_TRANSFERS:
            yield LeftOut(what="hdr", why="the output is for ordinary screens", detail=picture.hdr)
        else:
            yield Kept(what="hdr", detail=STAYS.get(picture.hdr, picture.hdr))
            if picture.hdr in STAYS:
                yield LeftOut(what="hdr", why="encoders do not pass on what changes by scene", detail=picture.hdr)

    def _transparency(self, picture: VideoStream) -> _Facts:
        if (
            self._encoder == "copy"
            and picture.codec in APART
            and self.recipe.plan.container not in {"matroska", "webm"}
        ):
            yield LeftOut(what="transparency", why=f"{self.container.called} has no place for it")
        else:
            why = f"the output's codec has none: what is under it is {getattr(self.wanted, 'alpha_colour', 'black')}"
            yield from _either("transparency", why, kept=self._is_exact() or self._encoder in SEE_THROUGH)

    def _captions(self, picture: VideoStream) -> _Facts:
        carried = self._encoder in {"copy", "libx264"} or self.options.get("a53cc") == 1
        most = getattr(self.wanted, "max_frame_rate", math.inf)
        if self.recipe.captions:
            yield Kept(what="captions", detail="as a subtitle track")
        elif dropped := self._asked("captions", "drop"):
            yield LeftOut(what="captions", why=dropped, meant=True)
        elif carried and self._encoder != "copy" and is_thinned(picture, most):
            yield LeftOut(what="captions", why="frames are left out, and their captions with them")
        else:
            yield from _either("captions", "the output's codec carries none", kept=carried)

    # Tracks

    def _sound(self) -> _Facts:
        taken = self.recipe.sound
        why = "the preset keeps one track of sound" if taken else "the preset keeps no sound"
        for number, stream in enumerate(taken):
            yield from self._track("sound", stream, stream.marks)
            if stream.layout and stream.channels > 2 and self._is_bare(number, stream):
                why = "Matroska tells how many channels there are, and not where they sit"
                yield LeftOut(what="layout", why=why, track=stream.index, detail=stream.layout)
            if stream.gap_seconds >= LEAST_HOLE:
                hole, why = f"{stream.gap_seconds:.1f} s of sound", "the source has none in its middle: it is silent"
                yield LeftOut(what="gap", why=why, track=stream.index, detail=hole)
            if self.recipe.plan.container == "flac":
                yield from _beyond_flac(stream)
            else:
                yield from self._mixed_down(number, stream)
        for stream in self.media.audio:
            if stream not in taken:
                yield LeftOut(what="sound", why=why, track=stream.index, detail=_described(stream))

    def _is_encoded(self, number: int) -> bool:
        return self.options.get(f"c:a:{number}", self.options.get("c:a", self.options.get("c"))) != "copy"

    def _is_bare(self, number: int, stream: AudioStream) -> bool:
        """Whether it comes into a Matroska as samples that tell nothing of themselves."""
        made = str(self.options.get(f"c:a:{number}", self.options.get("c:a", self.options.get("c"))))
        codec = stream.codec if made == "copy" else made
        return self.recipe.plan.container == "matroska" and codec.startswith("pcm_")

    def _mixed_down(self, number: int, stream: AudioStream) -> _Facts:
        around = of_all_around(stream) if self._is_encoded(number) else None
        placeless = "pan=stereo" in self.options.get(f"filter:a:{number}", "") and not around
        most = 2 if placeless or around else self.options.get(f"ac:a:{number}", stream.channels)
        if most >= stream.channels:
            return
        more = f": max_channels={stream.channels} keeps them" if hasattr(self.wanted, "max_channels") else ""
        why = f"mixed down to {most}" + (": they are a sound field (ambisonics), which copies keep" if around else more)
        if placeless:
            why = "nothing tells where they sit: only the first two are heard"
        detail = f"{stream.channels - most} of {stream.channels}"
        yield LeftOut(what="channels", why=why, track=stream.index, detail=detail)
        if most == STEREO and not around and (speakers := unheard(stream)):
            why = "a mix of two has nothing of them: what only they play is not heard"
            yield LeftOut(what="speakers", why=why, track=stream.index, detail=speakers)

    def _subtitles(self) -> _Facts:
        for stream in self.recipe.subtitles:
            forced = ("forced",) if stream.forced else ()
            yield from self._track("subtitles", stream, (*forced, *stream.marks))
            yield from self._cues(stream)
        for stream in self.media.subtitles:
            if stream not in self.recipe.subtitles:
                asked, index = self._asked("subtitles", "drop"), stream.index
                why = asked or self._without_subtitles(stream)
                yield LeftOut(what="subtitles", why=why, track=index, detail=_described(stream), meant=bool(asked))

    def _cues(self, stream: SubtitleStream) -> _Facts:
        called, plain = self.container.called, self.recipe.plan.container in {"mp4", "webm"}
        for count, why in (
            (stream.late, "they begin when the film has ended"),
            (
                stream.at_once if self.recipe.plan.container == "mp4" else 0,
                "MP4 shows one at a time: the one before ends where each of them begins",
            ),
            (stream.drawn if plain else 0, f"{called} has no place for drawings, which come out as text"),
        ):
            if count:
                yield LeftOut(what="cues", why=why, track=stream.index, detail=str(count))

    def _without_subtitles(self, stream: SubtitleStream) -> str:
        if self.recipe.plan.container in {"mp4", "webm"} and not stream.text:
            return f"{self.container.called} takes none that are pictures: take a preset of MKV"
        return "the preset keeps none"

    def _track(self, what: str, stream: VideoStream | AudioStream | SubtitleStream, said: tuple[str, ...]) -> _Facts:
        """The track, and what of what it tells has no place."""
        told, stripped = self.container, self._asked("metadata", "strip")
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
    ) -> _Facts:
        passed_on = what != "picture" or self._is_exact()
        why = f"{self.container.called} has no place for it" if passed_on else "an encode does not pass it on"
        held = self.container.of_tracks and passed_on and not stripped
        for tag in stream.tags:
            if held:
                yield Kept(what="tag", track=stream.index, detail=tag)
            else:
                meant = bool(stripped)
                yield LeftOut(what="tag", why=stripped or why, track=stream.index, detail=tag, meant=meant)

    # What goes with the whole

    def _beside(self) -> _Facts:
        yield from self._chapters()
        stripped, there, here = self._asked("metadata", "strip"), self.media.covers, self.recipe.plan.covers
        if here:
            yield Kept(what="cover", detail=str(min(here, there)))
        if there > here:
            why, count = stripped or _WITHOUT["cover"], str(there - here)
            yield LeftOut(what="cover", why=why, detail=count, meant=bool(stripped))
        yield from self._attachments()

    def _chapters(self) -> _Facts:
        media, plan, dropped = self.media, self.recipe.plan, self._asked("chapters", "drop")
        within = len(chapters.within(media))
        here = min(len(plan.chapters), len(chapters.told(plan.container, media)))
        if here:
            yield Kept(what="chapters", detail=str(here))
        fewer = f"Ogg has numbers for {chapters.MOST_COMMENTED}" if here == chapters.MOST_COMMENTED else None
        behind = len(media.chapters) - within
        for count, where, why in (
            (within - here, "", fewer or _WITHOUT["chapters"]),
            (behind, " behind the end", "the source ends before they begin"),
            (media.inner_chapters, " within others", "FFmpeg reads none that lie within others"),
            (media.other_chapters, " elsewhere", "FFmpeg reads none of other editions, or in another order"),
            (media.more_names, " names", "FFmpeg reads one name of each, in one language"),
        ):
            if count > 0:
                yield LeftOut(what="chapters", why=dropped or why, detail=f"{count}{where}", meant=bool(dropped))
        if media.ordered:
            why = "players show its chapters alone, in an order of their own: here all is shown as it is stored"
            yield LeftOut(what="order", why=why)

    def _attachments(self) -> _Facts:
        for index, name in self.media.attachment_names:
            kept = index in self.recipe.attached
            yield from _either("attachments", _WITHOUT["attachments"], kept=kept, detail=name)

    def _recording(self) -> _Facts:
        media, told = self.media, self.container
        whole = None if media.video and media.video.timecode else media.timecode
        for what, detail, held in (
            ("timecode", whole, self.recipe.plan.container in TIMECODED),
            ("date", media.created, told.date == MOMENT or (told.date == RELEASE and RELEASE not in media.tags)),
            ("place", media.place, told.place),
            ("device", media.device, told.device),
        ):
            if detail:
                yield from self._told(what, detail, held=held)

    def _told(self, what: str, detail: str, *, held: bool) -> _Facts:
        stripped = self._asked("metadata", "strip")
        if stripped:
            yield LeftOut(what=what, why=stripped, detail=detail, meant=True)
        else:
            yield from _either(what, f"{self.container.called} has no place for it", kept=held, detail=detail)

    def _tags(self) -> _Facts:
        tags, gains = self.media.tags, {gain.lower() for gain in GAINS}
        levelled = getattr(self.wanted, "loudness_lufs", None) is not None
        for tag in tags:
            if levelled and tag in gains:
                yield LeftOut(what="tag", why="the output has another loudness", detail=tag)
            else:
                yield from self._told("tag", tag, held=self.container.tells_tag(tag))
        stripped = self._asked("metadata", "strip")
        for tag in self.media.passed_over:
            yield LeftOut(what="tag", why=stripped or "FFmpeg does not read it", detail=tag, meant=bool(stripped))


def _beyond_flac(stream: AudioStream) -> _Facts:
    if stream.channels > MOST_IN_FLAC:
        why, detail = f"FLAC holds {MOST_IN_FLAC}", f"{stream.channels - MOST_IN_FLAC} of {stream.channels}"
        yield LeftOut(what="channels", why=why, track=stream.index, detail=detail)
    if of_all_around(stream):
        why = "FLAC tells how many channels there are, and not that they are a sound field"
        yield LeftOut(what="layout", why=why, track=stream.index, detail=stream.layout)
    if stream.exact:
        why = "FLAC has 24 bits, and nothing beyond full scale: take archive-ffv1 or remux-mkv"
        yield LeftOut(what="precision", why=why, track=stream.index, detail=stream.codec)


_WITHOUT = {
    "chapters": "the output has none that players find",
    "attachments": "only MKV holds them, and only those that have a name and a type",
    "cover": "one is kept, a PNG or JPEG, with sound alone, where the container takes it",
}


def _either(what: str, why: str, *, kept: bool, detail: str | None = None) -> _Facts:
    yield Kept(what=what, detail=detail) if kept else LeftOut(what=what, why=why, detail=detail)


def _described(stream: AudioStream | SubtitleStream) -> str:
    return ", ".join(filter(None, (stream.codec, stream.language, stream.title)))
