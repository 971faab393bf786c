"""Tells what became of a watched folder's files, a page at a time, the newest first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from math import inf

from daemon.database.store import Row, Transaction
from daemon.errors import InvalidRequest
from daemon.models import Model, when
from daemon.states import State

CURSOR = re.compile(
    r"[0-9]{1,15}(\.[0-9]{1,17})?-[0-9]{1,19}", re.ASCII
)  # when the page's last one was taken, its inode


class Verdict(Model, frozen=True):
    """Tells what became of a file: `refused`, or its job's status, or of the file itself `replaced`, `not replaced`,
    `not delivered`, `undone`, `moved`, `deleted`. The `error` says why nothing came of it so far.
    """

    name: str  # within the folder
    bytes: int
    verdict: str
    error: str | None
    job: str | None  # which may be forgotten by now
    at: datetime | None


class Verdicts(Model, frozen=True):
    items: tuple[Verdict, ...]
    next_cursor: str | None


def page(
    key: Mapping[str, str], limit: int, cursor: str | None, keeps: str | None, transaction: Transaction
) -> Verdicts:
    """Returns one page of what became of the files of the folder of that key.

    `keeps` is why what is queued does not run, if it could. Raises InvalidRequest for a cursor that no page gave.
    """
    below, inode = _decoded(cursor) if cursor is not None else (inf, 0)
    rows = transaction.all("watched_history", limit=limit + 1, below=below, inode=inode, **key)
    last = rows[limit - 1] if len(rows) > limit else None
    return Verdicts(
        items=tuple(_verdict(row, keeps) for row in rows[:limit]),
        next_cursor=f"{last['taken_at']!r}-{last['inode']}" if last else None,
    )


def _decoded(cursor: str) -> tuple[float, int]:
    if not CURSOR.fullmatch(cursor):
        raise InvalidRequest("the cursor is not one that this list gave: take `next_cursor` as it is")
    taken_at, _, inode = cursor.partition("-")
    return float(taken_at), int(inode)


def _verdict(row: Row, keeps: str | None) -> Verdict:
    waits = row["job"] and (row["outcome"] or State.QUEUED) == State.QUEUED
    return Verdict(
        name=row["name"],
        bytes=row["bytes"],
        verdict="refused" if row["error"] else row["outcome"] or State.QUEUED,
        error=row["error"] or row["said"] or (keeps if waits else None) or row["waiting"],
        job=row["job"],
        at=when(row["taken_at"]),
    )
