"""Looks through a watched folder for what took originals' places and was moved to another folder of it since."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress

from daemon.delivery import disk_mark
from daemon.models import Replacing
from daemon.plaintext import is_text


def by_size(wish: Replacing, sizes: Set[int]) -> Mapping[int, list[str]]:
    """Returns the paths below the folder of the wish of all files of those sizes, but for hidden ones and those
    whose names are no text; nothing where another disk is in its place. Raises OSError. Blocks."""
    found = defaultdict[int, list[str]](list)
    with disk_mark.opened(wish.root) as root:
        if wish.disk and disk_mark.find(root) != wish.disk:
            return {}
        for path, size in _files(root):
            if size in sizes:
                found[size].append(path)
    return found


def _files(root: int) -> Iterator[tuple[str, int]]:
    for way, folders, names, at in os.fwalk(".", dir_fd=root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and is_text(f"{way}/{name}"):
                with suppress(OSError):
                    yield f"{way}/{name}".removeprefix("./"), os.stat(name, dir_fd=at, follow_symlinks=False).st_size
