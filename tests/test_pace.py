"""Looks at a long queue rest in proportion to what they took."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import PATIENCE, wait_until
from stored import add_job, fetching, in_store

from daemon import pace
from daemon.database.store import Store, Transaction
from daemon.jobs.insertion import insert_fetch
from daemon.models import Remote
from daemon.pace import Pace
from daemon.paths import Paths
from daemon.storage import fetches
from daemon.storage.download import Downloader


def test_a_look_is_followed_by_a_rest_unless_somebody_knows_more() -> None:
    clock = 10.0
    looks = Pace(lambda: clock)
    assert looks.left == 0
    with looks.looking():
        clock += 0.1
    assert looks.left == pytest.approx(0.9)
    with looks.looking():
        clock += 60
    assert looks.left == pace.MOST
    looks.wake()
    assert looks.left == 0
    with looks.looking():
        looks.wake()
        clock += 1
    assert looks.left == 0, "what was told meanwhile may not have been seen"


def test_commits_do_not_each_have_a_long_queue_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "RESTS", 1e9)
    monkeypatch.setattr(pace, "MOST", 1e9)
    paths, fetched = Paths(tmp_path / "state"), list[object]()
    paths.prepare()

    def fill(transaction: Transaction) -> None:
        for number in range(1, 6):
            add_job(transaction, f"film {number}")
            remote = Remote(url="https://host.example/film.mp4", shown="https://host.example/…")
            insert_fetch(transaction, number, number, remote, 1.0)

    async def main(store: Store) -> None:
        looks, read, gate = 0, store.read, asyncio.Event()

        async def counted(work: Callable[[Transaction], Any]) -> Any:
            nonlocal looks
            looks += getattr(work, "func", None) is fetches._due
            return await read(work)

        class Held:
            async def fetch(self, *of: object) -> int:
                fetched.append(of)
                await gate.wait()
                return 1

        monkeypatch.setattr(store, "read", counted)
        await store.write(fill)
        queue = fetching(paths, store, cast("Downloader", Held()))
        running = asyncio.create_task(queue.run())
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(wait_until, lambda: len(fetched) == 4 and looks > 4, "all slots")
            before = looks
            for number in range(20):
                await store.write(lambda t, n=number: t.run("count_stop", stage="quit", seconds=n))  # type: ignore[misc]
            assert looks - before <= 2  # of one that was under way
            gate.set()
            await asyncio.to_thread(wait_until, lambda: len(fetched) == 5, "the last, once a slot is free")
        running.cancel()
        await asyncio.wait([running])

    in_store(paths, main)
