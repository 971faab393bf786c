"""A share: what lies in another folder, by a file system (bindfs) whose server dies and comes back when told."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import PATIENCE, wait_until
from surroundings import need, need_mounts


class Share:
    """A folder behind a server; while that is dead, whatever is asked for there says so."""

    def __init__(self, behind: Path, folder: Path) -> None:
        self._command = [need("bindfs", "bindfs"), "-f", str(behind), str(folder)]
        self._folder = folder
        self.come_back()

    def come_back(self) -> None:
        self._server = subprocess.Popen(self._command)
        wait_until(self._folder.is_mount, "the share")

    def die(self) -> None:
        """Leaves the mount: it answers that nobody is there."""
        self._server.kill()
        self._server.wait(PATIENCE)

    def unmount(self) -> None:
        """Leaves the empty folder beneath."""
        subprocess.run(["umount", "--lazy", str(self._folder)], check=True)


@contextmanager
def shared(behind: Path, folder: Path) -> Iterator[Share]:
    need_mounts()
    share = Share(behind, folder)
    try:
        yield share
    finally:
        share.die()
        share.unmount()
