"""Knows watched folders again that are called otherwise in `ffspool.toml` by now, and what their presets said before.

What became of files is kept by their folder's name. A folder is the same where what was called so is watched under that
name no more, and lies where this one does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from daemon.config_tables import BucketFolder, Folder
from daemon.database.store import Row, Transaction
from daemon.folders.watched import Watched
from daemon.presets.library import Library

TABLES = ("watched_files", "replacements", "jobs", "paused_folders", "overruled_folders")


def know(watches: Sequence[Watched], library: Library, transaction: Transaction) -> None:
    """Has all that is known of a folder be known of it by the name that it has now, and what failed by presets that say
    something else now be looked at anew."""
    known = {row["name"]: row for row in transaction.all("known_folders")}
    names = {watch.folder.name for watch in watches}
    left = {name: row for name, row in known.items() if name not in names}
    for watch in watches:
        name, place, made = watch.folder.name, _place(watch), _made(watch, library)
        before = known.get(name) or _renamed(watch, place, left, transaction)
        if before and before["name"] != name:
            del left[before["name"]]
            for table in TABLES:
                transaction.run(f"rename_folder_of_{table}", was=before["name"], name=name)
            transaction.run("forget_folder", name=before["name"])
        if before and before["made"] != made:
            transaction.run("forget_what_presets_did", **watch.key)
        transaction.run("know_folder", name=name, place=place, made=made)


def _renamed(watch: Watched, place: str, left: dict[str, Row], transaction: Transaction) -> Row | None:
    """The folder that it was: of several that lay there, the one of whose files the same was made."""
    there = [row for row in left.values() if row["place"] == place]
    alike = (
        row
        for row in there
        if transaction.one("file_of_folder", folder=row["name"], recipe=watch.recipe, ruled=watch.ruled)
    )
    return next(alike, there[0] if len(there) == 1 else None)


def _place(watch: Watched) -> str:
    folder = watch.folder
    assert isinstance(folder, Folder | BucketFolder)
    return folder.beginning


def _made(watch: Watched, library: Library) -> str:
    presets = [library.find(variation.preset) for variation in watch.variations]
    said = msgspec.json.encode([(preset.base, preset.defaults) for preset in presets], order="sorted")
    return hashlib.sha256(said).hexdigest()[:16]
