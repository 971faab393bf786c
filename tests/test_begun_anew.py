"""What becomes of what is encoded of films in the database: what it took is counted once, and why it went is told."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from stored import add_job, claim, in_store, variation

from daemon.database.store import Store, Transaction
from daemon.encode.task import Durable, Kept
from daemon.paths import Paths
from daemon.proof.prove import Proof
from daemon.scheduling import claims
from daemon.scheduling.claims import INTERRUPTED, NO_ROOM, Failure

PROOF = Proof(bytes=1, sha256="-", inode=1, output_seconds=1.0, cpu_seconds=2.0, speed=None)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    return paths


def begin(transaction: Transaction, at: float = 0.0) -> claims.Claim:
    """Begins an attempt that writes a piece, from that second on."""
    mine = claim(transaction)
    claims.record_piece(transaction, variation=mine.seq, attempt=mine.attempt, begins=at, begun_with="")
    return mine


def give_up(transaction: Transaction, mine: claims.Claim, failure: Failure | None, cpu_seconds: float) -> bool:
    how = {"failure": failure, "cpu_seconds": cpu_seconds, "now": 3.0}
    return claims.abandon(transaction, variation=mine.seq, attempt=mine.attempt, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(("spent", "in_all"), [(5.0, 7.0), (0.0, 5.0)], ids=["in order", "by a crash"])
def test_what_pieces_took_is_counted_with_the_film_they_become(paths: Paths, spent: float, in_all: float) -> None:
    async def work(store: Store) -> tuple[float, float]:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        told = Durable(task="", seconds=1.0, kept={"a": Kept(bytes=1)}, cpu_seconds=3.0)
        await store.write(partial(claims.record_durable, told))
        assert await store.write(lambda t: give_up(t, mine, INTERRUPTED, spent))
        again = await store.write(begin)
        done = partial(claims.complete, variation=again.seq, attempt=again.attempt, proof=PROOF, now=4.0)
        assert await store.write(done)
        job = await store.read(lambda t: t.one("job", id="a"))
        assert job
        return job["cpu_seconds"], job["discarded_cpu"]

    assert in_store(paths, work) == (in_all, 0.0)


def test_pieces_of_films_that_wait_are_counted_as_stored(paths: Paths) -> None:
    async def work(store: Store) -> list[int]:
        def stored(transaction: Transaction) -> int:
            row = transaction.one("stored_bytes")
            assert row
            return int(row["count"])

        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        kept = Durable(task="", seconds=1.0, kept={"a": Kept(bytes=1 << 30)})
        await store.write(partial(claims.record_durable, kept))
        running = await store.read(stored)  # whose room is kept for them anyway
        await store.write(lambda t: give_up(t, mine, INTERRUPTED, 5.0))
        waiting = await store.read(stored)
        await store.write(lambda t: claims.refuse_pieces(t, variation=mine.seq, why=""))
        return [waiting - running, await store.read(stored) - running]

    assert in_store(paths, work) == [1 << 30, 0]


def test_all_pieces_that_a_cancel_keeps_are_told(paths: Paths) -> None:
    async def work(store: Store) -> list[tuple[float, int]]:
        await store.write(lambda t: add_job(t, "a"))
        for begins, seconds, size in ((0.0, 12.0, 100), (10.0, 25.0, 50), (22.0, 0.0, 0)):
            mine = await store.write(lambda t, at=begins: begin(t, at))
            kept = Durable(task="", seconds=seconds, kept={"a": Kept(bytes=size)})
            await store.write(partial(claims.record_durable, kept))
            await store.write(lambda t, one=mine: give_up(t, one, INTERRUPTED, 1.0))
        await store.write(lambda t: t.run("lay_down_waiting", now=4.0))
        kept = await store.read(lambda t: t.all("kept_pieces", job=1, source=None, variation=None))
        return [(row["seconds"], row["bytes"]) for row in kept]

    assert in_store(paths, work) == [(25.0, 150)]


def test_what_pieces_took_is_discarded_with_them_and_a_full_disk_told(paths: Paths) -> None:
    async def work(store: Store) -> tuple[str, float]:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        assert await store.write(lambda t: give_up(t, mine, INTERRUPTED, 5.0))
        again = await store.write(begin)
        assert not await store.write(lambda t: give_up(t, again, Failure(error="full", space=10), 3.0))
        job = await store.read(lambda t: t.one("job", id="a"))
        row = await store.read(partial(variation, name="a"))
        assert job
        return row["begun_anew"], job["discarded_cpu"]

    assert in_store(paths, work) == (NO_ROOM, 8.0)
