"""Shows watched folders, as clients are told."""

from __future__ import annotations

from datetime import datetime

from daemon.jobs.queue import ScheduleStanding
from daemon.models import Model


class FolderView(Model, frozen=True):
    """Shows a watched folder. `error` says why nothing, or not all, is known or taken of it for now."""

    name: str
    scanned_at: datetime | None
    found: int  # files at the last scan, of those that it takes
    left_out: int  # beside those, whose names it does not take, but for hidden and unfinished ones
    waiting: int  # of those it takes, until nobody writes to them any more, or there is room
    taken: int  # of all times
    working: int  # of those that were taken: they are queued or encoded
    made: int
    not_delivered: int  # of what was made, at least one output
    not_replaced: int  # such as what would not get smaller
    failed: int  # or cancelled
    refused: int
    paused: bool
    schedule: ScheduleStanding | None  # what its hours have its jobs do; None: it has none of its own
    replaced: int  # files whose place an output took
    saved_bytes: int  # by that
    error: str | None
