"""Keeps the database: one writer, group commits, a reader beside it, and the schema's version.

A transaction is a plain function over a `Transaction`, run whole on the writer's thread, so a
cancelled coroutine can never leave one open. Writes that wait together share one commit, each in a
savepoint of its own: one that raises is undone alone. When `write` returns, the data is fsynced.

What was deleted, such as the key of a link, is soon nowhere in the files: its place is overwritten, and the log is
emptied once nothing is written for a moment, or a minute after it was begun.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiosqlite

from daemon.database.file import CHECKED_AT_START, flaw, is_damage, prepare, suspicion, unusable
from daemon.errors import Damaged, Doubtful, FfspoolError, OutOfSpace, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = sqlite3.Row

OF_OURS = {  # errors that tell of our statements; the others tell of the host
    sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_SCHEMA,
}  # fmt: skip
OF_OWNER = "/* of owner */"  # stands in `queries.sql` where a statement is there for one owner's rows, too
QUIET = 2.0  # seconds without a commit after which the log is emptied
LONGEST_LOG = 60.0  # seconds after which it is emptied though there was no such moment
MAX_GROUP = 256  # writes in one commit; bounds how long the first of them waits


class Transaction:
    """Runs the statements of `queries.sql` by name."""

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def run(self, query: str, **parameters: Any) -> int:
        """Runs a statement and returns how many rows it changed."""
        return self._connection.execute(self._queries[query], parameters).rowcount

    def run_many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self._connection.executemany(self._queries[query], rows)

    def one(self, query: str, **parameters: Any) -> Row | None:
        """Returns the first row that the query finds, or None."""
        row: Row | None = self._connection.execute(self._queries[query], parameters).fetchone()
        return row

    def all(self, query: str, **parameters: Any) -> list[Row]:
        return self._connection.execute(self._queries[query], parameters).fetchall()


class _Write(Generic[T]):
    """A transaction that waits for its turn, and the future its caller awaits."""

    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self.work = work
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def settle(self, result: T | BaseException) -> None:
        if self.future.done():  # its caller was cancelled; the transaction stands all the same
            return
        if isinstance(result, BaseException):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class Store:
    """A store is the open database. Open it with `Store.open`, close it before the loop ends."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.damaged = asyncio.Event()  # set once the database was found to be not what was written
        self._path = path
        self._writer = writer
        self._reader = reader
        self._queries = load_queries()
        self._listeners: list[Callable[[], None]] = []
        self._waiting: asyncio.Queue[_Write[Any]] = asyncio.Queue()
        self._committer = asyncio.create_task(self._commit_groups(), name="store writer")
        self._checking: asyncio.Task[None] | None = None
        self._commits = 0
        self._logged = asyncio.Event()  # set while the log may hold something
        self._emptying = asyncio.create_task(self._empty_log(), name="store log")

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Opens, makes or upgrades the database at `path`.

        Raises StartupError when it is damaged, or was made by a newer ffspool.
        """
        await asyncio.to_thread(prepare, path)
        writer = await _connect(path)
        try:
            reader = await _connect(path, read_only=True)
        except BaseException:
            await writer.close()
            raise
        store = cls(path, writer, reader)
        if (await asyncio.to_thread(path.stat)).st_size > CHECKED_AT_START:
            store._checking = asyncio.create_task(store._check(), name="store check")
        return store

    async def close(self) -> None:
        """Commits what waits, then closes. Writes after this raise."""
        await self._waiting.join()
        background = [task for task in (self._committer, self._checking, self._emptying) if task]
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await self._reader.close()
        await self._writer.close()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` in a transaction; when this returns its changes are durable.

        What `work` raises is raised here, its changes undone. Raises OutOfSpace or Unavailable when the
        disk cannot take it. Cancelling the caller does not stop it.
        """
        if self._committer.done():
            raise RuntimeError("the store is closed")
        write = _Write(work)
        self._waiting.put_nowait(write)
        return await write.future

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Runs `work` on one consistent snapshot that includes every finished `write`.

        Raises Unavailable when the database cannot be read.
        """
        try:
            return await _on_thread(self._reader, partial(self._snapshot, work))
        except sqlite3.Error as error:
            raise self._told(error, "read") from error

    def on_commit(self, tell: Callable[[], None]) -> None:
        """Has `tell` called after every commit, when its changes can be read and before its writers go on."""
        self._listeners.append(tell)

    def _snapshot(self, work: Callable[[Transaction], T], connection: sqlite3.Connection) -> T:
        connection.execute("BEGIN")
        try:
            return work(Transaction(connection, self._queries))
        finally:
            connection.execute("ROLLBACK")

    async def _commit_groups(self) -> None:
        while True:
            group = [await self._waiting.get()]
            while len(group) < MAX_GROUP and not self._waiting.empty():
                group.append(self._waiting.get_nowait())
            try:
                results = await _on_thread(self._writer, partial(self._commit, group))
            except sqlite3.Error as error:
                results = [self._refusal(error, "written")] * len(group)
            self._commits += 1
            self._logged.set()
            for tell in self._listeners:
                tell()
            for write, result in zip(group, results, strict=True):
                write.settle(result)
                self._waiting.task_done()

    def _commit(self, group: list[_Write[Any]], connection: sqlite3.Connection) -> list[Any]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [self._in_savepoint(connection, write.work) for write in group]
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                results = [self._doubt(error)] * len(group)
            return results
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _doubt(self, error: sqlite3.Error) -> FfspoolError:
        """What to tell of a commit that failed: its pages may be on the disk all the same."""
        refusal = self._refusal(error, "written")
        return refusal if isinstance(refusal, OutOfSpace) else Doubtful(str(refusal))

    def _told(self, error: Exception, what: str) -> Exception:
        """The error itself, when it tells of a fault of ours, which must not pass for one of the host."""
        if not isinstance(error, sqlite3.Error) or getattr(error, "sqlite_errorcode", 1) & 0xFF in OF_OURS:
            return error
        return self._refusal(error, what)

    def _refusal(self, error: sqlite3.Error, what: str) -> FfspoolError:
        if "full" in str(error):
            return OutOfSpace("the disk that holds the database is full")
        if is_damage(error):
            self._give_up()
            return Damaged(f"the database is damaged: {error}")
        return Unavailable(f"the database cannot be {what}: {error}")

    def _give_up(self) -> None:
        """Tells that nothing can be trusted any more; the next start then reads all of it."""
        self.damaged.set()
        with suppress(OSError):
            suspicion(self._path).touch()

    async def _empty_log(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._logged.wait()
            before, begun = -1, loop.time()
            while before != self._commits and loop.time() < begun + LONGEST_LOG:
                before = self._commits
                await asyncio.sleep(QUIET)
            self._logged.clear()
            with suppress(sqlite3.Error):  # whoever writes next is told of it
                if not await _on_thread(self._writer, _emptied):
                    self._logged.set()

    async def _check(self) -> None:
        """Looks at every page of a database too large for that at a start, beside the work."""
        checker = await _connect(self._path, read_only=True)
        try:
            if found := await _on_thread(checker, flaw):
                log.error("the database is damaged: %s", found)
                self._give_up()
        finally:
            await checker.interrupt()  # of a check under way when the store closes
            await checker.close()

    def _in_savepoint(self, connection: sqlite3.Connection, work: Callable[[Transaction], Any]) -> Any:
        connection.execute("SAVEPOINT one_write")
        try:
            result = work(Transaction(connection, self._queries))
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave up the whole transaction: full disk, I/O error
                raise
            connection.execute("ROLLBACK TO one_write")
            result = self._told(error, "written")
        connection.execute("RELEASE one_write")
        return result


def load_queries() -> dict[str, str]:
    """Returns the statements of `queries.sql` by name. Raises ValueError when a name is given twice."""
    text = (files("daemon.database") / "queries.sql").read_text()
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    queries: dict[str, str] = {}
    for name, statement in zip(parts[1::2], parts[2::2], strict=True):
        if name in queries:
            raise ValueError(f"queries.sql has two statements named {name}")
        queries[name] = statement
        if OF_OWNER in statement:
            queries[of_owner(name, "")] = statement.replace(OF_OWNER, "owner = :owner AND")
    return queries


def of_owner(query: str, owner: str | None) -> str:
    """Names the statement that finds the same of one `owner` alone, by indexes of its own; None: of all."""
    return query if owner is None else f"{query}_of_owner"


def _emptied(connection: sqlite3.Connection) -> bool:
    """Whether the log is in the database by now, and holds nothing: not while somebody reads what is in neither."""
    patience: int = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience}")


async def _connect(path: Path, *, read_only: bool = False) -> aiosqlite.Connection:
    mode = "ro" if read_only else "rw"
    connection = await aiosqlite.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "busy_timeout = 10000",
            "secure_delete = ON",
        ):
            if not (read_only and pragma.startswith(("journal_mode", "secure_delete"))):
                await connection.execute(f"PRAGMA {pragma}")
        # Without it, a statement in the middle of a transaction opens a file, and has to find a descriptor left.
        await connection.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error as error:
        await connection.close()  # its thread would keep the process alive
        raise unusable(path, error) from error
    return connection


async def _on_thread(connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    # aiosqlite offers no public way to run one function on its thread; a coroutine per statement would
    # let a cancelled caller leave a transaction open.
    result: T = await connection._execute(work, connection._conn)  # type: ignore[no-untyped-call]
    return result
