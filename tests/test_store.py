"""Durability, isolation of grouped writes, and the schema's version."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.database import file, store
from daemon.database.file import prepare
from daemon.database.store import Store, Transaction, load_queries
from daemon.errors import Doubtful, StartupError, Unavailable


def add_job(name: str) -> Callable[[Transaction], Any]:
    def insert(transaction: Transaction) -> None:
        transaction.one(
            "insert_job",
            id=name,
            name=None,
            priority=0,
            metadata="{}",
            on_unsuitable="fail",
            now=0.0,
            expires_in=1.0,
            owner=None,
        )

    return insert


def in_store(path: Path, work: Callable[[Store], Any]) -> Any:
    async def main() -> Any:
        store = await Store.open(path)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(main())


def ids(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        found = {row[0] for row in connection.execute("SELECT id FROM jobs")}
    connection.close()
    return found


def test_a_write_that_raises_is_undone_alone(tmp_path: Path) -> None:
    def broken(transaction: Transaction) -> None:
        add_job("broken")(transaction)
        raise LookupError("changed my mind")

    async def work(store: Store) -> list[Any]:
        return await asyncio.gather(
            store.write(add_job("a")), store.write(broken), store.write(add_job("b")), return_exceptions=True
        )

    results = in_store(tmp_path / "db", work)
    assert [type(result) for result in results] == [type(None), LookupError, type(None)]
    assert ids(tmp_path / "db") == {"a", "b"}


def test_a_cancelled_caller_leaves_no_transaction_open(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        writing = asyncio.create_task(store.write(add_job("abandoned")))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await store.write(add_job("next"))

    in_store(tmp_path / "db", work)
    assert ids(tmp_path / "db") == {"abandoned", "next"}


def test_a_read_sees_every_finished_write(tmp_path: Path) -> None:
    async def work(store: Store) -> Any:
        await store.write(add_job("a"))
        return await store.read(lambda t: t.one("job", id="a"))

    assert in_store(tmp_path / "db", work)["id"] == "a"


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    script = """
        import asyncio, sys
        from pathlib import Path
        from daemon.database.store import Store
        async def main():
            store = await Store.open(Path(sys.argv[1]))
            try:
                for number in range(10**6):
                    await store.write(lambda t: t.one("insert_job", id=str(number), name=None, priority=0,
                                                      metadata="{}", on_unsuitable="fail", now=0.0, expires_in=1.0,
                                                      owner=None))
                    print(number, flush=True)
            finally:
                await store.close()  # else its thread lives on, and the test waits for words of it
        asyncio.run(main())
    """
    path = tmp_path / "db"
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline().strip() for _ in range(50)]
        os.kill(process.pid, signal.SIGKILL)
        answered += process.stdout.read().split()
    assert set(answered) <= ids(path)


def test_every_statement_is_one_sqlite_understands(tmp_path: Path) -> None:
    prepare(tmp_path / "db")
    connection = sqlite3.connect(tmp_path / "db")
    for name, statement in load_queries().items():
        parameters = dict.fromkeys(re.findall(r":(\w+)", statement))
        try:
            connection.execute(f"EXPLAIN {statement}", parameters)
        except sqlite3.Error as error:
            pytest.fail(f"{name}: {error}")
    connection.close()


def test_an_older_database_is_upgraded_after_a_copy_is_set_aside(tmp_path: Path) -> None:
    path, upgrades = tmp_path / "db", tmp_path / "upgrades"
    upgrades.mkdir()
    (upgrades / "0002.sql").write_text("CREATE TABLE second (a INTEGER) STRICT;")
    (upgrades / "0003.sql").write_text("CREATE TABLE third (a INTEGER) STRICT;")
    prepare(path, "CREATE TABLE first (a INTEGER) STRICT; PRAGMA user_version = 1;")
    prepare(path, "PRAGMA user_version = 3;", upgrades)
    with sqlite3.connect(path) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["first", "second", "third"]
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()
    assert (tmp_path / "db.before-3").exists()


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    path, upgrades = tmp_path / "db", tmp_path / "upgrades"
    upgrades.mkdir()
    (upgrades / "0002.sql").write_text("CREATE TABLE second (a INTEGER) STRICT; SELECT * FROM nowhere;")
    prepare(path, "CREATE TABLE first (a INTEGER) STRICT; PRAGMA user_version = 1;")
    with pytest.raises(StartupError):
        prepare(path, "PRAGMA user_version = 2;", upgrades)
    with sqlite3.connect(path) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["first"]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path / "db", "CREATE TABLE t (a INTEGER) STRICT; PRAGMA user_version = 99;")
    with pytest.raises(StartupError, match="newer ffspool"):
        prepare(tmp_path / "db")


@pytest.mark.parametrize(
    "content", [b"this is no database at all, just words" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "db"
    path.write_bytes(content)
    with pytest.raises(StartupError, match="Put a backup in its place"):
        prepare(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(StartupError, match="not ffspool's"):
        prepare(tmp_path / "db")


def test_a_database_too_large_to_check_at_a_start_is_checked_beside_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "db"

    async def fill(opened: Store) -> None:
        for number in range(100):
            await opened.write(add_job(f"{number:04000}"))

    in_store(path, fill)
    spoil_last_page(path)
    monkeypatch.setattr(store, "CHECKED_AT_START", 4096)
    monkeypatch.setattr(file, "CHECKED_AT_START", 4096)

    async def work(opened: Store) -> None:
        await asyncio.wait_for(opened.damaged.wait(), 30)

    in_store(path, work)
    with pytest.raises(StartupError, match="Put a backup in its place"):
        prepare(path)


def spoil_last_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"\xff" * 4096)


def test_what_failed_for_certain_is_told_from_what_is_in_doubt(tmp_path: Path) -> None:
    """A write that never came to its commit is not there; what failed at its commit may be, after a crash."""
    path = tmp_path / "db"

    async def work(opened: Store) -> None:
        await opened._writer.execute("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable) as locked:
                await opened.write(add_job("locked"))
        assert not isinstance(locked.value, Doubtful)
        with files_stop_growing(), pytest.raises(Doubtful):  # which the log notices as it is written: at the commit
            await opened.write(add_job("in doubt"))
        await opened.write(add_job("a"))

    in_store(path, work)
    assert ids(path) == {"a"}


@contextmanager
def files_stop_growing() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
