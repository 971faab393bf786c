"""Knows an original and what is to take its place, or did, by size, time and bytes, and brings the one back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from daemon import filenames
from daemon.delivery import by_handle, disk_mark, no_replace, result_mark
from daemon.delivery.by_handle import Rights
from daemon.delivery.part import part_of, remove
from daemon.errors import Undelivered
from daemon.models import Destination, Model, Replacing
from daemon.source_files import GONE, Identity, changed_of, identity_of, inode_of, is_as_old

TRASH = Rights(0o700)
AWAY = "the watched folder is away, or another disk is in its place"
LOST = f", as its mark, {disk_mark.NAME}, is lost or another's"
NEW_FOLDER = Rights(0o755)  # of one that is gone, and an original is to be put back to


class Step(StrEnum):
    """A step is what is about to be done."""

    SETTING_ASIDE = "setting aside"
    PLACING = "placing"


class Swap(Model, frozen=True):
    """A swap is what is noted: the `name` that the output of so many bytes is to have, and the original's in the trash,
    `aside`."""

    step: Step
    name: str
    aside: str
    bytes: int
    sha256: str | None = None  # the output's; None: of old ones it is not known


class Folders(NamedTuple):
    """Holds descriptors of the original's folder, of the trash, and of the folder in which the output is by now."""

    at: int
    trash: int
    made: int


def swap_of(landing: str | None) -> Swap | None:
    """Returns what was noted, if anything was."""
    return msgspec.json.decode(landing, type=Swap) if landing else None


@contextmanager
def opened(
    destination: Destination, swap: Swap | None, *, make: bool = False, moved: tuple[str, ...] | None = None
) -> Iterator[Folders]:
    """Opens both folders; a trash that is missing is made, and with `make` the folder of the file too. What took its
    place may be `moved` to another folder of the tree; then that stands for the file's where that is gone.

    Raises Undelivered where the watched folder, or the disk that it was on, is away, or OSError. Without its mark that
    disk is known by the original alone, be it that of the `swap` or as it was taken.
    """
    wish = wish_of(destination)
    root = _root(wish)
    try:
        is_marked = disk_mark.find(root) == wish.disk or not (wish.disk or swap)
        is_marked = is_marked or _is_as_taken(root, destination)
        with _trash(wish.trash, TRASH if is_marked else None) as trash:
            if not is_marked and not (swap and _has(trash, swap.aside, wish.bytes, wish.modified)):
                raise _away(LOST)
            if swap and os.fstat(trash).st_dev != os.fstat(root).st_dev:
                raise _away()
            with _both(root, destination.steps, destination.steps if moved is None else moved, make) as (at, made):
                yield Folders(at, trash, made)
    except NotADirectoryError as error:
        raise Undelivered("a link or a file stands where its folder, or the trash, was", final=True) from error
    finally:
        os.close(root)


@contextmanager
def _both(root: int, steps: tuple[str, ...], moved: tuple[str, ...], make: bool) -> Iterator[tuple[int, int]]:
    with ExitStack() as stack:
        made = stack.enter_context(by_handle.folder(root, moved)) if moved != steps else None
        try:
            at = stack.enter_context(by_handle.folder(root, steps, NEW_FOLDER if make else None))
        except FileNotFoundError:
            if made is None:
                raise
            at = made
        yield at, at if made is None else made


def _root(wish: Replacing) -> int:
    try:
        return os.open(os.path.realpath(wish.root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in GONE:
            raise _away() from error
        raise


def _is_as_taken(root: int, destination: Destination) -> bool:
    """Whether the original is where it was when it was taken, whatever has become of the mark of its disk."""
    wish = wish_of(destination)
    try:
        with by_handle.folder(root, destination.steps) as at:
            there = no_replace.status(at, PurePosixPath(wish.name).name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    known = (wish.bytes, wish.inode, wish.modified)
    return there is not None and known == (there.st_size, inode_of(there), changed_of(there))


def _away(why: str = "") -> Undelivered:
    return Undelivered(f"{AWAY}{why}: it waits until that is there again", away=True)


@contextmanager
def _trash(path: str, make: Rights | None) -> Iterator[int]:
    above, name = os.path.split(path)
    over = os.open(os.path.realpath(above), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if make is None and no_replace.status(over, name) is None:
            raise _away(LOST)
        with by_handle.folder(over, (name,), make) as trash:
            if make is not None:
                result_mark.put_on_trash(trash)
            yield trash
    finally:
        os.close(over)


def wish_of(destination: Destination) -> Replacing:
    """Returns on what terms an output takes its original's place."""
    assert destination.replaces is not None
    return destination.replaces


class Pair:
    """An original and what is to take its place, or did, in folders that are open."""

    def __init__(self, folders: Folders, destination: Destination) -> None:
        self._at, self._trash, self._made = folders
        self._wish = wish_of(destination)
        self._own_name = PurePosixPath(self._wish.name).name

    def _is_original(self, folder: int, name: str) -> bool:
        return _has(folder, name, self._wish.bytes, self._wish.modified)

    def _is_aside(self, swap: Swap) -> bool:
        return self._is_original(self._trash, swap.aside)

    def _fsync(self) -> None:
        by_handle.fsync_folder(self._trash)
        by_handle.fsync_folder(self._at)
        if self._made != self._at:
            by_handle.fsync_folder(self._made)


class Return(Pair):
    """An original comes back to its place, and what took that goes. It may be called again, wherever it broke off."""

    def __init__(self, folders: Folders, identifier: str, destination: Destination, swap: Swap) -> None:
        """`identifier` is that of the delivery."""
        super().__init__(folders, destination)
        self._part = part_of(identifier)
        self._swap = swap
        self.proven: Identity | None = None  # of what took its place, once all of it was compared

    def carry_out(self) -> bool:
        """Leaves what took its place nowhere, once the original is safely back; where there is none, that stays.

        Returns whether there is an original, be it beside something else that has its name by now.
        """
        self.put_back()
        is_back = self._is_original(self._at, self._own_name)
        if self._swap.step == Step.SETTING_ASIDE or (is_back and self._is_made(self._part)):
            remove(self._made, self._part)
        elif no_replace.status(self._made, self._part):  # the trash was emptied by somebody: this is all there is
            no_replace.put(self._made, self._part, self._swap.name)
        self._fsync()
        with os.scandir(self._at) as entries:
            return is_back or any(self._is_original(self._at, entry.name) for entry in entries)

    def put_back(self, *, whatever: bool = False) -> None:
        """Moves the original back, if it is aside, and what has taken its place to beside it.

        Where something else lies there by now, the original gets a number. With `whatever` it is moved even if it is
        not as it was.
        """
        if not (whatever or self._is_aside(self._swap)):
            return
        if self.is_placed():
            self._hide()
        name, number = self._own_name, 1
        while not no_replace.put(self._trash, self._swap.aside, name, into=self._at):
            number += 1
            name = filenames.numbered(self._own_name, number)
        self._fsync()

    def _hide(self) -> None:
        """Gives what took its place its hidden name again; what came to lie there at the last moment stays."""
        remove(self._made, self._part)  # of a link, it has both names, and a rename would leave them
        os.rename(self._swap.name, self._part, src_dir_fd=self._made, dst_dir_fd=self._made)
        if self._identity(self._part) != self.proven:
            no_replace.put(self._made, self._part, self._swap.name)
            raise Undelivered(f"{self._swap.name} was changed while it was to be removed")

    def obstacle(self) -> str | None:
        """Says in words what lies where the original, or what took its place, was; None where nothing is in the way."""
        if not self.is_placed() and no_replace.status(self._made, self._swap.name):
            return f"{self._swap.name} was changed since it took its place: move it away first"
        is_apart = self._swap.name != self._own_name or self._made != self._at
        if is_apart and no_replace.status(self._at, self._own_name):
            return f"something else is called {self._own_name} by now: move it away first"
        return None

    def is_placed(self) -> bool:
        """Tells whether what took its place is there, as it was, by all its bytes."""
        return self._is_made(self._swap.name)

    def _is_made(self, name: str) -> bool:
        """Tells whether that has the name, by all its bytes; where these are not known, by its size and time."""
        swap, found = self._swap, self._identity(name)
        if found is None or found[0] != swap.bytes:
            return False
        if swap.sha256 is None and not _has(self._made, name, swap.bytes, self._wish.modified):
            return False
        known = found == self.proven or swap.sha256 is None
        if not known and by_handle.contents(self._made, name, lambda: None) != (swap.bytes, swap.sha256):
            return False
        self.proven = found
        return True

    def _identity(self, name: str) -> Identity | None:
        there = no_replace.status(self._made, name)
        return identity_of(there) if there else None

    def is_aside(self) -> bool:
        """Tells whether the original is in the trash."""
        return self._is_aside(self._swap)

    def loss(self) -> str | None:
        """Says in words why the original is all that is left of the film; None: what took its place is there, in its
        folder, under whatever name."""
        name = self._swap.name
        if self.is_placed():
            return None
        if no_replace.status(self._made, name):
            return f"{name}, which took its place, is damaged or was changed since"
        with os.scandir(self._made) as entries:
            others = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        if any(self._is_made(other) for other in others):
            return None
        return f"{name}, which took its place, is not there any more"

    def empty(self) -> None:
        """Removes the original from the trash, if it is there, and nothing else.

        Raises Undelivered where what took its place is not there.
        """
        if self.is_aside():
            if words := self.loss():
                raise Undelivered(words)
            os.unlink(self._swap.aside, dir_fd=self._trash)
            by_handle.fsync_folder(self._trash)


def aside_in(trash: str, destination: Destination, aside: str) -> Destination:
    """Returns the destination, with that trash in place of its own where that was moved there: the original is not in
    the one, and is in the other. Blocks."""
    wish = wish_of(destination)
    if trash == wish.trash or os.path.lexists(f"{wish.trash}/{aside}") or not os.path.lexists(f"{trash}/{aside}"):
        return destination
    return replace(destination, replaces=replace(wish, trash=trash))


def _has(folder: int, name: str, size: int, modified: int) -> bool:
    """Tells whether a file of that size and time has that name."""
    there = no_replace.status(folder, name)
    return there is not None and is_as_old(there, size, modified)
