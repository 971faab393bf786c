"""Screen recordings as TechSmith's Camtasia wrote them, which FFmpeg reads and does not write: TSCC in AVI."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from harmful import chunk

RATE = 10  # pictures per second
SIZE = (320, 180)
SOUND_RATE = 8000
MOST = 255  # pixels of a run
KEY_EVERY = 8  # pictures
END_OF_LINE, END_OF_PICTURE = b"\0\0", b"\0\1"
KEY = 0x10
PALETTE = 1024  # bytes


def tscc(work: Path, bits: int) -> bytes:
    """An AVI of raw pictures (`picture`, each of 8 bits with its palette behind it) and of sound (`sound`)."""
    raw, sound = (work / "picture").read_bytes(), (work / "sound").read_bytes()
    width, height = SIZE
    stride = width * bits // 8
    whole = stride * height + (PALETTE if bits == 8 else 0)
    shown = [raw[at : at + whole] for at in range(0, len(raw), whole)]
    palette = shown[0][stride * height :]
    each = 2 * SOUND_RATE // RATE
    index, movie = b"", b"movi"
    for number, picture in enumerate(shown):
        key = number % KEY_EVERY == 0
        packed = zlib.compress(b"".join(_lines(picture, b"" if key else shown[number - 1], bits)))
        parts = ((b"00dc", packed, KEY if key else 0), (b"01wb", sound[number * each :][:each], KEY))
        for name, content, flags in parts:
            index += name + struct.pack("<3I", flags, len(movie), len(content))
            movie += chunk(name, content) + bytes(len(content) % 2)
    lists = chunk(b"LIST", b"hdrl" + _header(len(shown), bits, palette)) + chunk(b"LIST", movie) + chunk(b"idx1", index)
    return chunk(b"RIFF", b"AVI " + lists)


def _lines(picture: bytes, before: bytes, bits: int) -> Iterator[bytes]:
    """Runs of pixels, line by line from below; a line that is as it was before is passed over."""
    stride = SIZE[0] * bits // 8
    for at in range(stride * (SIZE[1] - 1), -1, -stride):
        line = picture[at : at + stride]
        if line != before[at : at + stride]:
            yield from _runs(line, bits // 8)
        yield END_OF_LINE
    yield END_OF_PICTURE


def _runs(line: bytes, size: int) -> Iterator[bytes]:
    for pixel, run in groupby(line[at : at + size] for at in range(0, len(line), size)):
        left = sum(1 for _ in run)
        while left:
            yield bytes([min(MOST, left)]) + pixel
            left -= min(MOST, left)


def _header(pictures: int, bits: int, palette: bytes) -> bytes:
    width, height = SIZE
    colours = len(palette) // 4
    form = struct.pack("<3I2H4s5I", 40, width, height, 1, bits, b"tscc", 0, 0, 0, colours, 0) + palette
    of_picture = b"vids" + b"tscc" + bytes(12) + struct.pack("<8I", 1, RATE, 0, pictures, 0, 0, 0, 0)
    seconds = pictures / RATE
    of_sound = b"auds" + bytes(16) + struct.pack("<8I", 1, SOUND_RATE, 0, round(seconds * SOUND_RATE), 0, 0, 2, 0)
    pcm = struct.pack("<2H2I2H", 1, 1, SOUND_RATE, 2 * SOUND_RATE, 2, 16)
    main = struct.pack("<14I", 1_000_000 // RATE, 0, 0, KEY, pictures, 0, 2, 0, width, height, 0, 0, 0, 0)
    streams = ((of_picture, form), (of_sound, pcm))
    return chunk(b"avih", main) + b"".join(
        chunk(b"LIST", b"strl" + chunk(b"strh", head) + chunk(b"strf", more)) for head, more in streams
    )
