"""Finds the files that are meant where folders are named, and where below them they lie."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from daemon.cli import made
from daemon.meant_files import is_meant
from daemon.plaintext import visible

MOST_LISTED = 1000  # files of a folder of which nothing is meant


class Named(NamedTuple):
    """A file that is meant. `below` is its folder within the one that was named, empty for a file named itself."""

    path: Path
    below: str = ""


def gather(
    files: Sequence[Path], *, include: Sequence[str] = (), exclude: Sequence[str] = (), apart: Path | None = None
) -> list[Named]:
    """Lists the files, and those in the folders among them and below, by name.

    Patterns are as the shell's, of a file's name or of its path within the folder. What is hidden, and what lies in
    the folder `apart`, is left out; where that is named itself, what earlier runs made there is. A folder with nothing
    that is meant is listed itself, unless that is why. Blocks.
    """
    found: list[Named] = []
    own = {os.path.realpath(apart / name) for name in made.read(apart)} if apart else set()
    for path in files:
        if not is_folder(path):
            found.append(Named(path))
            continue
        meant = [
            one for one in _in(path, apart) if is_meant(str(PurePosixPath(one.below, one.path.name)), include, exclude)
        ]
        left = [one for one in meant if os.path.realpath(one.path) not in own] if own else meant
        found += left or ([] if meant and len(files) > 1 else [Named(path)])
    return found


def whole(path: Path) -> str:
    """Returns a path as a daemon takes it: from the root, and with each `..` followed as the kernel would, through
    symlinks. What is behind the last `..` stays as it stands: the daemon may know it by that name."""
    parts = path.absolute().parts
    behind = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    return str(Path(*parts[:behind]).resolve().joinpath(*parts[behind:])) if behind else str(path.absolute())


def nothing_meant(folder: Path) -> str:
    """Says why nothing is taken of a folder, and how to take what lies in it. Blocks."""
    left_out = [one.path.name for one in islice(_in(folder, None), MOST_LISTED)]
    called = visible(str(folder))
    if not left_out:
        return f"{called} is a folder without files: name another"
    more = "" if len(left_out) < MOST_LISTED else " or more"
    count = "1 file is" if len(left_out) == 1 else f"{len(left_out)}{more} files are"
    first = visible(left_out[0])
    pattern = f"*{PurePosixPath(first).suffix}" if PurePosixPath(first).suffix else first
    return (
        f"{called} is a folder of which nothing is taken: {count} left out, such as {first}. By default films and "
        f"sounds are; --include {shlex.quote(pattern)} takes those, or name files themselves"
    )


def is_folder(path: Path) -> bool:
    """Tells whether it is one. What cannot be looked at is none: it is refused when it is to be read."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Tells whether it is one that can be looked at."""
    try:
        return path.is_file()
    except OSError:
        return False


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
