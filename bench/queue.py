"""What the queue's verbs cost with many jobs in the table, over HTTP; what a claim costs in the store; and start-up."""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil

from bench.daemons import Daemon, daemon
from daemon.database.file import prepare
from daemon.database.store import Store, Transaction
from daemon.media.model import Media
from daemon.paths import Paths
from daemon.scheduling import claims
from daemon.scheduling.scheduler import WINDOW

ROUNDS = 300
BULK = 10_000
CLIENTS = 8
SUBMITS = 100  # of each client
WIDE = 5_000  # variations of the one job that has many


def queue(jobs: int) -> dict[str, float]:
    """Prints medians and 99th percentiles with so many ended jobs, and BULK queued ones, in the table.

    Returns the medians, in ms, of what people do most.
    """
    with tempfile.TemporaryDirectory(prefix="ffspool-bench-") as name:
        paths = Paths(Path(name) / "state")
        paths.prepare()
        fill(paths.database, jobs)
        print(f"with {jobs:,} ended and {BULK:,} queued jobs:")
        claim = asyncio.run(_claims(paths.database))
        began = time.perf_counter()
        settings = {"FFSPOOL_SOURCE_ROOTS": name, "FFSPOOL_RETENTION": "1e6"}
        with daemon(Path(name), **settings) as running:
            print(f"  from exec to listening: {time.perf_counter() - began:.2f} s")
            running.settle()
            medians = _requests(running, jobs)
            _submits(running, Path(name))
            _bulk(running)
            resident = psutil.Process(running.process.pid).memory_info().rss
            print(f"  the daemon's memory after all that: {resident / 1e6:.0f} MB")
    return {"claim": claim, **medians}


def _requests(running: Daemon, jobs: int) -> dict[str, float]:
    ask = Caller(running)
    first_page = _report("first page", lambda _: ask("GET", "/api/jobs?limit=50"))
    _report("page of the completed", lambda _: ask("GET", "/api/jobs?status=completed&limit=50"))
    _report("page of the failed", lambda _: ask("GET", "/api/jobs?status=failed&limit=50"))
    _report(f"page with a job of {WIDE:,} variations", lambda _: ask("GET", "/api/jobs?status=processing&limit=50"))
    get = _report("get", lambda turn: ask("GET", f"/api/jobs/ended-{turn * (jobs // ROUNDS)}"))
    cancel = _report("cancel of a queued job", lambda turn: ask("POST", f"/api/jobs/queued-{turn}/cancel"))
    _report("stats", lambda _: ask("GET", "/api/stats"))
    return {"first page": first_page, "get": get, "cancel": cancel}


def _submits(running: Daemon, folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(b"never read: the queue is paused")
    wish = json.dumps({"sources": [{"path": str(folder / "clip.mp4")}], "variations": [{"preset": "mp3"}]})

    def submit(_: int) -> None:
        ask = Caller(running)
        for _ in range(SUBMITS):
            ask("POST", "/api/jobs", wish)

    used = psutil.Process(running.process.pid).cpu_times()
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(submit, range(CLIENTS)))
    took, now = time.perf_counter() - began, psutil.Process(running.process.pid).cpu_times()
    cpu = (now.user + now.system - used.user - used.system) / (CLIENTS * SUBMITS)
    print(f"  submits by {CLIENTS} clients: {CLIENTS * SUBMITS / took:.0f} jobs/s; {cpu * 1e3:.2f} ms of CPU each")


def _bulk(running: Daemon) -> None:
    """The bulk verbs, with another client that asks all the while."""
    for method, path, what in (
        ("POST", "/api/jobs/cancel", "cancel"),
        ("DELETE", "/api/jobs?status=cancelled", "delete"),
    ):
        waits, done = list[float](), threading.Event()
        other = threading.Thread(target=_ask_until, args=(running, done, waits))
        other.start()
        began = time.perf_counter()
        answer = Caller(running)(method, path)
        took = time.perf_counter() - began
        done.set()
        other.join()
        waits.sort()
        print(
            f"  bulk {what} of {answer['changed']:,} jobs: {took:.2f} s; meanwhile another's writes took "
            f"median {statistics.median(waits) * 1e3:.0f} ms, at most {waits[-1] * 1e3:.0f} ms (n={len(waits)})"
        )


def _ask_until(running: Daemon, done: threading.Event, waits: list[float]) -> None:
    ask = Caller(running)
    while not done.is_set():
        began = time.perf_counter()
        ask("PATCH", "/api/jobs/ended-0", json.dumps({"name": f"name {len(waits)}"}))
        waits.append(time.perf_counter() - began)


class Caller:
    """A client that costs little itself: one kept connection, no parsing but of JSON."""

    def __init__(self, running: Daemon) -> None:
        host = urlsplit(str(running.client.base_url)).netloc
        self._connection = http.client.HTTPConnection(host, timeout=600)
        self._headers = {"Authorization": running.client.headers["authorization"], "Content-Type": "application/json"}

    def __call__(self, method: str, path: str, body: str | None = None) -> Any:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status in {200, 202}, content
        return json.loads(content)


def _report(what: str, act: Callable[[int], Any]) -> float:
    took = []
    for turn in range(ROUNDS):
        began = time.perf_counter()
        act(turn)
        took.append(time.perf_counter() - began)
    return _told(what, took)


def _told(what: str, took: list[float]) -> float:
    """Prints how the times are spread; returns their median in ms."""
    median, last = (value * 1e3 for value in (statistics.median(took), sorted(took)[int(len(took) * 0.99)]))
    print(f"  {what}: median {median:.1f} ms, 99th {last:.1f} ms")
    return median


async def _claims(database: Path) -> float:
    """As the scheduler does it: looks at what is ready, claims the first, then gives it back. The median in ms."""
    store = await Store.open(database)
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        [first, *_] = await store.read(lambda t: t.all("ready", owner=None, limit=WINDOW))
        [claimed] = await store.write(partial(claims.claim, variations=[first["id"]], now=1.0))
        took.append(time.perf_counter() - began)
        await store.write(partial(_give_back, claimed))
    await store.close()
    return _told("claim, durable, in the store", took)


def _give_back(claimed: claims.Claim, transaction: Transaction) -> None:
    mine = {"variation": claimed.seq, "attempt": claimed.attempt}
    claims.abandon(transaction, failure=claims.INTERRUPTED, now=1.0, **mine)


def fill(database: Path, jobs: int) -> None:
    """Rows as the daemon would have left them: half of the ended jobs completed, half failed; one wide; BULK queued."""
    prepare(database)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        _fill_ended(connection, jobs)
        for statement in (*_added("wide", 1), _WIDEN, _END_ONE, *_added("queued", BULK)):
            connection.execute(statement)
        connection.execute("UPDATE queue SET state = 'paused'")
        connection.execute("COMMIT")


def _fill_ended(connection: sqlite3.Connection, jobs: int) -> None:
    """Without the triggers, which would take minutes for a million, but with what they would have counted."""
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs - 1})"
    now, later = time.time(), time.time() + 1e6
    for statement in (
        f"""{numbers} INSERT INTO jobs
            (id, created_at, started_at, finished_at, expires_at, expires_in, total, completed, failed)
            SELECT 'ended-' || i, {now}, {now}, {now}, {later}, 1e6, 1, i % 2, 1 - i % 2 FROM n""",
        """INSERT INTO sources (id, job, name, folder, path, bytes, completed, failed)
            SELECT id, seq, 'clip.mp4', 'clip', '/nowhere', 1, completed, failed FROM jobs""",
        f"""INSERT INTO variations (id, job, source, name, preset, parameters, extension, status, attempts, started_at,
            finished_at, bytes, sha256, lost_at, error)
            SELECT sources.id, job, seq, 'c.mp3', 'mp3', '{{}}', 'mp3', iif(completed, 'completed', 'failed'), 1, {now},
            {now}, 1, 'x', {now}, iif(failed, 'made for the bench', NULL) FROM sources""",
        f"""INSERT INTO attempts (variation, number, token, started_at, ended_at)
            SELECT seq, 1, id, {now}, {now} FROM variations""",
        f"""INSERT INTO events (at, type, job, data)
            SELECT {now}, 'job', id, json_object('id', id, 'status', status) FROM jobs""",
        """UPDATE tally SET (jobs, variations) =
            (SELECT count(*), count(*) FROM variations WHERE variations.status = tally.status)""",
    ):
        connection.execute(statement)
    for _, sql in triggers:
        connection.execute(sql)


def _added(name: str, count: int) -> list[str]:
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1})"
    return [
        f"{numbers} INSERT INTO jobs (id, created_at, expires_in) SELECT '{name}-' || i, unixepoch(), 1e6 FROM n",
        f"""{numbers} INSERT INTO sources (id, job, name, folder, path, bytes, media)
            SELECT '{name}-' || i, jobs.seq, 'clip.mp4', 'clip', '/nowhere', 1, '{_MEDIA}'
            FROM n JOIN jobs ON jobs.id = '{name}-' || i""",
        f"""{numbers} INSERT INTO variations (id, job, source, name, preset, parameters, extension)
            SELECT '{name}-' || i, job, seq, 'c.mp3', 'mp3', '{{}}', 'mp3'
            FROM n JOIN sources ON id = '{name}-' || i""",
    ]


_MEDIA = msgspec.json.encode(Media(format="mp3", duration_seconds=1.0, video=None, audio=(), subtitles=())).decode()
_WIDEN = f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {WIDE})
    INSERT INTO variations (id, job, source, name, preset, parameters, extension)
    SELECT 'wide-' || i, job, seq, 'c.mp3', 'mp3', '{{}}', 'mp3' FROM n, sources WHERE id = 'wide-0'"""
_END_ONE = "UPDATE variations SET status = 'cancelled', finished_at = unixepoch() WHERE id = 'wide-1'"
