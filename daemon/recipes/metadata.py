"""Says what is told about an output beside its streams: metadata, languages, chapters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from daemon.media.model import APPLE, AudioStream, Media, SubtitleStream, VideoStream
from daemon.presets.traits import SoundTraits
from daemon.recipes.containers import CONTAINERS, ITUNES, RELEASE, Container
from daemon.recipes.recipe import Options


def options(
    container: str,
    media: Media,
    wanted: SoundTraits,
    sound: Sequence[AudioStream],
    subtitles: Sequence[SubtitleStream] = (),
    picture: VideoStream | None = None,
) -> Options:
    """Says what FFmpeg shall leave out, but for the languages, and what it would: it copies most of it by itself."""
    chapters: Options = {} if wanted.chapters == "keep" else {"map_chapters": -1}
    if wanted.metadata == "keep":
        place = {"metadata#place": f"location={media.place}"} if media.place else {}
        names = _of_the_whole(media, sound) if container == "opus" else _names(container, media, sound, subtitles)
        names |= _languages(sound, subtitles) if media.languages_differ else {}
        shown = {**_of_the_picture(container, picture), **_statistics_dropped(container, media)}
        return {**chapters, **_moment(container, media), **place, **_device(container, media), **names, **shown}
    language = _of_the_picture(container, picture and replace(picture, title=None))
    return {**chapters, "map_metadata": -1, **_languages(sound, subtitles), **language}


def _of_the_picture(container: str, picture: VideoStream | None) -> Options:
    """What a picture's track tells, which FFmpeg forgets on the way through filters."""
    if picture is None:
        return {}
    keys = ("title", "handler_name") if container == "mp4" else ("title",)
    told = {"language": picture.language, **dict.fromkeys(keys, picture.title)}
    marks: Options = {"disposition:v:0": "+".join(("default", *picture.marks))} if picture.marks else {}
    return {**marks, **{f"metadata:s:v:0#{key}": f"{key}={said}" for key, said in told.items() if said}}


def _statistics_dropped(container: str, media: Media) -> Options:
    """Leaves out what tools counted of the source's tracks: players and readers believe it of the output's."""
    told = media.statistics if CONTAINERS[container].of_tracks else ()
    dropped = (name for name in told if name.upper() != "DURATION")  # which FFmpeg tells anew
    return {f"metadata:s#{number}": f"{name}=" for number, name in enumerate(dropped)}


def _moment(container: str, media: Media) -> Options:
    """When it was recorded, in the place of when it came out where the container knows but one of them."""
    name = CONTAINERS[container].date
    there = name == RELEASE and RELEASE in media.tags
    return {"metadata#created": f"{name}={media.created}"} if media.created and name and not there else {}


def told_by(container: str, media: Media) -> Container:
    """Returns what the container tells of that source. MP4 has the device only in Apple's newer list, which has a place
    for everything, and which takes that of the older one: only where nothing stands in that it is worth it.
    """
    told = CONTAINERS[container]
    newer = told.tags == ITUNES and media.device is not None and not ITUNES.intersection(media.tags)
    return told._replace(tags=None, device=True) if newer else told


def _device(container: str, media: Media) -> Options:
    if CONTAINERS[container].device or not told_by(container, media).device:
        return {}
    told = {
        f"metadata#{key}": f"{APPLE}{key}={said}" for key, said in zip(("make", "model"), media.made_by, strict=True)
    }
    return {"movflags#tags": "+use_metadata_tags", **told}


# ffmpeg-python takes each option once: of those that are repeated, what follows a "#" is left out of the command.
REPEATED = re.compile(r"(-movflags|-metadata(?::[\w:]+)?)#\w+")
GAINS = (
    *("REPLAYGAIN_TRACK_GAIN", "REPLAYGAIN_TRACK_PEAK", "REPLAYGAIN_TRACK_RANGE"),
    *("REPLAYGAIN_ALBUM_GAIN", "REPLAYGAIN_ALBUM_PEAK", "REPLAYGAIN_ALBUM_RANGE", "REPLAYGAIN_REFERENCE_LOUDNESS"),
    *("R128_TRACK_GAIN", "R128_ALBUM_GAIN", "iTunNORM", "MP3GAIN_MINMAX", "MP3GAIN_ALBUM_MINMAX", "MP3GAIN_UNDO"),
)


def gains_dropped() -> Options:
    """Leaves out by how much players were to turn down what has another loudness now; FFmpeg ignores the case."""
    return {f"{name}#{gain}": f"{gain}=" for name in ("metadata", "metadata:s:a:0") for gain in GAINS}


def told_by_stream(
    index: int, sound: Sequence[AudioStream], subtitles: Sequence[SubtitleStream], number: int = 0
) -> Options:
    """Takes what is told about the whole from that stream of the source, as Ogg has it; that is read as the
    `number`th file.
    """
    return {"map_metadata": f"{number}:s:{index}", **_languages(sound, subtitles)}


FORGOTTEN = ("creation_time", "duration", "company_name", "product_name", "product_version")


def told_by_another(number: int, options: Options) -> Options:
    """Takes what is told about the whole from the `number`th file that is read, but for what FFmpeg copies to nothing
    by itself, which it does of the first alone. What `options` tell stays."""
    told = {str(said).partition("=")[0] for name, said in options.items() if name.startswith("metadata#")}
    forgotten = (name for name in FORGOTTEN if name not in told)
    return {"map_metadata": number, **{f"metadata#no_{name}": f"{name}=" for name in forgotten}}


def named_files(attached: Sequence[int], number: int) -> Options:
    """Tells names and types of the files within an output of which nothing else is told: Matroska takes none without.

    Their streams are `attached` to the source, which is read as the `number`th file.
    """
    names: Options = {f"map_metadata:s:t:{at}": f"{number}:s:{index}" for at, index in enumerate(attached)}
    return {**names, "metadata:s:t": "title="} if attached else {}


def _names(container: str, media: Media, sound: Sequence[AudioStream], subtitles: Sequence[SubtitleStream]) -> Options:
    """Names tracks: players look in two places of an MP4 for that, and FFmpeg takes over neither from another MP4."""
    handlers = ("handler_name",) if container == "mp4" else ()
    titles = ("title",) if CONTAINERS[container].names and media.format.startswith("mov") else ()
    return {
        f"metadata:s:{kind}:{number}#{key}": f"{key}={stream.title}"
        for kind, streams in _by_kind(sound, subtitles)
        for number, stream in enumerate(streams)
        for key in (*handlers, *titles)
        if stream.title
    }


def _of_the_whole(media: Media, sound: Sequence[AudioStream]) -> Options:
    """Ogg tells of a whole by its first stream: what a track tells of itself would take the place of that."""
    own = sound[0].title or sound[0].tags or media.statistics
    return {"map_metadata:s:a:0": "0:g", **_languages(sound, ())} if own else {}


def _languages(sound: Sequence[AudioStream], subtitles: Sequence[SubtitleStream]) -> Options:
    return {
        f"metadata:s:{kind}:{number}": f"language={stream.language}"
        for kind, streams in _by_kind(sound, subtitles)
        for number, stream in enumerate(streams)
        if stream.language
    }


def _by_kind(
    sound: Sequence[AudioStream], subtitles: Sequence[SubtitleStream]
) -> Iterator[tuple[str, Sequence[AudioStream | SubtitleStream]]]:
    yield "a", sound
    yield "s", subtitles
