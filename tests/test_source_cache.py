"""What a machine fetched stays while it is used, and makes room for more when it is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from conftest import PATIENCE

from daemon.cluster.file_server import MACHINE, FileServer, Tasks
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.transfers import Transfers
from daemon.encode.task import Task
from daemon.media import describe
from daemon.models import SourceFile

SOURCES, SLOTS, KEPT, BYTES = 500, 8, 4, 1000


def test_many_sources_come_at_once_though_few_of_them_fit(clip: Path, tmp_path: Path) -> None:
    """While one looks for what may go, others come."""
    media, tasks = describe.read_media(str(clip)), Tasks()
    for number in range(SOURCES):
        (tmp_path / str(number)).write_bytes(content(number))
        source = SourceFile(path=str(tmp_path / str(number)))
        tasks.add("box2", Task(id=str(number), source=source, source_name=str(number), media=media, orders=()))
    server = FileServer(tasks, lambda *_: True, lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None)

    async def used(cache: SourceCache, numbers: range) -> list[bytes]:
        found = []
        for number in numbers:
            async with cache.source(tasks.get(str(number), "box2")) as path:
                found.append(await asyncio.to_thread(path.read_bytes))
        return found

    async def all_of_them() -> list[list[bytes]]:
        served = httpx.ASGITransport(server.app)
        async with httpx.AsyncClient(transport=served, base_url="http://daemon", headers={MACHINE: "box2"}) as client:
            cache = SourceCache(tmp_path / "kept", KEPT * BYTES, Transfers(client))
            (tmp_path / "kept").rmdir()  # somebody tidied up
            async with asyncio.timeout(PATIENCE):
                return await asyncio.gather(*(used(cache, range(first, SOURCES, SLOTS)) for first in range(SLOTS)))

    assert asyncio.run(all_of_them()) == [
        [content(number) for number in range(first, SOURCES, SLOTS)] for first in range(SLOTS)
    ]


def content(number: int) -> bytes:
    return number.to_bytes(2) * (BYTES // 2)
