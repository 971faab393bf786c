"""Refuses, when the daemon starts, folders whose files could not be replaced safely."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from daemon.errors import StartupError
from daemon.folders.replacing import device_of
from daemon.models import Wanted
from daemon.presets.builtin import FOLDER
from daemon.settings import Folder, Settings


def refuse_unsafe(folder: Folder, folders: Sequence[Folder], wanted: Sequence[Wanted], settings: Settings) -> None:
    """Raises StartupError for a trash that others look at, or for what cannot take the place of one file.

    `wanted` is what is made of each file. Nothing is looked at on the disk.
    """
    where = _where(folder)
    if folder.replace is None:
        return
    if folder.deliver is not None:
        raise StartupError(f"{where} has both `deliver` and `replace`: take one of them")
    if len(wanted) != 1 or wanted[0].extension == FOLDER:
        raise StartupError(f"{where}: one output takes the place of a file: name one preset, of single files")
    trash = folder.replace.trash
    if not trash.is_absolute() or ".." in trash.parts or not trash.name:
        raise StartupError(f"{where}: the trash {trash} has to be named by its whole path")
    if trash.is_relative_to(settings.state_dir):
        raise StartupError(f"{where}: the trash is in the state dir: name a folder outside of that")
    for other in folders:
        if other.path.is_relative_to(trash):
            raise StartupError(f"{where}: the folder {other.name} lies in its trash: name another one")
        if trash.is_relative_to(other.path) and not (other is folder and _is_hidden(trash, folder)):
            remedy = "let its name begin with a dot" if other is folder else "name another one"
            raise StartupError(f"{where}: the trash lies in the folder {other.name}, which is watched: {remedy}")


def refuse_unusable(folder: Folder) -> None:
    """Raises StartupError for a trash on another file system, or where originals cannot be moved to. Blocks."""
    if folder.replace is None or not folder.path.is_dir():
        return
    where, trash = _where(folder), folder.replace.trash
    if os.path.lexists(trash) and (trash.is_symlink() or not trash.is_dir()):
        raise StartupError(f"{where}: the trash {trash} is no folder")
    if not trash.parent.is_dir():
        raise StartupError(f"{where}: the trash {trash} cannot be made: {trash.parent} is no folder")
    if device_of(trash) != folder.path.stat().st_dev:
        raise StartupError(f"{where}: the trash {trash} lies on another file system: originals are moved, not copied")
    for written in (folder.path, trash if trash.exists() else trash.parent):
        if not os.access(written, os.W_OK | os.X_OK):
            raise StartupError(f"{where}: the daemon's user may not write to {written}, as `replace` has to")


def _where(folder: Folder) -> str:
    return f"In {folder.place or 'ffspool.toml'}: the folder {folder.name}"


def _is_hidden(trash: Path, folder: Folder) -> bool:
    """Whether no scan of the folder comes there."""
    return any(part.startswith(".") for part in trash.relative_to(folder.path).parts)
