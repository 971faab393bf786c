"""Shows what a file holds."""

from __future__ import annotations

from daemon.media.model import AudioStream, Chapter, Media, SubtitleStream, VideoStream
from daemon.models import Model


class MediaView(Model, frozen=True):
    duration_seconds: float | None
    video: VideoStream | None
    audio: tuple[AudioStream, ...]
    subtitles: tuple[SubtitleStream, ...]
    chapters: tuple[Chapter, ...] = ()
    attachments: int = 0
    covers: int = 0
    format: str = ""


def media_view(media: Media) -> MediaView:
    """Returns what a file holds, as it is told of sources."""
    return MediaView(
        duration_seconds=media.duration_seconds,
        video=media.video,
        audio=media.audio,
        subtitles=media.subtitles,
        chapters=media.chapters,
        attachments=media.attachments,
        covers=media.covers,
        format=media.format,
    )
