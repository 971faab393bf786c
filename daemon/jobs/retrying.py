"""Queues again what failed or was cancelled, all of it or what failed for one kind of reason."""

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
from daemon.jobs.scopes import Scope, standing
from daemon.jobs.views import named_after
from daemon.paths import Paths
from daemon.scheduling.limits import Quota
from daemon.scheduling.scheduler import Scheduler
from daemon.states import State


class Retries:
    """Tries one job's variations again, and its deliveries."""

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

    async def retry(self, job: str, because: Reason | None = None, caller: Caller = OURSELVES) -> Changed:
        """Queues what failed or was cancelled again, or what failed `because` of that; what is completed stays.

        Raises Conflict when nothing of it can be, LimitReached when so much does not fit into the queue.
        """
        row = await self._store.read(lambda t: job_row(t, job, self._now()))
        if row["status"] == State.COMPLETED and not row["failed"] + row["not_delivered"]:
            raise Conflict(f"{job} is completed: there is nothing to try again", State.COMPLETED)
        if row["skipped"] == row["total"]:
            raise Conflict(f"no preset of {job} suits its files: what is skipped is not tried again", State.FAILED)
        await self._refuse_without_sources(row)
        changed = await self._store.write(partial(self._requeue, job, because, caller))
        if not changed and (lost := await self._store.read(lambda t: t.one("unfetched_source", job=row["seq"]))):
            words = f"{lost['name']} was not fetched, and its URL is forgotten by now: make the job anew"
            raise Conflict(words, row["status"])
        if not changed and not because and row["not_delivered"]:
            raise Conflict(f"what was not delivered of {job} is gone from the disk: submit a new job", row["status"])
        self._scheduler.wake()
        self._deliveries.expect()
        return await self._store.read(partial(standing, Scope(job=job), changed, self._now()))

    async def _refuse_without_sources(self, job: Row) -> None:
        """Raises Conflict when the copies of all files that a retry would be of are gone."""
        rows = await self._store.read(lambda t: t.all("sources_to_retry", job=job["seq"]))
        copies = [self._paths.source(job["id"], row["id"]) for row in rows if row["copied"]]
        if 0 < len(copies) == len(rows) and not await asyncio.to_thread(lambda: any(copy.exists() for copy in copies)):
            what = f"{named_after(rows[0]['name'], len(rows))} {'is' if len(rows) == 1 else 'are'}"
            raise Conflict(f"{what} gone from the disk, so nothing can be made: submit a new job", State(job["status"]))

    def _requeue(self, job: str, because: Reason | None, caller: Caller, transaction: Transaction) -> bool:
        row = job_row(transaction, job, self._now())
        again = requeue(transaction, [row["seq"]], self._quota, because, caller, cancelled=True)[1]
        brought = 0 if because else rows.retry(transaction, row, self._now())  # what is made and did not arrive
        return again + brought > 0


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
