"""What ffspool delivered is known as its own, by where it was brought and by what it is."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from conftest import Daemon, wait_until
from test_folders import Start, inbox, jobs, scans, shown, told, watching

from daemon.database.store import Store
from daemon.folders import own_outputs
from daemon.folders.own_outputs import ours
from daemon.folders.scan import Found
from daemon.paths import Paths

__all__ = ["inbox"]


def known(tmp_path: Path, brought: list[tuple[int, int | None]], *files: Found) -> list[str]:
    """Which of the files are ours, where outputs of so many bytes and that inode were brought to `/films/t1.mp4`."""

    async def asked() -> list[Found]:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        for size, inode in brought:
            row: dict[str, Any] = {"place": "original:/films", "path": "t1.mp4", "bytes": size}
            row |= {"seconds": None, "codec": None}
            await store.write(lambda t, row=row: t.run("keep_brought", **row))  # type: ignore[misc]
            if inode is not None:
                row = {"inode": inode, "bytes": size, "modified": inode, "name": "t1.mp4", "folder": None}
                await store.write(lambda t, row=row: t.run("keep_brought_file", **row))  # type: ignore[misc]
        found = await store.read(partial(ours, "/films", {"original:/films": "/films"}, files))
        await store.close()
        return found

    return [found.path for found in asyncio.run(asked())]


def file(path: str, size: int, inode: int) -> Found:
    return Found(path, (size, 1, inode, inode), inode)


def test_one_that_was_to_lie_there_and_was_refused_does_not_pass_for_what_does(tmp_path: Path) -> None:
    """Two originals are called alike but for their endings: the output of each would have one name."""
    assert known(tmp_path, [(100, 7), (90, None)], file("t1.mp4", 100, 7)) == ["t1.mp4"]


def test_an_output_is_known_by_any_name_and_another_file_of_its_size_is_not(tmp_path: Path) -> None:
    files = file("a/renamed.mp4", 100, 7), file("another.mp4", 100, 8), file("t1.mp4", 101, 9)
    assert known(tmp_path, [(100, None), (100, 7)], *files) == ["a/renamed.mp4"]


def test_another_folder_of_the_same_inode_is_not_taken_for_an_output(tmp_path: Path) -> None:
    """As where that is removed, and its number given away anew."""
    (tmp_path / "film_hls").mkdir()
    (tmp_path / "film_hls" / "master.m3u8").write_text("what somebody else wrote")
    film = file("film_hls/deep/film.mp4", 100, 7)
    ways = {"film_hls": (tmp_path / "film_hls").stat().st_ino}
    status = (tmp_path / "film_hls" / "master.m3u8").stat()
    row = {"folder": ways["film_hls"], "name": "master.m3u8", "bytes": status.st_size, "modified": status.st_mtime_ns}
    still = [
        own_outputs.still_ours(str(tmp_path), ways, [row | {"inode": inode}])  # type: ignore[list-item]
        for inode in (status.st_ino, status.st_ino + 1)
    ]
    assert [own_outputs.within(own, [film]) for own in still] == [[film], []]


def made_with_its_folder_still_to_be_seen(start_daemon: Start, inbox: Path) -> Daemon:
    wish = {"folder": str(inbox / "made"), "name": "{stem}_{preset}.{ext}"}
    variations = [{"preset": name} for name in ("hls", "dash", "sprite-sheet")]
    daemon = watching(start_daemon, inbox, include=["*"], recursive=True, deliver=wish, variations=variations)
    wait_until(lambda: jobs(daemon), "its job")
    told(daemon, "pause")
    wait_until(lambda: jobs(daemon)[0]["deliveries"] == {"pending": 0, "delivered": 3, "failed": 0}, "its results")
    return daemon


def test_folders_that_have_another_name_by_now_hold_no_sources(start_daemon: Start, inbox: Path, clip: Path) -> None:
    """As a hook gives it, before any scan found them where they were delivered; one is moved into another, too."""
    (inbox / "film.mp4").write_bytes(clip.read_bytes())
    daemon = made_with_its_folder_still_to_be_seen(start_daemon, inbox)
    hls, dash, sprites = (next((inbox / "made").glob(f"*{kind}*")) for kind in ("hls", "dash", "sprite"))
    (inbox / "web" / "2026").mkdir(parents=True)
    hls.rename(inbox / "web" / "2026" / "stream")
    dash.rename(inbox / "again")
    (inbox / "again" / "poster.txt").write_text("somebody else's")
    sprites.rename(inbox / "web" / "2026" / "pictures")
    told(daemon, "resume")
    scans(daemon)
    assert shown(daemon)["waiting"] == 0
    assert (shown(daemon)["taken"], shown(daemon)["refused"]) == (1, 0)
