"""What the queue's verbs cost with many jobs in the table, over HTTP; and what a claim costs, in the store."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.daemons import daemon
from daemon import claims
from daemon.paths import Paths
from daemon.store import Store, Transaction

ROUNDS = 200
BULK = 10_000


def queue(jobs: int) -> None:
    """Prints medians and 99th percentiles with so many ended jobs, and BULK queued ones, in the table."""
    with tempfile.TemporaryDirectory(prefix="ffspool-bench-") as name:
        asyncio.run(_fill(Paths(Path(name) / "state"), jobs))
        with daemon(Path(name)) as running:
            client = running.client
            newest = [f"queued-{number}" for number in range(ROUNDS)]
            print(f"with {jobs:,} ended and {BULK:,} queued jobs, over HTTP:")
            _report("first page", lambda _: client.get("/api/jobs?limit=50"))
            _report("page of the completed", lambda _: client.get("/api/jobs?status=completed&limit=50"))
            _report("get", lambda turn: client.get(f"/api/jobs/ended-{turn * (jobs // ROUNDS)}"))
            _report("cancel of a queued job", lambda turn: client.post(f"/api/jobs/{newest[turn]}/cancel"))
            _report("stats", lambda _: client.get("/api/stats"))
            began = time.perf_counter()
            answer = client.post("/api/jobs/cancel").json()
            print(f"  bulk cancel of {answer['changed']:,} queued jobs: {time.perf_counter() - began:.2f} s")


def _report(what: str, act: Callable[[int], Any]) -> None:
    took = []
    for turn in range(ROUNDS):
        began = time.perf_counter()
        answer = act(turn)
        took.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
    took.sort()
    print(f"  {what}: median {statistics.median(took) * 1e3:.1f} ms, 99th {took[int(ROUNDS * 0.99)] * 1e3:.1f} ms")


async def _fill(paths: Paths, jobs: int) -> None:
    paths.prepare()
    store = await Store.open(paths.database)
    await store.write(lambda t: t.run("set_queue_state", state="paused"))
    for first in range(0, jobs, 1000):
        await store.write(
            lambda t, first=first: [_add(t, f"ended-{n}", ended=True) for n in range(first, first + 1000)]
        )
    await store.write(lambda t: [_add(t, f"queued-{n}", ended=False) for n in range(BULK)])
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await store.write(_claim_and_give_back)
        took.append(time.perf_counter() - began)
    print(f"claim, durable, in the store: median {statistics.median(took) * 1e3:.1f} ms")
    await store.close()


def _claim_and_give_back(transaction: Transaction) -> None:
    claimed = claims.claim(transaction, boot="bench", slots=2, now=1.0)
    assert claimed is not None
    mine = {"variation": claimed.seq, "attempt": claimed.attempt}
    claims.abandon(transaction, failure=claims.INTERRUPTED, now=1.0, **mine)


def _add_many(names: list[str], ended: bool, transaction: Transaction) -> None:
    for name in names:
        _add(transaction, name, ended=ended)


def _add(transaction: Transaction, name: str, *, ended: bool) -> None:
    now = time.time()
    job = transaction.one("insert_job", id=name, name=None, priority=0, metadata="{}", now=now, expires_in=1e6)
    assert job is not None
    place = {"name": "clip.mp4", "folder": "clip", "path": "/nowhere", "bytes": 1}
    source = transaction.one("insert_source", id=name, job=job["seq"], **place)
    assert source is not None
    keys = {"id": name, "job": job["seq"], "source": source["seq"], "priority": 0}
    transaction.run("insert_variation", name="c.mp3", preset="mp3", parameters="{}", extension="mp3", **keys)
    if ended:
        transaction.run("fail_queued", job=job["seq"], now=now, error="made for the bench")
