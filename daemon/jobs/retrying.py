"""Queues again what failed or was cancelled, of whole jobs or a part, or what failed for one kind of reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from daemon.callers import OURSELVES, Caller
from daemon.database.store import Row, Store, Transaction
from daemon.delivery import rows
from daemon.delivery.deliveries import Deliveries
from daemon.errors import Conflict
from daemon.jobs.reasons import Reason, reason
from daemon.jobs.receipts import Changed
from daemon.jobs.rows import job_row
from daemon.jobs.scopes import Located, Scope, locate, standing
from daemon.jobs.views import named_after
from daemon.paths import Paths
from daemon.scheduling.limits import Quota
from daemon.scheduling.scheduler import Scheduler
from daemon.states import State


class Retries:
    """Tries again what is made of one job, or a part of it, and what is to be delivered."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        paths: Paths,
        quota: Quota,
        deliveries: Deliveries,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._paths = paths
        self._quota = quota
        self._deliveries = deliveries
        self._now = now

    async def retry(self, scope: Scope, because: Reason | None = None, caller: Caller = OURSELVES) -> Changed:
        """Queues what failed or was cancelled of it again, or what failed `because` of that; what is completed stays.

        Raises Conflict when nothing of it can be, LimitReached when so much does not fit into the queue.
        """
        found, undelivered = await self._store.read(partial(_look, scope, self._now()))
        what = f"{scope.id} ({found.title})"
        if found.status == State.COMPLETED and not found.counts[State.FAILED] and not undelivered:
            raise Conflict(f"{what} is completed: there is nothing to try again", State.COMPLETED)
        if found.counts[State.SKIPPED] == len(found.rows):
            raise Conflict(f"{what} was skipped, since no preset suits: that is not tried again", State.FAILED)
        await self._refuse_without_sources(scope, found)
        changed = await self._store.write(partial(self._requeue, scope, found, because, caller))
        if not changed and (lost := await self._store.read(lambda t: t.one("unfetched_source", **found.keys))):
            words = f"{lost['name']} was not fetched, and its URL is forgotten by now: make the job anew"
            raise Conflict(words, found.status)
        if not changed and not because and undelivered:
            raise Conflict(f"what was not delivered of {what} is gone from the disk: submit a new job", found.status)
        self._scheduler.wake()
        self._deliveries.expect()
        return await self._store.read(partial(standing, scope, changed, self._now()))

    async def _refuse_without_sources(self, scope: Scope, found: Located) -> None:
        """Raises Conflict when the copies of all files that a retry would be of are gone."""
        rows = await self._store.read(lambda t: t.all("sources_to_retry", **found.keys))
        copies = [self._paths.source(scope.job, row["id"]) for row in rows if row["copied"]]
        if 0 < len(copies) == len(rows) and not await asyncio.to_thread(lambda: any(copy.exists() for copy in copies)):
            what = f"{named_after(rows[0]['name'], len(rows))} {'is' if len(rows) == 1 else 'are'}"
            raise Conflict(f"{what} gone from the disk, so nothing can be made: submit a new job", found.status)

    def _requeue(
        self, scope: Scope, found: Located, because: Reason | None, caller: Caller, transaction: Transaction
    ) -> bool:
        job = job_row(transaction, scope.job, self._now())
        part = found.source, found.variation
        again = requeue(transaction, [found.job], self._quota, because, caller, cancelled=True, part=part)[1]
        is_brought = job["not_delivered"] and not because  # what is made and did not arrive
        return again + (rows.retry(found.keys, self._now(), transaction) if is_brought else 0) > 0


def _look(scope: Scope, now: float, transaction: Transaction) -> tuple[Located, bool]:
    """How the scope stands, and whether something of it could not be delivered."""
    found = locate(scope, now, transaction)
    return found, found.brought and transaction.one("undelivered_of_scope", **found.keys) is not None


def requeue(
    transaction: Transaction,
    jobs: Iterable[int],
    quota: Quota,
    because: Reason | None,
    caller: Caller,
    *,
    cancelled: bool,
    part: tuple[int | None, int | None] = (None, None),
) -> tuple[set[int], int]:
    """Queues again what failed of these jobs, `because` of that alone if it is given; or is `cancelled`, too.

    `part` names the source or the variation that alone is meant. Returns the jobs of which that was anything, and how
    many variations it was. Raises LimitReached when so much does not fit into the queue.
    """
    source, variation = part
    rows = transaction.all("missing_of_jobs", jobs=_json(jobs), source=source, variation=variation)
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
