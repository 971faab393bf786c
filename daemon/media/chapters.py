"""Tells when chapters begin and what they are called, where FFmpeg mistakes those of an MP4 too.

An MP4 has them twice: as a track of texts, one after the other, and in a list (Nero's) that alone tells when the first
begins, and of those without a name. FFmpeg writes both, and reads times and names from the track.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from av.container import InputContainer
from msgspec.structs import replace

from daemon.media import boxes
from daemon.media.media_file import MediaFile
from daemon.media.model import Chapter

MOST = 5000
MOST_OF_TITLE = 200  # characters
LEAST_OFF = 0.05  # seconds, beyond what clocks round
UNIT = 10**7  # of a list's times, in a second
MARK = re.compile(r"ch\d+")  # which FFmpeg writes into an MP3 for each, and reads as the name of one that has none


def found(file: MediaFile, container: InputContainer, first: float) -> tuple[tuple[Chapter, ...], bool]:
    """Returns the chapters, in seconds from the `first` moment of picture and sound on, and whether FFmpeg takes them
    for others."""
    mark = MARK if container.format.name == "mp3" else None
    read = [_chapter(chapter, first, mark) for chapter in container.chapters()[:MOST]]
    listed = [*islice(_listed(file.index, first), MOST)] if file.boxed else []
    differ = len(read) == len(listed) and any(map(_differ, read, listed))
    told = _lasting(listed, read[-1]) if differ else read
    return tuple(_not_before(chapter) for chapter in told if chapter.end_seconds >= -LEAST_OFF), differ


def _not_before(chapter: Chapter) -> Chapter:
    return chapter if chapter.end_seconds >= 0 else replace(chapter, end_seconds=0.0)


def _chapter(chapter: Any, first: float, mark: re.Pattern[str] | None) -> Chapter:
    """One that lies before the first moment has a negative end; one that is called by a `mark` has no name."""
    tick = float(chapter["time_base"])
    begin, end = chapter["start"] * tick - first, chapter["end"] * tick - first
    title = chapter["metadata"].get("title", "")
    return _called(begin, end, "" if mark and mark.fullmatch(title) else title)


def _called(begin: float, end: float, title: str) -> Chapter:
    return Chapter(
        start_seconds=max(0.0, begin), end_seconds=end, title=title.strip(" \0")[:MOST_OF_TITLE].strip() or None
    )


def _differ(one: Chapter, other: Chapter) -> bool:
    return abs(one.start_seconds - other.start_seconds) > LEAST_OFF or bool(one.title) != bool(other.title)


def _listed(moov: bytes, first: float) -> Iterator[Chapter]:
    """The chapters of the list, without an end."""
    table = boxes.only(boxes.only(moov[8:], b"udta"), b"chpl")
    at = 9 if table[:1] != b"\0" else 5
    while at + 9 <= len(table):
        begin, size = struct.unpack_from(">QB", table, at)
        title = table[at + 9 : at + 9 + size].decode("utf-8", "replace")
        yield _called(begin / UNIT - first, begin / UNIT - first, title)
        at += 9 + size


def _lasting(listed: Sequence[Chapter], last: Chapter) -> Iterator[Chapter]:
    """The same, each until the next begins."""
    length = max(0.0, last.end_seconds - last.start_seconds)
    ends = [*(chapter.start_seconds for chapter in listed[1:]), listed[-1].start_seconds + length]
    for chapter, end in zip(listed, ends, strict=True):
        yield Chapter(start_seconds=chapter.start_seconds, end_seconds=end, title=chapter.title)
