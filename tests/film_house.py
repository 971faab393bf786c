"""A film of which something is encoded, in a real store and folder: for tests of how it is gone on with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from msgspec.structs import replace
from stored import add_job, claim, in_store, variation
from test_resume import encoded, task

from daemon.database.store import Row, Store
from daemon.encode.durability import synced
from daemon.encode.task import Durable, Kept
from daemon.media import describe
from daemon.media.model import Media
from daemon.media.prober import Prober
from daemon.models import VariationRequest
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.recipes.recipe import Begin
from daemon.scheduling import claims, film, piece_rows
from daemon.scheduling.resources import Resources

[WANTED] = Library().expand([VariationRequest("h264-480p", {"speed": "ultrafast"})])


@pytest.fixture(scope="session")
def piece(ffmpeg: str, small_film: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("piece") / "1.piece"
    encoded(ffmpeg, task(small_film, path, WANTED, begin=Begin()), killed_at=18.0)
    return path.read_bytes()


Film = Callable[[Callable[["House"], Awaitable[Any]]], Any]


class House(NamedTuple):
    """What a film is gone on with in, and what it holds."""

    resources: Resources
    media: Media

    async def finds(self, *, cut: bool = False) -> film.Film:
        """Claims the film, and finds what there is of it."""
        mine = replace(await self.resources.store.write(claim), media=self.media, parameters=WANTED.parameters)
        found = film.Film(self.resources, mine, cut=cut)
        await found.begin_anew_or_go_on()
        return found

    async def begins(self) -> film.Film:
        """Begins a piece, too, of its first span."""
        going_on = await self.finds()
        [span, *_] = going_on.spans
        await span.write(span.next_piece())
        return going_on

    async def row(self) -> Row:
        """What the database knows of it."""
        return cast("Row", await self.resources.store.read(partial(variation, name="a")))

    async def tells(self, kept: Kept, piece: int = 1, span: int = 0) -> None:
        """Records that so much is on the disk."""
        durable = Durable(task="", seconds=15.0, kept={"a": kept})
        recording = partial(piece_rows.record_durable, durable, numbers={"a": piece}, span=span)
        await self.resources.store.write(recording)

    async def ends(self) -> None:
        row = await self.row()
        ends = {"variation": row["seq"], "attempt": row["attempts"], "failure": None, "now": 3.0}
        await self.resources.store.write(lambda t: claims.abandon(t, **ends))


@pytest.fixture
def house(small_film: Path, tmp_path: Path) -> Film:
    """Does some work on a film."""
    paths = Paths(tmp_path / "state")
    paths.prepare()
    media = describe.read_media(str(small_film))

    async def at_work(work: Callable[[House], Awaitable[Any]], store: Store) -> Any:
        if await store.read(partial(variation, name="a")) is None:
            await store.write(lambda t: add_job(t, "a"))
        prober = Prober(sandboxed=False)
        rooms = SimpleNamespace(
            store=store, paths=paths, prober=prober, encoder="", base=lambda _: "h264-480p", span_seconds=inf
        )
        try:
            return await work(House(cast("Resources", rooms), media))
        finally:
            await prober.close()

    return lambda work: in_store(paths, partial(at_work, work))


async def interrupted(house: House, written: bytes, kept: int | None) -> Path:
    """An attempt that wrote so much, of which so many bytes were synced."""
    path = latest(await house.begins())
    path.write_bytes(written[:kept])
    await house.tells(synced(path, Kept()))
    path.write_bytes(written)
    await house.ends()
    return path


def latest(made: film.Film) -> Path:
    """Where the piece is to be written that was begun last of its first span."""
    [span, *_] = made.spans
    path = span.path(span.latest)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
