"""Reads of a Matroska file what FFmpeg leaves unsaid: of tracks, of chapters, and of tags that are told twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from daemon.media.media_file import MediaFile

MAGIC = b"\x1a\x45\xdf\xa3"
SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
SEEK_HEAD, SEEK, SEEK_ID, SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
CHAPTERS, EDITION, CHAPTER, BEGIN = 0x1043A770, 0x45B9, 0xB6, 0x91
ORDERED, DISPLAY = 0x45DD, 0x80  # whether an edition is played by its chapters; a chapter's name in some languages
TRACKS, ENTRY, TYPE, ENABLED, CODEC, VIDEO = 0x1654AE6B, 0xAE, 0x83, 0xB9, 0x86, 0xE0
ENCODINGS, ENCODING, ENCRYPTION = 0x6D80, 0x6240, 0x5035  # of what a track holds
LANGUAGE, FULL_LANGUAGE = 0x22B59C, 0x22B59D
TAGS, TAG, TARGETS, SIMPLE, NAME, TAG_LANGUAGE = 0x1254C367, 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x447A
CROPS = {0x54AA, 0x54BB, 0x54CC, 0x54DD}  # PixelCrop, of each edge
STREAMS = {1, 2, 0x11, 0x21}  # types of tracks that FFmpeg makes a stream of: pictures, sound, subtitles, metadata
LARGEST = 4 * 1024**2  # bytes that are read of an element
MOST_CHAPTERS = 5000
UNKNOWN = -1  # how long an element is that was written before its end was known

_Element = tuple[int, int, int]  # name, where its content begins and ends


class Track(NamedTuple):
    """Tells of a track its codec, its language where that is told in full (BCP 47), whether it is told in the older way
    as well, whether players are to use it, and whether they are to leave out edges."""

    codec: str
    full_language: str | None
    has_language: bool
    enabled: bool
    cropped: bool


class Untold(NamedTuple):
    """Says what FFmpeg does not tell: so many chapters within others, and in other editions or another order; names of
    tags of which it tells the last alone; how many names chapters have beyond one each, and whether players show these
    alone, in their order."""

    inner_chapters: int = 0
    other_chapters: int = 0
    tags: tuple[str, ...] = ()
    more_names: int = 0
    ordered: bool = False


def tracks(file: MediaFile) -> tuple[Track, ...]:
    """Returns the tracks by the numbers that FFmpeg gives them; none where it is no Matroska file. Raises OSError."""
    found = (dict(_contents(entry)) for entry in _entries(file))
    return tuple(_track(told) for told in found if int.from_bytes(told.get(TYPE, b""), "big") in STREAMS)


def is_encrypted(file: MediaFile) -> bool:
    """Tells whether a track of it says that it is, by an encoding of what it holds. Raises OSError."""
    lists = (dict(_contents(entry)).get(ENCODINGS, b"") for entry in _entries(file))
    encodings = (encoding for held in lists for name, encoding in _contents(held) if name == ENCODING)
    return any(name == ENCRYPTION for encoding in encodings for name, _ in _contents(encoding))


def _entries(file: MediaFile) -> Iterator[bytes]:
    return (entry for name, entry in _contents(_top(file, TRACKS)) if name == ENTRY)


def _track(told: dict[int, bytes]) -> Track:
    crops = (int.from_bytes(value, "big") for name, value in _contents(told.get(VIDEO, b"")) if name in CROPS)
    full = _text(told.get(FULL_LANGUAGE, b""))
    return Track(_text(told.get(CODEC, b"")), full or None, LANGUAGE in told, told.get(ENABLED) != b"\0", any(crops))


def untold(file: MediaFile) -> Untold:
    """Returns what there is of it. Raises OSError."""
    content = _top(file, CHAPTERS)
    editions = [edition for name, edition in _contents(content) if name == EDITION]
    chapters = [chapter for edition in editions for name, chapter in _contents(edition) if name == CHAPTER]
    inner = min(MOST_CHAPTERS, sum(map(_inner, chapters)))
    names = (sum(name == DISPLAY for name, _ in _contents(chapter)) for chapter in chapters[:MOST_CHAPTERS])
    more = sum(max(0, count - 1) for count in names)
    ordered = any(name == ORDERED and any(said) for edition in editions for name, said in _contents(edition))
    return Untold(inner, _passed_over(chapters), tuple(sorted(set(_repeated(_top(file, TAGS))))), more, ordered)


def _passed_over(chapters: Sequence[bytes]) -> int:
    """How many do not begin after all before them: only those that do are chapters to FFmpeg."""
    latest, count = 0, 0
    for chapter in chapters[:MOST_CHAPTERS]:
        begin = int.from_bytes(dict(_contents(chapter)).get(BEGIN, b"")[:8], "big")
        count += bool(latest) and begin <= latest
        latest = max(latest, begin)
    return count


def _inner(chapter: bytes, depth: int = 0) -> int:
    inner = [one for name, one in _contents(chapter) if name == CHAPTER]
    return len(inner) + (sum(_inner(one, depth + 1) for one in inner) if depth < 8 else 0)


def _repeated(tags: bytes) -> Iterator[str]:
    """Names of tags that something has several of."""
    count = Counter[tuple[bytes, str, bytes]]()
    for name, tag in _contents(tags):
        told = [*_contents(tag)] if name == TAG else []
        target = dict(told).get(TARGETS, b"")
        for simple in (dict(_contents(one)) for kind, one in told if kind == SIMPLE):
            count[target, _text(simple.get(NAME, b"")).lower(), simple.get(TAG_LANGUAGE, b"und")] += 1
    return (name for (_, name, _), times in count.items() if times > 1)


def _top(file: MediaFile, wanted: int) -> bytes:
    """What the first such element holds that stands before the first picture, or where the file's own index says."""
    head, sought = file.head, 0
    if not head.startswith(MAGIC):
        return b""
    segment = next((begin for name, begin, _ in _elements(head) if name == SEGMENT), len(head))
    for name, begin, end in _elements(head, segment):
        if name == wanted:
            return head[begin:end]
        if name == SEEK_HEAD:
            sought = sought or _position(head[begin:end], wanted)
        if name == CLUSTER:
            break
    if not sought:
        return b""
    with file.open() as opened:
        opened.seek(segment + sought)
        found = opened.read(LARGEST)
    return next((found[begin:end] for name, begin, end in _elements(found) if name == wanted), b"")


def _position(index: bytes, wanted: int) -> int:
    """Where that element lies in the segment, by its index; 0 where that does not tell of any."""
    for name, entry in _contents(index):
        told = dict(_contents(entry))
        if name == SEEK and int.from_bytes(told.get(SEEK_ID, b""), "big") == wanted:
            return int.from_bytes(told.get(SEEK_POSITION, b"")[:8], "big")
    return 0


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode("utf-8", "replace").strip()


def _contents(content: bytes) -> Iterator[tuple[int, bytes]]:
    return ((name, content[begin:end]) for name, begin, end in _elements(content))


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
