"""Makes durable what comes of a file while more of it comes: a disk writes as long as a line brings something."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

EVERY = 2.0  # seconds


class Durable:
    """Is asked by the thread that writes the file; what `tell` raises, or the disk does, is raised there."""

    def __init__(self, descriptor: int, tell: Callable[[int], None]) -> None:
        """Has `tell` know how many bytes are on the disk, whatever happens."""
        self._descriptor = descriptor
        self._tell = tell
        self._writing: threading.Thread | None = None
        self._began = 0.0  # what comes first is so at once
        self._error: BaseException | None = None

    def go_on(self, size: int) -> None:
        """Begins to make so many bytes durable, now and then, where nothing is on its way to the disk."""
        self._raise()
        if time.monotonic() - self._began < EVERY or (self._writing and self._writing.is_alive()):
            return
        self._began = time.monotonic()
        self._writing = threading.Thread(target=self._try, args=(size,), daemon=True)
        self._writing.start()

    def settle(self, size: int) -> None:
        """Returns once so many are."""
        self.wait()
        self._raise()
        self._settle(size)

    def wait(self) -> None:
        """Returns once nothing is on its way to the disk: until then the file is not to be closed."""
        if self._writing:
            self._writing.join()

    def _try(self, size: int) -> None:
        try:
            self._settle(size)
        except BaseException as error:  # noqa: BLE001 - it is the other thread's
            self._error = error

    def _settle(self, size: int) -> None:
        os.fdatasync(self._descriptor)
        self._tell(size)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error:
            raise error
