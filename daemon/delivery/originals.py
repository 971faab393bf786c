"""Puts outputs in the place of the files they were made of, and those back: whatever happens, one of the two is there.

An output is written beside its original as any part is, durable and proven again, before that is touched. Then the
original is moved to the trash, on the same file system, and the output gets its name. What is about to be done is noted
before each of the two: who died between them, or was refused by the disk, goes on or has all as it was. Of both it is
known by size and time, which no move changes, which is which.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from daemon import filenames
from daemon.delivery import by_handle, disk_mark, no_replace
from daemon.delivery.by_handle import Rights
from daemon.delivery.part import Part, part_of, remove
from daemon.delivery.place import BroughtFile, Course, Parcel, Receipt
from daemon.delivery.refusals import in_words
from daemon.errors import Undelivered
from daemon.models import Deliver, Destination, Model, Replacing
from daemon.source_files import GONE, Identity, identity_of

PLACE = "original"
TRASH = Rights(0o700)
ROUNDED = 2_000_000_000  # nanoseconds by which some file systems round times
AWAY = "the watched folder is away, or another disk is in its place: it waits until that is there again"
LINKED = "its original has other names too (hard links): it is left as it is"
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
    """Holds descriptors of the folder in which the two change places, and of the trash."""

    at: int
    trash: int


class Originals:
    """Is the place of all files that outputs take the place of."""

    async def resolve(self, wish: Replacing) -> Destination:
        """Returns where that is; nothing is looked at."""
        below = str(PurePosixPath(wish.name).parent)
        taken_over = Deliver(folder=wish.root, keep=False)
        return Destination(
            place=f"{PLACE}:{wish.root}", below="" if below == "." else below, wish=taken_over, replaces=wish
        )

    def address(self, parcel: Parcel) -> str:
        return f"{parcel.destination.place}/{parcel.destination.below}/{parcel.name}"

    def deliver(self, parcel: Parcel, course: Course) -> Receipt:
        with in_words(), opened(parcel.destination, swap_of(course.landing)) as folders:
            swap = _Replacement(folders, parcel, course).carry_out()
        to = "/".join(filter(None, (parcel.destination.below, swap.name)))
        return Receipt(to=to, aside=swap.aside)

    def withdraw(self, parcel: Parcel) -> None:
        swap = swap_of(parcel.landing)
        with in_words(), opened(parcel.destination, swap, make=swap is not None) as folders:
            if swap:
                Return(folders, parcel.id, parcel.destination, swap).carry_out()
            else:
                remove(folders.at, part_of(parcel.id))


def swap_of(landing: str | None) -> Swap | None:
    """Returns what was noted, if anything was."""
    return msgspec.json.decode(landing, type=Swap) if landing else None


@contextmanager
def opened(destination: Destination, swap: Swap | None, *, make: bool = False) -> Iterator[Folders]:
    """Opens both folders; a trash that is missing is made, and with `make` the folder of the file too.

    Raises Undelivered where the watched folder, or the disk that it was on, is away, or OSError. Without its mark that
    disk is known by the original of the `swap` alone.
    """
    wish = _wish(destination)
    root = _root(wish)
    try:
        is_marked = disk_mark.find(root) == wish.disk or not (wish.disk or swap)
        with _trash(wish.trash, TRASH if is_marked else None) as trash:
            if not is_marked and not (swap and _has(trash, swap.aside, wish.bytes, wish.modified)):
                raise _away()
            if swap and os.fstat(trash).st_dev != os.fstat(root).st_dev:
                raise _away()
            with by_handle.folder(root, destination.steps, NEW_FOLDER if make else None) as at:
                yield Folders(at, trash)
    except NotADirectoryError as error:
        raise Undelivered("a link or a file stands where its folder, or the trash, was", final=True) from error
    finally:
        os.close(root)


def _root(wish: Replacing) -> int:
    try:
        return os.open(os.path.realpath(wish.root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in GONE:
            raise _away() from error
        raise


def _away() -> Undelivered:
    return Undelivered(AWAY, away=True)


@contextmanager
def _trash(path: str, make: Rights | None) -> Iterator[int]:
    above, name = os.path.split(path)
    over = os.open(os.path.realpath(above), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if make is None and no_replace.status(over, name) is None:
            raise _away()
        with by_handle.folder(over, (name,), make) as trash:
            yield trash
    finally:
        os.close(over)


def _wish(destination: Destination) -> Replacing:
    assert destination.replaces is not None
    return destination.replaces


class _Pair:
    """An original and what is to take its place, or did, in folders that are open."""

    def __init__(self, folders: Folders, destination: Destination) -> None:
        self._at, self._trash = folders
        self._wish = _wish(destination)
        self._own_name = PurePosixPath(self._wish.name).name

    def _is_original(self, folder: int, name: str) -> bool:
        return _has(folder, name, self._wish.bytes, self._wish.modified)

    def _is_aside(self, swap: Swap) -> bool:
        return self._is_original(self._trash, swap.aside)

    def _fsync(self) -> None:
        by_handle.fsync_folder(self._trash)
        by_handle.fsync_folder(self._at)


class _Replacement(_Pair):
    """One output takes the place of its original."""

    def __init__(self, folders: Folders, parcel: Parcel, course: Course) -> None:
        super().__init__(folders, parcel.destination)
        self._folders = folders
        self._parcel = parcel
        self._course = course

    def carry_out(self) -> Swap:
        """Returns which names the two have now."""
        swap, part = swap_of(self._course.landing), self._part(None)
        if swap and part.is_ours(swap.name):
            part.clear()  # of a link, it has both names for a moment
            self._fsync()
            return swap
        is_aside = swap is not None and self._is_aside(swap) and not self._was_linked(swap)
        if swap is None or not is_aside:
            swap = self._prepare(is_written=swap is not None and part.is_there())
        elif not part.is_there():
            self._put_back(swap)
            raise Undelivered("what was written beside the original was lost: that is back in its place")
        try:
            if not is_aside:
                self._set_aside(swap)
            self._place(swap)
        except BaseException:
            with suppress(OSError):
                self._put_back(swap)
            raise
        return swap

    def _was_linked(self, swap: Swap) -> bool:
        """Whether the original has both names, as where it was moved by a link; then the one in the trash goes."""
        here, aside = no_replace.status(self._at, self._own_name), no_replace.status(self._trash, swap.aside)
        both = here is not None and aside is not None and os.path.samestat(here, aside)
        if both:
            os.unlink(swap.aside, dir_fd=self._trash)
        return both

    def _part(self, rights: Rights | None) -> Part:
        known = rights or Rights(0o600)
        return Part(self._at, self._parcel, self._course, known, known)

    # The original

    def _prepare(self, *, is_written: bool) -> Swap:
        """Writes what is to take its place, and notes that the original is to be moved."""
        name = name_of(self._parcel)
        self._refuse_changed(by_all_bytes=True)
        if os.fstat(self._trash).st_dev != os.fstat(self._at).st_dev:
            raise _elsewhere()
        if name != self._own_name and no_replace.status(self._at, name):
            raise Undelivered(f"{name} is there already: the original is left as it is", final=True)
        if not is_written:
            self._part(self._rights()).write_anew()
        aside = _aside(self._own_name, self._parcel.id)
        made = self._parcel
        swap = Swap(step=Step.SETTING_ASIDE, name=name, aside=aside, bytes=made.bytes, sha256=made.sha256)
        self._note(swap)
        return swap

    def _set_aside(self, swap: Swap) -> None:
        self._refuse_changed()  # to write took a while
        if not self._moved(swap.aside):
            raise Undelivered("something in the trash has the name that the original would have", final=True)
        self._fsync()
        if not self._is_aside(swap):  # it was changed at the last moment, and that is what was moved
            self._put_back(swap, whatever=True)
            raise _changed()

    def _moved(self, aside: str) -> bool:
        try:
            return no_replace.put(self._at, self._own_name, aside, into=self._trash)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise _elsewhere() from error
            raise

    def _rights(self) -> Rights:
        descriptor = os.open(self._own_name, by_handle.READ_FILE, dir_fd=self._at)
        try:
            return by_handle.rights_of(descriptor)
        finally:
            os.close(descriptor)

    def _refuse_changed(self, *, by_all_bytes: bool = False) -> None:
        there = no_replace.status(self._at, self._own_name)
        if there is None:
            raise Undelivered("its original is not there any more", final=True)
        wish = self._wish
        now = (there.st_size, there.st_ino, there.st_mtime_ns)
        if not stat.S_ISREG(there.st_mode) or now != (wish.bytes, wish.inode, wish.modified):
            raise _changed()
        if there.st_nlink > 1:
            raise Undelivered(LINKED, final=True)
        if by_all_bytes and wish.sha256 is not None:
            found = by_handle.contents(self._at, self._own_name, self._course.check)
            if found != (wish.bytes, wish.sha256):
                raise _changed()

    # The output

    def _place(self, swap: Swap) -> None:
        self._note(replace(swap, step=Step.PLACING), self._part(None).brought(swap.name))
        if not no_replace.put(self._at, part_of(self._parcel.id), swap.name):
            raise Undelivered(f"something else came to lie at {swap.name}: the original is put back", final=True)
        by_handle.fsync_folder(self._at)

    def _note(self, swap: Swap, brought: Sequence[BroughtFile] = ()) -> None:
        self._course.check()
        self._course.note(msgspec.json.encode(swap).decode(), brought)

    def _put_back(self, swap: Swap, *, whatever: bool = False) -> None:
        Return(self._folders, self._parcel.id, self._parcel.destination, swap).put_back(whatever=whatever)


class Return(_Pair):
    """An original comes back to its place, and what took that goes. It may be called again, wherever it broke off."""

    def __init__(self, folders: Folders, identifier: str, destination: Destination, swap: Swap) -> None:
        """`identifier` is that of the delivery."""
        super().__init__(folders, destination)
        self._part = part_of(identifier)
        self._swap = swap
        self.proven: Identity | None = None  # of what took its place, once all of it was compared

    def carry_out(self) -> None:
        """Leaves what took its place nowhere, once the original is safely back; where there is none, that stays."""
        self.put_back()
        is_back = self._is_original(self._at, self._own_name)
        if self._swap.step == Step.SETTING_ASIDE or (is_back and self._is_made(self._part)):
            remove(self._at, self._part)
        elif no_replace.status(self._at, self._part):  # the trash was emptied by somebody: this is all there is
            no_replace.put(self._at, self._part, self._swap.name)
        self._fsync()

    def put_back(self, *, whatever: bool = False) -> None:
        """Moves the original back, if it is aside, and what has taken its place to beside it.

        Where something else lies there by now, the original gets a number. With `whatever` it is moved even if it is
        not as it was.
        """
        if not (whatever or self._is_aside(self._swap)):
            return
        if self._is_placed():
            self._hide()
        name, number = self._own_name, 1
        while not no_replace.put(self._trash, self._swap.aside, name, into=self._at):
            number += 1
            name = filenames.numbered(self._own_name, number)
        self._fsync()

    def _hide(self) -> None:
        """Gives what took its place its hidden name again; what came to lie there at the last moment stays."""
        remove(self._at, self._part)  # of a link, it has both names, and a rename would leave them
        os.rename(self._swap.name, self._part, src_dir_fd=self._at, dst_dir_fd=self._at)
        if self._identity(self._part) != self.proven:
            no_replace.put(self._at, self._part, self._swap.name)
            raise Undelivered(f"{self._swap.name} was changed while it was to be removed")

    def obstacle(self) -> str | None:
        """Says in words what lies where the original, or what took its place, was; None where nothing is in the way."""
        if not self._is_placed() and no_replace.status(self._at, self._swap.name):
            return f"{self._swap.name} was changed since it took its place: move it away first"
        if self._swap.name != self._own_name and no_replace.status(self._at, self._own_name):
            return f"something else is called {self._own_name} by now: move it away first"
        return None

    def _is_placed(self) -> bool:
        """Tells whether what took its place is there, as it was, by all its bytes."""
        return self._is_made(self._swap.name)

    def _is_made(self, name: str) -> bool:
        swap, found = self._swap, self._identity(name)
        if not _has(self._at, name, swap.bytes, self._wish.modified):
            return False
        known = found == self.proven or swap.sha256 is None
        if not known and by_handle.contents(self._at, name, lambda: None) != (swap.bytes, swap.sha256):
            return False
        self.proven = found
        return True

    def _identity(self, name: str) -> Identity | None:
        there = no_replace.status(self._at, name)
        return identity_of(there) if there else None

    def is_aside(self) -> bool:
        """Tells whether the original is in the trash."""
        return self._is_aside(self._swap)

    def empty(self) -> None:
        """Removes the original from the trash, if it is there, and nothing else."""
        if self.is_aside():
            os.unlink(self._swap.aside, dir_fd=self._trash)
            by_handle.fsync_folder(self._trash)


def name_of(parcel: Parcel) -> str:
    """Returns the name that an output is to have: the original's, where that is of another sort with its extension."""
    ending, path = parcel.output.suffix, PurePosixPath(_wish(parcel.destination).name)
    return path.name if path.suffix.lower() == ending.lower() else path.stem + ending


def _has(folder: int, name: str, size: int, modified: int) -> bool:
    """Tells whether a file of that size and time has that name."""
    there = no_replace.status(folder, name)
    if there is None or not stat.S_ISREG(there.st_mode):
        return False
    return there.st_size == size and abs(there.st_mtime_ns - modified) <= ROUNDED


def _aside(name: str, delivery: str) -> str:
    """Returns what an original is called in the trash, where many may have had its name."""
    path = PurePosixPath(name)
    ending = f".{delivery}{path.suffix}"
    return path.stem.encode()[: filenames.MAX_BYTES - len(ending.encode())].decode(errors="ignore") + ending


def _elsewhere() -> Undelivered:
    words = "the trash lies on another file system than the original, which is left as it is"
    return Undelivered(words, final=True)


def _changed() -> Undelivered:
    return Undelivered("its original was changed or replaced since it was read: it is left as it is", final=True)
