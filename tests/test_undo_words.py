"""What cannot be undone, or proven, is told as what it is."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.database.store import Store
from daemon.delivery.originals import Originals
from daemon.delivery.replacements import Replacements
from daemon.delivery.standing_terms import StandingTerms
from daemon.errors import Conflict, ProbeError, UnsuitableSource
from daemon.models import Replacing, SourceFile
from daemon.paths import Paths
from daemon.proof import prove
from daemon.source_files import identity_of


def test_an_undo_in_a_folder_that_was_renamed_says_so(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "aside").write_bytes(b"ab")
    os.utime(tmp_path / ".trash" / "aside", ns=(10**18, 10**18))
    wish = Replacing(
        folder="x", root=str(tmp_path), name="a/film.mkv", bytes=2, inode=1, modified=10**18,
        trash=str(tmp_path / ".trash"), min_saving=0.1, disk="0" * 32,
    )  # fmt: skip
    wanted = msgspec.json.encode(asyncio.run(Originals(StandingTerms(())).resolve(wish))).decode()
    row = {"id": "a", "job": "j", "folder": "x", "name": wish.name, "taken_by": wish.name, "aside": "aside",
           "wanted": wanted, "original_bytes": 2, "bytes": 1, "sha256": "", "now": 1.0, "keep": 9e9}  # fmt: skip

    async def undone() -> None:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        try:
            await store.write(lambda t: t.run("insert_replacement", **{**row, "id": str(time.time_ns())}))
            await Replacements(store, StandingTerms(())).undo(str(tmp_path / wish.name))
        finally:
            await store.close()

    with pytest.raises(Conflict, match="has another name by now, or is gone: make it again"):
        asyncio.run(undone())
    (tmp_path / ".trash").rename(tmp_path / "unmounted")
    with pytest.raises(Conflict, match=r"is in its place: try again once that is there$"):
        asyncio.run(undone())


class Undecodable:
    """A prober to which nothing is whole."""

    async def decode_whole(self, *_: Any) -> None:
        raise ProbeError("it ends early")


@pytest.mark.parametrize(
    ("later", "words"), [(b"as it was", ""), (b"another", ": it was changed or replaced while it was read")]
)
def test_an_original_that_another_program_wrote_to_is_not_told_as_damaged(
    tmp_path: Path, later: bytes, words: str
) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"as it was")
    source = SourceFile(str(film), identity=identity_of(film.stat()))
    if later != film.read_bytes():
        film.write_bytes(later)
    media: Any = type("Media", (), {"duration_seconds": 1.0})
    prober: Any = Undecodable()
    with pytest.raises(UnsuitableSource, match=f"its original stays as it is{words}: it ends early"):
        asyncio.run(prove.refuse_damaged(prober, source, media, 9))


def test_an_original_that_its_share_did_not_give_for_a_moment_is_not_told_as_damaged(tmp_path: Path) -> None:
    answers = [ProbeError("the file cannot be opened: Transport endpoint is not connected"), None]

    class Flickering:
        async def decode_whole(self, *_: Any) -> None:
            if error := answers.pop(0):
                raise error

    (tmp_path / "film.mkv").write_bytes(b"as it was")
    media: Any = type("Media", (), {"duration_seconds": 1.0})
    prober: Any = Flickering()
    asyncio.run(prove.refuse_damaged(prober, SourceFile(str(tmp_path / "film.mkv")), media, 9))
    assert not answers
