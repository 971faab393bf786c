"""Tells what an output keeps of its source, and what it leaves out and why, by the recipe that was made for it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from daemon.errors import UnsuitableSource
from daemon.media.model import TIMED, AudioStream, Media, SubtitleStream
from daemon.models import Contents, Kept, LeftOut, in_lines
from daemon.presets.traits import Family
from daemon.recipes import chapters, picture_contents
from daemon.recipes.account import TIMECODED, Account, Facts, either
from daemon.recipes.containers import MOMENT, RELEASE
from daemon.recipes.metadata import GAINS, told_by
from daemon.recipes.recipe import Recipe
from daemon.recipes.sound import of_all_around, unheard

LEAST_HOLE = 0.5  # seconds without sound, amid it, that are worth a word
MOST_IN_FLAC, STEREO = 8, 2  # channels
_HEARD_OR_SEEN = {"picture", "sound", "subtitles", "captions"}
_OF_PICTURES = {"picture", "hdr", "transparency", "end", "pace", "ground"}


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
        nothing = {track.index for track in media.unread if not track.lost}
        _refuse_losses([fact for fact in left_out if fact.track not in nothing])
    return recipe._replace(plan=replace(recipe.plan, contents=Contents(kept=kept, left_out=left_out)))


def _refuse_losses(left_out: Sequence[LeftOut]) -> None:
    if lost := in_lines(fact for fact in left_out if fact.what in _HEARD_OR_SEEN):
        words = f"on_loss=fail was asked for, and it would be without {'; '.join(lost)}"
        raise UnsuitableSource(f"{words}; ask for on_loss=tell to have the rest")


class _Account(Account):
    """Is told in full."""

    def facts(self) -> Facts:
        yield from picture_contents.facts(self)
        yield from self._sound()
        yield from self._subtitles()
        for track in self.media.unread:
            if track.why == TIMED and self.keeps_timecode():
                yield Kept(what=track.kind, track=track.index, detail="timecode")
            else:
                yield LeftOut(what=track.kind, why=track.why, track=track.index)
        yield from self._beside()
        yield from self._recording()
        yield from self._tags()
        if self.media.cut_off or self.media.lacks_end:
            yield LeftOut(what="end", why="the source ends in the middle of a recording: what is there is used")

    # Tracks

    def _sound(self) -> Facts:
        taken = self.recipe.sound
        why = "the preset keeps one track of sound" if taken else "the preset keeps no sound"
        for number, stream in enumerate(taken):
            yield from self.track("sound", stream, stream.marks)
            if stream.layout and stream.channels > 2 and self._is_bare(number, stream):
                why = "Matroska tells how many channels there are, and not where they sit"
                yield LeftOut(what="layout", why=why, track=stream.index, detail=stream.layout)
            if stream.places and self._is_put_in_order(number, stream):
                why = "no usual order of channels has them so, and they come out in one"
                yield LeftOut(what="layout", why=why, track=stream.index, detail=stream.places)
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

    def _is_put_in_order(self, number: int, stream: AudioStream) -> bool:
        """Whether it comes out with all of its channels, and with nothing that tells their places."""
        mixed = self.options.get(f"ac:a:{number}", stream.channels) <= STEREO
        return self._is_bare(number, stream) or (self._is_encoded(number) and not mixed)

    def _mixed_down(self, number: int, stream: AudioStream) -> Facts:
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

    def _subtitles(self) -> Facts:
        for stream in self.recipe.subtitles:
            forced = ("forced",) if stream.forced else ()
            yield from self.track("subtitles", stream, (*forced, *stream.marks))
            yield from self._cues(stream)
        for stream in self.media.subtitles:
            if stream not in self.recipe.subtitles:
                asked, index = self.asked("subtitles", "drop"), stream.index
                why = asked or self._without_subtitles(stream)
                yield LeftOut(what="subtitles", why=why, track=index, detail=_described(stream), meant=bool(asked))

    def _cues(self, stream: SubtitleStream) -> Facts:
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

    # What goes with the whole

    def _beside(self) -> Facts:
        yield from self._chapters()
        stripped, there, here = self.asked("metadata", "strip"), self.media.covers, self.recipe.plan.covers
        if here:
            yield Kept(what="cover", detail=str(min(here, there)))
        if there > here:
            why, count = stripped or _WITHOUT["cover"], str(there - here)
            yield LeftOut(what="cover", why=why, detail=count, meant=bool(stripped))
        yield from self._attachments()

    def _chapters(self) -> Facts:
        media, plan, dropped = self.media, self.recipe.plan, self.asked("chapters", "drop")
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

    def _attachments(self) -> Facts:
        for index, name in self.media.attachment_names:
            kept = index in self.recipe.attached
            yield from either("attachments", _WITHOUT["attachments"], kept=kept, detail=name)

    def _recording(self) -> Facts:
        media, told = self.media, self.container
        whole = None if media.video and media.video.timecode else media.timecode
        for what, detail, held in (
            ("timecode", whole, self.recipe.plan.container in TIMECODED),
            ("date", media.created, told.date == MOMENT or (told.date == RELEASE and RELEASE not in media.tags)),
            ("place", media.place, told.place),
            ("device", media.device, told.device),
        ):
            if detail:
                yield from self.told(what, detail, held=held)

    def _tags(self) -> Facts:
        tags, gains = self.media.tags, {gain.lower() for gain in GAINS}
        levelled = getattr(self.wanted, "loudness_lufs", None) is not None
        for tag in tags:
            if levelled and tag in gains:
                yield LeftOut(what="tag", why="the output has another loudness", detail=tag)
            else:
                yield from self.told("tag", tag, held=self.container.tells_tag(tag))
        stripped = self.asked("metadata", "strip")
        for tag in self.media.passed_over:
            yield LeftOut(what="tag", why=stripped or "FFmpeg does not read it", detail=tag, meant=bool(stripped))


def _beyond_flac(stream: AudioStream) -> Facts:
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


def _described(stream: AudioStream | SubtitleStream) -> str:
    return ", ".join(filter(None, (stream.codec, stream.language, stream.title)))
