"""What becomes of what is encoded of films in the database: what it took is counted once, and why it went is told."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from stored import add_job, claim, fetching, house, in_store, variation

from daemon.database import owned_files
from daemon.database.store import Row, Store, Transaction
from daemon.encode.task import Durable, Ended, Kept
from daemon.jobs.bulk import Bulk
from daemon.jobs.control import Control
from daemon.jobs.inheritance import inherit
from daemon.jobs.listing import Selection
from daemon.jobs.scopes import Scope
from daemon.jobs.views import JobView
from daemon.media.prober import Prober
from daemon.paths import Paths
from daemon.proof.prove import Proof
from daemon.scheduling import claims, piece_rows
from daemon.scheduling.claims import INTERRUPTED, NO_ROOM, STUCK, Failure
from daemon.scheduling.scheduler import Scheduler

PROOF = Proof(bytes=1, sha256="-", inode=1, output_seconds=1.0, cpu_seconds=2.0, speed=None)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    return paths


def begin(transaction: Transaction, at: float = 0.0, owner: str | None = None) -> claims.Claim:
    """Begins an attempt that writes a piece, from that second on."""
    mine = claim(transaction, owner)
    which = {"number": mine.attempt, "attempt": mine.attempt}
    piece_rows.record_piece(transaction, variation=mine.seq, begins=at, begun_with="", **which)
    piece_rows.record_resumed(transaction, variation=mine.seq, seconds=at)
    return mine


def give_up(
    transaction: Transaction, mine: claims.Claim, failure: Failure | None, cpu_seconds: float, *, crashed: bool = False
) -> bool:
    how = {"failure": failure, "cpu_seconds": cpu_seconds, "now": 3.0, "crashed": crashed}
    return claims.abandon(transaction, variation=mine.seq, attempt=mine.attempt, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(("spent", "in_all"), [(5.0, 7.0), (0.0, 5.0)], ids=["in order", "by a crash"])
def test_what_pieces_took_is_counted_with_the_film_they_become(paths: Paths, spent: float, in_all: float) -> None:
    async def work(store: Store) -> tuple[float, float]:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        told = Durable(task="", seconds=1.0, kept={"a": Kept(bytes=1)}, cpu_seconds=3.0)
        await store.write(partial(piece_rows.record_durable, told, numbers={"a": mine.attempt}))
        assert await store.write(lambda t: give_up(t, mine, INTERRUPTED, spent))
        again = await store.write(begin)
        done = partial(claims.complete, variation=again.seq, attempt=again.attempt, proof=PROOF, now=4.0)
        assert await store.write(done)
        job = await store.read(lambda t: t.one("job", id="a"))
        assert job
        return job["cpu_seconds"], job["discarded_cpu"]

    assert in_store(paths, work) == (in_all, 0.0)


def stored(transaction: Transaction, of: str = "stored_bytes") -> int:
    row = transaction.one(of, owner="somebody")
    assert row
    return int(row["count"])


def test_pieces_of_films_that_wait_are_counted_as_stored(paths: Paths) -> None:
    async def work(store: Store) -> list[int]:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        kept = Durable(task="", seconds=1.0, kept={"a": Kept(bytes=1 << 30)})
        await store.write(partial(piece_rows.record_durable, kept, numbers={"a": mine.attempt}))
        running = await store.read(stored)  # whose room is kept for them anyway
        await store.write(lambda t: give_up(t, mine, INTERRUPTED, 5.0))
        waiting = await store.read(stored)
        await store.write(lambda t: piece_rows.refuse_pieces(t, variation=mine.seq, why=""))
        return [waiting - running, await store.read(stored) - running]

    assert in_store(paths, work) == [1 << 30, 0]


def test_all_pieces_that_a_cancel_keeps_are_told(paths: Paths) -> None:
    async def work(store: Store) -> list[tuple[float, int]]:
        await store.write(lambda t: add_job(t, "a"))
        for begins, seconds, size in ((0.0, 12.0, 100), (10.0, 25.0, 50), (22.0, 0.0, 0)):
            mine = await store.write(lambda t, at=begins: begin(t, at))
            kept = Durable(task="", seconds=seconds, kept={"a": Kept(bytes=size)})
            await store.write(partial(piece_rows.record_durable, kept, numbers={"a": mine.attempt}))
            await store.write(lambda t, one=mine: give_up(t, one, INTERRUPTED, 1.0))
        await store.write(lambda t: t.run("lay_down_waiting", now=4.0))
        kept = await store.read(lambda t: t.all("kept_pieces", job=1, source=None, variation=None))
        return [(row["seconds"], row["bytes"]) for row in kept]

    assert in_store(paths, work) == [(25.0, 150)]


def test_sound_that_is_kept_beside_a_piece_is_counted_with_it(paths: Paths) -> None:
    async def work(store: Store) -> list[int]:
        await store.write(lambda t: add_job(t, "a", owner="somebody"))
        mine = await store.write(lambda t: begin(t, owner="somebody"))
        which = {"variation": mine.seq, "span": 0, "number": mine.attempt}
        whole = partial(piece_rows.record_whole, seconds=9.0, kept=Kept(bytes=100), sound_bytes=30, **which)
        await store.write(whole)
        counts = [partial(stored, of=of) for of in ("stored_bytes", "stored_bytes_of_owner")]
        running = [await store.read(count) for count in counts]
        await store.write(lambda t: give_up(t, mine, INTERRUPTED, 1.0))
        told = [await store.read(count) - before for count, before in zip(counts, running, strict=True)]
        told += [row["bytes"] for row in await store.read(lambda t: t.all("disk")) if row["kind"] == "pieces"]
        await store.write(lambda t: t.run("lay_down_waiting", now=4.0))
        kept = await store.read(lambda t: t.all("kept_pieces", job=1, source=None, variation=None))
        return [*told, *(row["bytes"] for row in kept)]

    assert in_store(paths, work) == [130, 130, 130, 130]


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


def fail(transaction: Transaction, at: float, failure: Failure | None) -> bool:
    """Fails attempts that go on at that second, one after the other, until it is not tried again by itself; returns
    whether its pieces are kept. None: they take the daemon with them."""
    while True:
        kept = give_up(transaction, begin(transaction, at), failure, 1.0, crashed=failure is None)
        transaction.run("release_delayed", now=1e6, latest=1e9)
        if variation(transaction, "a")["status"] != "queued" or not kept:
            return kept


def test_what_is_encoded_in_vain_is_discarded_once_however_often_it_was_told(paths: Paths) -> None:
    """While it runs, as far as it is on the disk by then, and at its end."""

    async def work(store: Store) -> float:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        told = Durable(task="", seconds=1.0, kept={"a": Kept(bytes=1)}, cpu_seconds=3.0)
        await store.write(partial(piece_rows.record_durable, told, numbers={"a": mine.attempt}))
        assert not await store.write(lambda t: give_up(t, mine, Failure(error="broken"), 5.0))
        job = await store.read(lambda t: t.one("job", id="a"))
        assert job
        return float(job["discarded_cpu"])

    assert in_store(paths, work) == 5.0


KILLED = Failure(error="killed", retries=claims.MAX_RETRIES)
BROKEN = Failure(error="the source is damaged")
AWAY = claims.failure_of(Ended(error="the source is no longer on the disk", unread=True), sharing=1)


def pieces_owned(transaction: Transaction, paths: Paths) -> bool:
    items = owned_files.of_job(paths, "a", transaction)
    assert items
    return any(item.role is owned_files.Role.WORK for item in items)


KEEPS = [(KILLED, True), (BROKEN, False), (Failure("fault", ours=True), True), (AWAY, True)]


@pytest.mark.parametrize(("failure", "kept"), KEEPS)
def test_pieces_of_a_film_that_a_retry_may_make_are_kept_for_it(paths: Paths, failure: Failure, kept: bool) -> None:
    async def work(store: Store) -> tuple[bool, bool, int]:
        await store.write(lambda t: add_job(t, "a"))
        going_on = await store.write(lambda t: fail(t, 60.0, failure))
        needless = await store.write(lambda t: piece_rows.drop_needless_pieces(t, jobs=[1]))
        return going_on, await store.read(lambda t: pieces_owned(t, paths)), len(needless)

    assert in_store(paths, work) == (kept, kept, 0)


@pytest.mark.parametrize(("again_at", "status", "why"), [(62.0, "queued", STUCK), (70.0, "failed", None)])
def test_a_retry_that_fails_where_it_failed_before_begins_anew(
    paths: Paths, again_at: float, status: str, why: str | None
) -> None:
    async def work(store: Store) -> tuple[bool, str, str | None, bool]:
        await store.write(lambda t: add_job(t, "a"))
        await store.write(lambda t: fail(t, 60.0, KILLED))
        await store.write(lambda t: t.run("requeue", variations="[1]"))
        kept = await store.write(lambda t: fail(t, again_at, KILLED))
        row = await store.read(partial(variation, name="a"))
        anew = await store.write(lambda t: fail(t, 0.0, KILLED)) if status == "queued" else True
        return kept, row["status"], row["begun_anew"], anew

    assert in_store(paths, work) == (status == "failed", status, why, True)


def test_a_film_whose_source_is_still_away_at_a_retry_keeps_its_pieces(paths: Paths) -> None:
    async def work(store: Store) -> list[bool]:
        await store.write(lambda t: add_job(t, "a"))
        kept = [await store.write(lambda t: fail(t, 60.0, AWAY))]
        await store.write(lambda t: t.run("requeue", variations="[1]"))
        return [*kept, await store.write(lambda t: fail(t, 60.0, AWAY))]

    assert in_store(paths, work) == [True, True]


def test_a_film_that_takes_the_daemon_down_where_it_did_before_is_not_begun_anew_by_itself(paths: Paths) -> None:
    async def work(store: Store) -> list[tuple[str, bool]]:
        await store.write(lambda t: add_job(t, "a"))
        found = []
        for _ in range(2):
            kept = await store.write(lambda t: fail(t, 60.0, None))
            found.append(((await store.read(partial(variation, name="a")))["status"], kept))
            await store.write(lambda t: t.run("requeue", variations="[1]"))
        return found

    assert in_store(paths, work) == [("failed", True), ("failed", False)]


def test_pieces_of_a_film_whose_source_cannot_be_read_now_are_kept_for_a_retry(paths: Paths) -> None:
    async def work(store: Store) -> bool:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        await store.write(lambda t: give_up(t, mine, INTERRUPTED, 1.0))
        await store.write(lambda t: claims.refuse_source(t, source="a", error="away", now=4.0))
        return await store.read(lambda t: pieces_owned(t, paths))

    assert in_store(paths, work)


def test_a_film_whose_pieces_are_kept_no_longer_does_not_tell_of_them(paths: Paths) -> None:
    async def work(store: Store) -> float | None:
        await store.write(lambda t: add_job(t, "a"))
        await store.write(lambda t: fail(t, 60.0, KILLED))
        await store.write(lambda t: t.run("keep_no_longer", job=1, source=None, variation=None))
        await store.write(lambda t: piece_rows.drop_needless_pieces(t, jobs=[1]))
        resumed: float | None = (await store.read(partial(variation, name="a")))["resumed_seconds"]
        return resumed

    assert in_store(paths, work) is None


@pytest.mark.parametrize("plainly", [False, True])
def test_a_plain_cancel_beside_one_that_keeps_pieces_keeps_none(paths: Paths, plainly: bool) -> None:
    """It comes while the film is still being ended."""
    whole = {"job": 1, "source": None, "variation": None}

    async def work(store: Store) -> bool:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        await store.write(lambda t: t.run("request_cancel", now=3.0, keep=1, **whole))
        if plainly:
            await store.write(lambda t: t.run("keep_no_longer", **whole))
        await store.write(lambda t: give_up(t, mine, KILLED, 1.0))
        return await store.read(lambda t: pieces_owned(t, paths))

    assert in_store(paths, work) is not plainly


@pytest.mark.parametrize("of_many", [False, True])
def test_a_plain_cancel_at_the_time_of_one_that_keeps_pieces_is_another(paths: Paths, of_many: bool) -> None:
    """Be it of that job, or of all that are found."""

    async def work(store: Store) -> tuple[int, bool]:
        await store.write(lambda t: add_job(t, "a"))
        mine = await store.write(begin)
        asked, ends = asyncio.Semaphore(0), asyncio.Event()

        async def stop(_: object) -> list[object]:
            asked.release()
            await ends.wait()
            await store.write(lambda t: give_up(t, mine, INTERRUPTED, 1.0))
            return []

        scheduler = cast("Scheduler", SimpleNamespace(stop=stop, changed=asyncio.Event()))
        _, _, _, quota, deliveries = house(paths, store)
        fetches, now = fetching(paths, store), {"now": lambda: 4.0}
        control = Control(store, scheduler, paths, deliveries, fetches, Prober(sandboxed=False), grace=1.0, **now)
        keeping = asyncio.create_task(control.cancel(Scope(job="a"), keep_partial=True))
        await asked.acquire()
        bulk = Bulk(store, scheduler, paths, quota, fetches, **now)
        plain = asyncio.create_task(bulk.cancel(Selection()) if of_many else control.cancel(Scope(job="a")))
        async with asyncio.timeout(10):
            await asked.acquire()
        ends.set()
        receipt, _ = await asyncio.gather(keeping, plain)
        return len(receipt.kept), await store.read(lambda t: pieces_owned(t, paths))

    assert in_store(paths, work) == (0, False)


def test_a_cancel_of_many_jobs_lets_go_of_what_one_of_a_part_kept(paths: Paths) -> None:
    more = {"id": "b", "name": "b", "preset": "mp3", "parameters": "{}", "deliver": None, "extension": "mp3"}

    async def work(store: Store) -> bool:
        await store.write(lambda t: add_job(t, "a"))
        await store.write(lambda t: t.run("insert_variation", job=1, source=1, priority=0, **more))
        await store.write(lambda t: give_up(t, begin(t), INTERRUPTED, 1.0))
        await store.write(lambda t: t.run("cancel_queued", job=1, source=None, variation=1, now=4.0, keep=1))
        assert await store.read(lambda t: pieces_owned(t, paths))
        fetches = fetching(paths, store)
        scheduler = cast("Scheduler", SimpleNamespace(stop=ended, changed=asyncio.Event()))
        await Bulk(store, scheduler, paths, house(paths, store)[3], fetches, now=lambda: 5.0).cancel(Selection())
        return await store.read(lambda t: pieces_owned(t, paths))

    assert not in_store(paths, work)


FILM = {"name": "film.mp4", "path": "/a/film.mkv", "modified": 5, "parameters": "{}"}
MOVED, OTHER = {"path": "/b/film.mkv"}, {"path": "/b/film.mkv", "modified": 6}
HEIRS = {
    "the same": ([{}], 0),
    "a moved one": ([OTHER | {"name": "other.mp4"}, MOVED], 1),
    "another name": ([OTHER, {"name": "film.mkv.mp4"}], 1),
    "other parameters": ([{"parameters": '{"crf": 30}'}], 0),
    "the same before that of the name": ([{"parameters": '{"crf": 30}'}, {"name": "film_2.mp4"}], 1),
    "another film of the name": ([OTHER], None),
}


@pytest.mark.parametrize(("wanted", "heir"), HEIRS.values(), ids=HEIRS)
def test_what_a_run_left_of_a_film_goes_to_what_is_made_of_that_file(
    paths: Paths, wanted: list[dict[str, Any]], heir: int | None
) -> None:
    def make(transaction: Transaction, job: str, films: list[dict[str, Any]]) -> list[str]:
        add_job(transaction, job)
        found = transaction.one("job", id=job)
        assert found
        seq = found["seq"]
        for number, film in enumerate({**FILM, **one} for one in films):
            which = {"id": f"{job}{number}", "job": seq}
            more = {"folder": "", "bytes": 1, "device": 1, "inode": number, "boot": None, "media": None}
            own = {name: film.pop(name) for name in ("path", "modified")}
            source = transaction.one("insert_source", **which, **own, **more, name="film.mkv")
            assert source
            more = {"preset": "h264-480p", "extension": "mp4", "priority": 0, "deliver": None}
            transaction.run("insert_variation", **which, **film, **more, source=source["seq"])
        return [f"{job}{number}" for number in range(len(films))]

    def work(transaction: Transaction) -> list[str]:
        [old] = make(transaction, "old", [{}])
        mine = variation_of(transaction, "old", old)["seq"]
        piece_rows.record_piece(transaction, variation=mine, number=1, attempt=1, begins=0.0, begun_with="")
        new = make(transaction, "new", wanted)
        inherit(paths, cast("JobView", SimpleNamespace(id="new")), transaction)
        seqs = {variation_of(transaction, "new", one)["seq"]: one for one in new}
        return [seqs[row["variation"]] for seq in seqs for row in piece_rows.pieces_of(transaction, variation=seq)]

    assert in_store(paths, lambda store: store.write(work)) == ([] if heir is None else [f"new{heir}"])


def variation_of(transaction: Transaction, job: str, name: str) -> Row:
    row = transaction.one("variation_of_job", job=job, id=name)
    assert row
    return row


async def ended(_: object) -> list[object]:
    return []


def test_a_film_that_was_failed_by_request_keeps_no_pieces(paths: Paths) -> None:
    async def work(store: Store) -> tuple[int, bool]:
        await store.write(lambda t: add_job(t, "a"))
        await store.write(lambda t: fail(t, 60.0, KILLED))
        await store.write(lambda t: t.run("requeue", variations="[1]"))
        await store.write(lambda t: t.run("fail_queued", job=1, now=5.0, error="forced"))
        dropped = await store.write(lambda t: piece_rows.drop_needless_pieces(t, jobs=[1]))
        return len(dropped), await store.read(lambda t: pieces_owned(t, paths))

    assert in_store(paths, work) == (1, False)
