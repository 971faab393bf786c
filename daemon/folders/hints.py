"""Hears from the kernel (inotify) what is written or moved into a watched folder, so that a scan comes soon after it.

That is a hint, and scans are the truth: what others write on a share is not told, nor what is new in more folders than
the kernel or we keep an eye on. Each folder that a scan enters is looked after from then on, and no other: what is
hidden, apart or behind a link never is. The scan's thread asks for that, so that no disk is waited for elsewhere.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemon.config_tables import Folder
from daemon.folders.scan import may_be_taken

log = logging.getLogger(__name__)

_libc = ctypes.CDLL(None, use_errno=True)

# Of linux/inotify.h
CLOSE_WRITE, MOVED_TO, CREATE, OVERFLOW, IGNORED = 0x8, 0x80, 0x100, 0x4000, 0x8000
ONLY_FOLDERS, UNLESS_UNLINKED, IS_FOLDER = 0x1000000, 0x4000000, 0x40000000
EVENT = struct.Struct("iIII")

MOST = 10_000  # folders: each takes the kernel some 1 KiB, and it has so many for all programs of a user
EVENTS = 64 * 1024  # bytes that are read at once


class Hints:
    """Calls `tell` for each thing that a scan of the folder would find. That is on the event loop."""

    def __init__(self, folder: Folder, tell: Callable[[], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._mask = CLOSE_WRITE | MOVED_TO | ONLY_FOLDERS | UNLESS_UNLINKED | (CREATE if folder.recursive else 0)
        self._inotify: int | None = None
        self._ways: dict[int, tuple[str, ...]] = {}  # how one comes to a folder, by what the kernel calls its watch
        self._seen = set[int]()  # of them, in the scan under way
        self._is_full = False

    @property
    def are_heard(self) -> bool:
        """Tells whether the kernel is asked about the folder itself."""
        return bool(self._ways)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens meanwhile; where the host has no inotify left, scans have to do."""
        inotify = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if inotify < 0:
            log.info("the folder %s is scanned in its time: %s", self._folder.name, os.strerror(ctypes.get_errno()))
            yield
            return
        self._inotify, loop = inotify, asyncio.get_running_loop()
        loop.add_reader(inotify, self._hear)
        try:
            yield
        finally:
            loop.remove_reader(inotify)  # it is closed with the process: to let go of folders might take a disk long

    # In the thread of a scan

    def enter(self, at: int, way: tuple[str, ...]) -> None:
        """Has the kernel tell of the folder of that descriptor, to which `way` leads. It may block."""
        if self._inotify is None:
            return
        if not way:
            self._seen, self._is_full = set(), False
        if self._is_full or len(self._seen) >= MOST:
            return
        watch = _libc.inotify_add_watch(self._inotify, f"/proc/self/fd/{at}".encode(), ctypes.c_uint32(self._mask))
        if watch >= 0:
            self._ways[watch] = way
            self._seen.add(watch)
        elif ctypes.get_errno() == errno.ENOSPC:
            self._is_full = True
            log.info(
                "what is new in the folder %s is found by scans alone: inotify's limit is reached", self._folder.name
            )

    def settle(self) -> None:
        """Leaves alone what a scan that came to its end did not enter. It may block."""
        for watch in self._ways.keys() - self._seen:
            self._ways.pop(watch, None)
            _libc.inotify_rm_watch(self._inotify, watch)

    # On the event loop

    def _hear(self) -> None:
        assert self._inotify is not None
        try:
            said = os.read(self._inotify, EVENTS)
        except BlockingIOError:
            return
        if sum(self._is_news(*event) for event in _events(said)):
            self._tell()

    def _is_news(self, watch: int, what: int, name: str) -> bool:
        if what & IGNORED:  # the folder is gone, or unmounted
            self._ways.pop(watch, None)
        if what & OVERFLOW:
            return True
        way = self._ways.get(watch)
        if way is None or not name:
            return False
        if what & IS_FOLDER:
            return self._folder.recursive and not name.startswith(".")
        return bool(what & (CLOSE_WRITE | MOVED_TO)) and may_be_taken("/".join((*way, name)), self._folder)


class Unheard:
    """Stands for hints where nobody tells of anything, as of a bucket."""

    are_heard = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        yield


def _events(said: bytes) -> Iterator[tuple[int, int, str]]:
    """Yields of each its watch, what happened, and to which name."""
    start = 0
    while start < len(said):
        watch, what, _, length = EVENT.unpack_from(said, start)
        start += EVENT.size + length
        yield watch, what, os.fsdecode(said[start - length : start].rstrip(b"\0"))
