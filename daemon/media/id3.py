"""Reads of an ID3v2 tag which of its frames FFmpeg passes over: ratings, play counts, identifiers, links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

HEADER, FRAME_HEADER = 10, {2: 6, 3: 10, 4: 10}  # bytes, by version
UNSYNCHRONISED, EXTENDED = 0x80, 0x40  # flags
DESCRIBED = {"TXX", "TXXX"}  # texts with a name of their own
WIDE, MOST_OF_TEXT = {b"\1", b"\2"}, 1000  # encodings in which characters take two bytes; units that are looked at
MOST_FRAMES = 1000
# What FFmpeg reads: texts, comments, lyrics, pictures, private data, chapters and what lists them; objects it forgets.
READ = re.compile(r"T...?|COMM?|USLT|ULT|A?PIC|PRIV|CHAP|CTOC|CRM")


def passed_over(head: bytes) -> tuple[str, ...]:
    """Returns the names of those frames, in lower case, of a file that begins so; none where there is no such tag."""
    return tuple(sorted({name.lower() for name, _ in _frames(head) if not READ.fullmatch(name)}))


def repeated(head: bytes) -> tuple[str, ...]:
    """Returns the names of texts that are told several times, in lower case; of which FFmpeg tells one."""
    texts = Counter[str]()
    for name, content in _frames(head):
        if name.startswith("T") and name not in DESCRIBED:
            texts[name.lower()] += _count(content)
    return tuple(sorted(name for name, count in texts.items() if count > 1))


def _count(content: bytes) -> int:
    """How many texts a frame holds, which zeros part."""
    size = 2 if content[:1] in WIDE else 1
    looked_at = content[: size * MOST_OF_TEXT]
    units = [looked_at[at : at + size] for at in range(1, len(looked_at) - size + 1, size)]
    return 1 + sum(unit == bytes(size) and any(map(any, units[at:])) for at, unit in enumerate(units))


def _frames(head: bytes) -> Iterator[tuple[str, bytes]]:
    version, flags = (head[3], head[5]) if len(head) > HEADER and head.startswith(b"ID3") else (0, 0)
    if version not in FRAME_HEADER or flags & (UNSYNCHRONISED | EXTENDED):
        return
    end, at, short = HEADER + _safe(head[6:10]), HEADER, version == 2
    size = FRAME_HEADER[version]
    for _ in range(MOST_FRAMES):
        name = head[at : at + (3 if short else 4)]
        if at + size > min(end, len(head)) or not re.fullmatch(rb"[A-Z0-9]+", name):
            return
        told = head[at + 3 : at + 6] if short else head[at + 4 : at + 8]
        begin, at = at + size, at + size + (_safe(told) if version == 4 else int.from_bytes(told, "big"))
        yield name.decode("ascii"), head[begin : min(at, end)]


def _safe(told: bytes) -> int:
    """A number of which each byte holds seven bits."""
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(told)))
