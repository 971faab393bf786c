"""What an earlier daemon left in flight, what nobody knows of, and what has had its time. `now` is an argument."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stored import CONTENT, OLD, SILENCE, add_job, claim, finish, in_store, local_engine, variation, write

from daemon.database.store import Store, Transaction
from daemon.encode.runner import Handle
from daemon.encode.task import Started
from daemon.errors import Gone, NotFound
from daemon.host import boot_id
from daemon.housekeeping import cleanup, expiry, recovery
from daemon.jobs.rows import job_row
from daemon.paths import Paths
from daemon.process.identity import TOKEN_VARIABLE, start_ticks
from daemon.proof.prove import Proof
from daemon.proof.publish import seal
from daemon.scheduling import claims
from daemon.steady_clock import steady


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    return paths


# Boot recovery


def interrupt(paths: Paths, *, proof: bool, revealed: bool, cancelled: bool = False) -> Any:
    """Runs recovery over a job that a dead daemon left at that point; returns its variation."""

    async def work(store: Store) -> Any:
        await store.write(partial(add_job, name="j"))
        claimed = await store.write(claim)
        part = write(paths.part("j", "j", 1))
        size, sha256, inode = seal(part)
        sealed = Proof(bytes=size, sha256=sha256, inode=inode, output_seconds=3.0, cpu_seconds=1.0, speed=2.0)
        if proof:
            assert await store.write(lambda t: claims.record_proof(t, variation=claimed.seq, attempt=1, proof=sealed))
        if revealed:
            output = paths.output("j", "j", "mp3")
            output.parent.mkdir(parents=True)
            part.rename(output)
        if cancelled:
            where = {"job": claimed.job_seq, "source": None, "variation": None}
            await store.write(lambda t: t.run("request_cancel", now=5.0, keep=0, **where))
        await recovery.recover(store, paths, local_engine(), now=9.0)
        assert await store.read(lambda t: t.all("live_attempts")) == []
        return await store.read(partial(variation, name="j"))

    return in_store(paths, work)


@pytest.mark.parametrize("revealed", [False, True], ids=["before the rename", "after the rename"])
def test_a_proven_file_is_not_encoded_again_after_a_crash(paths: Paths, revealed: bool) -> None:
    row = interrupt(paths, proof=True, revealed=revealed)
    output = paths.output("j", "j", "mp3")
    assert (row["status"], row["output_seconds"]) == ("completed", 3.0)
    assert row["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert not paths.work("j", "j").exists()


@pytest.mark.parametrize("revealed", [False, True], ids=["a partial file", "a file under its final name"])
def test_an_unproven_file_goes_and_its_work_is_queued_again(paths: Paths, revealed: bool) -> None:
    row = interrupt(paths, proof=False, revealed=revealed)
    assert (row["status"], row["attempts"], row["started_at"]) == ("queued", 1, None)
    assert [path for path in paths.jobs.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("refused", [False, True])
def test_what_was_read_of_a_deleted_source_is_not_told_of_the_next(paths: Paths, refused: bool) -> None:
    """The next takes the row of the deleted one, while that is still being read."""

    def work(transaction: Transaction) -> None:
        add_job(transaction, "old")
        old = transaction.all("ready", owner=None, limit=1)[0]
        transaction.run("fail_queued_of_source", source="old", error="made for the test", now=1.0)
        transaction.run("delete_job", id="old")
        add_job(transaction, "new")
        assert transaction.all("ready", owner=None, limit=1)[0]["source"] == old["source"]
        if refused:
            claims.refuse_source(transaction, source=old["source_id"], error="unreadable", now=2.0)
        else:
            claims.record_media(transaction, source=old["source_id"], media=SILENCE)
        new = transaction.all("ready", owner=None, limit=1)[0]
        assert new["source_id"] == "new"
        assert not new["media"]

    in_store(paths, lambda store: store.write(work))


def test_a_proof_does_not_pass_for_another_file(paths: Paths) -> None:
    async def work(store: Store) -> Any:
        await store.write(partial(add_job, name="j"))
        claimed = await store.write(claim)
        write(paths.part("j", "j", 1))
        other = Proof(bytes=len(CONTENT), sha256="x", inode=1, output_seconds=1.0, cpu_seconds=1.0, speed=None)
        await store.write(lambda t: claims.record_proof(t, variation=claimed.seq, attempt=1, proof=other))
        await recovery.recover(store, paths, local_engine(), now=9.0)
        return await store.read(partial(variation, name="j"))

    assert in_store(paths, work)["status"] == "queued"


def test_a_requested_cancel_outlives_a_crash_even_of_a_proven_file(paths: Paths) -> None:
    row = interrupt(paths, proof=True, revealed=True, cancelled=True)
    assert (row["status"], row["finished_at"]) == ("cancelled", 9.0)
    assert [path for path in paths.jobs.rglob("*") if path.is_file()] == []


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env={}) as process:
        yield process
        process.kill()


def handle(process: subprocess.Popen[bytes], *, later: int = 0, boot: str | None = None) -> str:
    """Of that process, or of one that had its pid before."""
    created = start_ticks(process.pid) - later
    return msgspec.json.encode(Handle(boot=boot or boot_id(), pid=process.pid, created=created)).decode()


def recover_with(paths: Paths, told: str) -> None:
    """After a crash in an encode of which the engine told that."""

    async def work(store: Store) -> None:
        await store.write(partial(add_job, name="j"))
        claimed = await store.write(claim)
        await store.write(partial(claims.record_start, Started(task=claimed.token, handle=told)))
        await recovery.recover(store, paths, local_engine(), now=9.0)
        assert (await store.read(partial(variation, name="j")))["status"] == "queued"

    in_store(paths, work)


def test_a_process_that_survived_is_ended(paths: Paths, other: subprocess.Popen[bytes]) -> None:
    recover_with(paths, handle(other))
    assert other.wait(10) == -signal.SIGKILL


def test_a_process_that_survived_before_it_was_told_of_is_ended(paths: Paths) -> None:
    async def work(store: Store) -> None:
        await store.write(partial(add_job, name="j"))
        claimed = await store.write(claim)
        marked = {TOKEN_VARIABLE: claimed.token}
        with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=marked) as survivor:
            await recovery.recover(store, paths, local_engine(), now=9.0)
            assert survivor.wait(10) == -signal.SIGKILL

    in_store(paths, work)


@pytest.mark.parametrize(("since", "crashes"), [("the same boot", 1), ("a reboot", 0)])
def test_a_reboot_before_any_process_was_told_of_is_not_held_against_a_variation(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, since: str, crashes: int
) -> None:
    async def work(store: Store) -> None:
        await store.write(partial(add_job, name="j"))
        monkeypatch.setattr("daemon.scheduling.claims.boot_id", lambda: "the same boot")
        await store.write(claim)
        monkeypatch.setattr("daemon.housekeeping.recovery.boot_id", lambda: since)
        await recovery.recover(store, paths, local_engine(), now=9.0)
        assert (await store.read(partial(variation, name="j")))["crashes"] == crashes

    in_store(paths, work)


@pytest.mark.parametrize("another", [{"later": 1}, {"boot": "an earlier one"}], ids=["since", "since a reboot"])
def test_a_process_that_has_the_pid_now_is_left_alone(
    paths: Paths, other: subprocess.Popen[bytes], another: Any
) -> None:
    recover_with(paths, handle(other, **another))
    assert other.poll() is None


def test_what_another_engine_told_of_a_process_stops_no_start(paths: Paths) -> None:
    recover_with(paths, "unit 7 of rack 3")


# Sweep


async def sweep(store: Store, paths: Paths, now: float) -> int:
    with closing(cleanup.Sweep(store, paths, now)) as whole:
        return await whole.round(now)


def test_the_sweep_takes_what_no_row_knows_and_nothing_else(paths: Paths) -> None:
    known = [paths.source("j", "j"), paths.output("j", "j", "mp3"), paths.log("j", "j")]
    strangers = [
        write(paths.incoming / "left over"),
        write(paths.output("deleted job", "v", "mp3")),
        write(paths.output("j", "another", "mp3")),
        write(paths.work("j", "j") / "1.part"),
        write(paths.source("j", "another")),
    ]

    async def work(store: Store) -> int:
        await store.write(lambda t: finish(t, "j", paths, at=5.0))
        for path in known:
            write(path)
        return await sweep(store, paths, OLD)

    assert in_store(paths, work) == len(strangers) * len(CONTENT)
    assert [path for path in known if not path.exists()] == []
    assert [path for path in strangers if path.exists()] == []


def test_the_sweep_leaves_young_files_alone(paths: Paths) -> None:
    young = [write(paths.incoming / "coming in"), write(paths.source("being made", "s"))]
    now = young[0].stat().st_mtime + cleanup.YOUNG - 1
    assert in_store(paths, lambda store: sweep(store, paths, now)) == 0
    assert all(path.exists() for path in young)


def test_a_clock_that_is_set_forward_makes_no_file_old(paths: Paths) -> None:
    """What comes in at that moment would be swept for having stood there for a day."""
    host = clock = 1000.0
    swept_by = steady(lambda: host, lambda: clock)
    arriving = write(paths.incoming / "coming in")
    os.utime(arriving, (host, host))
    host, clock = host + 86400, clock + 1
    assert in_store(paths, lambda store: sweep(store, paths, swept_by())) == 0
    clock += cleanup.YOUNG
    assert in_store(paths, lambda store: sweep(store, paths, swept_by())) == len(CONTENT)


def test_a_retry_does_not_wait_for_a_day_when_the_clock_is_set_back(paths: Paths) -> None:
    day = 86400.0

    def is_ready(transaction: Transaction, now: float) -> bool:
        claims.release_delayed(transaction, retry_delay=5.0, now=now)
        return bool(transaction.all("ready", owner=None, limit=1))

    async def work(store: Store) -> list[bool]:
        await store.write(partial(add_job, name="j"))
        first = await store.write(claim)
        failure = claims.Failure(error="it may pass", retries=3)
        attempt = {"variation": first.seq, "attempt": 1, "failure": failure, "retry_delay": 5.0}
        await store.write(partial(claims.abandon, now=2 * day, **attempt))
        return [await store.write(partial(is_ready, now=now)) for now in (2 * day + 4, day)]

    assert in_store(paths, work) == [False, True]


def test_a_completed_row_whose_file_is_gone_says_so(paths: Paths) -> None:
    async def work(store: Store) -> Any:
        await store.write(lambda t: finish(t, "j", paths, at=5.0))
        paths.output("j", "j", "mp3").unlink()
        await sweep(store, paths, OLD)
        return await store.read(partial(variation, name="j"))

    row = in_store(paths, work)
    assert (row["status"], row["lost_at"]) == ("completed", OLD)
    assert "removed from the disk" in row["error"]


def test_a_sweep_in_rounds_comes_to_every_folder_and_row(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "PAGE", 2)
    monkeypatch.setattr(cleanup, "ROUND", 2)
    names = [f"lost-{number}" for number in range(5)]
    for number in range(5):
        write(paths.source(f"stranger-{number}", "s"))

    async def work(store: Store) -> list[int]:
        for name in names:
            await store.write(lambda t, name=name: finish(t, name, paths, at=5.0))
            paths.output(name, name, "mp3").unlink()
        with closing(cleanup.Sweep(store, paths, OLD)) as whole:
            freed = [await whole.round(OLD) for _ in range(6)]
        rows = [await store.read(partial(variation, name=name)) for name in names]
        assert [row["lost_at"] for row in rows] == [OLD] * 5
        return freed

    freed = in_store(paths, work)
    assert sum(freed) == 5 * len(CONTENT)
    assert max(freed) <= 2 * len(CONTENT), "a round did more than its share"
    assert not list(paths.jobs.glob("stranger-*"))


# Expiry and eviction


def test_a_job_expires_when_its_time_after_the_end_is_over(paths: Paths) -> None:
    async def work(store: Store) -> list[int]:
        await store.write(lambda t: finish(t, "j", paths, at=1000.0, expires_in=50.0))
        await store.write(partial(add_job, name="queued"))
        gone = [await expiry.expire(store, paths, now, 1e6) for now in (1049.0, 1050.0)]
        with pytest.raises(Gone, match="expired"):
            await store.read(lambda t: job_row(t, "j", 1050.0 + 1e6))
        await expiry.expire(store, paths, 1050.0 + 1e6, 1e6)
        with pytest.raises(NotFound):
            await store.read(lambda t: job_row(t, "j", 1050.0 + 1e6))
        assert (await store.read(lambda t: job_row(t, "queued", 1e9)))["status"] == "queued"
        return gone

    assert in_store(paths, work) == [0, 1]
    assert not paths.job("j").exists()


def test_the_oldest_ended_jobs_are_evicted_until_the_disk_has_room(paths: Paths) -> None:
    async def work(store: Store) -> int:
        for name, at in (("newest", 30.0), ("oldest", 10.0), ("middle", 20.0)):
            await store.write(lambda t, name=name, at=at: finish(t, name, paths, at=at))
        await store.write(partial(add_job, name="queued"))
        return await expiry.evict(store, paths, 99.0, 0.85, use=lambda: 0.79 + 0.025 * len(list(paths.jobs.iterdir())))

    assert in_store(paths, work) == 1
    assert sorted(path.name for path in paths.jobs.iterdir()) == ["middle", "newest"]


def test_eviction_stops_when_nothing_ended_is_left(paths: Paths) -> None:
    async def work(store: Store) -> int:
        await store.write(partial(add_job, name="queued"))
        return await expiry.evict(store, paths, 99.0, 0.85, use=lambda: 0.99)

    assert in_store(paths, work) == 0
