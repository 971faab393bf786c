"""Knows where paths lead on their disks: through links, and what is mounted a second time (bind mounts)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

MOUNTED = Path("/proc/self/mountinfo")
TO_MOUNT = Path("/etc/fstab")
NUMBER = re.compile(r"^mnt_id:\s*(\d+)$", re.MULTILINE)
ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """Is what is mounted at `point`: the folder `root` of the file system that has that `device`."""

    device: str
    root: str
    point: str


class Place(NamedTuple):
    """Is where a `path` without links leads, and all `ways` by which one comes there: what is mounted twice has two."""

    path: PurePath
    ways: frozenset[PurePath]

    def within(self, other: Place) -> list[PurePath]:
        """Returns how one comes there from the other place, in which it lies; nothing where it does not."""
        return [way.relative_to(other.path) for way in self.ways if way.is_relative_to(other.path)]


def place(path: Path | str) -> Place:
    """Returns where a path leads. What is missing of it is taken as it stands. Blocks."""
    real = os.path.realpath(path)
    mounts = list(_mounts())
    mount = _around(real, mounts)
    if mount is None:
        return known_as(real)
    inner = _joined(mount.root, real[len(mount.point.rstrip("/")) :])
    same = [one for one in mounts if one.device == mount.device and _is_in(inner, one.root)]
    ways = {_joined(one.point, inner[len(one.root.rstrip("/")) :]): one for one in same}
    hidden = {way for way, one in ways.items() if _around(way, mounts) != one}  # by what is mounted over it
    return Place(PurePath(real), frozenset(map(PurePath, {real, *ways} - hidden)))


def known_as(path: str) -> Place:
    """Returns a place of which no more is known."""
    return Place(PurePath(path), frozenset([PurePath(path)]))


def mount_of(real: str) -> Mount | None:
    """Returns what is mounted last of all that a path without links lies in; None where the host does not tell."""
    return _around(real, list(_mounts()))


def _around(real: str, mounts: Sequence[Mount]) -> Mount | None:
    around = [mount for mount in mounts if _is_in(real, mount.point)]
    return max(enumerate(around), key=lambda one: (len(one[1].point), one[0]))[1] if around else None


def _joined(folder: str, way: str) -> str:
    return f"{folder.rstrip('/')}/{way.strip('/')}".rstrip("/") or "/"


def kind_of(descriptor: int) -> str | None:
    """Returns the type of the file system on which an open file lies, as the kernel calls it; None where it does not
    tell. Blocks."""
    try:
        told = NUMBER.search(Path(f"/proc/self/fdinfo/{descriptor}").read_text())
        lines = MOUNTED.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    there = (line for line in lines if told and line.startswith(f"{told[1]} "))
    return next((line.partition(" - ")[2].partition(" ")[0] for line in there), None)


def unmounted(real: str) -> str | None:
    """Returns the mount point in which a path without links lies, where a table says so and nothing is mounted:
    what is written there goes to the disk beneath. None: there is none such. Blocks."""
    try:
        lines = TO_MOUNT.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    told = [plain(fields[1]) for line in lines if len(fields := line.split()) > 1 and not fields[0].startswith("#")]
    around = [os.path.normpath(point) for point in told if point.startswith("/") and _is_in(real, point)]
    mount = mount_of(real) if around else None
    return next((point for point in around if mount and not _is_in(mount.point, point)), None)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _mounts() -> Iterator[Mount]:
    try:
        lines = MOUNTED.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, device, root, point, *_ = line.split(" ")
        yield Mount(device, plain(root), plain(point))


def plain(field: str) -> str:
    """Returns a field of such a table with the blanks and the like that stand there by their numbers."""
    return ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)
