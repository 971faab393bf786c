"""Shows watched folders, and what became of their files, as clients are told."""

from __future__ import annotations

from datetime import datetime

from daemon.database.store import Row
from daemon.jobs.queue import ScheduleStanding
from daemon.models import Model, when
from daemon.states import State


class FolderView(Model, frozen=True):
    """Shows a watched folder. `error` says why nothing, or not all, is known of it for now."""

    name: str
    scanned_at: datetime | None
    found: int  # files at the last scan, of those that it takes
    left_out: int  # beside those, whose names it does not take, but for hidden and unfinished ones
    waiting: int  # of those it takes, until nobody writes to them any more, or there is room
    taken: int  # of all times
    working: int  # of those that were taken: they are queued or encoded
    made: int
    not_replaced: int  # such as what would not get smaller
    failed: int  # or cancelled
    refused: int
    paused: bool
    schedule: ScheduleStanding | None  # what its hours have its jobs do; None: it has none of its own
    replaced: int  # files whose place an output took
    saved_bytes: int  # by that
    error: str | None


class Verdict(Model, frozen=True):
    """Tells what became of a file: `refused`, or its job's status, or of the file itself `replaced`, `not replaced`,
    `undone`, `moved`, `deleted`. The `error` says why nothing came of it so far.
    """

    name: str  # within the folder
    bytes: int
    verdict: str
    error: str | None
    job: str | None  # which may be forgotten by now
    at: datetime | None


class Verdicts(Model, frozen=True):
    items: tuple[Verdict, ...]


def verdict(row: Row, keeps: str | None) -> Verdict:
    """Returns what a row of a watched file tells. `keeps` is why what is queued does not run, if it could."""
    waits = row["job"] and (row["outcome"] or State.QUEUED) == State.QUEUED
    return Verdict(
        name=row["name"],
        bytes=row["bytes"],
        verdict="refused" if row["error"] else row["outcome"] or State.QUEUED,
        error=row["error"] or row["said"] or (keeps if waits else None),
        job=row["job"],
        at=when(row["taken_at"]),
    )
