"""Knows what ffspool itself delivered into a watched folder: that is never taken, or it would be made anew for ever."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from daemon.database.store import Row, Transaction
from daemon.delivery.result_mark import Mark
from daemon.folders.scan import Found
from daemon.folders.watched import key_of
from daemon.source_files import identity_of, inode_of


def ours(folder: str, places: Mapping[str, str], files: Sequence[Found], transaction: Transaction) -> list[Found]:
    """Returns those of the files that were delivered to where they lie, or lie in an output that is a folder, and those
    that were delivered as they are and have another name by now.

    `folder` is watched, `places` say where those to which something was brought lie; both without symlinks. A file of
    another size is another's, put in its place.
    """
    ways = {found: list(_ways(f"{folder}/{found.path}", places)) for found in files}
    asked = list(dict.fromkeys(way for several in ways.values() for way in several))
    brought = defaultdict[tuple[str, str], set[int]](set)
    for row in transaction.all("brought_to", paths=_json(asked)) if asked else ():
        brought[row["place"], row["path"]].add(row["bytes"])
    rows = transaction.all("brought_files", keys=_json({key_of(found.identity) for found in files}))
    moved = {(row["inode"], row["bytes"], row["modified"]) for row in rows}
    return [found for found in files if key_of(found.identity) in moved or _is_ours(ways[found], found, brought)]


def marks_at(folder: str, places: Mapping[str, str], found: Found, transaction: Transaction) -> list[Mark]:
    """Returns what is known of results that were brought to where a file lies, whatever lies there now."""
    whole = dict(reversed(list(_ways(f"{folder}/{found.path}", places))))  # it comes first
    rows = transaction.all("brought_to", paths=_json(list(whole.items())))
    return [Mark(bytes=row["bytes"], seconds=row["seconds"], codec=row["codec"] or "") for row in rows]


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


# Folders that have another name by now


def folders_of(folder: str, files: Iterable[Found]) -> dict[str, int]:
    """Returns the inodes of the folders in which the files lie, by their path within the watched `folder`. Blocks."""
    lowest = {found.path.rpartition("/")[0] for found in files}
    above = {way for one in lowest for way in _above(one)}
    found = {way: _status(f"{folder}/{way}") for way in above}
    return {way: inode_of(status) for way, status in found.items() if status}


def known_folders(inodes: Iterable[int], transaction: Transaction) -> list[Row]:
    """Returns what lay in folders of those inodes that were delivered."""
    return transaction.all("files_of_brought_folders", inodes=_json(set(inodes)))


def still_ours(folder: str, ways: Mapping[str, int], known: Iterable[Row]) -> set[str]:
    """Returns those of the folders in which that still lies: another one may have come to the same inode. Blocks."""
    lay = defaultdict[int, list[Row]](list)
    for row in known:
        lay[row["folder"]].append(row)
    return {
        way for way, inode in ways.items() if any(_lies(f"{folder}/{way}/{row['name']}", row) for row in lay[inode])
    }


def within(own: set[str], files: Iterable[Found]) -> list[Found]:
    """Returns those of the files that lie in one of those folders, however deep."""
    return [found for found in files if not own.isdisjoint(_above(found.path.rpartition("/")[0]))]


def _above(way: str) -> Iterator[str]:
    """A folder and those that it lies in, within the watched one."""
    while way:
        yield way
        way = way.rpartition("/")[0]


def _lies(path: str, row: Row) -> bool:
    status = _status(path)
    return status is not None and key_of(identity_of(status)) == (row["inode"], row["bytes"], row["modified"])


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()
