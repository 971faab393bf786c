"""What ffspool delivered is known as its own, by where it was brought and by what it is."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from daemon.database.store import Store
from daemon.folders.own_outputs import ours
from daemon.folders.scan import Found
from daemon.paths import Paths


def known(tmp_path: Path, brought: list[tuple[int, int | None]], *files: Found) -> list[str]:
    """Which of the files are ours, where outputs of so many bytes and that inode were brought to `/films/t1.mp4`."""

    async def asked() -> list[Found]:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        for size, inode in brought:
            row = {"place": "original:/films", "path": "t1.mp4", "bytes": size, "inode": inode, "modified": inode}
            await store.write(lambda t, row=row: t.run("keep_brought", **row))  # type: ignore[misc]
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
