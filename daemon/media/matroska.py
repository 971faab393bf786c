"""Reads of a Matroska file what FFmpeg leaves unsaid: chapters within chapters."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.media.media_file import MediaFile

MAGIC = b"\x1a\x45\xdf\xa3"
SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
SEEK_HEAD, SEEK, SEEK_ID, SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
CHAPTERS, EDITION, CHAPTER = 0x1043A770, 0x45B9, 0xB6
LARGEST_CHAPTERS = 4 * 1024**2  # bytes that are read of them
MOST_CHAPTERS = 5000
UNKNOWN = -1  # how long an element is that was written before its end was known

_Element = tuple[int, int, int]  # name, where its content begins and ends


def chapters_within_chapters(file: MediaFile) -> int:
    """Counts the chapters that lie within others. Raises OSError."""
    if not file.head.startswith(MAGIC):
        return 0
    content = _chapters(file)
    editions = (content[begin:end] for name, begin, end in _elements(content) if name == EDITION)
    top = (edition[begin:end] for edition in editions for name, begin, end in _elements(edition) if name == CHAPTER)
    return min(MOST_CHAPTERS, sum(_inner(chapter) for chapter in top))


def _inner(chapter: bytes, depth: int = 0) -> int:
    inner = [chapter[begin:end] for name, begin, end in _elements(chapter) if name == CHAPTER]
    return len(inner) + (sum(_inner(one, depth + 1) for one in inner) if depth < 8 else 0)


def _chapters(file: MediaFile) -> bytes:
    """The element that holds them, which stands before the first picture, or where the file's own index says."""
    head, sought = file.head, 0
    segment = next((begin for name, begin, _ in _elements(head) if name == SEGMENT), len(head))
    for name, begin, end in _elements(head, segment):
        if name == CHAPTERS:
            return head[begin:end]
        if name == SEEK_HEAD:
            sought = _position(head[begin:end])
        if name == CLUSTER:
            break
    if not sought:
        return b""
    with file.open() as opened:
        opened.seek(segment + sought)
        found = opened.read(LARGEST_CHAPTERS)
    return next((found[begin:end] for name, begin, end in _elements(found) if name == CHAPTERS), b"")


def _position(index: bytes) -> int:
    """Where chapters lie in the segment, by its index; 0 where that does not tell of any."""
    for name, begin, end in _elements(index):
        entry = index[begin:end]
        told = {inner: entry[at:stop] for inner, at, stop in _elements(entry)}
        if name == SEEK and int.from_bytes(told.get(SEEK_ID, b""), "big") == CHAPTERS:
            return int.from_bytes(told.get(SEEK_POSITION, b"")[:8], "big")
    return 0


def _elements(content: bytes, at: int = 0) -> Iterator[_Element]:
    """Those that follow each other from there on, as far as there is something of them."""
    while at < len(content):
        name, begin = _number(content, at, marked=True)
        length, begin = _number(content, begin, marked=False)
        if not name or begin > len(content):
            return
        end = len(content) if length == UNKNOWN else min(begin + length, len(content))
        yield name, begin, end
        if name == SEGMENT:
            return
        at = begin + length if length != UNKNOWN else end


def _number(content: bytes, at: int, *, marked: bool) -> tuple[int, int]:
    """A number of variable length, with or without the bit that tells how long it is, and where it ends."""
    first = content[at] if at < len(content) else 0
    size = 9 - first.bit_length()
    if not first or at + size > len(content):
        return 0, len(content) + 1
    whole = int.from_bytes(content[at : at + size], "big")
    bare = whole & ((1 << 7 * size) - 1)
    told = UNKNOWN if bare == (1 << 7 * size) - 1 else bare
    return (whole if marked else told), at + size
