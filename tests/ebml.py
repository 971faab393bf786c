"""Takes Matroska files apart, and puts them together in ways that FFmpeg writes none in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

SEGMENT, SEEK_HEAD, INFO, TRACKS, CLUSTER = "18538067", "114d9b74", "1549a966", "1654ae6b", "1f43b675"
ENTRY, VIDEO, TAGS, CHAPTERS = "ae", "e0", "1254c367", "1043a770"
Edit = Callable[[bytes], bytes]


def element(name: str, *contents: bytes) -> bytes:
    whole = b"".join(contents)
    return bytes.fromhex(name) + (len(whole) | 1 << 56).to_bytes(8, "big") + whole


def parts(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of each element of a row of them."""
    at = 0
    while at < len(content):
        name = 9 - content[at].bit_length()
        size = 9 - content[at + name].bit_length()
        begin = at + name + size
        length = int.from_bytes(content[at + name : begin], "big") & (1 << 7 * size) - 1
        yield content[at : at + name].hex(), content[begin : begin + length]
        at = begin + length


def inside(name: str, edit: Edit) -> Edit:
    """What each element of that name in a row of them holds, edited."""
    return lambda content: b"".join(element(one, edit(held) if one == name else held) for one, held in parts(content))


def told_of_tracks(*told: tuple[int, bytes]) -> Edit:
    """A file whose tracks by that number, from 1, tell that as well."""

    def edit(entry: bytes) -> bytes:
        number = dict(parts(entry))["d7"][-1]
        return entry + b"".join(more for one, more in told if one == number)

    return inside(SEGMENT, lambda segment: settled(inside(TRACKS, inside(ENTRY, edit))(segment)))


def without(track: int, name: str) -> Edit:
    """A file whose track has no element of that name."""

    def edit(entry: bytes) -> bytes:
        told = [*parts(entry)]
        dropped = dict(told)["d7"][-1] == track
        return b"".join(element(one, held) for one, held in told if not (dropped and one == name))

    return inside(SEGMENT, lambda segment: settled(inside(TRACKS, inside(ENTRY, edit))(segment)))


def told_beside(name: str, content: bytes) -> Edit:
    """A file with one more element at the top, in the place of those of that name."""

    def edit(segment: bytes) -> bytes:
        rest = [(one, held) for one, held in parts(segment) if one != name]
        at = next(number for number, (one, _) in enumerate(rest) if one == CLUSTER)
        return settled(b"".join(element(*one) for one in [*rest[:at], (name, content), *rest[at:]]))

    return inside(SEGMENT, edit)


def tracks_last(segment: bytes) -> bytes:
    """All else before the tracks, which an index at the beginning tells of."""
    rest = b"".join(element(one, held) for one, held in parts(segment) if one not in {TRACKS, SEEK_HEAD, "1c53bb6b"})
    tracks = element(TRACKS, dict(parts(segment))[TRACKS])
    index = partial(_index, TRACKS)
    return index(len(index(0)) + len(rest)) + rest + tracks


def _index(name: str, position: int) -> bytes:
    entry = element("53ab", bytes.fromhex(name)) + element("53ac", position.to_bytes(8, "big"))
    return element(SEEK_HEAD, element("4dbb", entry))


def settled(segment: bytes) -> bytes:
    """Without the indices, whose places are no longer true."""
    return b"".join(element(one, held) for one, held in parts(segment) if one not in {SEEK_HEAD, "1c53bb6b"})
