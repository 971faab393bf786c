"""Knows what ffspool itself delivered into a watched folder: that is never taken, or it would be made anew for ever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from daemon.database.store import Transaction
from daemon.folders.scan import Found
from daemon.folders.watched import key_of


def ours(folder: str, places: Mapping[str, str], files: Sequence[Found], transaction: Transaction) -> list[Found]:
    """Returns those of the files that were delivered to where they lie, or lie in an output that is a folder, and those
    that were delivered as they are and have another name by now.

    `folder` is watched, `places` say where those to which something was brought lie; both without symlinks. A file of
    another size is another's, put in its place.
    """
    ways = {found: list(_ways(f"{folder}/{found.path}", places)) for found in files}
    asked = list(dict.fromkeys(way for several in ways.values() for way in several))
    brought = defaultdict[tuple[str, str], set[int]](set)
    for row in transaction.all("brought_to", paths=msgspec.json.encode(asked).decode()) if asked else ():
        brought[row["place"], row["path"]].add(row["bytes"])
    keys = {key_of(found.identity) for found in files}
    rows = transaction.all("brought_files", keys=msgspec.json.encode(list(keys)).decode())
    moved = {(row["inode"], row["bytes"], row["modified"]) for row in rows}
    return [found for found in files if key_of(found.identity) in moved or _is_ours(ways[found], found, brought)]


def _ways(path: str, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The path as deliveries tell it, and then the folders it lies in, for each place that it lies below."""
    for place, root in places.items():
        if path.startswith(f"{root.rstrip('/')}/"):
            below = path[len(root.rstrip("/")) + 1 :]
            while below:
                yield place, below
                below = below.rpartition("/")[0]


def _is_ours(ways: Sequence[tuple[str, str]], found: Found, brought: Mapping[tuple[str, str], set[int]]) -> bool:
    ends = dict(reversed(ways))  # the whole path in each place: it comes first
    return any(way in brought and (ends[way[0]] != way[1] or found.identity[0] in brought[way]) for way in ways)
