"""Makes of a database what an earlier version of the schema would have left."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from daemon.database import file

UPGRADES = Path(file.__file__).parent / "upgrades"
VERSION_1 = Path(__file__).parent / "data" / "version-1.sql"


def downgrade(path: Path, version: int) -> None:
    """Keeps of a database that nobody has open what that version has columns for."""
    steps = [(UPGRADES / f"{step:04}.sql").read_text() for step in range(2, version + 1)]
    older = path.with_name("older")
    with closing(sqlite3.connect(older, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.executescript("\n".join([VERSION_1.read_text(), *steps, f"PRAGMA user_version = {version};"]))
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute("ATTACH ? AS newer", [str(path)])
        for [table] in database.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
            columns = ", ".join(sorted(_columns(database, "main", table) & _columns(database, "newer", table)))
            database.execute(f"DELETE FROM {table}")
            database.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM newer.{table}")
        for _, made in triggers:
            database.execute(made)
    path.unlink()
    older.rename(path)


def _columns(database: sqlite3.Connection, schema: str, table: str) -> set[str]:
    return {row[1] for row in database.execute(f"PRAGMA {schema}.table_info({table})")}
