"""Acts on many jobs at once, by sets: a transaction takes hundreds of them, and then lets others in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from daemon.callers import OURSELVES, Caller
from daemon.database.store import Row, Store, Transaction, of_owner
from daemon.delivery import rows as deliveries
from daemon.jobs import listing
from daemon.jobs.control import remove_needless_pieces
from daemon.jobs.listing import Selection
from daemon.jobs.reasons import Reason
from daemon.jobs.receipts import BulkReceipt, RetryReceipt
from daemon.jobs.retrying import requeue
from daemon.paths import Paths
from daemon.scheduling.limits import Quota
from daemon.scheduling.scheduler import Scheduler
from daemon.states import ENDED, State
from daemon.storage.fetches import Fetches

BULK_JOBS = 1000  # read at once
BULK_VARIATIONS = 500  # ended or deleted in one transaction, so that others get their turn
# In the order jobs go through them; then again, for those whose only variation went back to the queue meanwhile.
_LIVE = (State.QUEUED, State.PROCESSING, State.QUEUED)


class Bulk:
    """Cancels, deletes and retries by filter, over one store and one scheduler."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        paths: Paths,
        quota: Quota,
        fetches: Fetches,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._fetches = fetches
        self._quota = quota
        self._scheduler = scheduler
        self._paths = paths
        self._now = now

    async def cancel(self, selection: Selection) -> BulkReceipt:
        """Cancels every selected job that is under way."""
        matched, changed, running = set[int](), set[int](), set[str]()
        async for jobs in self._portions(selection, _LIVE):
            found, ended, live = await self._store.write(partial(_request_many, selection, jobs, self._now()))
            matched |= found
            changed |= ended
            running |= live
        await self._scheduler.stop(running)  # all are asked by now: no slot went to one that would be cancelled too
        await self._fetches.let_go(matched)
        await remove_needless_pieces(self._store, self._paths, list(matched))
        self._scheduler.changed.set()
        return BulkReceipt(matched=len(matched), changed=len(changed))

    async def delete(self, selection: Selection) -> BulkReceipt:
        """Cancels and deletes every selected job."""
        left, changed = set[int](), 0
        async for jobs in self._portions(selection, (*_LIVE, *ENDED)):
            found, running, rows = await self._store.write(partial(_delete_ended, selection, jobs, self._now()))
            if running:
                await self._scheduler.stop(running)
                rows += await self._store.write(partial(_delete_many, found))
            await asyncio.to_thread(self._discard, rows)
            changed += len(rows)
            left = (left | found) - {row["seq"] for row in rows}
        self._scheduler.changed.set()
        return BulkReceipt(matched=changed + len(left), changed=changed)

    async def retry(self, selection: Selection, because: Reason | None, caller: Caller = OURSELVES) -> RetryReceipt:
        """Queues again what failed of every selected job, or what failed `because` of that.

        Raises LimitReached when so much does not fit into the queue; what was queued before that stays there.
        """
        matched, changed, variations = set[int](), set[int](), 0
        failed = replace(selection, failures=True)
        async for jobs in self._portions(failed, tuple(State)):
            found, again, count = await self._store.write(partial(self._requeue, failed, jobs, because, caller))
            matched |= found
            changed |= again
            variations += count
            self._scheduler.wake()
        return RetryReceipt(matched=len(matched), changed=len(changed), variations=variations)

    def _requeue(
        self,
        selection: Selection,
        jobs: Iterable[int],
        because: Reason | None,
        caller: Caller,
        transaction: Transaction,
    ) -> tuple[set[int], set[int], int]:
        """The jobs that are still among the selected, those of which anything waits again, and how much that is."""
        found = listing.still(transaction, selection, jobs, self._now())
        return found, *requeue(transaction, found, self._quota, because, caller, cancelled=False)

    def _discard(self, jobs: Iterable[Row]) -> None:
        for job in jobs:
            self._paths.discard(self._paths.job(job["id"]))

    async def _portions(self, selection: Selection, among: Sequence[State]) -> AsyncIterator[list[int]]:
        """The selected jobs that are there now, by row number, in portions that one transaction may take at once.

        One whose status changes meanwhile may come twice: a bulk verb acts on what it meets, and counts it once.
        """
        if selection.search or selection.paused or selection.failures:
            async for found in self._pages(selection):
                for portion in portions(row for row in found if row["status"] in among):
                    yield portion
            return
        newest = await self._store.read(lambda t: t.one("newest_job"))
        assert newest is not None
        for status in (one for one in among if not selection.statuses or one in selection.statuses):
            after = 0
            page = partial(_bulk_page, selection.owner, status, newest["seq"], self._now())
            while rows := await self._store.read(partial(page, after)):
                after = rows[-1]["seq"]
                for portion in portions(rows):
                    yield portion

    async def _pages(self, selection: Selection) -> AsyncIterator[list[Row]]:
        cursor = None
        while True:
            rows, cursor = await self._store.read(
                partial(listing.page, selection=selection, limit=BULK_JOBS, cursor=cursor, now=self._now())
            )
            yield rows
            if cursor is None:
                return


def _bulk_page(
    owner: str | None, status: State, newest: int, now: float, after: int, transaction: Transaction
) -> list[Row]:
    bounds = {"owner": owner, "after": after, "newest": newest, "limit": BULK_JOBS, "now": now}
    return transaction.all(of_owner("bulk_page", owner), status=status, **bounds)


def portions(jobs: Iterable[Row]) -> Iterator[list[int]]:
    """Yields row numbers of jobs that have some BULK_VARIATIONS together, or of one that has more."""
    portion, size = list[int](), 0
    for job in jobs:
        if portion and size + job["total"] > BULK_VARIATIONS:
            yield portion
            portion, size = [], 0
        portion.append(job["seq"])
        size += job["total"]
    if portion:
        yield portion


def _request_many(
    selection: Selection, jobs: Iterable[int], now: float, transaction: Transaction
) -> tuple[set[int], set[int], set[str]]:
    """The jobs that are still among the selected, those that had anything left to cancel, and the variations that may
    have a process."""
    found = listing.still(transaction, selection, jobs, now)
    keys = _keys(found)
    changed = {row["seq"] for row in transaction.all("request_cancel_of_jobs", jobs=keys, now=now)}
    transaction.run("keep_no_longer_of_jobs", jobs=keys)
    transaction.run("cancel_queued_of_jobs", jobs=keys, now=now)
    transaction.run("request_cancel_of_running", jobs=keys, now=now)
    transaction.run("give_up_deliveries_of_jobs", jobs=keys, error=deliveries.CANCELLED, now=now)
    return found, changed, {row["id"] for row in transaction.all("running_of_jobs", jobs=keys)}


def _delete_ended(
    selection: Selection, jobs: Iterable[int], now: float, transaction: Transaction
) -> tuple[set[int], set[str], list[Row]]:
    """The jobs that are still among the selected, the variations to be waited for, and the jobs that are deleted."""
    found, _, running = _request_many(selection, jobs, now, transaction)
    return found, running, _delete_many(found, transaction)


def _delete_many(jobs: Iterable[int], transaction: Transaction) -> list[Row]:
    """The jobs that were deleted: all but those under way, or started again a moment ago."""
    return transaction.all("delete_jobs", jobs=_keys(jobs))


def _keys(jobs: Iterable[int]) -> str:
    return msgspec.json.encode(list(jobs)).decode()
