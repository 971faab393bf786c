"""Tells of files that are parts of a larger whole, a disc or a stream, which does not play without them as they are.

Playlists name segments by what they are called, and discs find their clips by number, byte and time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

DISCS = frozenset({"bdmv", "video_ts", "audio_ts", "hvdvd_ts", "avchd", "xdroot"})
PLAYLISTS = (".m3u8", ".mpd")
ABOVE = 3  # folders, from that of a segment on, in which its playlist may lie
MOST = 4 * 1024**2  # bytes of a playlist that are looked at
NAMES = re.compile(r'"([^"\n]+)"|>([^<\n]+)<|^([^#<\s][^\n]*)$', re.MULTILINE)
WORD = re.compile(r"\$[^$]*\$")  # of the templates of DASH


def whole_of(path: Path) -> str | None:
    """Returns in words what a file is a part of; None: of nothing that is known. Raises OSError. Blocks."""
    if disc := next((one.name for one in path.parents if one.name.lower() in DISCS), None):
        return f"it is part of a stream or disc: it lies in {disc}"
    for playlist in _playlists(path):
        if _names(playlist, path.name):
            return f"it is part of a stream or disc: {playlist.name} names it"
    return None


def _playlists(path: Path) -> Iterator[Path]:
    for folder in list(path.parents)[:ABOVE]:
        try:
            with os.scandir(folder) as entries:
                names = [one.name for one in entries if one.name.lower().endswith(PLAYLISTS) and one.is_file()]
        except PermissionError:
            continue
        yield from (folder / name for name in names)


def _names(playlist: Path, name: str) -> bool:
    try:
        with playlist.open("rb") as file:
            text = file.read(MOST).decode("utf-8", "replace")
    except (FileNotFoundError, PermissionError):
        return False
    told = [found.strip() for groups in NAMES.findall(text) for found in groups if found]
    ways = (unquote(way).rpartition("/")[2] for one in told for way in (one, one.partition("?")[0]))
    return any(one == name or _may_become(one, name) for one in ways)


def _may_become(template: str, name: str) -> bool:
    """Whether the segment template of a manifest stands for it, too."""
    if "$" not in template or not WORD.sub("", template).strip("."):
        return False
    return re.fullmatch(".*".join(map(re.escape, WORD.split(template))), name) is not None
