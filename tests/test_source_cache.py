"""What a machine fetched stays while it is used, and makes room for more when it is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from conftest import PATIENCE
from engine_conformance import order
from msgspec.structs import replace
from test_machine_disks import small

from daemon.cluster.file_server import MACHINE, FileServer, Tasks
from daemon.cluster.pulse import free
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.transfers import Transfers
from daemon.encode.task import Task
from daemon.media import describe
from daemon.models import SourceFile
from daemon.source_files import identity_of

SOURCES, SLOTS, KEPT, BYTES = 500, 8, 4, 1000


def test_many_sources_come_at_once_though_few_of_them_fit(clip: Path, tmp_path: Path) -> None:
    """While one looks for what may go, others come."""
    tasks = served(clip, tmp_path, SOURCES)

    async def used(cache: SourceCache, numbers: range) -> list[bytes]:
        return [await read(cache, tasks.get(str(number), "box2")) for number in numbers]

    async def all_of_them() -> list[list[bytes]]:
        async with dialled(tasks) as transfers:
            cache = SourceCache(tmp_path / "kept", KEPT * BYTES, transfers)
            (tmp_path / "kept").rmdir()  # somebody tidied up
            return await asyncio.gather(*(used(cache, range(first, SOURCES, SLOTS)) for first in range(SLOTS)))

    assert asyncio.run(all_of_them()) == [
        [content(number) for number in range(first, SOURCES, SLOTS)] for first in range(SLOTS)
    ]


def test_what_a_power_cut_may_have_left_of_a_source_is_not_taken_for_it(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has its name is on the disk, or is fetched anew."""
    tasks, synced = served(clip, tmp_path, 1), list[int]()
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    async def twice() -> list[bytes]:
        async with dialled(tasks) as transfers:
            cache = SourceCache(tmp_path / "kept", BYTES, transfers)
            first = await read(cache, tasks.get("0", "box2"))
            [kept] = (tmp_path / "kept").iterdir()
            assert kept.stat().st_ino in synced
            os.truncate(kept, 0)
            return [first, await read(cache, tasks.get("0", "box2"))]

    assert asyncio.run(twice()) == [content(0), content(0)]


def test_sources_that_nobody_uses_make_room_on_a_disk_that_is_smaller_than_they_may_be(
    clip: Path, tmp_path: Path
) -> None:
    """And for what is made of others; what is kept of those that are gone is nothing."""
    tasks = served(clip, tmp_path, 40)

    async def one_by_one() -> None:
        async with dialled(tasks) as transfers:
            cache = SourceCache(tmp_path / "small" / "kept", 10**9, transfers)
            empty = free(tmp_path / "small")
            for number in map(str, range(40)):
                made = tmp_path / "small" / "made"
                one = with_output(tasks.get(number, "box2"), made)
                with cache.beside(one):
                    assert await read(cache, one) == content(int(number))
                    made.write_bytes(bytes(2 * one.orders[0].bytes))
                made.unlink()
            kept = len(list((tmp_path / "small" / "kept").iterdir()))
            assert kept > 1
            assert (cache.idle(), free(tmp_path / "small") < empty) == (kept * BYTES, True)
            await cache.give_up()
            assert (cache.idle(), free(tmp_path / "small")) == (0, empty)
            assert not (cache._coming or cache._used)

    with small(tmp_path / "small", "64k"):
        asyncio.run(one_by_one())


def with_output(one: Task, made: Path) -> Task:
    """As it is where something comes of it, of so many pages of a disk."""
    return replace(one, orders=(replace(order(made.parent, "mp3"), bytes=2 * 4096),))


def served(clip: Path, folder: Path, count: int) -> Tasks:
    """Tasks of a machine's, each of a source of its own."""
    media, tasks = describe.read_media(str(clip)), Tasks()
    for name in map(str, range(count)):
        (folder / name).write_bytes(content(int(name)))
        source = SourceFile(path=str(folder / name), identity=identity_of((folder / name).stat()))
        tasks.add("box2", Task(id=name, source=source, source_name=name, media=media, orders=()))
    return tasks


@asynccontextmanager
async def dialled(tasks: Tasks) -> AsyncIterator[Transfers]:
    server = FileServer(tasks, lambda *_: True, lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None)
    line = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=line, base_url="http://daemon", headers={MACHINE: "box2"}) as client:
        async with asyncio.timeout(PATIENCE):
            yield Transfers(client)


async def read(cache: SourceCache, one: Task) -> bytes:
    async with cache.source(one) as path:
        return await asyncio.to_thread(path.read_bytes)


def content(number: int) -> bytes:
    return number.to_bytes(2) * (BYTES // 2)
