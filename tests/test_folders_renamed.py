"""A watched folder is known by another name, too; what failed by a preset is tried once that says something else."""

from __future__ import annotations

import asyncio
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

from conftest import Daemon, wait_until
from msgspec.structs import replace
from test_folders import Start, inbox, jobs, shown, watching

from daemon.config_tables import Folder
from daemon.database.store import Store
from daemon.folders import renamed
from daemon.folders.watched import Watched
from daemon.paths import Paths
from daemon.presets.builtin import PRESETS
from daemon.presets.library import Library

__all__ = ["inbox"]


def scanned(daemon: Daemon) -> None:
    for _ in range(4):
        before = shown(daemon)["scanned_at"]
        wait_until(lambda before=before: shown(daemon)["scanned_at"] not in {before, None}, "a scan")


def test_a_folder_of_another_name_is_the_same_while_it_lies_there(start_daemon: Start, inbox: Path, clip: Path) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    daemon = watching(start_daemon, inbox, name="arrivals")
    wait_until(lambda: shown(daemon)["made"], "its result")
    daemon.stop()
    config = inbox.parent / "ffspool.toml"
    config.write_text(config.read_text().replace('name = "arrivals"', 'name = "cards"'))
    daemon.start()
    scanned(daemon)
    assert (shown(daemon)["name"], shown(daemon)["taken"], len(jobs(daemon))) == ("cards", 1, 1)


def own(crf: int) -> Library:
    preset = PRESETS["h264-480p"]
    return Library([replace(preset, name="mine", own_of=preset.name, defaults=replace(preset.defaults, crf=crf))])


def left(tmp_path: Path, *starts: tuple[Folder, Library]) -> dict[str, set[str]]:
    """What is known of files by their folders after those starts, where of each sort there was one before."""

    async def asked() -> dict[str, set[str]]:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        try:
            for number, (folder, library) in enumerate(starts):
                watch = Watched(folder, time.time)
                await store.write(partial(renamed.know, [watch], library))
                if not number:
                    await store.write(partial(files, watch))
            return {
                name: {
                    row["outcome"] or row["error"]
                    for row in await store.read(partial(rows, replace(folder, name=name)))
                }
                for folder, name in ((starts[-1][0], name) for name in {folder.name for folder, _ in starts})
            }
        finally:
            await store.close()

    return asyncio.run(asked())


def rows(folder: Folder, transaction: Any) -> Any:
    watch = Watched(folder, time.time)
    return transaction.all("watched_history", limit=9, below=9e99, inode=0, **watch.key)


def files(watch: Watched, transaction: Any) -> None:
    more: dict[str, Any] = dict.fromkeys(("job", "error", "fate", "disk"))
    said = {"completed": None, "failed": None, "cancelled": None, "no film": "no film", "lost": "not replaced: lost"}
    for number, (outcome, error) in enumerate(said.items()):
        known = {"folder": watch.folder.name, "recipe": watch.recipe, "inode": number, "bytes": 1, "modified": 1}
        known |= {**more, "name": outcome, "now": number, "returns": 0, "error": error, "job": outcome}
        transaction.run("insert_watched_file", **known)
        if error is None:
            transaction.run("record_replaced", job=outcome, outcome=outcome)


def test_what_failed_by_a_preset_is_tried_once_that_says_something_else(tmp_path: Path) -> None:
    folder = Folder(name="x", path=tmp_path, variations=({"preset": "mine"},))
    everything = {"completed", "failed", "cancelled", "no film", "not replaced: lost"}
    assert left(tmp_path / "a", (folder, own(20)), (folder, own(20))) == {"x": everything}
    assert left(tmp_path / "b", (folder, own(20)), (folder, own(21))) == {"x": {"completed", "cancelled", "no film"}}


def test_a_folder_elsewhere_is_another_whatever_it_is_called(tmp_path: Path) -> None:
    folder = Folder(name="x", path=tmp_path, variations=({"preset": "mp3"},))
    called, elsewhere = replace(folder, name="y"), replace(folder, name="z", path=tmp_path / "z")
    everything = {"completed", "failed", "cancelled", "no film", "not replaced: lost"}
    assert left(tmp_path / "a", (folder, Library()), (called, Library())) == {"x": set(), "y": everything}
    assert left(tmp_path / "b", (folder, Library()), (elsewhere, Library())) == {"x": everything, "z": set()}
