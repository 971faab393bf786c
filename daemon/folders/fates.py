"""Moves or deletes files of an inbox, once all that was made of them is delivered and if they are what was read."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from daemon import filenames
from daemon.config_tables import Folder
from daemon.database.store import Row, Transaction
from daemon.delivery import by_handle, disk_mark, no_replace, rules
from daemon.delivery.by_handle import Rights
from daemon.delivery.refusals import AWAY
from daemon.delivery.structures import whole_of
from daemon.media.model import Media
from daemon.source_files import GONE, changed_of, inode_of
from daemon.write_leases import is_written_to

_LOST = f"{disk_mark.NAME}, the mark of the disk, is gone or another's: if this is that disk"
UNMARKED = f"it stays, for {_LOST}, `ffspool folders retry` has it go"
LOOKS = 1000  # at files whose disk may have lost its mark, after each scan
OUTCOMES = {"move": "moved", "delete": "deleted"}
NEW_FOLDER = Rights(0o755)


class _Stays(Exception):
    """The file is left where it is; the words say why."""


def record(row: Row, stays: str | None, transaction: Transaction) -> None:
    """Keeps what became of the file: it is gone, or `stays` for the reason that is told."""
    transaction.run("record_gone", outcome=None if stays else OUTCOMES[row["fate"]], said=stays, **_key(row))


def _key(row: Row) -> dict[str, Any]:
    return {column: row[column] for column in ("folder", "recipe", "inode", "bytes", "modified")}


def tell_of(row: Row, words: str, transaction: Transaction) -> None:
    """Keeps why the file does not go yet."""
    if row["said"] != words:
        transaction.run("tell_of_file", said=words, **_key(row))


def is_away(error: Exception) -> bool:
    """Tells whether what keeps a file from going keeps all of its folder from that: it is away, or does not answer."""
    return not isinstance(error, OSError) or error.errno in AWAY | GONE


def why(error: Exception) -> str:
    """Returns in words, without a path, what keeps a file from going."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def at_hand(folder: Folder, rows: Sequence[Row]) -> list[Row]:
    """Returns those of the rows whose disk is there. Raises OSError. Blocks."""
    if not rows:
        return []
    with disk_mark.opened(folder.path) as root:
        there = {None, disk_mark.find(root)}
    return [row for row in rows if row["disk"] in there]


def unmarked(folder: Folder, rows: Sequence[Row]) -> list[Row]:
    """Returns those of the rows, up to a number, whose files are there, as they were, on a disk that lost its mark or
    has another. Raises OSError. Blocks."""
    with disk_mark.opened(folder.path) as root:
        mark = disk_mark.find(root)
        strange = islice((row for row in rows if row["disk"] not in {None, mark}), LOOKS)
        return [row for row in strange if _lies(root, PurePosixPath(row["name"]), row)]


def _lies(root: int, way: PurePosixPath, row: Row) -> bool:
    try:
        with by_handle.folder(root, way.parent.parts) as at:
            return _is_same(at, way.name, row)
    except (OSError, ValueError):
        return False


def told_of_unmarked(count: int) -> str:
    """Returns what to say of a folder of which so many files stay for that."""
    stay = f"{count} of its files stay{'s' if count == 1 else ''}"
    return f"{stay}: {_LOST}, `ffspool folders retry` has them go"


def carry_out(folder: Folder, row: Row) -> str | None:
    """Has a file go as its row says; returns why it stays, if it does. It may be called again, wherever it broke off.

    Raises OSError when it is to be tried again. Blocks.
    """
    try:
        _carry_out(folder, row)
    except _Stays as error:
        return str(error)
    return None


def _carry_out(folder: Folder, row: Row) -> None:
    path = PurePosixPath(row["name"])
    with disk_mark.opened(folder.path) as root:
        if row["disk"] not in {None, disk_mark.find(root)}:
            raise OSError(errno.ENODEV, "another disk is where it was")
        try:
            with by_handle.folder(root, path.parent.parts) as at:
                if words := whole_of(folder.path / row["name"]):  # its playlist may have come after it
                    _give_back(at, path.name, row)
                    raise _Stays(f"it stays, for {words}")
                if row["fate"] != folder.on_success:
                    _give_back(at, path.name, row)
                    raise _Stays(f'it stays, for ffspool.toml does not say `on_success` = "{row["fate"]}" any more')
                if words := _unwanted(folder, row):
                    _give_back(at, path.name, row)
                    raise _Stays(f"it stays, for {words}")
                if words := rules.too_young(folder, row["modified"], time.time()):
                    raise BlockingIOError(errno.EAGAIN, words)
                if row["fate"] == "delete":
                    _delete(at, path.name, row)
                elif folder.move_to is None:
                    raise _Stays("it is not said any more where it is to be moved to")
                else:
                    _move(at, path.name, row, folder.move_to)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not any(folder.path.iterdir()):
                raise  # it is away
            raise _Stays("the folder it lay in is not there any more") from error


def _unwanted(folder: Folder, row: Row) -> str | None:
    media = msgspec.json.decode(row["media"], type=Media) if row["media"] else None
    return rules.unwanted(folder, row["name"], row["bytes"], media)


def _move(at: int, name: str, row: Row, target: Path) -> None:
    above = os.open(os.path.realpath(target.parent), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with by_handle.folder(above, (target.name,), NEW_FOLDER) as into:
            if _is_there(at, name, row):
                moved = _put(at, name, into, name)
                _refuse_another(into, moved, row, at, name)
            by_handle.fsync_folder(into)
            by_handle.fsync_folder(at)
    finally:
        os.close(above)


def _delete(at: int, name: str, row: Row) -> None:
    """First gives it a name of ours, by which nobody else changes it any more."""
    hidden = _hidden(row)
    if no_replace.status(at, hidden) is None and _is_there(at, name, row):
        no_replace.put(at, name, hidden)
    if no_replace.status(at, hidden) is not None:
        _refuse_another(at, hidden, row, at, name)
        os.unlink(hidden, dir_fd=at)
    by_handle.fsync_folder(at)


def _hidden(row: Row) -> str:
    return f".ffspool-{row['inode']:x}-{row['modified']:x}.part"


def _give_back(at: int, name: str, row: Row) -> None:
    """Has one that was about to be deleted be called as it was."""
    if no_replace.status(at, _hidden(row)) is not None:
        _put(at, _hidden(row), at, name)
        by_handle.fsync_folder(at)


def _is_there(at: int, name: str, row: Row) -> bool:
    """Whether it is where it was, as it was read; False: it is gone. Raises _Stays."""
    if no_replace.status(at, name) is None:
        return False
    if not _is_same(at, name, row):
        raise _Stays("it was changed since it was read: it is left as it is")
    if is_written_to(at, name):
        raise BlockingIOError(errno.EBUSY, "somebody has it open to write")
    return True


def _put(at: int, name: str, into: int, wanted: str) -> str:
    """The name that it has there."""
    free = wanted
    while not no_replace.put(at, name, free, into=into):
        free = filenames.first_free(wanted, False, lambda name: no_replace.status(into, name) is None)
    return free


def _refuse_another(into: int, moved: str, row: Row, at: int, name: str) -> None:
    """Gives back what took its place at the last moment."""
    if not _is_same(into, moved, row):
        _put(into, moved, at, name)
        raise _Stays("it was changed since it was read: it is left as it is")


def _is_same(at: int, name: str, row: Row) -> bool:
    found = no_replace.status(at, name)
    known = (row["bytes"], row["inode"], row["modified"])
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    return known == (found.st_size, inode_of(found), changed_of(found))
