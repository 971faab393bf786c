"""Names users give their files, and the names we make from them. None of these ever reaches our disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from daemon.errors import BadName
from daemon.plaintext import BIDI, STEERING, flaw, visible

MAX_BYTES = 255
MANIFEST = "manifest.json"  # beside the folders in the zip
RESERVED = set('\\:*?"<>|')  # elsewhere these part folders, name drives and streams, or cannot be in a name
BIDI_MARK = re.compile(f"[{BIDI}]")  # a name does without
DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\..*)?", re.IGNORECASE)


def check(name: str) -> str:
    """`name`, if it can name a file in some folder. Raises BadName that says what is wrong with it."""
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


def shown(name: str) -> str:
    """What to call a file that is on the disk under a name which `check` may refuse: nothing in it is hidden."""
    return _shorten(visible(name), MAX_BYTES)


def output_name(source: str, label: str, extension: str) -> str:
    """`clip.mov`, `h264-720p`, `mp4` → `clip_h264-720p.mp4`, at most 255 bytes long; a folder has no extension."""
    ending = f"_{label}.{extension}" if extension else f"_{label}"
    return _shorten(_stem(source), MAX_BYTES - len(ending.encode())) + ending


def folders(sources: Iterable[str]) -> Iterator[str]:
    """For each source its folder in the zip: its stem, numbered where two would share one, on any system."""
    taken = {MANIFEST}
    for source in sources:
        stem = _shorten(_stem(source), MAX_BYTES - 8).rstrip(". ")
        folder, number = stem, 1
        while folder.casefold() in taken:
            number += 1
            folder = f"{stem} ({number})"
        taken.add(folder.casefold())
        yield folder


def _stem(source: str) -> str:
    """`source` without its extension, as a name that every system takes for one file in the folder it is put into."""
    stem = unicodedata.normalize("NFC", PurePosixPath(source).stem)
    stem = STEERING.sub("_", BIDI_MARK.sub("", stem))
    plain = "".join("_" if mark in RESERVED else mark for mark in stem).strip(" ").rstrip(". ") or "_"
    return f"_{plain}" if DEVICE.fullmatch(plain) else plain


def _shorten(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
