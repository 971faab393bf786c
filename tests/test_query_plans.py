"""No statement looks through the finished: each finds its rows by a key, or by an index that holds live rows alone."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from itertools import pairwise

import pytest

from daemon.database.file import prepare
from daemon.database.store import load_queries

GROWING = {
    "jobs",
    "sources",
    "variations",
    "attempts",
    "events",
    "outbox",
    "deliveries",
    "fetches",
    "hook_runs",
}  # by what was done, and not by what runs
OF_THE_LIVE = {
    "variations_ready",
    "variations_queued",
    "variations_processing",
    "variations_delayed",
    "variations_aside",
    "attempts_live",
    "outbox_due",
    "deliveries_due",
    "fetches_due",
    "hook_runs_due",
    "variations_to_deliver",
}


OF_ONE_RUN = {"lay_down_completed"}  # in the database that an interrupted `ffspool run` left, which holds little


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("plans") / "db"
    prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def scans(database: sqlite3.Connection, statement: str) -> list[str]:
    """Steps of the plan that read a growing table from end to end."""
    parameters = dict.fromkeys(re.findall(r":(\w+)", statement))
    plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    return [step for step in plan if _is_scan(step)]


def _is_scan(step: str) -> bool:
    found = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step)
    return found is not None and found[1] in GROWING and found[2] not in OF_THE_LIVE


@pytest.mark.parametrize("name", sorted(load_queries().keys() - OF_ONE_RUN))
def test_no_statement_scans_the_finished(database: sqlite3.Connection, name: str) -> None:
    assert scans(database, load_queries()[name]) == []


def test_every_statement_says_what_it_does() -> None:
    lines = (files("daemon.database") / "queries.sql").read_text().splitlines()
    bare = [line for above, line in pairwise(lines) if line.startswith("-- name: ") and not above.startswith("-- ")]
    assert bare == []


def test_a_scan_is_noticed(database: sqlite3.Connection) -> None:
    assert scans(database, "SELECT * FROM jobs WHERE name = :name")
    assert scans(database, "SELECT * FROM variations WHERE status = 'completed' ORDER BY name")


@pytest.mark.parametrize("key", ["title", "bytes"])
@pytest.mark.parametrize("which", ["jobs", "failed_jobs"])
def test_a_page_costs_the_same_wherever_it_is(database: sqlite3.Connection, which: str, key: str) -> None:
    """Though all are alike in what they are ordered by, as where every job is of a file of the same name."""
    database.execute("BEGIN")
    database.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO jobs"
        " (id, title, created_at, expires_in, bytes, total, failed) SELECT 'j' || i, 'clip', 0, 1, 5, 1, 1 FROM n"
    )
    query = load_queries()[f"page_of_{which}_by_{key}"]
    where = {"status": "failed", "statuses": None, "title": "clip", "bytes": 5, "now": 1, "limit": 100}
    steps = [0, 0]
    for place, seq in enumerate((1000, 19_000)):
        database.set_progress_handler(lambda place=place: steps.__setitem__(place, steps[place] + 1), 100)
        assert len(database.execute(query, {**where, "seq": seq}).fetchall()) == 100
    database.set_progress_handler(None, 0)
    database.rollback()
    assert max(steps) < 1.2 * min(steps)
