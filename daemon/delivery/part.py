"""Writes an output beside where it is to be, under a name by which nobody takes it for whole, and proves it there."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from daemon.delivery import by_handle, no_replace, result_mark
from daemon.delivery.by_handle import Rights
from daemon.delivery.place import BroughtFile, Course, Parcel
from daemon.delivery.refusals import refuse_if_full
from daemon.errors import Undelivered
from daemon.proof import output_folder
from daemon.source_files import descriptor_path, inode_of


class Part:
    """Stands for a parcel's part in a folder that is open; it may not be there (yet)."""

    def __init__(self, folder: int, parcel: Parcel, course: Course, rights: Rights, folder_rights: Rights) -> None:
        """`rights` are those of files in the end, `folder_rights` those of an output that is a folder."""
        self.name = part_of(parcel.id)
        self._folder = folder
        self._parcel = parcel
        self._course = course
        self._rights = rights
        self._folder_rights = folder_rights

    def write_anew(self) -> None:
        """Writes it durably, reads it again and compares it with what was proven. Raises Undelivered or OSError."""
        self.clear()
        try:
            self._write()
        except BaseException:
            with suppress(OSError):  # what cannot be removed now is, once it is given up or tried again
                self.clear()
            raise

    def clear(self) -> None:
        """Removes the part, should there be one."""
        remove(self._folder, self.name)

    def is_there(self) -> bool:
        """Tells whether it is, as it was proven."""
        return self.is_ours(self.name)

    def is_ours(self, name: str) -> bool:
        """Tells whether what has that name in the folder is what was proven, by all its bytes."""
        there = no_replace.status(self._folder, name)
        if there and stat.S_ISREG(there.st_mode) and there.st_size != self._parcel.bytes:
            return False  # which is seen without a look at all of it
        found = by_handle.contents(self._folder, name, self._course.check)
        return found == (self._parcel.bytes, self._parcel.sha256)

    def tell(self, name: str) -> None:
        """Has it be known as ours once it has that name."""
        if not result_mark.is_on(self._folder, self.name):
            result_mark.record(self._folder, name, replace(self._parcel.mark, bytes=self._parcel.bytes))

    def brought(self, name: str) -> list[BroughtFile]:
        """Returns what it is known by once it has that name: itself, or of each of its folders a file in it."""
        if key := no_replace.file_key(self._folder, self.name):
            return [BroughtFile(name, key)]
        with by_handle.folder(self._folder, (self.name,)) as top:
            names = [PurePosixPath(name) for name, _ in output_folder.members(Path(descriptor_path(top)))]
            return [_telling(top, name) for name in {name.parent: name for name in reversed(names)}.values()]

    def _write(self) -> None:
        refuse_if_full(self._folder, self._parcel.bytes)
        if self._parcel.output.is_dir():
            self._write_tree()
        else:
            self._write_file()
        by_handle.fsync_folder(self._folder)  # from here on the part's name is durable
        if not self.is_there():
            raise Undelivered("what was written to its folder is not what was made: see to that disk")

    def _write_file(self) -> None:
        linked = not self._parcel.destination.wish.keep and self._linked()
        part = os.open(self.name, by_handle.READ_FILE if linked else by_handle.NEW_FILE, 0o600, dir_fd=self._folder)
        try:
            if not linked:
                by_handle.pour(self._parcel.output, part, self._course.check)
            by_handle.finish(part, self._rights, self._parcel.modified, self._parcel.mark)
        finally:
            os.close(part)

    def _linked(self) -> bool:
        """Gives the spool's file a second name there, where it is to have no other soon: while it is kept, whoever
        writes to one would write to both."""
        try:
            os.link(self._parcel.output, self.name, dst_dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _write_tree(self) -> None:
        os.mkdir(self.name, 0o700, dir_fd=self._folder)
        folders: dict[tuple[str, ...], None] = {(): None}
        with by_handle.folder(self._folder, (self.name,)) as top:
            for name, path in output_folder.members(self._parcel.output):
                steps = tuple(name.split("/"))
                folders |= dict.fromkeys(steps[:depth] for depth in range(len(steps)))
                with by_handle.folder(top, steps[:-1], Rights(0o700)) as at:
                    part = os.open(steps[-1], by_handle.NEW_FILE, 0o600, dir_fd=at)
                    try:
                        by_handle.pour(path, part, self._course.check)
                        by_handle.finish(part, self._rights, None, self._parcel.mark)
                    finally:
                        os.close(part)
            for steps in sorted(folders, key=len, reverse=True):
                with by_handle.folder(top, steps) as at:
                    by_handle.finish(
                        at, self._folder_rights, None if steps else self._parcel.modified, self._parcel.mark
                    )


def _telling(top: int, name: PurePosixPath) -> BroughtFile:
    """The file of that name below an open folder, as one that tells the folder it lies in."""
    with by_handle.folder(top, name.parent.parts) as at:
        key = no_replace.file_key(at, name.name)
        assert key is not None
        return BroughtFile(name.name, key, inode_of(os.fstat(at)))


def part_of(delivery: str) -> str:
    """Returns what an output is called in its folder before it has its name: hidden, and taken by nobody for whole."""
    return f".ffspool-{delivery}.part"


def remove(folder: int, name: str) -> None:
    """Removes the file or folder of that name, should there be one."""
    there = no_replace.status(folder, name)
    if there is None:
        return
    if stat.S_ISDIR(there.st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
