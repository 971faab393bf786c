"""Slots, the queue and the disk are shared by clients: in turns, and within the limits of each one's token."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PATIENCE, PLAIN, Daemon, wait_until
from test_tokens import TUS, ended, submitted

from daemon.database.file import prepare
from daemon.database.store import load_queries
from daemon.scheduling.turns import Turns
from daemon.states import ARROWS
from daemon.storage import fetch_slots
from daemon.storage.fetch_slots import FetchSlots, Leaving
from daemon.storage.trip import Trip

MANY = {"variations": [{"preset": "refresh", "count": 6}]}


def ready(*heads: tuple[str | None, int]) -> list[dict[str, Any]]:
    return [{"owner": owner, "priority": priority} for owner, priority in heads]


def test_who_had_least_is_next_however_much_waits() -> None:
    turns, had = Turns(), Counter[str | None]()
    costs = {"a": 10.0, "b": 30.0, None: 5.0}
    for _ in range(1000):
        owner = turns.in_order(ready(("a", 0), ("b", 0), (None, 0)))[0]
        turns.took(owner, costs[owner])
        had[owner] += int(costs[owner])
    assert max(had.values()) - min(had.values()) <= 2 * max(costs.values())


def test_priority_goes_before_turns_and_age_decides_where_all_had_the_same() -> None:
    turns = Turns()
    assert turns.in_order(ready(("b", 5), ("a", 0))) == ["b", "a"]
    turns.took("b", 1000.0)
    assert turns.in_order(ready(("b", 5), ("a", 0))) == ["b", "a"]
    assert turns.in_order(ready(("b", 0), ("a", 0), ("c", 0))) == ["a", "c", "b"]


def test_who_was_away_has_no_claim_to_what_others_used_meanwhile() -> None:
    turns = Turns()
    for _ in range(100):
        turns.took("busy", 1.0)
    order = []
    for _ in range(10):
        order.append(turns.in_order(ready(("busy", 0), ("back", 0)))[0])
        turns.took(order[-1], 1.0)
    assert Counter(order) == {"busy": 5, "back": 5}


@pytest.mark.parametrize("seed", range(3))
def test_what_an_owner_has_is_counted_as_it_is(seed: int, tmp_path: Path) -> None:
    """Through every arrow, lost files and deletions; and what is the daemon's own is counted to nobody."""
    draw = random.Random(seed)
    prepare(tmp_path / "db")
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("PRAGMA foreign_keys = ON")
        for step in range(150):
            _change(database, draw, str(step))
        for owner in ("a", "b"):
            rows = (
                "SELECT {} FROM jobs LEFT JOIN variations ON variations.job = jobs.seq WHERE jobs.owner = ? GROUP BY 1"
            )
            told = database.execute("SELECT status, jobs, variations FROM owned_tally WHERE owner = ?", [owner])
            jobs = dict(database.execute("SELECT status, count(*) FROM jobs WHERE owner = ? GROUP BY 1", [owner]))
            made = dict(database.execute(rows.format("variations.status, count(variations.id)"), [owner]))
            assert all((jobs.get(state, 0), made.get(state, 0)) == (n, m) for state, n, m in told), seed
        assert database.execute("SELECT count(*) FROM owned_tally WHERE owner NOT IN ('a', 'b')").fetchone() == (0,)
        truth = """SELECT seq, (SELECT coalesce(sum(bytes), 0) FROM sources WHERE job = jobs.seq AND path IS NULL)
            + (SELECT coalesce(sum(bytes), 0) FROM variations WHERE job = jobs.seq AND status = 'completed'
               AND lost_at IS NULL) FROM jobs"""
        assert dict(database.execute(truth)) == dict(database.execute("SELECT seq, stored FROM jobs"))


def _change(database: sqlite3.Connection, draw: random.Random, name: str) -> None:
    """Makes a job, or has one of its variations take an arrow, lose its file or go with its job."""
    jobs = database.execute("SELECT seq FROM jobs ORDER BY seq").fetchall()
    job = draw.choice(jobs or [(0,)])
    if not jobs or draw.random() < 0.2:
        owner = draw.choice(["a", "b", None])
        seq = database.execute(
            "INSERT INTO jobs (id, created_at, expires_in, owner) VALUES (?, 0, 1, ?)", [name, owner]
        ).lastrowid
        source = database.execute(
            "INSERT INTO sources (id, job, name, folder, bytes, path) VALUES (?, ?, 'n', 'n', ?, ?)",
            [name, seq, draw.randrange(9), draw.choice([None, "/p"])],
        ).lastrowid
        for number in range(draw.randrange(1, 4)):
            database.execute(
                "INSERT INTO variations (id, job, source, name, preset, parameters, extension)"
                " VALUES (?, ?, ?, 'n', 'p', '{}', 'e')",
                [f"{name}.{number}", seq, source],
            )
    elif draw.random() < 0.1:
        database.execute("DELETE FROM jobs WHERE seq = ?", job)
    elif draw.random() < 0.1:
        database.execute(
            "UPDATE variations SET lost_at = 1 WHERE job = ? AND status = 'completed' AND lost_at IS NULL", job
        )
    else:
        seq, state = database.execute(
            "SELECT seq, status FROM variations WHERE job = ? ORDER BY random()", job
        ).fetchone()
        if ways := [new for old, new in ARROWS if old == state]:
            change = "UPDATE variations SET status = ?, bytes = 7, sha256 = 'x', finished_at = 1 WHERE seq = ?"
            database.execute(change, [draw.choice(ways), seq])


def test_fetches_go_to_the_owner_of_whom_least_is_under_way(tmp_path: Path) -> None:
    prepare(tmp_path / "db")
    with closing(sqlite3.connect(tmp_path / "db")) as database:
        database.row_factory = sqlite3.Row
        for name, owner in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("ours", None)):
            job = "INSERT INTO jobs (id, created_at, expires_in, owner) VALUES (?, 0, 1, ?)"
            seq = database.execute(job, [name, owner]).lastrowid
            source = "INSERT INTO sources (id, job, name, folder, bytes) VALUES (?, ?, 'n', 'n', 0)"
            fetch = (
                "INSERT INTO fetches (source, job, shown, wanted, since, next_attempt_at) VALUES (?, ?, '', '', 0, 0)"
            )
            database.execute(fetch, [database.execute(source, [name, seq]).lastrowid, seq])
        slots, began = FetchSlots(4), []
        while due := database.execute(load_queries()["due_fetch"], {"now": 1, "full": 0, **slots.told()}).fetchone():
            slots.take(due, Trip(due["job"], 0, None))
            began.append(due["id"])
        assert began == ["a1", "b1", "ours", "a2"]
        for one in began:
            slots.leave(one)
        due = database.execute(load_queries()["due_fetch"], {"now": 1, "full": 0, **slots.told()}).fetchone()
        assert due["owner"] != "a", "who had most of late"


def waits(name: str, owner: str | None, priority: int = 0, job: int = 1) -> Any:
    return {"id": name, "job_seq": job, "owner": owner, "priority": priority}


def gives(slots: FetchSlots, waiting: Any) -> str | None:
    leaving = slots.give_way(waiting)
    return leaving.source if leaving else None


def test_who_holds_more_than_a_share_of_the_fetches_gives_way() -> None:
    slots, trips = FetchSlots(4), {f"a{n}": Trip("j", 0, None) for n in range(4)}
    for name, trip in trips.items():
        slots.take(waits(name, "a", 5 if name == "a0" else 0), trip)
    assert gives(slots, waits("a9", "a")) is None
    assert gives(slots, waits("low", "b", -1)) is None
    given = gives(slots, waits("b1", "b"))
    assert given in {"a1", "a2", "a3"}
    trips[given].stop()
    assert gives(slots, waits("b1", "b")) is None, "a slot is about to be free"
    slots.leave(given)
    slots.take(waits("b1", "b"), Trip("j", 0, None))
    assert gives(slots, waits("ours", None)) in trips
    assert gives(slots, waits("b2", "b")) in trips
    slots.leave(next(name for name in ("a1", "a2") if name != given))
    slots.take(waits("b2", "b"), Trip("j", 0, None))
    assert gives(slots, waits("b3", "b")) is None


def trickling(*, resumable: bool = True, piece: int = 100) -> Trip:
    """What has come for some minutes of 20 ms, so many bytes at a time."""

    async def main() -> Trip:
        trip = Trip("j", 0, None, patience=0.02)
        trip.begin(0, None, resumable=resumable)
        watching = asyncio.create_task(trip.watch())
        while trip.speed_at_length is None:
            assert trip.flaw is None
            trip.took(piece)
            await asyncio.sleep(0.001)
        watching.cancel()
        return trip

    return asyncio.run(main())


def test_a_slow_fetch_gives_way_where_another_would_be_begun_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_slots, "SLOW", 10**6)
    slots = FetchSlots(2)
    slots.take(waits("anew", "a"), trickling(resumable=False))
    slots.take(waits("slow", "b", 5, job=2), trickling())
    first = slots.give_way(waits("c1", "c", 5, job=3))
    assert first == Leaving("slow", queue_anew=True), "several together do not keep all others waiting"
    assert gives(slots, waits("c1", "c", 4, job=3)) is None, "it has priority"
    assert gives(slots, waits("b1", "b", 5, job=2)) == "slow"
    assert gives(slots, waits("b2", "b", 5, job=3)) == "slow"
    assert gives(slots, waits("a1", "a", 0)) is None, "what would begin anew loses nothing for its owner's own"
    assert gives(slots, waits("b3", "a", 5)) is None, "whose turn it is not"
    assert gives(slots, waits("b3", "a", 6)) == "slow", "but it is urgent"
    monkeypatch.setattr(fetch_slots, "TURN_ANEW", 0.0)
    assert gives(slots, waits("c1", "c", 0, job=3)) == "anew"


@pytest.mark.parametrize("kept", ["fast", "coming", "whole"])
def test_one_that_is_not_slow_keeps_its_slot(monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    monkeypatch.setattr(fetch_slots, "SLOW", 10**5 if kept == "fast" else 10**9)
    trip = Trip("j", 0, None) if kept == "coming" else trickling(piece=10**6)
    if kept == "whole":
        trip.end()  # as while its SHA-256 is made
    slots = FetchSlots(1)
    slots.take(waits("a", "a"), trip)
    assert slots.give_way(waits("b", "b")) is None


@pytest.fixture(scope="module")
def given(shared_daemon: Daemon) -> Iterator[Callable[..., httpx.Client]]:
    """Gives a client with a new token of that name and of limits."""
    opened: list[httpx.Client] = []

    def give(name: str, **limits: int) -> httpx.Client:
        token = shared_daemon.client.post("/api/tokens", json={"name": name, **limits}).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        opened.append(httpx.Client(base_url=shared_daemon.url, headers=headers, timeout=PATIENCE, **PLAIN))
        return opened[-1]

    yield give
    for one in opened:
        one.close()


@pytest.fixture
def standing(shared_daemon: Daemon) -> Iterator[Daemon]:
    """The daemon while nothing starts, until the test says so; of what the test leaves there is nothing."""
    shared_daemon.client.post("/api/queue/drain").raise_for_status()
    yield shared_daemon
    shared_daemon.client.delete("/api/jobs").raise_for_status()
    shared_daemon.client.post("/api/queue/resume").raise_for_status()


def refused(client: httpx.Client, clip: Path, spec: dict[str, Any]) -> tuple[int, str]:
    with clip.open("rb") as file:
        answer = client.post("/api/jobs", data={"spec": json.dumps(spec)}, files={"files": ("clip.mp4", file)})
    return answer.status_code, answer.json().get("detail", "")


def test_a_token_queues_as_much_as_it_may_and_another_is_not_kept_by_it(
    given: Callable[..., httpx.Client], standing: Daemon, clip: Path
) -> None:
    bounded, free = given("bounded", max_queued=7), given("unbounded")
    submitted(bounded, clip, MANY)
    assert submitted(free, clip, MANY)["total_variations"] == 6
    status, words = refused(bounded, clip, MANY)
    assert (status, "limit of 7" in words) == (429, True)
    assert submitted(bounded, clip)["total_variations"] == 1
    job = bounded.get("/api/jobs").json()["items"][0]["id"]
    bounded.post(f"/api/jobs/{job}/cancel").raise_for_status()
    assert submitted(bounded, clip)["total_variations"] == 1
    assert bounded.post(f"/api/jobs/{job}/retry").status_code == 429
    assert standing.client.post(f"/api/jobs/{job}/retry").status_code == 200  # an admin may


def test_what_a_token_stores_is_bounded(given: Callable[..., httpx.Client], standing: Daemon, clip: Path) -> None:
    size = clip.stat().st_size
    storing = given("storing", max_stored_bytes=10_000_000)
    job = submitted(storing, clip)["id"]
    made = storing.post("/api/uploads", headers={**TUS, "Upload-Length": str(9_000_000 - size)})
    assert made.status_code == 201, made.text
    assert "of this token" in refused(storing, clip, {"variations": [{"preset": "archive-ffv1"}]})[1]
    too_much = storing.post("/api/uploads", headers={**TUS, "Upload-Length": "1000001"})
    assert (too_much.status_code, too_much.json()["code"]) == (429, "limit_reached")
    storing.delete(f"/api/jobs/{job}").raise_for_status()
    assert submitted(storing, clip)["status"] == "queued"
    assert standing.client.get("/api/stats").json()["disk"]["sources_bytes"] == size


def test_what_came_out_counts_as_stored_until_it_is_deleted(
    given: Callable[..., httpx.Client], shared_daemon: Daemon, clip: Path
) -> None:
    size = clip.stat().st_size
    keeping = given("keeping", max_stored_bytes=size + 500_000)
    job = ended(keeping, submitted(keeping, clip)["id"])
    assert job["usage"]["output_bytes"] > 1
    made = keeping.post("/api/uploads", headers={**TUS, "Upload-Length": "499999"})
    assert (made.status_code, "of this token" in made.json()["detail"]) == (429, True)
    keeping.delete(f"/api/jobs/{job['id']}").raise_for_status()
    assert ended(keeping, submitted(keeping, clip)["id"])["status"] == "completed"
    shared_daemon.client.delete("/api/jobs").raise_for_status()


def test_no_priority_is_above_a_tokens(given: Callable[..., httpx.Client], standing: Daemon, clip: Path) -> None:
    low, usual = given("low", max_priority=-5), given("usual", max_priority=0)
    assert submitted(low, clip)["priority"] == -5, "what says nothing has the most that it may"
    assert refused(low, clip, {**MANY, "priority": -4})[0] == 403
    job = submitted(usual, clip, {**MANY, "priority": -3})
    assert job["priority"] == -3
    assert usual.patch(f"/api/jobs/{job['id']}", json={"priority": 1}).status_code == 403
    assert usual.patch(f"/api/jobs/{job['id']}", json={"priority": 0}).json()["priority"] == 0
    assert standing.client.patch(f"/api/jobs/{job['id']}", json={"priority": 9}).json()["priority"] == 9


def test_slots_go_to_clients_in_turns_and_none_has_more_than_it_may(
    given: Callable[..., httpx.Client], standing: Daemon, clip: Path
) -> None:
    """One that queued before all others does not have all its jobs done before theirs begin."""
    standing.client.patch("/api/queue", json={"slots": 3}).raise_for_status()
    spec = {"variations": [{"preset": "mp3"}]}
    greedy, late, single = given("greedy"), given("late"), given("single", max_encodes=1)
    jobs = {name: [submitted(client, clip, spec)["id"] for _ in range(8)] for name, client in
            {"greedy": greedy, "late": late, "single": single}.items()}  # fmt: skip
    standing.client.post("/api/queue/resume").raise_for_status()
    most = 0

    def all_over() -> bool:
        nonlocal most
        most = max(most, single.get("/api/stats").json()["queue"]["slots_used"])
        return standing.client.get("/api/stats").json()["queue"]["depth"] == 0

    wait_until(all_over, "all to be begun")
    begun = sorted((ended(standing.client, job)["started_at"], owner) for owner, mine in jobs.items() for job in mine)
    order = [owner for _, owner in begun]
    before_its_last = Counter(order[: len(order) - 1 - order[::-1].index("greedy")])
    assert before_its_last["late"] >= 4, order
    assert before_its_last["single"] >= 2, order
    assert most <= 1
    standing.client.patch("/api/queue", json={"slots": None}).raise_for_status()


def test_usage_is_kept_by_token_when_jobs_are_deleted(
    given: Callable[..., httpx.Client], shared_daemon: Daemon, clip: Path
) -> None:
    billed = given("billed")
    job = ended(billed, submitted(billed, clip)["id"])
    month = job["finished_at"][:7]
    billed.delete(f"/api/jobs/{job['id']}").raise_for_status()
    wanted = {
        "token": "billed",
        "month": month,
        "encodes": 1,
        **{k: job["usage"][k] for k in ("output_seconds", "output_bytes", "cpu_seconds")},
    }
    assert billed.get("/api/usage").json() == {"items": [wanted]}
    assert wanted in shared_daemon.client.get(f"/api/usage?from={month}&to={month}").json()["items"]
    assert billed.get("/api/usage?to=2020-01").json() == {"items": []}
    assert billed.get("/api/usage?from=yesterday").status_code == 422
    owners = {one["token"] for one in shared_daemon.client.get("/api/usage?token=billed").json()["items"]}
    assert owners == {"billed"}
