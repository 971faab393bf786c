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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import msgspec
from msgspec.structs import replace

from daemon import filenames
from daemon.delivery import by_handle, no_replace
from daemon.delivery.by_handle import Rights
from daemon.delivery.part import Part, part_of, remove
from daemon.delivery.place import BroughtFile, Course, Parcel, Receipt
from daemon.delivery.refusals import in_words
from daemon.delivery.returning import Folders, Pair, Return, Step, Swap, opened, swap_of, wish_of
from daemon.delivery.standing_terms import StandingTerms
from daemon.delivery.structures import told_by_name, whole_of
from daemon.errors import Undelivered
from daemon.models import Deliver, Destination, Replacing
from daemon.source_files import changed_of, inode_of
from daemon.write_leases import is_written_to

PLACE = "original"
PROTECTED = "its original may not be moved: it, or its folder, is protected (see `lsattr`), or is another user's"
LINKED = "its original has other names too (hard links): it is left as it is"


class Originals:
    """Is the place of all files that outputs take the place of."""

    def __init__(self, terms: StandingTerms) -> None:
        self._terms = terms

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
        wish = wish_of(parcel.destination)
        if words := self._terms.refusal(wish, parcel.bytes, parcel.quality, parcel.media):
            raise Undelivered(f"its original is left as it is: {words}", final=True)
        if words := self._terms.too_young(wish):
            raise Undelivered(words)
        with in_words(), opened(parcel.destination, swap_of(course.landing)) as folders:
            swap = _Replacement(folders, parcel, course).carry_out()
        to = "/".join(filter(None, (parcel.destination.below, swap.name)))
        return Receipt(to=to, aside=swap.aside)

    def withdraw(self, parcel: Parcel) -> str | None:
        swap = swap_of(parcel.landing)
        with in_words(), opened(parcel.destination, swap, make=swap is not None) as folders:
            if swap:
                Return(folders, parcel.id, parcel.destination, swap).carry_out()
            else:
                remove(folders.at, part_of(parcel.id))
        return None


class _Replacement(Pair):
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
        path = Path(self._wish.root, self._wish.name)
        if words := whole_of(path) or told_by_name(path, self._parcel.output.suffix):
            raise Undelivered(f"its original is left as it is: {words}", final=True)
        if is_written_to(self._at, self._own_name):
            raise Undelivered("somebody has the original open to write: it waits until that is over")
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
            if error.errno == errno.EPERM:
                raise Undelivered(PROTECTED) from error
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
        now = (there.st_size, inode_of(there), changed_of(there))
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
        self._part(None).tell(swap.name)
        self._note(replace(swap, step=Step.PLACING), self._part(None).brought(swap.name))
        if not no_replace.put(self._at, part_of(self._parcel.id), swap.name):
            raise Undelivered(f"something else came to lie at {swap.name}: the original is put back", final=True)
        by_handle.fsync_folder(self._at)

    def _note(self, swap: Swap, brought: Sequence[BroughtFile] = ()) -> None:
        self._course.check()
        self._course.note(msgspec.json.encode(swap).decode(), brought)

    def _put_back(self, swap: Swap, *, whatever: bool = False) -> None:
        Return(self._folders, self._parcel.id, self._parcel.destination, swap).put_back(whatever=whatever)


def name_of(parcel: Parcel) -> str:
    """Returns the name that an output is to have: the original's, where that is of another sort with its extension."""
    ending, path = parcel.output.suffix, PurePosixPath(wish_of(parcel.destination).name)
    return path.name if path.suffix.lower() == ending.lower() else path.stem + ending


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
