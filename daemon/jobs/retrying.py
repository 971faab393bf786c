"""Queues again what failed or was cancelled, all of it or what failed for one kind of reason."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from daemon.callers import Caller
from daemon.database.store import Row, Transaction
from daemon.jobs.reasons import Reason, reason
from daemon.scheduling.limits import Quota
from daemon.states import State


def requeue(
    transaction: Transaction,
    jobs: Iterable[int],
    quota: Quota,
    because: Reason | None,
    caller: Caller,
    *,
    cancelled: bool,
) -> tuple[set[int], int]:
    """Queues again what failed of these jobs, `because` of that alone if it is given; or is `cancelled`, too.

    Returns the jobs of which that was anything, and how many variations it was. Raises LimitReached when so much does
    not fit into the queue.
    """
    rows = transaction.all("missing_of_jobs", jobs=_json(jobs))
    again = [row for row in rows if _is_meant(row, because, cancelled=cancelled)]
    if not again:
        return set(), 0
    quota.check_queue(transaction, len(again), caller)
    variations = _json(row["seq"] for row in again)
    for statement in ("requeue", "forget_cancel", "forgive_sources"):
        transaction.run(statement, variations=variations)
    return {row["job"] for row in again}, len(again)


def _is_meant(row: Row, because: Reason | None, *, cancelled: bool) -> bool:
    if row["status"] == State.CANCELLED:
        return cancelled and because is None
    return because in {None, reason(State.FAILED, row["error"], row["source_error"])}


def _json(keys: Iterable[int]) -> str:
    return msgspec.json.encode(list(keys)).decode()
