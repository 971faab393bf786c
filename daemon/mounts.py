"""Knows where paths lead on their disks: through links, and what is mounted a second time (bind mounts)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

MOUNTED = Path("/proc/self/mountinfo")
TO_MOUNT = Path("/etc/fstab")
ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """Is what is mounted at `point`: the folder `root` of the file system that has that `device`."""

    device: str
    root: str
    point: str


def location(path: Path | str) -> PurePath:
    """Returns where a path leads, by its file system and the way within that: two to one folder have the same.

    What is missing of it is taken as it stands. Blocks.
    """
    real = os.path.realpath(path)
    mount = mount_of(real)
    if mount is None:
        return PurePath(real)
    return PurePath(mount.device, mount.root.strip("/"), real[len(mount.point) :].strip("/"))


def mount_of(real: str) -> Mount | None:
    """Returns what is mounted last of all that a path without links lies in; None where the host does not tell."""
    around = [mount for mount in _mounts() if _is_in(real, mount.point)]
    return max(enumerate(around), key=lambda one: (len(one[1].point), one[0]))[1] if around else None


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
