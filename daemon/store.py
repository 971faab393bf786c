"""The SQLite store: one writer, group commits, a reader beside it, and the schema's version.

A transaction is a plain function over a `Transaction`, run whole on the writer's thread, so a
cancelled coroutine can never leave one open. Writes that wait together share one commit, each in a
savepoint of its own: one that raises is undone alone. When `write` returns, the data is fsynced.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiosqlite

from daemon.errors import Damaged, FfspoolError, OutOfSpace, StartupError, Unavailable
from daemon.paths import fsync, fsync_folder

T = TypeVar("T")
Row = sqlite3.Row

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
MAX_GROUP = 256  # writes in one commit; bounds how long the first of them waits


class Transaction:
    """Runs the statements of `queries.sql` by name."""

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def run(self, query: str, **parameters: Any) -> int:
        """How many rows the statement changed."""
        return self._connection.execute(self._queries[query], parameters).rowcount

    def run_many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self._connection.executemany(self._queries[query], rows)

    def one(self, query: str, **parameters: Any) -> Row | None:
        """The first row, or None."""
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
    """The database. Open it with `Store.open`, close it before the loop ends."""

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self.damaged = asyncio.Event()  # set once the database was found to be not what was written
        self._path = path
        self._writer = writer
        self._reader = reader
        self._queries = load_queries()
        self._listeners: list[Callable[[], None]] = []
        self._waiting: asyncio.Queue[_Write[Any]] = asyncio.Queue()
        self._committer = asyncio.create_task(self._commit_groups(), name="store writer")

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
        return cls(path, writer, reader)

    async def close(self) -> None:
        """Commits what waits, then closes. Writes after this raise."""
        await self._waiting.join()
        self._committer.cancel()
        await asyncio.gather(self._committer, return_exceptions=True)
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
        except sqlite3.ProgrammingError:  # a fault of ours, which must not pass for one of the disk
            raise
        except sqlite3.Error as error:
            raise self._refusal(error, "read") from error

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
            for tell in self._listeners:
                tell()
            for write, result in zip(group, results, strict=True):
                write.settle(result)
                self._waiting.task_done()

    def _commit(self, group: list[_Write[Any]], connection: sqlite3.Connection) -> list[Any]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [self._in_savepoint(connection, write.work) for write in group]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def _refusal(self, error: sqlite3.Error, what: str) -> FfspoolError:
        if "full" in str(error):
            return OutOfSpace("the disk that holds the database is full")
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE:
            self.damaged.set()
            with suppress(OSError):
                _suspicion(self._path).touch()
            return Damaged(f"the database is damaged: {error}")
        return Unavailable(f"the database cannot be {what}: {error}")

    def _in_savepoint(self, connection: sqlite3.Connection, work: Callable[[Transaction], Any]) -> Any:
        connection.execute("SAVEPOINT one_write")
        try:
            result = work(Transaction(connection, self._queries))
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave up the whole transaction: full disk, I/O error
                raise
            connection.execute("ROLLBACK TO one_write")
            result = error
        connection.execute("RELEASE one_write")
        return result


def load_queries() -> dict[str, str]:
    """The statements of `queries.sql` by name."""
    text = (files("daemon") / "queries.sql").read_text()
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def prepare(path: Path, schema: str | None = None, upgrades: Traversable | None = None) -> None:
    """Makes the database at `path`, or brings an older one to this version after setting a copy aside.

    `schema` and the folder of `upgrades` (`0002.sql` leads from version 1 to 2) default to the package's own.
    Raises StartupError and leaves the file as it was when that cannot be done.
    """
    schema = schema if schema is not None else (files("daemon") / "schema.sql").read_text()
    target = int(re.search(r"PRAGMA user_version = (\d+)", schema)[1])  # type: ignore[index]
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        version = _version(connection)
        if version > target:
            raise StartupError(
                f"{path} was made by a newer ffspool (schema {version}, this one knows {target}): install that version "
                f"again, or put a backup from before it in its place"
            )
        _check_integrity(connection)
        if version == 0:
            _run_script(connection, schema)
        elif version < target:
            _upgrade(connection, path, version, target, upgrades or files("daemon") / "upgrades")
        _check_if_suspected(connection, path)
    except sqlite3.DatabaseError as error:
        raise _unusable(path, error) from error
    finally:
        connection.close()


def _suspicion(path: Path) -> Path:
    """Stands beside a database that was found damaged at work, until a check has found it sound."""
    return path.with_name(f"{path.name}.suspect")


def _check_if_suspected(connection: sqlite3.Connection, path: Path) -> None:
    """Reads the whole database, which takes too long for every start. Raises DatabaseError when it is damaged."""
    if not _suspicion(path).exists():
        return
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    _suspicion(path).unlink()


def inspect(path: Path) -> tuple[int, int]:
    """The schema's version in the database, and the one this ffspool makes. Changes nothing.

    Raises StartupError when it is damaged or not ours.
    """
    target = int(re.search(r"PRAGMA user_version = (\d+)", (files("daemon") / "schema.sql").read_text())[1])  # type: ignore[index]
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"  # else files would appear beside it
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True)) as connection:
            version = _version(connection)
            flaw = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    if flaw != "ok":
        raise _unusable(path, sqlite3.DatabaseError(flaw))
    return version, target


def _unusable(path: Path, error: sqlite3.Error) -> StartupError:
    if getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StartupError(f"{path} is locked by another program: end that (`fuser {path}` names it) and start again")
    return StartupError(
        f"{path} cannot be used as ffspool's database: {error}. Put a backup in its place; "
        f"or, to begin with an empty queue, move it and the folder `spool` beside it away."
    )


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise sqlite3.DatabaseError("it holds tables that are not ffspool's")
    return version


def _check_integrity(connection: sqlite3.Connection) -> None:
    """A damaged page may lie where nothing looks for months: better it is found while there is a backup."""
    [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({found})")


def back_up(path: Path, file: Path) -> int:
    """Copies the database at `path`, in use or not, to the new `file`; returns its size. Blocks.

    The copy is checked, marked as a backup, durable, readable by its owner alone, and there whole or not at all.
    Raises StartupError when there is no database or it is damaged, FileExistsError, or another OSError.
    """
    if file.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            return _copy(connection, file, backup=True)
    except sqlite3.Error as error:
        raise StartupError(f"{path} cannot be copied: {error}") from error


def _copy(connection: sqlite3.Connection, file: Path, *, backup: bool) -> int:
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # else its first reader leaves two more files beside it
            if backup and copy.execute("SELECT 1 FROM sqlite_schema WHERE name = 'lineage'").fetchone():
                copy.execute("UPDATE lineage SET backup = 1")
            _check_integrity(copy)
        fsync(draft)
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    fsync_folder(file.parent)
    return file.stat().st_size


def _upgrade(connection: sqlite3.Connection, path: Path, version: int, target: int, upgrades: Traversable) -> None:
    _copy(connection, path.with_name(f"{path.name}.before-{target}"), backup=False)
    steps = [(upgrades / f"{step:04}.sql").read_text() for step in range(version + 1, target + 1)]
    _run_script(connection, "\n".join([*steps, f"PRAGMA user_version = {target};"]))


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    connection.executescript(f"BEGIN EXCLUSIVE;\n{script}\nCOMMIT;")


async def _connect(path: Path, *, read_only: bool = False) -> aiosqlite.Connection:
    mode = "ro" if read_only else "rw"
    connection = await aiosqlite.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 10000"):
            if not (read_only and pragma.startswith("journal_mode")):
                await connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error as error:
        await connection.close()  # its thread would keep the process alive
        raise _unusable(path, error) from error
    return connection


async def _on_thread(connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    # aiosqlite offers no public way to run one function on its thread; a coroutine per statement would
    # let a cancelled caller leave a transaction open.
    result: T = await connection._execute(work, connection._conn)  # type: ignore[no-untyped-call]
    return result
