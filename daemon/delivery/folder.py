"""Brings outputs to folders of the host, below the roots that the operator named, whole or not at all.

What is brought is written beside its final name under one of its delivery's, read again and compared, and renamed.
Before the rename the place notes which name it will be: so a delivery that was interrupted, at whatever moment, finds
its own part or its own file, and neither brings it twice nor numbers it anew.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from daemon import filenames, mounts
from daemon.bounded_threads import Workers
from daemon.delivery import by_handle, no_replace
from daemon.delivery.by_handle import Rights
from daemon.delivery.part import Part, part_of, remove
from daemon.delivery.place import Course, FileKey, Parcel, Receipt
from daemon.delivery.refusals import in_words, taken, unseen
from daemon.errors import ForbiddenPath, InvalidRequest, StartupError, Unavailable, Undelivered
from daemon.models import Conflict, Deliver, Destination, Model
from daemon.paths import Paths
from daemon.proof import output_folder
from daemon.source_files import GONE, inode_of, is_as_old

A_ROOT = "name one by `--output-root FOLDER`, or `output_roots` in ffspool.toml, and start the daemon anew"
PATIENCE = 3.0  # seconds to look for a folder: a job need not wait until its share is there


class _Landing(Model, frozen=True):
    """What is noted before the rename: the name to come, the folder by its inode and its file system, and the file."""

    name: str
    folder: int
    disk: str | None = None  # None: of old ones it is not known
    file: FileKey | None = None  # likewise


class Folders:
    """Is the place of all folders below the output roots."""

    def __init__(self, roots: Iterable[Path], paths: Paths, owner: str | None = None) -> None:
        """Takes as `owner` `USER:GROUP`, or one of the two; None: whoever the daemon is.

        Raises StartupError when one of the roots lies in the state dir, or there is no such owner.
        """
        self._owner = _numbers(owner) if owner else None
        self._roots = tuple(map(os.path.abspath, roots))
        self._state = str(paths.state)
        self._looking = Workers("looking for a folder", patience=PATIENCE)
        for root in self._roots:
            if _is_in(root, self._state):
                raise StartupError(f"the output root {root} is in the state dir: name a folder outside of that")

    # What is asked for

    async def resolve(self, wish: Deliver) -> Destination:
        """Finds the folder below a root, symlinks resolved; where its disk does not answer, as it stands.

        Raises ForbiddenPath or InvalidRequest.
        """
        assert isinstance(wish.folder, str)
        folder = self._absolute(wish.folder)
        root = next((root for root in self._roots if _is_in(folder, root)), None)
        try:
            found, steps = await self._looking.run(root or "", partial(self._found, folder, root))
        except Unavailable:
            if root is None:
                raise
            found, steps = root, tuple(Path(folder).relative_to(root).parts)
        return Destination(place=f"folder:{found}", below="/".join(steps), wish=wish)

    def _absolute(self, folder: str) -> str:
        if not self._roots:
            raise ForbiddenPath(f"this daemon has no output root, below which alone results are delivered: {A_ROOT}")
        if ".." in Path(folder).parts or "\0" in folder:
            raise InvalidRequest(f"the folder {folder!r} leads back and forth: name it without '..'")
        if Path(folder).is_absolute():
            return os.path.normpath(folder)
        if len(self._roots) > 1:
            raise InvalidRequest(f"name the whole path of the folder {folder!r}: this daemon has several output roots")
        return os.path.normpath(f"{self._roots[0]}/{folder}")

    def _found(self, folder: str, root: str | None) -> tuple[str, tuple[str, ...]]:
        real = os.path.realpath(folder)
        for one in self._roots if root is None else (root,):
            leads_to = os.path.realpath(one)
            if _is_in(real, leads_to):
                self._refuse_unusable(real, folder)
                return one, tuple(Path(real).relative_to(leads_to).parts)
        raise ForbiddenPath(f"{folder} is not below an output root of this daemon: {A_ROOT}")

    def _refuse_unusable(self, real: str, folder: str) -> None:
        if _is_in(real, self._state):
            raise ForbiddenPath(f"{folder} is in the daemon's state dir: results are delivered outside of it")
        there = next(path for path in (Path(real), *Path(real).parents) if os.path.lexists(path))
        if not there.is_dir():
            raise InvalidRequest(f"{folder} cannot be a folder: a file is in the way")
        for step in Path(real).relative_to(there).parts:
            filenames.check_portable(step)

    # What is brought

    def address(self, parcel: Parcel) -> str:
        whole = "/".join(filter(None, (parcel.destination.place, parcel.destination.below, parcel.name)))
        return whole.casefold()  # two that differ by that alone are one on cards and shares

    def deliver(self, parcel: Parcel, course: Course) -> Receipt:
        with in_words(), self._folder(parcel.destination, make=True) as folder:
            landed = _Delivery(folder, parcel, course, self._owner).carry_out()
        to = "/".join(filter(None, (parcel.destination.below, landed.name)))
        return Receipt(to=to, kept=landed.kept)

    def withdraw(self, parcel: Parcel) -> str | None:
        with in_words(), suppress(FileNotFoundError), self._folder(parcel.destination, make=False) as folder:
            remove(folder, part_of(parcel.id))
        return None

    @contextmanager
    def _folder(self, destination: Destination, *, make: bool) -> Iterator[int]:
        root = destination.place.removeprefix("folder:")
        if root not in self._roots:
            raise Undelivered("its folder lies below no output root of this daemon any more", final=True)
        real = os.path.realpath(root)
        if _is_in(real, self._state):
            raise Undelivered("its output root leads into the state dir of this daemon", final=True)
        if mounts.unmounted("/".join((real, *destination.steps))):
            raise Undelivered("the output root is away, as /etc/fstab tells: it waits until that is mounted", away=True)
        try:
            opened = os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in GONE:
                words = "the output root is away: it waits until that is there again"
                raise Undelivered(words, away=True) from error
            raise
        rights = Rights(destination.wish.folder_bits, self._owner) if make else None
        try:
            with by_handle.folder(opened, destination.steps, rights) as folder:
                yield folder
        except NotADirectoryError as error:
            raise Undelivered("a link or a file stands where its folder was to be", final=True) from error
        finally:
            os.close(opened)


class _Landed(NamedTuple):
    """How it came out: the name in its folder, and as in a receipt."""

    name: str
    kept: bool = False


class _Delivery:
    """One parcel in its folder, which is open."""

    def __init__(self, folder: int, parcel: Parcel, course: Course, owner: tuple[int, int] | None) -> None:
        self._folder = folder
        self._parcel = parcel
        self._course = course
        self._wish = parcel.destination.wish
        self._part = Part(folder, parcel, course, Rights(self._wish.bits, owner), Rights(self._wish.folder_bits, owner))

    def carry_out(self) -> _Landed:
        landing = msgspec.json.decode(self._course.landing, type=_Landing) if self._course.landing else None
        if landing and self._has_landed(landing):
            self._part.clear()
            if not self._is_seen(landing):
                raise unseen(landing.name)
            return _Landed(landing.name)
        name = landing.name if landing else self._parcel.name
        if self._leaves(name):
            return _Landed(name, kept=True)
        if not landing or not self._part.is_there():
            self._write_anew(landing)
        return self._land(name)

    def _write_anew(self, landing: _Landing | None) -> None:
        """First forgets what was noted: from then on, a part that is gone means that it has its name."""
        if landing:
            self._course.note(None)
        self._part.write_anew()

    def _has_landed(self, landing: _Landing) -> bool:
        """Tells whether it got its name before the attempt that noted this broke off; it may be taken away since.

        Its part was durable by then, and nobody else removes that. In another folder of the same path, as where a
        share is not mounted any more, that says nothing.
        """
        part, there = (no_replace.status(self._folder, name) for name in (self._part.name, landing.name))
        if part is None:
            known = replace(self._landing(landing.name), file=landing.file)
            same = landing in (known, replace(known, disk=None))
            return same or self._part.is_ours(landing.name)
        if there is None or os.path.samestat(part, there):  # of a link, it has both names for a moment
            return there is not None
        # Of two that changed places, the part is what lay there. Else what is there is another's, however like ours.
        overwriting = self._wish.conflict == Conflict.OVERWRITE
        return overwriting and self._part.is_ours(landing.name) and not self._part.is_there()

    def _is_seen(self, landing: _Landing) -> bool:
        """Tells whether it is there: what was taken away meanwhile may have gone before it had its name."""
        found = no_replace.file_key(self._folder, landing.name)
        return (found is not None and found == landing.file) or self._part.is_ours(landing.name)

    def _landing(self, name: str) -> _Landing:
        """What a file system is known by may change with a boot: then what was taken away comes once more."""
        here = os.fstat(self._folder)
        disk = f"{here.st_dev}:{os.statvfs(self._folder).f_fsid}"
        file = no_replace.file_key(self._folder, self._part.name)
        return _Landing(name=name, folder=here.st_ino, disk=disk, file=file)

    def _is_gone(self, name: str) -> bool:
        return no_replace.status(self._folder, name) is None

    def _leaves(self, name: str) -> bool:
        """Tells whether what lies there is to stay. Raises Undelivered where nothing may lie there."""
        if self._wish.conflict in {Conflict.NUMBER, Conflict.OVERWRITE} or self._is_gone(name):
            return False
        if self._wish.conflict == Conflict.SKIP:
            return True
        raise taken(name)

    # Its name

    def _land(self, name: str) -> _Landed:
        while True:
            if self._wish.conflict == Conflict.NUMBER:
                name = self._free(name)
            self._course.check()
            landing = self._landing(name)
            self._part.tell(name)
            self._course.note(msgspec.json.encode(landing).decode(), self._part.brought(name))
            try:
                is_renamed = self._renamed(name)
            except (OSError, Undelivered):
                self._forget_unless_landed(landing)
                raise
            if is_renamed:
                by_handle.fsync_folder(self._folder)
                return _Landed(name)
            if self._leaves(name):
                return _Landed(name, kept=True)

    def _forget_unless_landed(self, landing: _Landing) -> None:
        """A rename that was seen to fail says nothing of where the part is, should that be gone one day."""
        with suppress(OSError):
            if not self._has_landed(landing):
                self._course.note(None)

    def _is_source(self, name: str, there: os.stat_result) -> bool:
        """Tells whether that is the file it was made of, or may be, or has all that is in it, as where it was uploaded,
        or is a folder which holds it: to take its place is for `replace`, which keeps it."""
        if self._was_source(there):
            return True
        source = self._parcel.source
        try:
            kept = Path(source).stat() if source else None
            if source is None or kept is None or os.path.samestat(there, kept):
                return kept is not None
            if stat.S_ISDIR(there.st_mode):
                return any(os.path.samestat(there, above.stat()) for above in Path(source).parents)
            if not stat.S_ISREG(there.st_mode) or there.st_size != kept.st_size:
                return False
            found = by_handle.contents(self._folder, name, self._course.check)
            return found == by_handle.contents(self._folder, source, self._course.check)
        except OSError:
            return False

    def _was_source(self, there: os.stat_result) -> bool:
        """Tells whether that may be the file which was read, moved here since, and touched or given tags."""
        parcel = self._parcel
        if parcel.source is None or parcel.source_key is None:
            return False
        size, modified, inode = parcel.source_key
        if is_as_old(there, size, modified):
            return True
        with suppress(OSError):
            if is_as_old(Path(parcel.source).stat(), size, modified):
                return False
        return stat.S_ISREG(there.st_mode) and (there.st_size == size or inode_of(there) == inode)

    def _renamed(self, name: str) -> bool:
        if self._wish.conflict != Conflict.OVERWRITE or self._is_gone(name):
            return no_replace.put(self._folder, self._part.name, name)
        is_folder = self._parcel.output.is_dir()
        there = no_replace.status(self._folder, name)
        if there and self._is_source(name, there):
            holds = "holds" if stat.S_ISDIR(there.st_mode) else "is"
            may_be = "" if stat.S_ISDIR(there.st_mode) else ", or may be"
            words = f"{name} {holds} what it was made of{may_be}, and is not overwritten: give it another name"
            raise Undelivered(words, final=True)
        if there and stat.S_ISDIR(there.st_mode) != is_folder:
            raise Undelivered(f"{name} cannot be replaced: files replace files, and folders folders", final=True)
        if is_folder:
            self._replace_folder(name)
        else:
            os.rename(self._part.name, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        return True

    def _replace_folder(self, name: str) -> None:
        with by_handle.folder(self._folder, (name,)) as there:
            strange = output_folder.strange(Path(f"/proc/self/fd/{there}"))
        if strange:
            raise Undelivered(f"{name} is not replaced: it holds {strange!r}, which is nothing of ours", final=True)
        if not no_replace.exchange(self._folder, self._part.name, name):
            raise Undelivered(f"{name} cannot be replaced at one moment by that file system: remove it", final=True)
        self._part.clear()

    def _free(self, name: str) -> str:
        if self._is_gone(name):
            return name
        return filenames.first_free(self._parcel.name, self._parcel.output.is_dir(), self._is_gone)


def _numbers(owner: str) -> tuple[int, int]:
    """User and group of `USER:GROUP`, or one of the two. Raises StartupError where there is no such one."""
    user, _, group = owner.partition(":")
    try:
        return pwd.getpwnam(user).pw_uid if user else -1, grp.getgrnam(group).gr_gid if group else -1
    except KeyError as error:
        raise StartupError(f"the output owner {owner} is nobody on this host: {error.args[0]}") from error


def _is_in(path: str, folder: str) -> bool:
    """Whether it is that folder, or lies below it, as both are written."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
