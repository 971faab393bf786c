"""A database of an earlier version, once upgraded, is the same as a new one; and keeps what it held."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.database import file
from daemon.database.file import prepare

NEWEST = int(max(path.stem for path in (Path(file.__file__).parent / "upgrades").glob("*.sql")))
DUMP_1 = (Path(__file__).parent / "data" / "version-1.sql").read_text()  # of a daemon that was killed at work


@pytest.fixture
def old(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database of version 1 with jobs in every state, open."""
    with closing(sqlite3.connect(tmp_path / "old", isolation_level=None)) as database:
        database.executescript(DUMP_1)
        yield database


def upgraded(old: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    old.close()
    prepare(path)
    return sqlite3.connect(path)


def shape(database: sqlite3.Connection) -> dict[str, Any]:
    """Table by table every column, every index, and every trigger: those of one event in the order they were made."""
    tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    made = "SELECT name, sql FROM sqlite_schema WHERE type = ? AND tbl_name = ? ORDER BY {}"
    return {
        table: {
            "columns": database.execute(f"PRAGMA table_xinfo({table})").fetchall(),
            "indexes": _texts(database.execute(made.format("name"), ["index", table])),
            "triggers": sorted(_texts(database.execute(made.format("rowid"), ["trigger", table])), key=_event),
        }
        for table in tables
    }


def _texts(rows: sqlite3.Cursor) -> list[tuple[str, str]]:
    return [(name, re.sub(r"\s+", " ", sql or "")) for name, sql in rows]


def _event(trigger: tuple[str, str]) -> str:
    found = re.search(r"(BEFORE|AFTER) (INSERT|UPDATE|DELETE)", trigger[1])
    assert found is not None
    return found[0]


def test_an_upgraded_database_is_made_like_a_new_one(old: sqlite3.Connection, tmp_path: Path) -> None:
    prepare(tmp_path / "new")
    with closing(upgraded(old, tmp_path / "old")) as after, closing(sqlite3.connect(tmp_path / "new")) as new:
        assert shape(after) == shape(new)
        assert after.execute("PRAGMA user_version").fetchone() == new.execute("PRAGMA user_version").fetchone()


def test_sources_of_an_upgraded_database_count_their_variations(old: sqlite3.Connection, tmp_path: Path) -> None:
    job = old.execute("INSERT INTO jobs (id, created_at, expires_in) VALUES ('j', 0, 1)").lastrowid
    source = old.execute(
        "INSERT INTO sources (id, job, name, folder, bytes, media) VALUES ('s', ?, 'a', 'a', 1, ?)",
        [job, '{"duration_seconds": 2.5}'],
    ).lastrowid
    for name in "abc":
        old.execute(
            "INSERT INTO variations (id, job, source, name, preset, parameters, extension)"
            " VALUES (?, ?, ?, 'n', 'p', '{}', 'e')",
            [name, job, source],
        )
    old.execute("UPDATE variations SET status = 'cancelled', finished_at = 1 WHERE id = 'b'")
    old.execute("UPDATE variations SET status = 'processing' WHERE id = 'c'")
    with closing(upgraded(old, tmp_path / "old")) as after:
        counted = "SELECT queued, processing, completed, failed, cancelled, duration FROM sources WHERE id = 's'"
        assert after.execute(counted).fetchall() == [(1, 1, 0, 0, 1, 2.5)]
        after.execute("UPDATE variations SET status = 'failed', finished_at = 1 WHERE id = 'a'")
        assert after.execute(counted).fetchall() == [(0, 1, 0, 1, 1, 2.5)]


# A whole database of version 1


STATES = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "partly failed": "completed",
    "with a key": "completed",
    "processing": "processing",
    "queued": "queued",
    "paused": "queued",
}

IN_HANDLE = {"boot", "pid", "pid_created"}


@pytest.fixture
def full(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "ffspool.db")) as database:
        database.executescript(DUMP_1)
    return tmp_path / "ffspool.db"


def test_an_upgrade_keeps_every_job_and_its_history(full: Path) -> None:
    prepare(full)
    with closing(sqlite3.connect(full)) as after, closing(sqlite3.connect(":memory:")) as before:
        before.executescript(DUMP_1)
        assert dict(after.execute("SELECT name, status FROM jobs")) == STATES
        assert after.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert after.execute("PRAGMA foreign_key_check").fetchall() == []
        for [table] in before.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            columns = {column[1] for column in before.execute(f"PRAGMA table_xinfo({table})")}
            names = ", ".join(sorted(columns - (IN_HANDLE if table == "attempts" else set())))
            rows = f"SELECT {names} FROM {table} ORDER BY {names}"
            newly = {(0, "skipped", 0)} if table == "tally" else set()
            kept = [row for row in after.execute(rows) if row not in newly]
            assert kept == before.execute(rows).fetchall(), table


def test_an_upgrade_keeps_what_a_running_encoder_is_ended_by(full: Path) -> None:
    prepare(full)
    with closing(sqlite3.connect(full)) as after:
        living = after.execute("SELECT handle FROM attempts WHERE ended_at IS NULL").fetchall()
        assert [json.loads(handle) for (handle,) in living] == [
            {"boot": "00000000-0000-4000-8000-000000000000", "pid": 933, "created": 1282876}
        ]


def test_after_an_upgrade_a_variation_may_be_skipped_and_has_no_say_in_its_job(full: Path) -> None:
    prepare(full)
    with closing(sqlite3.connect(full)) as after:
        [job, variation] = after.execute(
            "SELECT job, min(variations.id) FROM variations JOIN jobs ON jobs.seq = job WHERE jobs.name = 'queued'"
        ).fetchone()
        after.execute("UPDATE variations SET status = 'skipped', finished_at = 1 WHERE id = ?", [variation])
        told = after.execute("SELECT status, skipped, total FROM jobs WHERE seq = ?", [job]).fetchone()
        assert told in {("failed", 1, 1), ("queued", 1, 2), ("queued", 1, 3)}
        assert after.execute("SELECT variations FROM tally WHERE status = 'skipped'").fetchone() == (1,)


def test_an_upgrade_counts_what_is_on_the_disk_already(full: Path) -> None:
    prepare(full)
    with closing(sqlite3.connect(full)) as after:
        [sources] = after.execute("SELECT sum(bytes) FROM sources").fetchone()
        [outputs] = after.execute("SELECT sum(bytes) FROM variations WHERE status = 'completed'").fetchone()
        counted = dict(after.execute("SELECT kind, bytes FROM disk"))
        assert counted == {"sources": sources, "outputs": outputs, "uploads": 40}


def test_an_upgrade_that_was_killed_is_begun_anew(full: Path) -> None:
    """After the copy was set aside, half-way: the transaction is gone, and the copy is made again, whole."""
    aside = full.with_name(f"ffspool.db.before-{NEWEST}")
    aside.write_bytes(b"half a copy")
    prepare(full)
    with closing(sqlite3.connect(aside)) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)
        assert dict(copy.execute("SELECT name, status FROM jobs")) == STATES
    assert aside.stat().st_mode & 0o777 == 0o600
