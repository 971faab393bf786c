"""Says of a file of a watched folder why nothing is made of it: it is not whole, or the operator's rules refuse it.

Those may have been written since it was taken.
"""

from __future__ import annotations

import re

from daemon.config_tables import Folder, When
from daemon.meant_files import is_meant
from daemon.media.model import Media

BY_RULE = "refused by a rule: "
DEMUXERS = {
    "mkv": "matroska",
    "ts": "mpegts",
    "m2ts": "mpegts",
    "mts": "mpegts",
    "wmv": "asf",
    "mpg": "mpeg",
    "m4v": "mp4",
}
CODECS = {  # by what else people call them
    "h265": "hevc",
    "x265": "hevc",
    "avc": "h264",
    "x264": "h264",
    "av01": "av1",
    "vp09": "vp9",
    "xvid": "mpeg4",
    "divx": "mpeg4",
    "mpeg2": "mpeg2video",
}


def flaw(media: Media, *, goes: bool = False) -> str | None:
    """Returns why a file that can be read is no whole film; None: it is. Of one that goes afterwards nothing may be
    missing, however little."""
    if media.cut_off or media.held is not None or (goes and media.lacks_end):
        return "it ends in the middle: it was not written to its end"
    return None


def refusal(when: When, media: Media, size: int) -> str | None:
    """Returns in words which rule refuses a file of so many bytes; None: all hold, as far as can be told."""
    found = _by_picture(when, media) or _by_container(when, media) or _by_size(when, media, size)
    return f"{BY_RULE}{found}" if found else None


def refusal_of_size(when: When, size: int) -> str | None:
    """Returns the same of a file that nobody has read yet."""
    found = _of_size(when, size)
    return f"{BY_RULE}{found}" if found else None


def codec_called(name: str) -> str:
    """Returns FFmpeg's name of a codec that people call so: `hevc` for `H.265`. Whether there is one is not said."""
    plain = re.sub(r"[. -]", "", name.lower())
    return CODECS.get(plain, plain)


def left_out(folder: Folder, name: str) -> str | None:
    """Returns why a folder does not take what is called so any more; None: it does."""
    if "/" in name and not folder.recursive:
        return "ffspool.toml no longer says `recursive` of its folder"
    if not is_meant(name, folder.include, folder.exclude):
        return "`exclude` or `include` of its folder leave it out by now"
    return None


def unwanted(folder: Folder, name: str, size: int, media: Media | None) -> str | None:
    """Returns why a folder does not take such a file any more, as far as it is known what that holds; None: it does."""
    if words := left_out(folder, name):
        return words
    refused = refusal(folder.when, media, size) if media else refusal_of_size(folder.when, size)
    return f"by now it is {refused}" if refused else None


def too_young(folder: Folder, modified: int, now: float) -> str | None:
    """Returns why a file that was changed so many ns after the epoch waits; None: it need not."""
    if not folder.when.older_than or modified <= (now - folder.when.older_than) * 1e9:
        return None
    return "it waits until it is as old as `older_than` of its folder asks by now"


def _by_picture(when: When, media: Media) -> str | None:
    codec = media.video.codec if media.video else media.audio[0].codec if media.audio else None
    if codec in set(map(codec_called, when.codec_not)):
        return f"it is {codec} already"
    if when.min_height is None:
        return None
    if media.video is None:
        return f"it has no picture, let alone one of {when.min_height} lines"
    if media.video.height < when.min_height:
        return f"its picture has {media.video.height} lines, fewer than {when.min_height}"
    return None


def _by_container(when: When, media: Media) -> str | None:
    wanted = {DEMUXERS.get(name.lower(), name.lower()) for name in when.container}
    if wanted and wanted.isdisjoint(media.format.split(",")):
        return f"its container is {media.format.split(',')[0]}, none of {', '.join(when.container)}"
    return None


def _by_size(when: When, media: Media, size: int) -> str | None:
    if found := _of_size(when, size):
        return found
    if when.min_bitrate_kbps is None or not media.duration_seconds:
        return None
    rate = size * 8 / 1000 / media.duration_seconds
    if rate < when.min_bitrate_kbps:
        return f"it has {rate:.0f} kbit/s, fewer than {when.min_bitrate_kbps:g}"
    return None


def _of_size(when: When, size: int) -> str | None:
    if when.larger_than is not None and size <= when.larger_than:
        return f"it has {size} bytes, not more than {when.larger_than}"
    return None
