"""Checks names users give their files, and makes names from them. None of these ever reaches our disk."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

from daemon.errors import BadName
from daemon.plaintext import BIDI, STEERING, clipped, flaw, visible

MAX_BYTES = 255
MANIFEST = "manifest.json"  # beside the folders in the zip
RESERVED = set('\\:*?"<>|')  # elsewhere these part folders, name drives and streams, or cannot be in a name
BIDI_MARK = re.compile(f"[{BIDI}]")  # a name does without
DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\..*)?", re.IGNORECASE)


def check(name: str) -> str:
    """Returns `name`, if it can name a file in some folder. Raises BadName that says what is wrong with it."""
    shown = repr(name if len(name) <= 80 else name[:77] + "…")
    if not name or name in {".", ".."}:
        raise BadName(f"{shown} does not name a file")
    if "/" in name:
        raise BadName(f"the file name {shown} holds a '/': give the name alone, without folders")
    if reason := flaw(name):
        raise BadName(f"the file name {shown} {reason}: rename the file")
    if len(name.encode()) > MAX_BYTES:
        raise BadName(f"the file name {shown} is longer than {MAX_BYTES} bytes")
    return name


def check_portable(name: str) -> str:
    """Returns `name`, if every system takes it as it stands. Raises BadName that says what is wrong with it."""
    if check(name) != plain(name):
        raise BadName(f"the name {clipped(name, 80)!r} is none on some systems: {plain(name)!r} would be one")
    return name


def shown(name: str) -> str:
    """Says what to call a file that is on the disk under a name which `check` may refuse: nothing in it is hidden."""
    return _shorten(visible(name), MAX_BYTES)


def outputs(sources: Sequence[str], wanted: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Names for each source its outputs, no two alike in all of the job: of `clip.mov` and (`h264-720p`, `mp4`) it is
    `clip_h264-720p.mp4`, at most 255 bytes long. An output that is a folder has no extension."""
    taken = set[str]()
    return [
        tuple(_untaken(_output_name(stem, label, extension), taken) for label, extension in wanted)
        for stem in folders(sources)
    ]


def folders(sources: Sequence[str]) -> Iterator[str]:
    """Names for each source its folder in the zip: its stem, or its whole name where others have that stem too.

    Those that are still the same, on any system, are numbered.
    """
    whole = [_plain(source) for source in sources]
    stems = [_plain(PurePosixPath(source).stem) for source in sources]
    sharing = Counter(
        stem for stem, _ in {(one.casefold(), other.casefold()) for one, other in zip(stems, whole, strict=True)}
    )
    taken = {MANIFEST}
    for stem, name in zip(stems, whole, strict=True):
        telling = name if sharing[stem.casefold()] > 1 else stem
        yield _untaken(_shorten(telling, MAX_BYTES - 8).rstrip(". "), taken, folder=True)


def numbered(name: str, number: int) -> str:
    """Makes `clip (2).mp4` of `clip.mp4`, at most as long as a file name may be."""
    path = PurePosixPath(name)
    ending = f" ({number}){path.suffix}"
    return _shorten(path.stem, MAX_BYTES - len(ending.encode())) + ending


def first_free(name: str, folder: bool, is_free: Callable[[str], bool]) -> str:
    """Returns `name` with a number, from 2 on, such that the one below it is taken; it is found in a few looks."""
    taken, free = 1, 2
    numbering = partial(_numbered, name, folder)
    while not is_free(numbering(free)):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (taken, middle) if is_free(numbering(middle)) else (middle, free)
    return numbering(free)


def beside(name: str, ending: str) -> str:
    """Names what lies beside a file of that name until it is whole, such as `clip.mp4.part`; no longer than may be."""
    return _shorten(name, MAX_BYTES - len(ending.encode())) + ending


def distinct(names: Iterable[str]) -> list[str]:
    """Returns the names, numbered where one before has them already on any system."""
    taken = set[str]()
    return [_untaken(name, taken) for name in names]


def plain(name: str) -> str:
    """Returns `name` as one that every system takes for a file in the folder it is put into, however long it is."""
    return _plain(name.replace("/", "_"))


def _untaken(name: str, taken: set[str], *, folder: bool = False) -> str:
    """`name`, numbered if another has it already on any system."""
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = _numbered(name, folder, number)
    taken.add(free.casefold())
    return free


def _numbered(name: str, folder: bool, number: int) -> str:
    return f"{name} ({number})" if folder else numbered(name, number)


def _output_name(stem: str, label: str, extension: str) -> str:
    ending = f"_{label}.{extension}" if extension else f"_{label}"
    return _shorten(stem, MAX_BYTES - len(ending.encode())) + ending


def _plain(name: str) -> str:
    """`name` as one that every system takes for a file in the folder it is put into."""
    text = unicodedata.normalize("NFC", name)
    text = STEERING.sub("_", BIDI_MARK.sub("", text))
    plain = "".join("_" if mark in RESERVED else mark for mark in text).strip(" ").rstrip(". ") or "_"
    return f"_{plain}" if DEVICE.fullmatch(plain) else plain


def _shorten(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
