"""Walks through a watched folder and finds the files that are meant, a bounded number of looks at a time.

All is opened by handle: no link is followed, so that nothing leads out of the folder, or round and round in it.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from daemon.config_tables import AnyFolder, Folder
from daemon.delivery import result_mark
from daemon.meant_files import is_meant
from daemon.plaintext import is_text, visible
from daemon.source_files import GONE, Identity, changed_of, identity_of

UNFINISHED = (".part", ".partial", ".partial~", ".!qb", ".!ut", ".crdownload", ".download", ".aria2", ".tmp", "~")
FRAGMENT = re.compile(r"\.(temp\.[^.]+|part-frag\d+(\.part)?|ytdl)$", re.IGNORECASE)  # yt-dlp's
BEING_MADE = (".", "~syncthing~")  # hidden files, those of AppleDouble among them, and what Syncthing writes
DEEPEST = 128  # folders within folders: each is held open
ENTERING = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NICE = 15  # of the threads that scan


class Found(NamedTuple):
    """A file that is meant, by its path within the folder; it was `changed` so many ns after the epoch."""

    path: str
    identity: Identity
    changed: int


class Walk:
    """Goes once through a folder. `unseen` counts what in it cannot be looked at, `nameless` what is meant and has a
    name that is no UTF-8, `left_out` the files that are not meant by their names."""

    def __init__(self, folder: Folder, apart: Path, enter: Callable[[int, tuple[str, ...]], None]) -> None:
        """Enters all but the folder `apart`, wherever that lies, and daemons' trash; `enter` is told of each by its
        descriptor and way."""
        self._folder = folder
        self._apart = apart
        self._enter = enter
        self._entries = self._through()
        self.looks = 0
        self.left_out = 0
        self.unseen = 0
        self._such_as = ""  # the first of that, and why
        self.nameless = 0

    def next(self, looks: int) -> list[Found] | None:
        """Returns what is found by so many looks more; None: there is nothing more. Raises OSError. Blocks."""
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        entries = list(islice(self._entries, looks))
        self.looks += len(entries)
        return [found for found in entries if found] if entries else None

    @property
    def flaw(self) -> str | None:
        """Returns in words what one that came to its end did not see."""
        flaws = []
        if self.unseen:
            flaws.append(f"{self.unseen} of the files and folders in it cannot be read, such as {self._such_as}")
        if self.nameless:
            are = "is" if self.nameless == 1 else "are"
            flaws.append(f"{self.nameless} of the names in it {are} not UTF-8: rename what is called so")
        return "; ".join(flaws) or None

    def _through(self) -> Iterator[Found | None]:
        apart = _status(self._apart)
        at = os.open(self._folder.path, ENTERING)
        try:
            yield from self._within(at, (), apart)
        finally:
            os.close(at)

    def _within(self, at: int, way: tuple[str, ...], apart: os.stat_result | None) -> Iterator[Found | None]:
        inner = list[str]()
        self._enter(at, way)  # before it is read: what comes meanwhile is told of
        try:
            with os.scandir(at) as entries:
                for entry in entries:
                    yield self._look(entry, way, inner)
        except OSError as error:
            self._pass_over(way, error)
        if self._folder.recursive and len(way) < DEEPEST:
            for name in inner:
                yield from self._entered(at, name, way, apart)

    def _look(self, entry: os.DirEntry[str], way: tuple[str, ...], inner: list[str]) -> Found | None:
        """What an entry is found to be; a folder is put to the `inner` ones."""
        try:
            if is_being_made(entry.name):
                return None
            if not is_text(entry.name):
                self.nameless += self._is_meant(entry, way)
            elif entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
            else:
                return self._found(entry, "/".join((*way, entry.name)))
        except OSError as error:
            self._pass_over((*way, entry.name), error)
        return None

    def _pass_over(self, way: tuple[str, ...], error: OSError) -> None:
        """Has the rest be looked at where something cannot be. Raises the error where that is the folder itself."""
        if error.errno in GONE and way:
            return
        if not way or _status(self._folder.path) is None:
            raise error
        self.unseen += 1
        self._such_as = self._such_as or f"{visible('/'.join(way))} ({error.strerror})"

    def _entered(
        self, above: int, name: str, way: tuple[str, ...], apart: os.stat_result | None
    ) -> Iterator[Found | None]:
        try:
            at = os.open(name, ENTERING | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            self._pass_over((*way, name), error)
            return
        try:
            is_apart = apart is not None and os.path.samestat(os.fstat(at), apart)
            if not is_apart and not result_mark.is_trash(at):
                yield from self._within(at, (*way, name), apart)
        finally:
            os.close(at)

    def _is_meant(self, entry: os.DirEntry[str], way: tuple[str, ...]) -> bool:
        if entry.is_dir(follow_symlinks=False):
            return self._folder.recursive
        return is_meant("/".join((*way, entry.name)), self._folder.include, self._folder.exclude)

    def _found(self, entry: os.DirEntry[str], within: str) -> Found | None:
        if not is_meant(within, self._folder.include, self._folder.exclude):
            self.left_out += 1
            return None
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return None
        return Found(within, identity_of(status), changed_of(status))


def may_be_taken(within: str, folder: AnyFolder) -> bool:
    """Tells of a file by its path within the folder whether that takes such."""
    name = within.rpartition("/")[2]
    return is_text(name) and not is_being_made(name) and is_meant(within, folder.include, folder.exclude)


def is_being_made(name: str) -> bool:
    """Tells of a name whether it is hidden, or such as programs give to what they have not ended."""
    return name.startswith(BEING_MADE) or name.lower().endswith(UNFINISHED) or FRAGMENT.search(name) is not None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
