"""Lists jobs by name, by size or by state, page by page: every page costs the same, however many jobs there are."""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Callable
from enum import StrEnum
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from daemon.database.store import Row, Transaction, of_owner
from daemon.errors import InvalidRequest
from daemon.states import State

MAX_KEY = 2**62  # above every row's number, and all bytes there are
BY_STATE = (State.PROCESSING, State.QUEUED, State.FAILED, State.CANCELLED, State.COMPLETED)


class Order(StrEnum):
    NEWEST = "newest"
    UPCOMING = "upcoming"
    NAME = "name"
    SIZE = "size"
    STATE = "state"


class Position(NamedTuple):
    """A position in a list is what its last job has: a value by which it is ordered, and its number."""

    value: str
    seq: int

    def __str__(self) -> str:
        return f"{self.value}.{self.seq}"


class Page(NamedTuple):
    """Says what a page shows: jobs in one of `statuses`, or of which something failed, beyond a cursor.

    They are an `owner`'s alone, if one is given.
    """

    statuses: tuple[State, ...]
    failures: bool
    cursor: str | None
    limit: int
    now: float
    owner: str | None = None


def ordered(t: Transaction, order: Order, page: Page) -> tuple[list[Row], Callable[[Row], str]]:
    """Returns the rows of a page in that order, and what makes the cursor behind one of them.

    Raises InvalidRequest for a strange cursor.
    """
    if order == Order.STATE:
        return _by_state(t, page), lambda row: str(Position(row["status"], row["seq"]))
    if order == Order.SIZE:
        value, seq = _position(page.cursor, str(MAX_KEY))
        rows = _merged(t, "bytes", page, lambda row: (-row["bytes"], -row["seq"]), bytes=_whole(value), seq=seq)
        return rows, lambda row: str(Position(str(row["bytes"]), row["seq"]))
    value, seq = _position(page.cursor, "", before=-1)
    rows = _merged(t, "title", page, lambda row: (_folded(row["title"]), row["seq"]), title=_text(value), seq=seq)
    return rows, lambda row: str(Position(base64.urlsafe_b64encode(row["title"].encode()).decode(), row["seq"]))


def _merged(t: Transaction, key: str, page: Page, rank: Callable[[Row], Any], **beyond: Any) -> list[Row]:
    """Each status has an index of its own by that key, and so has what failed."""
    bounds = {"limit": page.limit, "now": page.now, "owner": page.owner, **beyond}
    if page.failures:
        statuses = msgspec.json.encode(page.statuses).decode() if page.statuses else None
        return t.all(of_owner(f"page_of_failed_jobs_by_{key}", page.owner), statuses=statuses, **bounds)
    query = of_owner(f"page_of_jobs_by_{key}", page.owner)
    pages = [t.all(query, status=status, **bounds) for status in page.statuses or BY_STATE]
    return list(islice(heapq.merge(*pages, key=rank), page.limit))


def _by_state(t: Transaction, page: Page) -> list[Row]:
    """What runs first, then what waits, then what ended; each the newest first."""
    status, below = _position(page.cursor, BY_STATE[0])
    if status not in BY_STATE:
        raise _strange()
    rows: list[Row] = []
    bounds = {"now": page.now, "floor": 0, "like": None, "owner": page.owner}
    for one in BY_STATE[BY_STATE.index(State(status)) :]:
        if page.statuses and one not in page.statuses:
            continue
        left = page.limit - len(rows)
        if page.failures:
            named = msgspec.json.encode([one]).decode()
            rows += t.all(
                of_owner("page_of_jobs_with_failures", page.owner), statuses=named, below=below, limit=left, **bounds
            )
        else:
            rows += t.all(of_owner("page_of_jobs_by_status", page.owner), status=one, below=below, limit=left, **bounds)
        if len(rows) == page.limit:
            break
        below = MAX_KEY
    return rows


def _folded(title: str) -> bytes:
    """Folds it as SQLite's NOCASE does."""
    return title.encode().lower()


def _position(cursor: str | None, first: str, before: int = MAX_KEY) -> Position:
    if cursor is None:
        return Position(first, before)
    value, _, seq = cursor.rpartition(".")
    if not seq.isascii() or not seq.isdigit() or len(seq) > 18:
        raise _strange()
    return Position(value, int(seq))


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 19:
        raise _strange()
    return int(value)


def _text(value: str) -> str:
    try:
        return base64.urlsafe_b64decode(value).decode()
    except (binascii.Error, ValueError) as error:
        raise _strange() from error


def _strange() -> InvalidRequest:
    return InvalidRequest("the cursor is not one that this list gave: take `next_cursor` as it is")
