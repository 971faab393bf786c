"""Says in words in what an output differs from its plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.media.durations import close
from daemon.media.labels import MOST_OF_TRACK
from daemon.media.model import AudioStream, Media, SubtitleStream, VideoStream
from daemon.models import Kept
from daemon.plaintext import so_many
from daemon.recipes.recipe import Plan

STILL_WEBP = "webp_pipe"
OFFSET = 0.04  # seconds between picture and sound that nobody notices
OFFSET_OF_CHAPTERS = (
    0.1  # seconds, or a picture, that a chapter may begin earlier or later: damaged sound may lack some
)
END = 0.5  # seconds one of them may end earlier or later than planned, or 1 %
LEAST_TIMED = 1.0  # seconds an output must last for its frame rate to be told
LEAST_PICTURES = 4  # of fewer, what FFmpeg says of their rate is a guess
RATE_SHARE = 0.1  # damaged frames of a source are left out
MOST_LACKING = 12  # pictures of a film, however short it is, that a decoder had nothing to begin with for


def differences(made: Media, plan: Plan) -> list[str]:
    """Lists all that differs but the duration; nothing when the output is what was planned."""
    found = [*_of_streams(made, plan)] or [*_of_contents(made, plan)]
    if made.video and plan.video:
        found += _of_picture(made.video, plan)
    if made.video and made.audio and len(made.audio) == plan.audio == len(plan.audio_seconds):
        found += [*_of_offset(made.video, made.audio[0], plan), *_of_ends(made, plan)]
    return found


def differences_of_sounds(
    picture: Media, sounds: Sequence[Media], languages: Sequence[str | None], plan: Plan
) -> list[str]:
    """Lists in what the sounds of a ladder, which stand apart from its `picture`, differ from what was planned."""
    return [*_of_sounds(sounds, languages, plan), *_of_start(picture, sounds[:1], plan)]


def _of_sounds(sounds: Sequence[Media], languages: Sequence[str | None], plan: Plan) -> Iterator[str]:
    if len(sounds) != plan.audio:
        yield f"it has {so_many(len(sounds), 'sound')} instead of {plan.audio}"
        return
    for number, (sound, seconds) in enumerate(zip(sounds, plan.audio_seconds, strict=False), 1):
        if seconds is not None and not close(sound.duration_seconds or 0.0, seconds):
            yield f"its sound {number} lasts {sound.duration_seconds or 0.0:.2f} s instead of {seconds:.2f} s"
    wanted = [fact.language for fact in plan.contents.kept if fact.what == "sound"]
    for number, (language, kept) in enumerate(zip(languages, wanted, strict=False), 1):
        if kept and language != kept:
            yield f"the language of its sound {number} is {language or 'not told'} instead of {kept}"


def _of_start(picture: Media, first: Sequence[Media], plan: Plan) -> Iterator[str]:
    if plan.audio_offset is None or not first:
        return
    frame = 1 / picture.video.frame_rate if picture.video and picture.video.frame_rate else 0.0
    off = first[0].clock_seconds - picture.clock_seconds - plan.audio_offset
    if abs(off) > OFFSET + frame:
        yield f"its sound begins {abs(off):.2f} s too {'late' if off > 0 else 'early'}"


def lasts_as_planned(made: Media, plan: Plan) -> bool:
    """Tells whether it lasts as long as planned. Where nothing moves, an animated WebP comes out as a plain one, or as
    one frame that stays: it shows the same for as long as one looks."""
    stays = plan.container == "webp" and (made.format == STILL_WEBP or made.duration_seconds is None)
    if plan.duration_seconds is None or stays:
        return True
    return made.duration_seconds is not None and close(made.duration_seconds, plan.duration_seconds)


def _of_streams(made: Media, plan: Plan) -> Iterator[str]:
    if (made.video is not None) != (plan.video is not None):
        yield "it has no picture" if plan.video else "it has a picture"
    for count, wanted, noun in (
        (len(made.audio), plan.audio, "audio streams"),
        (len(made.subtitles), plan.subtitles, "subtitle streams"),
        (len(made.chapters), len(plan.chapters), "chapters"),
        (made.covers, plan.covers, "covers"),
        (made.attachments, plan.attachments, "attachments"),
    ):
        if count != wanted:
            yield f"it has {count} {noun} instead of {wanted}"


# What nearly every container tells in one way, and readers find again under the same name.
CERTAIN_TAGS = {"title", "artist", "album", "genre"}


def _of_contents(made: Media, plan: Plan) -> Iterator[str]:
    """What is said to be kept of the source, and is not there. Tracks are as many as they should be."""
    kept = [fact for fact in plan.contents.kept if fact.track is None]
    yield from _of_tracks("picture", [made.video] if made.video else [], plan)
    yield from _of_tracks("sound", made.audio, plan)
    yield from _of_tracks("subtitles", made.subtitles, plan)
    yield from _of_chapters(made, plan)
    dropped = any(fact.what == "captions" and fact.meant for fact in plan.contents.left_out)
    if dropped and made.video and made.video.captions:
        yield "its picture still has captions"
    for fact in kept:
        if not _is_there(fact, made):
            yield f"its {fact.what.replace('_', ' ')} is lost" + (f" ({fact.detail})" if fact.detail else "")


def _of_chapters(made: Media, plan: Plan) -> Iterator[str]:
    allowed = max(OFFSET_OF_CHAPTERS, 1 / plan.frame_rate if plan.frame_rate else 0.0)
    for number, (chapter, wanted) in enumerate(zip(made.chapters, plan.chapters, strict=True), 1):
        begins, planned = chapter.start_seconds, wanted.start_seconds
        if abs(begins - planned) > allowed:
            yield f"its chapter {number} begins at {begins:.2f} s instead of {planned:.2f} s"
        title, called = chapter.title, (wanted.title or "").strip() or None
        if title != called:
            yield f"its chapter {number} is called {title or 'nothing'} instead of {called or 'nothing'}"


def _of_tracks(what: str, made: Sequence[VideoStream | AudioStream | SubtitleStream], plan: Plan) -> Iterator[str]:
    wanted = [fact for fact in plan.contents.kept if fact.what == what]
    for number, (fact, track) in enumerate(zip(wanted, made, strict=False), 1):
        if fact.language and track.language != fact.language:
            yield f"the language of its {what} {number} is {track.language or 'not told'} instead of {fact.language}"
        if fact.name and track.title != fact.name:
            yield f"its {what} {number} is not called {fact.name}"
        if missing := set(fact.marks) - _marks(track):
            yield f"its {what} {number} is not marked as {', '.join(sorted(missing))}"
        lost = _tags_of(fact, plan) - set(track.tags)
        if lost and len(track.tags) < MOST_OF_TRACK:  # beyond which none are read
            yield f"its {what} {number} does not tell its {', '.join(sorted(lost))}"


def _tags_of(track: Kept, plan: Plan) -> set[str]:
    """What else a track is to tell, by the names under which it is found again in Matroska."""
    kept = (fact for fact in plan.contents.kept if fact.what == "tag" and fact.track == track.track)
    names = (fact.detail.replace(" ", "_") for fact in kept if fact.detail)
    return {_READ_AS.get(name, name) for name in names}


_READ_AS = {"lead_performer": "performer", "part_number": "track"}  # by FFmpeg


def _marks(track: VideoStream | AudioStream | SubtitleStream) -> set[str]:
    forced = isinstance(track, SubtitleStream) and track.forced
    return {*track.marks, *(("forced",) if forced else ())}


def _is_there(fact: Kept, made: Media) -> bool:
    """Tells it of what can be told for certain, and believes the rest.

    Numbers come back rounded, and moments by the clock of a host or without the hour: that they are there is enough.
    """
    picture = made.video
    if fact.what == "tag":
        return fact.detail not in CERTAIN_TAGS or fact.detail in made.tags
    if fact.what in {"dolby_vision", "spherical", "stereo"}:
        return picture is not None and bool(getattr(picture, fact.what))
    if fact.what == "layers":
        return picture is not None and picture.layered
    if fact.what == "transparency":
        return picture is not None and (picture.alpha or picture.seldom_clear)
    if fact.what == "hdr":
        return picture is not None and picture.hdr == fact.detail
    told = {"place": made.place, "date": made.created, "device": made.device}
    return fact.what not in told or told[fact.what] is not None


def _of_picture(made: VideoStream, plan: Plan) -> Iterator[str]:
    if plan.video and (made.width, made.height) != plan.video:
        yield f"its picture is {made.width}×{made.height} instead of {plan.video[0]}×{plan.video[1]}"
    if (made.rotation or made.tilt or made.mirrored) and not plan.copied:
        yield "its picture is still to be turned by the player"
    yield from _of_rate(made, plan)
    yield from _of_number(made, plan)
    yield from _of_colour(made, plan)


def _of_rate(made: VideoStream, plan: Plan) -> Iterator[str]:
    if not plan.frame_rate or not made.frame_rate or (plan.duration_seconds or 0) < LEAST_TIMED:
        return
    if plan.frame_rate * (plan.video_seconds or plan.duration_seconds or 0) < LEAST_PICTURES:
        return
    # Of few frames, one more or less makes a difference that nobody sees.
    allowed = max(plan.frame_rate * RATE_SHARE, 1.5 / (plan.video_seconds or plan.duration_seconds or LEAST_TIMED))
    if abs(made.frame_rate - plan.frame_rate) > allowed:
        yield f"it has {made.frame_rate:.4g} frames per second instead of {plan.frame_rate:.4g}"


def _of_number(made: VideoStream, plan: Plan) -> Iterator[str]:
    if made.pictures is None or plan.pictures is None:
        return
    if made.pictures < plan.pictures - max(MOST_LACKING, plan.pictures * RATE_SHARE):
        yield f"it has {made.pictures} pictures instead of {plan.pictures}"


def _of_colour(made: VideoStream, plan: Plan) -> Iterator[str]:
    if plan.colour is None:
        return
    for noun in ("primaries", "transfer", "matrix", "range"):
        said, wanted = getattr(made.colour, noun), getattr(plan.colour, noun)
        if wanted and said != wanted:
            yield f"its colour {noun} says {said or 'nothing'} instead of {wanted}"


def _of_offset(video: VideoStream, audio: AudioStream, plan: Plan) -> Iterator[str]:
    if plan.audio_offset is None:
        return
    frame = 1 / plan.frame_rate if plan.frame_rate else 0.0
    off = audio.start_seconds - video.start_seconds - plan.audio_offset
    if abs(off) > OFFSET + frame:
        yield f"its sound begins {abs(off):.2f} s too {'late' if off > 0 else 'early'}"


def _of_ends(made: Media, plan: Plan) -> Iterator[str]:
    """Sound that ends before the picture does, or after, by more than it did in the source."""
    lead, planned = _lead(made), _planned_lead(plan)
    allowed = max(END, 0.01 * (plan.video_seconds or 0.0))
    if lead is not None and planned is not None and abs(lead - planned) > allowed and not _holds_on(made, plan):
        yield f"audio ends {abs(lead):.1f} s {'before' if lead > 0 else 'after'} the video"
    for number, (stream, seconds) in enumerate(zip(made.audio, plan.audio_seconds, strict=True), 1):
        if seconds is not None and stream.duration_seconds and not close(stream.duration_seconds, seconds):
            yield f"audio track {number} lasts {stream.duration_seconds:.1f} s instead of {seconds:.1f} s"


def _holds_on(made: Media, plan: Plan) -> bool:
    """Whether the last picture only stays until the sound ends, as players show it anyway."""
    shown, heard = made.video and made.video.duration_seconds, made.audio[0].duration_seconds
    if not (made.video and shown and heard and plan.video_seconds and plan.audio_seconds[0] and plan.duration_seconds):
        return False
    ends_in_time = made.video.start_seconds + shown < plan.duration_seconds + OFFSET
    return shown >= plan.video_seconds and ends_in_time and close(heard, plan.audio_seconds[0])


def _lead(made: Media) -> float | None:
    """Seconds by which the first sound ends before the picture."""
    video, audio = made.video, made.audio[0]
    if video is None or video.duration_seconds is None or audio.duration_seconds is None:
        return None
    return video.start_seconds + video.duration_seconds - audio.start_seconds - audio.duration_seconds


def _planned_lead(plan: Plan) -> float | None:
    first = plan.audio_seconds[0] if plan.audio_seconds else None
    if plan.video_seconds is None or first is None or plan.audio_offset is None:
        return None
    return plan.video_seconds - first - plan.audio_offset
