"""Refuses files that several were put end to end into, where FFmpeg would read the first alone, or none.

Of MP3, broadcasts and the like it reads all. Of the rest it is looked for where another file of the same kind begins:
in all of a small one, and of a large one where the first tells that it ends, if it does.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from daemon.errors import ProbeError
from daemon.media import boxes, flv
from daemon.media.media_file import MediaFile, segment_end, vint
from daemon.media.seams import SMPTE, ber
from daemon.media.structure import ASF, ASF_FILE, HEADER, MXF, footer

SMALL, LARGE = 64 * 1024**2, 1024**3  # bytes of a file that is searched; of one that does not tell where it ends
STEP = 8 * 1024**2  # bytes that are searched at a time
VOID = b"\xec"  # what fills a Matroska file up
LONGEST = 128  # bytes in which it is told whether a file begins
WORDS = (
    "it is several {} files put end to end, of which FFmpeg would not read all: take them apart, or join them with a "
    "program that makes one of theirs"
)
_INITIAL = re.escape(bytes(byte for byte in range(256) if byte & 8))  # WavPack's flag of the first of several blocks


class _Kind(NamedTuple):
    """Tells a kind of file by how it begins: by some bytes, and what follows them. `end` is where one says it ends."""

    called: str
    mark: bytes
    rest: re.Pattern[bytes] = re.compile(b"")
    end: Callable[[BinaryIO], int | None] = lambda _: None


def _then(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


def _told(format_: str, at: int, header: int = 0, unit: int = 1) -> Callable[[BinaryIO], int]:
    """Reads, at that byte, of how many units all of a file is that follows a header of so many bytes."""

    def end(file: BinaryIO) -> int:
        file.seek(at)
        (length,) = struct.unpack(format_, file.read(struct.calcsize(format_)))
        return header + int(length) * unit

    return end


def _end_of_matroska(file: BinaryIO) -> int | None:
    """Where it ends, and what fills it up behind it."""
    end = segment_end(file)
    while end is not None:
        file.seek(end)
        if file.read(1) != VOID or (length := vint(file)) is None:
            break
        end = file.tell() + length
    return end


def _end_of_asf(file: BinaryIO) -> int | None:
    head = file.read(HEADER)
    at = head.find(ASF_FILE)
    return struct.unpack_from("<Q", head, at + 40)[0] if at >= 0 else None


def _end_of_mxf(file: BinaryIO) -> int | None:
    """Where that ends which its last partition is made of."""
    at = footer(file)
    file.seek(at)
    while at and (part := file.read(25)).startswith(SMPTE) and not part.startswith(MXF):
        if (length := ber(part[16:])) is None:
            break
        at += 16 + length
        file.seek(at)
    return at or None


_CHUNKS, _LONG_CHUNKS, _FORM = _told("<I", 4, 8), _told("<Q", 20, 8), _told(">I", 4, 8)
_KINDS = (
    _Kind("WAV", b"RIFF", _then(rb".{4}WAVE(fmt |JUNK|bext|LIST)"), _CHUNKS),
    _Kind("WAV", b"RF64", _then(rb"\xff{4}WAVEds64"), _LONG_CHUNKS),
    _Kind("WebP", b"RIFF", _then(rb".{4}WEBPVP8"), _CHUNKS),
    _Kind("Wave64", b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0", end=_told("<Q", 16)),
    _Kind("AIFF", b"FORM", _then(rb".{4}AIF[FC]"), _FORM),
    _Kind("CAF", b"caff\0\1\0\0desc"),
    _Kind("AU", b".snd\0\0", _then(rb".{6}\0\0\0[\1-\x1d]\0\0")),
    _Kind("VOC", b"Creative Voice File\x1a"),
    _Kind("DSF", b"DSD \x1c\0\0\0\0\0\0\0", end=_told("<Q", 12)),
    _Kind("FLAC", b"fLaC", _then(rb"[\0\x80]\0\0\x22")),
    _Kind("WavPack", b"wvpk", _then(rb".{5}\x04.{6}\0{4}(?!\0{4}).{4}.[" + _INITIAL + rb"]")),
    _Kind("TTA", b"TTA1", _then(rb"[\1-\3]\0")),
    _Kind("Musepack", b"MPCKSH", _then(rb".{5}\x08")),
    _Kind("Monkey's Audio", b"MAC ", _then(rb"[\x8c-\x96]\x0f\0\0\x34\0\0\0")),
    _Kind("AMR", b"#!AMR", _then(rb"(-WB)?\n")),
    _Kind("Matroska", b"\x1a\x45\xdf\xa3", _then(rb".{1,64}?\x42\x82[\x84-\x88](matroska|webm)"), _end_of_matroska),
    _Kind("ASF", ASF, end=_end_of_asf),
    _Kind("MXF", MXF, end=_end_of_mxf),
    _Kind("WTV", bytes.fromhex("b7d800203749da11a64e0007e95ead8d"), end=_told("<I", 0x5C, unit=4096)),
    _Kind("Real", b".RMF\0\0\0"),
    _Kind("NUT", b"nut/multimedia container\0"),
    _Kind("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
    _Kind("Y4M", b"YUV4MPEG2 "),
    _Kind("IVF", b"DKIF\0\0\x20\0"),
)


def refuse_appended(file: MediaFile, *, searched: float = SMALL) -> None:
    """Raises ProbeError where another file begins in the midst of it, which is looked for in up to so many bytes."""
    if file.boxed:
        with file.open() as content:
            several = sum(name == b"moov" for name, _, _ in boxes.top(content, file.size)) > 1
        called = "MP4"
    elif file.head.startswith(flv.BEGIN):
        several, called = file.flv.goes_on, "FLV"
    else:
        kind = next((kind for kind in _KINDS if _begins(kind, file.head, 0)), None)
        several, called = kind is not None and _goes_on(file, kind, searched), kind.called if kind else ""
    if several:
        raise ProbeError(WORDS.format(called))


def _begins(kind: _Kind, content: bytes, at: int) -> bool:
    return content.startswith(kind.mark, at) and kind.rest.match(content, at + len(kind.mark)) is not None


def _goes_on(file: MediaFile, kind: _Kind, searched: float) -> bool:
    if file.size > searched:
        with file.open() as content:
            if (end := kind.end(content)) is not None:
                content.seek(end)
                behind = content.read(LONGEST)
                return any(_begins(kind, behind, at) for at in (0, 1))  # a chunk of RIFF may be filled up to be even
        if file.size > LARGE:
            return False
    return any(_begins(kind, part, at) for part in _parts(file) for at in _marks(kind.mark, part))


def _parts(file: MediaFile) -> Iterator[bytes]:
    """What lies behind its beginning, in parts that overlap so far that no other beginning is cut."""
    with file.open() as content:
        content.seek(1)
        before = b""
        while read := content.read(STEP):
            yield before + read
            before = read[-LONGEST:]


def _marks(mark: bytes, part: bytes) -> Iterator[int]:
    at = part.find(mark)
    while at >= 0:
        yield at
        at = part.find(mark, at + 1)
