"""Refuses, when the daemon starts, folders whose files could not be replaced, moved or deleted safely."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path, PurePath

from daemon.config_tables import AnyFolder, Folder
from daemon.errors import StartupError
from daemon.folders.replacing import device_of
from daemon.folders.scan import may_be_taken
from daemon.meant_files import sample_of
from daemon.models import Conflict, Wanted
from daemon.mounts import Place
from daemon.presets.builtin import FOLDER
from daemon.settings import Settings

GO = "and the files of one of the two are replaced, moved or deleted"
ENDINGS = "mkv mp4 mov avi m4v ts m2ts mts mpg vob mxf webm wmv flv mp3 m4a flac wav"
USUAL = tuple(f"film.{ending}" for ending in ENDINGS.split())


def refuse_unsafe(folder: AnyFolder, wanted: Sequence[Wanted], settings: Settings) -> None:
    """Raises StartupError for what is not to become of a folder's files.

    `wanted` is what is made of each file. Nothing is looked at on the disk.
    """
    where = _where(folder)
    if not isinstance(folder, Folder):
        _refuse_changes(folder, where)
        return
    if folder.replace and (folder.deliver or folder.on_success != "leave"):
        beside = "deliver" if folder.deliver else "on_success"
        raise StartupError(f"{where} has both `{beside}` and `replace`: take one of them")
    if folder.replace and (len(wanted) != 1 or wanted[0].extension == FOLDER):
        raise StartupError(f"{where}: one output takes the place of a file: name one preset, of single files")
    if folder.on_success != "leave" and folder.deliver is None:
        raise StartupError(f"{where}: results are kept for a time only: `deliver` them, if their sources go")
    if folder.on_success != "leave" and folder.deliver and folder.deliver.conflict == Conflict.OVERWRITE:
        raise StartupError(
            f"{where}: of two films that are called the same one result would be overwritten, though both "
            f'count as done and go: with `on_success` = "{folder.on_success}" take another `conflict`, such as number'
        )
    if (folder.on_success == "move") != (folder.move_to is not None):
        raise StartupError(f'{where}: `move_to` says where its files go, with `on_success` = "move"')
    if folder.aside:
        _refuse_unclear(folder.aside, folder, settings)


def _refuse_changes(folder: AnyFolder, where: str) -> None:
    asked = {"replace": folder.replace, "on_success": folder.on_success != "leave", "move_to": folder.move_to}
    if found := next((name for name, is_asked in asked.items() if is_asked), None):
        words = f"what is in a bucket is not replaced, moved or deleted: leave out `{found}`"
        raise StartupError(f"{where}: {words}, and let a lifecycle rule of the bucket do so")


def _refuse_unclear(aside: Path, folder: Folder, settings: Settings) -> None:
    where, what = _where(folder), _called(folder)
    if not aside.is_absolute() or ".." in aside.parts or not aside.name:
        raise StartupError(f"{where}: {what} {aside} has to be named by its whole path")
    if aside.is_relative_to(settings.state_dir):
        raise StartupError(f"{where}: {what} is in the state dir: name a folder outside of that")


def refuse_watched(
    folder: AnyFolder, others: Sequence[Folder], places: Mapping[str, Place], kept: Mapping[str, Place]
) -> None:
    """Raises StartupError where what files of the folder are moved to is watched, or a folder lies in it.

    `places` tell where folders lie, and `kept` where their files are moved to, by the names of the folders.
    """
    if not isinstance(folder, Folder) or folder.name not in kept:
        return
    where, what, aside = _where(folder), _called(folder), kept[folder.name]
    for other in others:
        if places[other.name].within(aside):
            raise StartupError(f"{where}: the folder {other.name} lies in {what}: name another one")
        ways = aside.within(places[other.name])
        if any(not (other is folder and _is_hidden(way)) for way in ways):
            remedy = "let its name begin with a dot" if other is folder else "name another one"
            raise StartupError(f"{where}: {what} lies in the folder {other.name}, which is watched: {remedy}")


def refuse_unusable(folder: Folder) -> None:
    """Raises StartupError for a folder that may not be changed, or from which nothing can be moved. Blocks."""
    if not (folder.replace or folder.on_success != "leave") or not folder.path.is_dir():
        return
    written, aside = [folder.path], folder.aside
    if aside:
        _refuse_unmovable(aside, folder)
        written.append(aside if aside.exists() else aside.parent)
    for path in written:
        if not os.access(path, os.W_OK | os.X_OK):
            raise StartupError(f"{_where(folder)}: the daemon's user may not write to {path}, as it has to")


def refuse_twice(folder: Folder, others: Sequence[Folder], places: Mapping[str, Place]) -> None:
    """Raises StartupError where another name leads to the same folder, or into it, and files that both take are
    changed. `places` tell where each lies."""
    for other in others:
        if other is folder or not (folder.is_changed or other.is_changed):
            continue
        if places[folder.name].path in places[other.name].ways:
            raise StartupError(
                f"{_where(folder)}: {folder.path} is the folder {other.name} by another name, {GO}: watch it once"
            )
        if folder.recursive and _takes_of(folder, other, places):
            raise StartupError(
                f"{_where(folder)}: {other.name} lies in it, both take its files, {GO}: `exclude` them in one"
            )


def _takes_of(folder: Folder, other: Folder, places: Mapping[str, Place]) -> bool:
    """Whether it takes files of another that lies in it, by what they may be called."""
    meant = [*USUAL, *(sample_of(pattern) for pattern in (*folder.include, *other.include))]
    files = product(places[other.name].within(places[folder.name]), meant)
    return any(may_be_taken(f"{way}/{name}", folder) and may_be_taken(name, other) for way, name in files)


def _refuse_unmovable(aside: Path, folder: Folder) -> None:
    where, what = _where(folder), _called(folder)
    if os.path.lexists(aside) and (aside.is_symlink() or not aside.is_dir()):
        raise StartupError(f"{where}: {what} {aside} is no folder")
    if not aside.parent.is_dir():
        raise StartupError(f"{where}: {what} {aside} cannot be made: {aside.parent} is no folder")
    if device_of(aside) != folder.path.stat().st_dev:
        raise StartupError(f"{where}: {what} {aside} lies on another file system: files are moved, not copied")


def _called(folder: Folder) -> str:
    return "the trash" if folder.replace else "`move_to`"


def _where(folder: AnyFolder) -> str:
    return f"In {folder.place or 'ffspool.toml'}: the folder {folder.name}"


def _is_hidden(way: PurePath) -> bool:
    """Whether no scan of the folder comes there."""
    return any(part.startswith(".") for part in way.parts)
