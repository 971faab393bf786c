"""Makes, checks, upgrades and copies the database as a file, while no daemon works on it or beside one."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from daemon.errors import StartupError
from daemon.paths import fsync, fsync_folder

DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
CHECKED_AT_START = 128 << 20  # bytes up to which a start waits for the check: half a second


def prepare(path: Path, schema: str | None = None, upgrades: Traversable | None = None) -> None:
    """Makes the database at `path`, or brings an older one to this version after setting a copy aside.

    `schema` and the folder of `upgrades` (`0002.sql` leads from version 1 to 2) default to the package's own.
    Raises StartupError and leaves the file as it was when that cannot be done.
    """
    schema = schema if schema is not None else _schema()
    wanted = target(schema)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        version = _version(connection)
        if version > wanted:
            raise StartupError(
                f"{path} was made by a newer ffspool (schema {version}, this one knows {wanted}): install that version "
                f"again, or put a backup from before it in its place"
            )
        if path.stat().st_size <= CHECKED_AT_START:
            _check_integrity(connection)
        if version == 0:
            _run_script(connection, schema)
        elif version < wanted:
            _upgrade(connection, path, version, wanted, upgrades or files("daemon.database") / "upgrades")
        _check_if_suspected(connection, path)
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error
    finally:
        connection.close()


def suspicion(path: Path) -> Path:
    """Names the file that stands beside a database found damaged at work, until a check has found it sound."""
    return path.with_name(f"{path.name}.suspect")


def _check_if_suspected(connection: sqlite3.Connection, path: Path) -> None:
    """Reads the whole database, which takes too long for every start. Raises DatabaseError when it is damaged."""
    if not suspicion(path).exists():
        return
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    suspicion(path).unlink()


def inspect(path: Path) -> tuple[int, int]:
    """Returns the schema's version in the database, and the one this ffspool makes. Changes nothing.

    Raises StartupError when it is damaged or not ours.
    """
    try:
        with closing(_reader(path)) as connection:
            version = _version(connection)
            _check_integrity(connection)
    except sqlite3.Error as error:
        raise unusable(path, error) from error
    return version, target()


def peek(path: Path, query: str) -> list[sqlite3.Row]:
    """Returns the rows a query finds in the database at `path`, in use or not.

    There are none in one of another version, or in none. Raises StartupError when it is not ours, or cannot be read.
    """
    if not path.exists():
        return []
    try:
        with closing(_reader(path)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query).fetchall() if _version(connection) == target() else []
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def _reader(path: Path) -> sqlite3.Connection:
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"  # else files would appear beside it
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True)


def unusable(path: Path, error: sqlite3.Error) -> StartupError:
    if getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StartupError(f"{path} is locked by another program: end that (`fuser {path}` names it) and start again")
    if (failed := _failed_host(path, error)) is not None:
        return StartupError(failed)
    return StartupError(
        f"{path} cannot be used as ffspool's database: {error}. Put a backup in its place; "
        f"or, to begin with an empty queue, move it and the folder `spool` beside it away."
    )


def _failed_host(path: Path, error: sqlite3.Error) -> str | None:
    """Says what the host would not do; None where it is the database that is at fault."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return f"the disk that {path} is on is full: free some space there, and start again. The database is sound"
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return f"{path} cannot be opened or written by this user: run as the user who owns it"
    if code == sqlite3.SQLITE_IOERR:
        return f"{path} cannot be read or written: {error}. See whether the disk is full or failing (`df`, `dmesg`)"
    return None


def _schema() -> str:
    return (files("daemon.database") / "schema.sql").read_text()


def target(schema: str | None = None) -> int:
    """Returns the version that a schema makes, ours by default."""
    return int(re.search(r"PRAGMA user_version = (\d+)", schema or _schema())[1])  # type: ignore[index]


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise sqlite3.DatabaseError("it holds tables that are not ffspool's")
    return version


def _check_integrity(connection: sqlite3.Connection) -> None:
    """A damaged page may lie where nothing looks for months: better it is found while there is a backup."""
    if found := flaw(connection):
        raise sqlite3.DatabaseError(f"it is damaged ({found})")


def flaw(connection: sqlite3.Connection) -> str | None:
    """Says what the first damaged page suffers from; None when it is sound. Reads the whole file: about 4 s per GiB."""
    try:
        [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        raise
    return None if found == "ok" else str(found)


def is_damage(error: sqlite3.Error) -> bool:
    """Tells whether SQLite says of the file's content that it is not what was written."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def back_up(path: Path, file: Path) -> int:
    """Copies the database at `path`, in use or not, to the new `file`; returns its size. Blocks.

    The copy is checked, marked as a backup, durable, readable by its owner alone, and there whole or not at all.
    Raises StartupError when there is no database, it is damaged, or `file` is there already or cannot be written.
    """
    if file.exists():
        raise StartupError(f"{file} is there already, and a backup replaces nothing: name another file, or remove it")
    if not file.absolute().parent.is_dir():
        raise StartupError(f"there is no folder {file.parent}: make it, or mount what it is on, or name another file")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            return _copy(connection, file, backup=True)
    except sqlite3.Error as error:
        raise StartupError(f"{path} cannot be copied: {error}") from error
    except OSError as error:
        raise StartupError(f"{file} cannot be written: {error.strerror}") from error


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
