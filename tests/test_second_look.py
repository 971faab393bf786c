"""What a list told is looked at again in the transaction that acts: what became of it meanwhile counts.

Whoever changes something between the two does so at a fixed point: while the files of the one before are removed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from stored import CONTENT, add_job, fetching, finish, house, in_store, variation, write

from daemon.database.store import Store, Transaction
from daemon.housekeeping import cleanup, expiry
from daemon.jobs import bulk
from daemon.jobs.control import Control
from daemon.jobs.listing import Selection
from daemon.jobs.receipts import BulkReceipt
from daemon.jobs.rows import job_row
from daemon.jobs.thumbnails import keep
from daemon.media.prober import Prober
from daemon.paths import Paths
from daemon.scheduling.scheduler import Scheduler
from daemon.states import State

Between = Callable[[], Any]


class Slow(Paths):
    """A spool in which `meanwhile` happens, once, while the first folder is removed."""

    meanwhile: Between | None = None

    def discard(self, path: Path) -> int:
        freed = super().discard(path)
        if self.meanwhile:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        return freed


class Idle:
    """A scheduler that runs nothing."""

    changed = asyncio.Event()

    async def stop(self, variations: set[str]) -> list[object]:
        assert not variations
        return []

    def wake(self) -> None: ...


IDLE = cast("Scheduler", Idle())


@pytest.fixture
def paths(tmp_path: Path) -> Slow:
    paths = Slow(tmp_path / "state")
    paths.prepare()
    return paths


def then(loop: asyncio.AbstractEventLoop, store: Store, work: Callable[[Transaction], Any]) -> Between:
    """Has it written from the thread that removes files; that waits until it is."""
    return lambda: asyncio.run_coroutine_threadsafe(store.write(work), loop).result(30)


def prolong(transaction: Transaction, job: str, until: float) -> None:
    row = job_row(transaction, job, 9.0)
    transaction.run("update_job", job=row["seq"], name=row["name"], priority=row["priority"], keep_until=until)


def fail(transaction: Transaction, name: str) -> None:
    add_job(transaction, name)
    transaction.run("fail_queued_of_source", source=name, error="made for the test", now=5.0)


def retry(transaction: Transaction, job: str) -> None:
    seq = job_row(transaction, job, 9.0)["seq"]
    failed = transaction.all("missing_of_jobs", jobs=f"[{seq}]", source=None, variation=None)
    transaction.run("requeue", variations=f"[{failed[0]['seq']}]")


def test_a_job_that_is_given_longer_while_others_expire_is_kept(paths: Slow) -> None:
    async def work(store: Store) -> int:
        for name, at in (("first", 10.0), ("second", 11.0)):
            await store.write(partial(finish, name=name, paths=paths, at=at))
        paths.meanwhile = then(asyncio.get_running_loop(), store, partial(prolong, job="second", until=1e6))
        gone = await expiry.expire(store, paths, 1000.0, 1e6)
        assert (await store.read(lambda t: job_row(t, "second", 12.0)))["status"] == "completed"
        return gone

    assert in_store(paths, work) == 1
    assert paths.output("second", "second", "mp3").read_bytes() == CONTENT


def test_a_job_that_is_tried_again_while_others_are_evicted_is_kept(paths: Slow) -> None:
    async def work(store: Store) -> int:
        for name in ("first", "second"):
            await store.write(partial(fail, name=name))
            write(paths.source(name, name))
        paths.meanwhile = then(asyncio.get_running_loop(), store, partial(retry, job="second"))
        return await expiry.evict(store, paths, 99.0, 0.85, use=lambda: 0.99)

    assert in_store(paths, work) == 1
    assert paths.source("second", "second").read_bytes() == CONTENT


def test_a_failed_job_that_is_tried_again_is_no_failed_job_to_a_bulk_verb(
    paths: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BULK_VARIATIONS", 1)

    async def work(store: Store) -> BulkReceipt:
        for name in ("first", "second"):
            await store.write(partial(fail, name=name))
        paths.meanwhile = then(asyncio.get_running_loop(), store, partial(retry, job="second"))
        failed = Selection(statuses=(State.FAILED,))
        receipt = await bulk.Bulk(
            store, IDLE, paths, house(paths, store)[3], fetching(paths, store), now=lambda: 12.0
        ).delete(failed)
        assert (await store.read(lambda t: job_row(t, "second", 12.0)))["status"] == "queued"
        return receipt

    assert in_store(paths, work) == BulkReceipt(matched=1, changed=1)


def test_the_sweep_takes_nothing_that_is_somebodys_by_then(paths: Slow) -> None:
    """What an attempt left that failed has the name of what the next one writes."""

    async def work(store: Store) -> list[Path]:
        await store.write(partial(fail, name="j"))
        left = [write(paths.work("j", "j") / "1.part").parent, write(paths.source("j", "gone"))]
        suspects = await store.read(partial(cleanup.unowned, paths, {paths.job("j"): left}))
        assert suspects == {paths.job("j"): left}
        await store.write(partial(retry, job="j"))
        return await store.write(partial(cleanup.take_unowned, paths, suspects))

    assert [path.read_bytes() for path in in_store(paths, work)] == [CONTENT]
    assert (paths.work("j", "j") / "1.part").exists()
    assert not paths.source("j", "gone").exists()


def test_no_output_is_told_to_be_lost_for_another_that_was_deleted(paths: Slow) -> None:
    """The row of the one that is deleted while its file is looked for is the next one's."""

    async def work(store: Store) -> None:
        await store.write(partial(finish, name="old", paths=paths, at=5.0))
        rows = await store.read(lambda t: t.all("completed_after", after=0, limit=9))
        await store.write(lambda t: t.run("delete_job", id="old"))
        paths.discard(paths.job("old"))
        await store.write(partial(finish, name="new", paths=paths, at=6.0))
        await cleanup.mark_lost(store, paths, rows, 9.0)
        new = await store.read(partial(variation, name="new"))
        assert new["seq"] == rows[0]["seq"]
        assert new["lost_at"] is None

    in_store(paths, work)


def test_a_thumbnail_that_is_made_while_its_job_is_deleted_does_not_outlive_it(
    paths: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written at the last moment: when the folder was emptied, and only has to go itself."""
    place, rmdir = paths.thumbnail("j", "j"), os.rmdir

    def late(path: Any, **where: Any) -> None:
        if Path(path).name not in {"outputs", "thumbnails"}:
            keep(place, b"a picture")
        rmdir(path, **where)

    async def work(store: Store) -> None:
        await store.write(partial(finish, name="j", paths=paths, at=5.0))
        monkeypatch.setattr(os, "rmdir", late)
        parts = *house(paths, store)[-1:], fetching(paths, store), Prober(sandboxed=False)
        await Control(store, IDLE, paths, *parts, now=lambda: 12.0).delete("j")

    in_store(paths, work)
    assert list(paths.jobs.iterdir()) == []
    assert list(paths.discarded.iterdir()) == []


def test_the_files_of_a_form_are_not_swept_while_the_others_arrive(paths: Slow) -> None:
    """The first one may have come hours ago."""
    first = write(paths.incoming / "first of two")
    came = first.stat().st_mtime

    async def work(store: Store) -> None:
        sweep = cleanup.Sweep(store, paths, came - 1)
        await sweep.round(came + 2 * cleanup.YOUNG)
        sweep.close()

    in_store(paths, work)
    assert first.exists()
