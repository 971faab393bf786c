"""Counts how much an Ogg file holds that several were put end to end into, which FFmpeg sometimes reads the first of.

Pages are told in RFC 3533; each says how many samples there are up to its end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from msgspec.structs import replace

from daemon.errors import ProbeError
from daemon.media.appended import WORDS
from daemon.media.media_file import MediaFile
from daemon.media.model import Media

HEADER = struct.Struct("<4sxBqI8xB")
BEGINS = 2  # a flag of the first page of a stream
OPUS_RATE, OPUS_USUAL = 48_000, 960
SPEEX_MOST = 6400
OFF = 0.04  # seconds of each file by which what was read may differ


class _Stream:
    """A track of sound in one of the files: its samples in a second, those left out at its beginning, those that a
    packet has at most, and from where to where it goes."""

    def __init__(self, rate: int, hidden: int = 0, most: int = 0) -> None:
        self.rate, self.hidden, self.most = rate, hidden, most
        self.begin: int | None = None
        self.end = 0

    def take(self, page: _Page) -> None:
        if page.samples <= 0:  # it ends no packet, or tells of the track
            return
        if self.begin is None:  # of a broadcast, more came before than there is
            self.begin = self.hidden if page.samples <= page.packets * self.most + self.hidden else page.samples
        self.end = max(self.end, page.samples)

    @property
    def seconds(self) -> float:
        return max(0, self.end - (self.begin or 0)) / self.rate if self.rate else 0.0


class _Page(NamedTuple):
    begins: bool
    samples: int
    serial: int
    packets: int
    told: bytes  # what it holds, if it begins a stream


class Chain(NamedTuple):
    """A chain is of so many files, whose sound lasts so many `seconds` at least, all of it Opus or not."""

    links: int
    seconds: float
    opus: bool


def chain(file: MediaFile) -> Chain:
    """Returns what is in it. Raises OSError."""
    links: list[dict[int, _Stream | None]] = []
    opus, begun = True, False
    with file.open() as content:
        for page in _pages(content):
            if page.begins:
                if not begun:
                    links.append({})
                links[-1][page.serial] = _described(page.told)
                opus = opus and page.told.startswith(b"OpusHead")
            elif links and (stream := links[-1].get(page.serial)):
                stream.take(page)
            begun = page.begins
    lengths = (max((stream.seconds for stream in link.values() if stream), default=0.0) for link in links)
    return Chain(len(links), sum(lengths), opus)


def chained(file: MediaFile, media: Media, seconds: float) -> Media:
    """Returns the media, of which so many seconds were read; its copies would keep the first description of several.

    Raises ProbeError where more is there.
    """
    found = chain(file)
    if found.links > 1 and seconds < found.seconds - OFF * found.links:
        raise ProbeError(WORDS.format("Ogg"))
    return replace(media, redescribed=found.links > 1 and not found.opus)


def _pages(content: BinaryIO) -> Iterator[_Page]:
    while len(head := content.read(HEADER.size)) == HEADER.size and head.startswith(b"OggS"):
        _, flags, samples, serial, count = HEADER.unpack(head)
        sizes = content.read(count)
        told = content.read(sum(sizes)) if flags & BEGINS else b""
        if not told:
            content.seek(sum(sizes), 1)
        yield _Page(bool(flags & BEGINS), samples, serial, sum(size < 255 for size in sizes), told)


def _described(told: bytes) -> _Stream | None:
    """What the first packet of sound tells; None of a picture."""
    if told.startswith(b"OpusHead") and len(told) >= 19:
        return _Stream(OPUS_RATE, int.from_bytes(told[10:12], "little"), OPUS_USUAL)
    if told.startswith(b"\1vorbis") and len(told) >= 30:
        return _Stream(int.from_bytes(told[12:16], "little"), most=1 << (told[28] >> 4) >> 1)
    if told.startswith(b"\x7fFLAC") and len(told) >= 30:
        return _Stream(int.from_bytes(told[27:30], "big") >> 4, most=int.from_bytes(told[19:21], "big"))
    if told.startswith(b"Speex   ") and len(told) >= 40:
        return _Stream(int.from_bytes(told[36:40], "little"), most=SPEEX_MOST)
    return None
