"""Reads what a media file holds, with FFmpeg's libraries, in whatever process calls it.

A hostile file may crash or hang the caller: the daemon calls it only through `daemon.media.probe_server`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream as Pictures
from msgspec.structs import replace

from daemon.errors import ProbeError
from daemon.media import (
    appended,
    boxes,
    changes,
    chapters,
    colours,
    covers,
    cues,
    durations,
    encryption,
    extents,
    frames,
    holes,
    labels,
    mpegts,
    ogg,
    structure,
    tiff,
    tracks,
    unsaid,
    webp,
)
from daemon.media.allowlist import MAX_PIXELS, RESTARTABLE, TOO_LARGE
from daemon.media.media_file import MediaFile
from daemon.media.model import AudioStream, Held, Media, VideoStream
from daemon.media.open_file import STILL_SECONDS, UNDECODABLE, opened, refuse_unreadable
from daemon.media.plausible import MOST_STRETCH
from daemon.media.shapes import Shapes

MOST_DAYS = 7
FINGER = 65536  # bytes at the beginning by which a file is told from another one
SMALL = 64 * 1024**2  # bytes of a file that is read whole rather than believed
LARGE = 2 * 1024**3  # the same of one whose header tells nothing

# Demuxers that have no index and guess the duration from the first bit rate they meet.
GUESSING = {"mp3", "aac", "ac3", "eac3", "dts", "amr", "amrnb", "amrwb", "h264", "hevc", "m4v", "mpegvideo", "mjpeg"}
# Whose duration is told by timestamps, which may wrap or begin anew, or by a sender that did not know it.
HEADERLESS = {"mpegts", "mpeg", "ogg", "flv", RESTARTABLE}
LIVE = {"rm"}  # whose header a sender wrote before it knew
TELLING_AT_LAST = {"flv", RESTARTABLE}  # how long they are, so that what was told is more than a guess
LATE = {"avi"}  # whose header counts what precedes the sound, which is not there


def read_media(path: str, patience: float = 10.0, *, whole: bool = False) -> Media:
    """Returns what the file holds, some pictures of it decoded. `patience` bounds, in seconds, the reading of a whole
    file that does not say how long it lasts, is small enough to make sure, or is to be read `whole`.

    Raises ProbeError, in words without the path.
    """
    file = MediaFile(path)
    media = cues.looked_at(file, _timed(file, patience, whole=whole))
    lacks_end = media.lacks_end or structure.lacks_end(file)
    media = replace(media, lacks_end=lacks_end, fingerprint=hashlib.sha256(file.head[:FINGER]).hexdigest())
    if media.duration_seconds is not None and media.duration_seconds > MOST_DAYS * durations.DAY:
        days = media.duration_seconds / durations.DAY
        raise ProbeError(f"it lasts {days:.0f} days; {MOST_DAYS} days are the limit: cut it into parts")
    return media


def _timed(file: MediaFile, patience: float, *, whole: bool) -> Media:
    """What the file holds and how long it lasts: as it says, where that is to be believed."""
    try:
        return _timed_as(file, "", patience, whole=whole)
    except durations.ClockRestarted:
        if _read(file).format != "flv":
            raise
    return _timed_as(file, RESTARTABLE, patience, whole=whole)


def _timed_as(file: MediaFile, shape: str, patience: float, *, whole: bool) -> Media:
    media = _read(file, shape)
    if media.format == webp.FORMAT:
        return media
    if media.still:
        return _only_the_first(media)
    if media.format in durations.PROMISING and file.cut_off:
        found = extents.spans(file, media, patience)
        return _short(durations.promised(media, file.head), media, found)
    if media.duration_seconds is None or media.format in GUESSING:
        found = extents.spans(file, media, patience)
        media = replace(_of_packets(media, found), read_whole=found is not None)
        return _lasting(durations.gapped(durations.measured(media, found), found))
    endless = boxes.is_endless(file.index)
    if whole or file.cut_off or file.size <= (LARGE if endless or media.format in HEADERLESS | LIVE else SMALL):
        media = _checked(file, media, patience, endless=endless)
    return replace(media, cut_off=media.cut_off or (endless and file.cut_off is True))


def _only_the_first(media: Media) -> Media:
    """Reduces a photograph to its first picture: those behind it are previews, depths and the like."""
    video = media.video and replace(media.video, duration_seconds=STILL_SECONDS)
    return replace(media, duration_seconds=STILL_SECONDS, video=video)


def read_measured(path: str) -> Media:
    """Reads as `read_media` does, but `duration_seconds` is where the data ends, which takes reading all of it."""
    file = MediaFile(path)
    try:
        return _measured_as(file, "")
    except durations.ClockRestarted:
        return _measured_as(file, RESTARTABLE)


def _measured_as(file: MediaFile, shape: str) -> Media:
    media = _read(file, shape)
    if media.format == webp.FORMAT:
        return media
    return _only_the_first(media) if media.still else durations.measured(media, extents.spans(file, media, math.inf))


def _checked(file: MediaFile, media: Media, patience: float, *, endless: bool) -> Media:
    """The data's own duration, should the header say another; but not of a file that was cut off, which is to fail,
    unless it is `endless`: then nobody ever said how long it would be.
    """
    said = media.duration_seconds
    found = extents.spans(file, media, patience)
    whole = _of_packets(media, found) if found and (endless or not file.cut_off) else media
    media = replace(durations.gapped(whole, found), read_whole=found is not None)
    if found and media.format == "ogg":
        media = ogg.chained(file, media, durations.measured(media, found).duration_seconds or 0.0)
    held = durations.measured(media, found)
    if said is None or not held.duration_seconds:
        return media
    if durations.close(held.duration_seconds, said) and media.format not in LATE:
        return replace(held, duration_seconds=said)
    more = file.cut_off is None and held.duration_seconds > said
    lies = endless or more or media.format in HEADERLESS or file.cut_off is False
    ends_early = media.format in TELLING_AT_LAST and held.duration_seconds < said
    return replace(held, cut_off=ends_early) if lies else _short(media, media, found)


def _short(media: Media, as_it_is: Media, found: durations.Spans | None) -> Media:
    """The same, which lasts as its header says, with what is there of it."""
    if not found:
        return media
    there = durations.gapped(durations.measured(_of_packets(as_it_is, found), found), found)
    if media.duration_seconds is None or durations.close(there.duration_seconds or 0.0, media.duration_seconds):
        return media
    fields = {name: getattr(there, name) for name in Held.__struct_fields__}
    return replace(media, held=Held(**fields))


def _of_packets(media: Media, found: durations.Spans | None) -> Media:
    """The same without sound of which there is no packet. Raises ProbeError when nothing is left."""
    if found is None:
        return media
    if not found:
        raise ProbeError("there is neither a picture nor sound behind its header: fetch or export it again")
    heard = tuple(stream for stream in media.audio if stream.index in found)
    empty = tuple(replace(tracks.EMPTY, index=stream.index) for stream in media.audio if stream.index not in found)
    return replace(media, audio=heard, unread=(*media.unread, *empty))


def _lasting(media: Media) -> Media:
    return replace(media, duration_seconds=media.duration_seconds or None)


def _read(file: MediaFile, shape: str = "") -> Media:
    refuse_unreadable(file)
    encryption.refuse_encrypted(file)
    changes.refuse_unplayable(file)
    appended.refuse_appended(file)
    if webp.animated(file.head):
        return webp.read(file)
    described = _looked_at(file, shape, read_on=False) or _looked_at(file, shape, read_on=True)
    assert described
    return unsaid.completed(file, described)


def _looked_at(file: MediaFile, shape: str, *, read_on: bool) -> Media | None:
    """What it holds; None where FFmpeg has to `read_on` for a track that begins late."""
    with opened(file, shape, read_on=read_on) as container:
        if not read_on and (tracks.begins_late(container) or changes.undiscovered(file, container)):
            return None
        changes.refuse_undiscovered(file, container)
        holes.refuse_hollow(file, container)
        described = _described(file, container)
        changes.refuse_changes(file, {container.streams[stream.index].id for stream in durations.timed(described)})
        told, differ = chapters.found(file, container, described.clock_seconds)
    return replace(described, begins_late=read_on, chapters=told, chapters_differ=differ)


# Describing


def _described(file: MediaFile, container: InputContainer) -> Media:
    _refuse_packed(file, container)
    tracks.refuse_too_many(container)
    closed = mpegts.scrambled(file) if container.format.name == "mpegts" else set[int]()
    heard = [tracks.audio(stream) for stream in container.streams.audio if tracks.hearable(stream, closed)]
    video = _video(container, closed)
    others = _of_other_channels(file, container, [*([video] if video else []), *heard])
    audio = [stream for stream in heard if stream.index not in others]
    timed: list[durations.Timed] = [*([video] if video else []), *audio]
    if not timed:
        raise ProbeError(tracks.undecodable(file, container))
    first = min(stream.start_seconds for stream in timed)
    told = labels.told(container)
    since: list[durations.Timed] = [replace(stream, start_seconds=stream.start_seconds - first) for stream in timed]
    return Media(
        format=container.format.name,
        duration_seconds=durations.whole(container, since),
        video=next((stream for stream in since if isinstance(stream, VideoStream)), None),
        audio=tuple(stream for stream in since if isinstance(stream, AudioStream)),
        subtitles=tuple(
            tracks.subtitle(stream)
            for stream in container.streams.subtitles
            if tracks.decoder(stream) and stream.index not in others
        ),
        attachments=len(container.streams.attachments),
        named_attachments=tuple(one.index for one in container.streams.attachments if tracks.is_named(one)),
        attachment_names=tuple((one.index, tracks.attached_name(one)) for one in container.streams.attachments),
        covers=sum(covers.attached(stream) for stream in container.streams),
        cover=None if any(_moving(stream, set()) for stream in container.streams.video) else covers.chosen(container),
        clock_seconds=first,
        lacks_end=file.boxed and any(_goes_beyond(stream, file.size) for stream in container.streams),
        lead_seconds=first - (container.start_time or 0) / av.time_base,
        created=labels.created(told),
        timecode=labels.timecode(told),
        place=labels.place(told),
        made_by=labels.device(told),
        tags=labels.tags(told),
        statistics=labels.statistics(container),
        unread=tuple(tracks.unread(file, container, closed, others, {stream.index for stream in timed})),
    )


def _goes_beyond(stream: Stream, size: int) -> bool:
    """Whether the last samples of a track, by its tables, lie behind the end of an MP4 file."""
    last = stream.index_entries[-1] if len(stream.index_entries) else None
    return last is not None and last.pos + last.size > size


def _of_other_channels(file: MediaFile, container: InputContainer, found: Sequence[durations.Timed]) -> set[int]:
    """The indices of streams that belong to another channel of a broadcast than the first of what was found."""
    if container.format.name != "mpegts" or not found:
        return set()
    pids = mpegts.unrelated_to(file, container.streams[found[0].index].id)
    return {stream.index for stream in container.streams if stream.id in pids}


# The picture


def _video(container: InputContainer, closed: set[int]) -> VideoStream | None:
    """The first candidate that yields a picture. Raises ProbeError when there are candidates and none does."""
    _refuse_tiles(container)
    moving = (stream for stream in container.streams.video if _moving(stream, closed))
    candidates = sorted(moving, key=_prominence, reverse=True)
    for tried, stream in enumerate(candidates):
        _refuse_oversized(stream)
        if tried:
            container.seek(0)
        begin = durations.begin(stream)  # before it is read: where nothing tells, FFmpeg takes some later packet's then
        seen = frames.impression(container, stream)
        if seen is not None:
            fields, captions = zip(*_later(container, stream, seen.shapes), strict=True)
            seen = seen._replace(interlaced=seen.interlaced or any(fields), captions=seen.captions or any(captions))
            return _pictured(stream, begin, seen)
    if candidates and not container.streams.audio:
        raise ProbeError(UNDECODABLE)
    return None


def _later(container: InputContainer, stream: Pictures, shapes: Shapes) -> list[tuple[bool, bool]]:
    """Whether frames further on are made of fields, as in a broadcast, and whether they carry captions."""
    seconds = (container.duration or 0) / av.time_base
    return [frames.look_later(container, stream, seconds * share, shapes) for share in (0.4, 0.75)]


def _refuse_tiles(container: InputContainer) -> None:
    """A phone's still picture comes in tiles, of which one would pass for the whole."""
    if any(stream.disposition & Disposition.dependent for stream in container.streams.video):
        raise ProbeError(
            "it is a still picture made of tiles (HEIC or AVIF), which cannot be joined here: save it as PNG"
        )


def _refuse_packed(file: MediaFile, container: InputContainer) -> None:
    if container.format.name == tiff.FORMAT and tiff.packed_as_jpeg(file):
        raise ProbeError("it is a TIFF packed as JPEG, which FFmpeg cannot unpack: save it as PNG or as plain TIFF")


def _moving(stream: Pictures, closed: set[int]) -> bool:
    return tracks.decoder(stream) is not None and stream.id not in closed and not tracks.beside(stream)


def _prominence(stream: Pictures) -> tuple[bool, bool, int]:
    """A single picture beside a film, such as the one an animated AVIF shows first, is not what matters."""
    return stream.frames != 1, bool(stream.disposition & Disposition.default), stream.width * stream.height


def _refuse_oversized(stream: Pictures) -> None:
    if stream.width <= 0 or stream.height <= 0:  # FFmpeg hides a size over the limit
        raise ProbeError(f"its picture has no size, or one over what may be: {TOO_LARGE}")
    if stream.width * stream.height > MAX_PIXELS:
        raise ProbeError(f"its picture is {stream.width}×{stream.height}; {TOO_LARGE}")


def _pictured(stream: Pictures, begin: float, seen: frames.Impression) -> VideoStream:
    frame = seen.frame
    turned = rotation, tilt = frames.turn(frame)
    stretch = _stretch(stream)
    across, down = seen.size
    width, height = frames.displayed(across, down, float(stretch), turned)
    colour = colours.colour(frame)
    dolby_vision = frames.dolby_vision(frame)
    shown = VideoStream(
        index=stream.index,
        codec=tracks.decoder(stream) or "",
        width=width,
        height=height,
        coded_width=across,
        coded_height=down,
        rotation=rotation,
        tilt=tilt,
        mirrored=frames.mirrored(frame),
        sample_aspect_ratio=f"{stretch.numerator}:{stretch.denominator}",
        frame_rate=frames.rate(stream, seen),
        variable_frame_rate=seen.variable,
        misstated_rate=frames.misstated(stream, seen),
        pixel_format=frame.format.name,
        bit_depth=max(part.bits for part in frame.format.components),
        alpha=any(part.is_alpha for part in frame.format.components) or _hides_alpha(stream),
        interlaced=seen.interlaced,
        reordered=bool(stream.codec_context.has_b_frames),
        counted=frames.counted(stream, seen),
        late_seconds=seen.late,
        field_order=frames.field_order(stream, seen),
        colour=colour,
        hdr=colours.hdr(frame),
        dolby_vision=dolby_vision,
        in_band=_in_band(stream) or seen.shapes.retold,
        own_colours=dolby_vision and colour.transfer is None,
        captions=seen.captions,
        start_seconds=begin,
        duration_seconds=durations.of_stream(stream),
    )
    return _told(shown if shown.counted else _begun(shown, seen), stream, seen)


def _begun(shown: VideoStream, seen: frames.Impression) -> VideoStream:
    """The same, which begins with the first picture that is shown: that may be later than the file says, or earlier."""
    length, late = shown.duration_seconds, 0.0 if seen.begin is None else seen.begin - shown.start_seconds
    return replace(
        shown,
        unstamped=seen.unstamped,
        early_seconds=max(0.0, -late),
        start_seconds=shown.start_seconds + late,
        duration_seconds=length - late if length and length > late else length,
    )


def _told(shown: VideoStream, stream: Pictures, seen: frames.Impression) -> VideoStream:
    """The same with what is said of how it is to be looked at, and how that changes, and by its track."""
    around, eyes = frames.spherical(seen.frame), frames.stereo(seen.frame)
    language, title, tags = tracks.language(stream), tracks.title(stream), labels.of_track(stream)
    marks, ticks = tracks.marks(stream), float(1 / stream.time_base) if stream.time_base else 0.0
    regraded = colours.changing(shown.colour, seen.shapes.colours)
    shown = replace(shown, ticks=ticks, told_twice=frames.told_twice(seen.frame))
    reshaped = seen.shapes.changing or seen.size != (seen.frame.width, seen.frame.height)
    shown = replace(shown, reshaped=reshaped, regraded=regraded, layered=seen.layered)
    shown = replace(shown, spherical=around, stereo=eyes, language=language, title=title, tags=tags, marks=marks)
    return replace(shown, timecode=labels.timecode(stream.metadata))


def _in_band(stream: Pictures) -> bool:
    """Whether the description of HEVC has no parameter sets in it: 22 bytes stand before the number of their kinds."""
    described = stream.codec_context.extradata or b""
    return tracks.decoder(stream) == "hevc" and described[:1] == b"\1" and described[22:23] == b"\0"


def _hides_alpha(stream: Pictures) -> bool:
    """Whether a WebM says so: in capitals once its packets were copied from another."""
    return any(name.lower() == "alpha_mode" and said == "1" for name, said in stream.metadata.items())


def _stretch(stream: Pictures) -> Fraction:
    """How much wider than high a pixel is shown."""
    ratio = Fraction(stream.sample_aspect_ratio or 1)
    return ratio if 1 / MOST_STRETCH <= ratio <= MOST_STRETCH else Fraction(1)
