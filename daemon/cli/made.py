"""Keeps a small record beside the outputs of `ffspool run`: of what each was made, so that it is not made again.

Of a name that comes again in it, the last line is true.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from daemon.delivery.result_mark import RECORD
from daemon.models import Model, Parameters, Wanted
from daemon.scheduling.sources import NewSource

ENDED = b'"ended"'  # a line behind what a run made that was not interrupted


class Origin(Model, frozen=True):
    """An origin is what an output was made of: which file that was, and by what it was encoded."""

    path: str
    bytes: int
    modified: int | None  # nanoseconds since the epoch
    preset: str
    parameters: Parameters


class Entry(Model, frozen=True):
    """An entry says of one output by its name what it was made of, and what it was like when it was whole."""

    name: str
    origin: Origin
    bytes: int
    modified: int


class Before(NamedTuple):
    """Holds what an interrupted run had `made`, by name, and by which parameters it `wanted` outputs."""

    made: frozenset[str] = frozenset()
    wanted: Sequence[Parameters] = ()


def origin(source: NewSource, want: Wanted) -> Origin:
    """Returns what this output of this source is made of."""
    path, modified = str(source.path), source.identity[3]
    return Origin(
        path=path, bytes=source.bytes, modified=modified, preset=want.preset, parameters=_plain(want.parameters)
    )


def _plain(parameters: Parameters) -> Parameters:
    decoded: Parameters = msgspec.json.decode(msgspec.json.encode(parameters))
    return decoded


def read(folder: Path) -> dict[str, Entry]:
    """Returns what the folder's record tells, by name; nothing where there is none. A line that was cut is passed."""
    try:
        lines = (folder / RECORD).read_bytes().splitlines()
    except OSError:
        return {}
    return _entries(lines)


def may_go(folder: Path, name: str) -> bool:
    """Tells whether what has that name below the folder may be overwritten: a file, or a folder of which nothing is
    anybody's but a run's, as one left it. Blocks."""
    there = folder / name
    return there.is_symlink() or not there.is_dir() or not any(there.iterdir()) or _is_own(folder, name)


def _is_own(folder: Path, name: str) -> bool:
    try:
        lines, shape = (folder / RECORD).read_bytes().splitlines(), _shape(folder / name)
    except OSError:
        return False
    return any(entry.name == name and (entry.bytes, entry.modified) == shape for entry in _told(lines))


def _entries(lines: Iterable[bytes]) -> dict[str, Entry]:
    return {entry.name: entry for entry in _told(lines)}


def _told(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        with suppress(msgspec.DecodeError):
            yield msgspec.json.decode(line, type=Entry)


def of_interrupted(folder: Path) -> frozenset[str]:
    """Names what was made in that folder by a run that did not come to its end, if the last one did not."""
    try:
        lines = (folder / RECORD).read_bytes().splitlines()
    except OSError:
        return frozenset()
    ends = max((number for number, line in enumerate(lines, 1) if line == ENDED), default=0)
    return frozenset(_entries(lines[ends:]))


def end(folder: Path) -> None:
    """Records that a run into that folder came to its end."""
    if (folder / RECORD).exists():
        with (folder / RECORD).open("ab") as record:
            record.write(ENDED + b"\n")


def note(folder: Path, path: Path, made_of: Origin, *, like: Path) -> None:
    """Records an output that is put at `path`, in the folder or below it; so far it is `like` that."""
    size, modified = _shape(like)
    entry = Entry(name=str(path.relative_to(folder)), origin=made_of, bytes=size, modified=modified)
    with (folder / RECORD).open("ab") as record:
        record.write(msgspec.json.encode(entry) + b"\n")


def is_whole(entries: Mapping[str, Entry], folder: Path, name: str, made_of: Origin) -> bool:
    """Tells whether the output of that name was made of the same, and is still as it was then."""
    entry = entries.get(name)
    if entry is None or _asked(entry.origin) != _asked(made_of):
        return False
    try:
        return _shape(folder / name) == (entry.bytes, entry.modified)
    except OSError:
        return False


def _asked(origin: Origin) -> Origin:
    """What was asked for: a `crf` that reaches a score is found in the encode."""
    found = {"crf"} if origin.parameters.get("target_vmaf") else set()
    parameters = {name: value for name, value in origin.parameters.items() if name not in found}
    return replace(origin, parameters=parameters)


def _shape(path: Path) -> tuple[int, int]:
    """Bytes, and when they were last written in nanoseconds since the epoch; of a folder all its files'."""
    files = [path]
    if path.is_dir():
        files = [Path(place, name) for place, _, names in os.walk(path) for name in names]
    statuses = [file.stat() for file in files]
    return sum(status.st_size for status in statuses), max((status.st_mtime_ns for status in statuses), default=0)
