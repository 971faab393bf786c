"""Adds to what FFmpeg tells of a file what it leaves unsaid, and reads of the file ourselves."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from daemon.media import avi, boxes, changes, gif, id3, maker_boxes, matroska, sound_tags
from daemon.media.media_file import MediaFile
from daemon.media.model import AudioStream, Media, VideoStream

OF_AVI = "V_MS/VFW"  # how codecs of AVI are called in Matroska
OPUS, OPUS_RATE = {"opus", "libopus"}, 48000
MOTION, WITHIN = (b"MotionPhoto", b"MicroVideo"), 256 * 1024  # what XMP says, and bytes in which it does


def completed(file: MediaFile, media: Media) -> Media:
    """Returns the media with all of that. Raises OSError."""
    told, late = matroska.tracks(file), avi.begins(file)
    untold = matroska.untold(file)
    twice = {*untold.tags, *boxes.repeated_tags(file.index), *id3.repeated(file.head)}
    return replace(
        media,
        video=media.video and _by_decoding(_track(media.video, told), told),
        audio=tuple(_skipping(file, media, _begun(_track(stream, told), late)) for stream in media.audio),
        subtitles=tuple(_track(stream, told) for stream in media.subtitles),
        languages_differ=any(track.full_language and not track.has_language for track in told),
        cropped=_crops(file, media, told),
        redescribed=changes.redescribed(file),
        edited=changes.edited(file),
        repeated=changes.repeated(file),
        passed_over=(
            *id3.passed_over(file.head),
            *maker_boxes.passed_over(file),
            *sound_tags.passed_over(file, media.format),
            *(["film of a motion photo"] if _moves(file.head) else []),
            *(f"{name}, another" for name in sorted(twice)),
        ),
        hurried=gif.is_hurried(file),
        filled=gif.is_filled(file),
        inner_chapters=untold.inner_chapters,
        other_chapters=untold.other_chapters,
        more_names=untold.more_names,
        ordered=untold.ordered,
    )


def _moves(head: bytes) -> bool:
    """Whether it is a photograph of a phone that has a film behind it, as its XMP tells."""
    return head.startswith(b"\xff\xd8\xff") and any(mark in head[:WITHIN] for mark in MOTION)


def _track(stream: Any, told: tuple[matroska.Track, ...]) -> Any:
    """The same with its language in full, in the place of what FFmpeg takes for it where no other is told."""
    if stream.index >= len(told):
        return stream
    track = told[stream.index]
    own = {} if track.has_language or not track.full_language else {"language": track.full_language}
    more = track.full_language if track.has_language and "-" in (track.full_language or "") else None
    return replace(stream, **own, full_language=more, disabled=not track.enabled)


def _by_decoding(stream: VideoStream, told: tuple[matroska.Track, ...]) -> VideoStream:
    """The same, of which a Matroska tells what the AVI did that it was made of."""
    return replace(stream, by_decoding=stream.index < len(told) and told[stream.index].codec.startswith(OF_AVI))


def _begun(stream: AudioStream, late: tuple[float, ...]) -> AudioStream:
    """The same, which begins when its header says."""
    seconds = late[stream.index] if stream.index < len(late) else 0.0
    return replace(stream, start_seconds=stream.start_seconds + seconds) if seconds else stream


def _skipping(file: MediaFile, media: Media, stream: AudioStream) -> AudioStream:
    """The same beside a picture, which is heard when its decoder has left out what Opus has it leave out at the
    beginning: the edit list of an MP4 takes that away, where there is one."""
    tracks, edits = boxes.tracks(file.index), boxes.edits(file.index)
    if media.video is None or stream.codec not in OPUS or stream.index >= len(tracks) or edits[stream.index]:
        return stream
    _, _, told = b"".join(tracks[stream.index].described).partition(b"dOps")
    seconds = int.from_bytes(told[2:4], "big") / OPUS_RATE
    return replace(stream, start_seconds=stream.start_seconds + seconds, skipped_seconds=seconds)


def _crops(file: MediaFile, media: Media, told: tuple[matroska.Track, ...]) -> bool:
    """Whether the container asks to leave out edges of the picture: `clap` of QuickTime, `PixelCrop` of Matroska."""
    if told:
        return media.video is not None and media.video.index < len(told) and told[media.video.index].cropped
    return media.format.startswith("mov") and b"\0\0\0\x28clap" in file.index
