"""Lists jobs, selected and in order, page by page: every page costs the same, however many jobs there are."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from typing import Any

import msgspec

from daemon.database.store import Row, Transaction, of_owner
from daemon.errors import InvalidRequest
from daemon.jobs import orders
from daemon.jobs.effort import Effort
from daemon.jobs.orders import Order
from daemon.jobs.works import Works
from daemon.models import Model
from daemon.states import State

MAX_SEQ = 2**62  # above every row
MAX_METADATA_BYTES = 1024**2  # that one page tells
TOLD_BY_STATUS = {State.QUEUED, State.COMPLETED}  # how far a job is
WINDOW = 20_000  # jobs that one page of a search looks at


class Selection(Model, frozen=True):
    """Selects the jobs with one of `statuses` (none: with any), paused ones alone, or those a text is found in.

    They come newest first, or in another `order`: that to come is by priority, then age.
    """

    statuses: tuple[State, ...] = ()
    paused: bool = False
    failures: bool = False
    begins: str | None = None  # of identifiers; goes alone
    search: str | None = None
    order: Order = Order.NEWEST
    owner: str | None = None  # whose they are; None: everybody's

    def __post_init__(self) -> None:
        upcoming = self.order == Order.UPCOMING
        if upcoming and (self.statuses != (State.QUEUED,) or self.paused or self.failures or self.search):
            raise InvalidRequest(
                "only the queued jobs have an order to come: use order=upcoming with status=queued alone"
            )
        if self.begins is not None and (self.statuses or self.paused or self.failures or self.search or upcoming):
            raise InvalidRequest("id finds jobs by the beginning of their identifiers, and goes with no other filter")
        if self.order not in {Order.NEWEST, Order.UPCOMING} and (self.begins or self.paused or self.search):
            raise InvalidRequest(
                f"order={self.order} goes with a status, with ended and with has=failed: what is paused, and what is "
                "searched for, comes newest first"
            )
        if self.search and "\0" in self.search:
            raise InvalidRequest("no name has a NUL in it, so none can be found by one")


Page = tuple[list[Row], str | None]


def page(
    transaction: Transaction,
    selection: Selection,
    limit: int,
    cursor: str | None,
    now: float,
    *,
    with_metadata: bool = False,
) -> Page:
    """Returns the rows of one page, `limit` at most, and the cursor of the next (None: this is the last).

    What expired is not shown. A page of a search, or one that is to tell much metadata, may hold fewer, or none, and
    yet not be the last. Raises InvalidRequest for a strange cursor.
    """
    most = MAX_METADATA_BYTES if with_metadata else sys.maxsize
    if selection.order == Order.UPCOMING:
        return _upcoming(transaction, selection.owner, limit, cursor, most)
    if selection.order != Order.NEWEST:
        wanted = orders.Page(selection.statuses, selection.failures, cursor, limit + 1, now, selection.owner)
        found, behind = orders.ordered(transaction, selection.order, wanted)
        limit = _fitting(found[:limit], most)
        return found[:limit], behind(found[limit - 1]) if len(found) > limit else None
    below, floor = decode_cursor(cursor), 0
    if selection.search:
        floor = _floor(transaction, below, selection.owner)
    found = _newest_first(transaction, selection, below, floor, limit + 1, now)
    limit = _fitting(found[:limit], most)
    if len(found) > limit:
        return found[:limit], str(found[limit - 1]["seq"])
    return found, str(floor) if floor else None


def _floor(transaction: Transaction, below: int, owner: str | None) -> int:
    """The row above which a page of a search looks, of all jobs or an owner's; 0: at all that are left."""
    if owner is not None:
        row = transaction.one("floor_of_search", owner=owner, below=below, window=WINDOW)
        return int(row["seq"]) if row else 0
    newest = transaction.one("newest_job")
    assert newest is not None
    return int(max(0, min(below, newest["seq"] + 1) - WINDOW))


def still(transaction: Transaction, selection: Selection, jobs: Iterable[int], now: float) -> set[int]:
    """Returns those of the jobs, told by `seq`, that are among the selected now."""
    rows = transaction.all(
        "still_selected",
        jobs=msgspec.json.encode(list(jobs)).decode(),
        statuses=_statuses(selection),
        paused=int(selection.paused),
        failures=int(selection.failures),
        like=_pattern(selection.search),
        owner=selection.owner,
        now=now,
    )
    return {row["seq"] for row in rows}


def _fitting(rows: Sequence[Row], most: int) -> int:
    """How many of the first rows have at most so many bytes of metadata together; the first always fits."""
    whole = accumulate(len(row["metadata"]) for row in rows)
    return sum(number == 0 or size <= most for number, size in enumerate(whole))


def decode_cursor(cursor: str | None) -> int:
    if cursor is None:
        return MAX_SEQ
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRequest("the cursor is not one that a list gave: take `next_cursor` as it is")
    return int(cursor)


def _newest_first(t: Transaction, selection: Selection, below: int, floor: int, limit: int, now: float) -> list[Row]:
    owner = selection.owner
    bounds: dict[str, Any] = {"below": below, "floor": floor, "limit": limit, "now": now, "owner": owner}
    if selection.begins is not None:
        by_id = of_owner("page_of_jobs_by_id", owner)
        return t.all(by_id, first=selection.begins, behind=selection.begins + "g", **bounds)
    bounds["like"] = _pattern(selection.search)
    if selection.paused or selection.failures:
        query = "page_of_paused_jobs" if selection.paused else "page_of_jobs_with_failures"
        return t.all(of_owner(query, owner), statuses=_statuses(selection), failures=int(selection.failures), **bounds)
    if not selection.statuses:
        return t.all(of_owner("page_of_jobs", owner), **bounds)
    query = of_owner("page_of_jobs_by_status", owner)
    pages = [t.all(query, status=status, **bounds) for status in set(selection.statuses)]
    return list(islice(heapq.merge(*pages, key=lambda row: row["seq"], reverse=True), limit))


def _statuses(selection: Selection) -> str | None:
    """What `json_each` takes; None: any."""
    return msgspec.json.encode(selection.statuses).decode() if selection.statuses else None


def _pattern(search: str | None) -> str | None:
    """What LIKE finds the text by."""
    if not search:
        return None
    return "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _upcoming(transaction: Transaction, owner: str | None, limit: int, cursor: str | None, most: int) -> Page:
    rank, _, seq = (cursor or "-9999.0").partition(".")
    if not rank.removeprefix("-").isdecimal() or not seq.isdecimal() or len(rank) > 6:
        raise InvalidRequest("the cursor is not one that this list gave: take `next_cursor` as it is")
    beyond = {"rank": int(rank), "seq": decode_cursor(seq), "limit": limit + 1}
    found = transaction.all(of_owner("page_of_upcoming_jobs", owner), owner=owner, **beyond)
    rows = found[: _fitting(found[:limit], most)]
    return rows, f"{-rows[-1]['priority']}.{rows[-1]['seq']}" if len(found) > len(rows) else None


# What is told of them


def files(transaction: Transaction, jobs: Sequence[Row]) -> dict[int, Row]:
    """Returns what is told of each job's files, by its `seq`."""
    return {row["job"]: row for row in transaction.all("files_of_jobs", jobs=_keys(jobs))}


def efforts(transaction: Transaction, jobs: Sequence[Row], works: Works) -> dict[int, Effort]:
    """Returns what each job is about whose status alone does not tell, by its `seq`, from its sources' counters."""
    asked = [job for job in jobs if job["status"] not in TOLD_BY_STATUS or _was_interrupted(job)]
    if not asked:
        return {}
    parts = works.of(transaction, asked)
    return {
        row["job"]: Effort(
            parts=parts.get(row["job"], ()),
            planned=row["planned"],
            done=row["done"],
            left=row["left"],
            running_unknown=bool(row["running_unknown"]),
            left_unknown=bool(row["left_unknown"]),
        )
        for row in transaction.all("efforts", jobs=_keys(asked))
    }


def _was_interrupted(job: Row) -> bool:
    """Whether it waits, but had begun: it may go on in mid-film."""
    return job["status"] == State.QUEUED and job["started_at"] is not None


def errors(transaction: Transaction, jobs: Sequence[Row]) -> dict[int, str]:
    """Returns why those failed that did, in the words of the first variation that did, by their `seq`."""
    failed = [job for job in jobs if job["status"] == State.FAILED]
    return {row["job"]: row["error"] for row in transaction.all("first_errors", jobs=_keys(failed))} if failed else {}


def _keys(jobs: Iterable[Row]) -> str:
    """What `json_each` takes for a table of them."""
    return msgspec.json.encode([job["seq"] for job in jobs]).decode()
