"""Finds the files that are meant where folders are named, and where below them they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import NamedTuple

# What a folder is looked through for, unless patterns say otherwise: a film's folder holds texts and pictures, too.
MEDIA = re.compile(
    r"\.(3g[2p]|asf|avi|dv|f4v|flv|m2?ts|m2v|m4v|mkv|mov|mp4|mpe?g|mxf|og[mv]|ts|vob|webm|wmv|y4m"
    r"|aac|e?ac3|aiff?|alac|amr|ape|caf|dts|flac|m4[ab]|mka|mp[23]|og[ag]|opus|wav|wma|wv)",
    re.IGNORECASE,
)


class Named(NamedTuple):
    """A file that is meant. `below` is its folder within the one that was named, empty for a file named itself."""

    path: Path
    below: str = ""


def gather(
    files: Sequence[Path], *, include: Sequence[str] = (), exclude: Sequence[str] = (), apart: Path | None = None
) -> list[Named]:
    """Lists the files, and those in the folders among them and below, by name.

    Patterns are as the shell's, of a file's name or of its path within the folder. What is hidden, and what lies in
    the folder `apart`, is left out. A folder with nothing that is meant is listed itself. Blocks.
    """
    found: list[Named] = []
    for path in files:
        if not path.is_dir():
            found.append(Named(path))
            continue
        meant = [one for one in _in(path, apart) if _is_meant(one.below, one.path, include, exclude)]
        found += meant or [Named(path)]
    return found


def _in(folder: Path, apart: Path | None) -> Iterator[Named]:
    hidden = os.path.realpath(apart) if apart else None
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (hidden is None or os.path.realpath(Path(place, name)) != hidden)
        )
        below = os.path.relpath(place, folder)
        for name in sorted(names):
            if not name.startswith("."):
                yield Named(Path(place, name), "" if below == "." else below)


def _is_meant(below: str, path: Path, include: Sequence[str], exclude: Sequence[str]) -> bool:
    within = str(PurePosixPath(below, path.name))
    if any(fnmatch(path.name, pattern) or fnmatch(within, pattern) for pattern in exclude):
        return False
    if not include:
        return MEDIA.fullmatch(path.suffix) is not None
    return any(fnmatch(path.name, pattern) or fnmatch(within, pattern) for pattern in include)
