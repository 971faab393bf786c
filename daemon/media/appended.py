"""Refuses files that several were put end to end into, where FFmpeg would read the first alone, or none.

Of MP3, broadcasts and the like it reads all. Of the rest it is looked for where another file of the same kind begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from daemon.errors import ProbeError
from daemon.media import boxes
from daemon.media.media_file import MediaFile

SMALL, LARGE = 64 * 1024**2, 1024**3  # bytes of a file that is searched; of sound that is packed
STEP = 8 * 1024**2  # bytes that are searched at a time
LONGEST = 128  # bytes in which it is told whether a file begins
WORDS = (
    "it is several {} files put end to end, of which FFmpeg would not read all: take them apart, or join them with a "
    "program that makes one of theirs"
)
_INITIAL = re.escape(bytes(byte for byte in range(256) if byte & 8))  # WavPack's flag of the first of several blocks


class _Kind(NamedTuple):
    """Tells a kind of file by how it begins: by some bytes, and what follows them."""

    called: str
    mark: bytes
    rest: re.Pattern[bytes] = re.compile(b"")
    most: int = SMALL


def _then(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


_KINDS = (
    _Kind("WAV", b"RIFF", _then(rb".{4}WAVE(fmt |JUNK|bext|LIST)")),
    _Kind("WAV", b"RF64", _then(rb"\xff{4}WAVEds64")),
    _Kind("WebP", b"RIFF", _then(rb".{4}WEBPVP8")),
    _Kind("Wave64", b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"),
    _Kind("AIFF", b"FORM", _then(rb".{4}AIF[FC]")),
    _Kind("CAF", b"caff\0\1\0\0desc"),
    _Kind("AU", b".snd\0\0", _then(rb".{6}\0\0\0[\1-\x1d]\0\0")),
    _Kind("VOC", b"Creative Voice File\x1a"),
    _Kind("DSF", b"DSD \x1c\0\0\0\0\0\0\0"),
    _Kind("FLAC", b"fLaC", _then(rb"[\0\x80]\0\0\x22"), LARGE),
    _Kind("WavPack", b"wvpk", _then(rb".{5}\x04.{6}\0{4}(?!\0{4}).{4}.[" + _INITIAL + rb"]"), LARGE),
    _Kind("TTA", b"TTA1", _then(rb"[\1-\3]\0"), LARGE),
    _Kind("Musepack", b"MPCKSH", _then(rb".{5}\x08"), LARGE),
    _Kind("Monkey's Audio", b"MAC ", _then(rb"[\x8c-\x96]\x0f\0\0\x34\0\0\0"), LARGE),
    _Kind("AMR", b"#!AMR", _then(rb"(-WB)?\n")),
    _Kind("Matroska", b"\x1a\x45\xdf\xa3", _then(rb".{1,64}?\x42\x82[\x84-\x88](matroska|webm)")),
    _Kind("ASF", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    _Kind("MXF", bytes.fromhex("060e2b34020501010d0102010102")),
    _Kind("Real", b".RMF\0\0\0"),
    _Kind("NUT", b"nut/multimedia container\0"),
    _Kind("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
    _Kind("Y4M", b"YUV4MPEG2 "),
    _Kind("IVF", b"DKIF\0\0\x20\0"),
)


def refuse_appended(file: MediaFile) -> None:
    """Raises ProbeError where another file begins in the midst of it."""
    if file.boxed:
        with file.open() as content:
            several = sum(name == b"moov" for name, _, _ in boxes.top(content, file.size)) > 1
        called = "MP4"
    else:
        kind = next((kind for kind in _KINDS if _begins(kind, file.head, 0)), None)
        several, called = kind is not None and _goes_on(file, kind), kind.called if kind else ""
    if several:
        raise ProbeError(WORDS.format(called))


def _begins(kind: _Kind, content: bytes, at: int) -> bool:
    return content.startswith(kind.mark, at) and kind.rest.match(content, at + len(kind.mark)) is not None


def _goes_on(file: MediaFile, kind: _Kind) -> bool:
    if file.size > kind.most:
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
