"""The verbs that change a job under way: cancel, delete. Called by the HTTP layer and by `ffspool run`.

Each writes its wish in one transaction before it signals anything, and answers when the wish is true.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial

from daemon.errors import Conflict, NotFound
from daemon.jobs import job_row, variation_row
from daemon.models import Model
from daemon.paths import Paths, remove
from daemon.scheduler import Receipt, Scheduler
from daemon.states import State, derive
from daemon.store import Row, Store, Transaction
from daemon.views import when


class CancelReceipt(Model, frozen=True):
    """What a cancel did, told once no process of its scope is left and its partial files are gone."""

    id: str
    status: State
    changed: bool
    completed_variations: int
    total_variations: int
    cancel_requested_at: datetime | None
    cancelled_at: datetime | None
    bytes_freed: int
    stopped: tuple[StoppedVariation, ...]


class StoppedVariation(Model, frozen=True):
    variation: str
    stage: str
    seconds: float


class Scope(Model, frozen=True):
    """A job, or one source or one variation of it."""

    job: str
    source: str | None = None
    variation: str | None = None

    @property
    def id(self) -> str:
        return self.variation or self.source or self.job


class _Located(Model, frozen=True):
    """A scope in row numbers, with its variations as they are."""

    job: int
    source: int | None
    variation: int | None
    rows: tuple[Row, ...]
    requested_at: float | None

    @property
    def keys(self) -> dict[str, int | None]:
        return {"job": self.job, "source": self.source, "variation": self.variation}

    @property
    def status(self) -> State:
        return derive(Counter(State(row["status"]) for row in self.rows))


class Control:
    """The verbs, over one store and one scheduler."""

    def __init__(
        self, store: Store, scheduler: Scheduler, paths: Paths, *, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._paths = paths
        self._now = now
        self._cancels: dict[Scope, asyncio.Task[CancelReceipt]] = {}

    async def cancel(self, scope: Scope) -> CancelReceipt:
        """Stops what is left of the scope and keeps what is completed.

        Answers once no process of it is left and its partial files are gone. Calls at the same time are one
        cancel with one receipt; a caller that goes away does not stop it. Raises NotFound, Gone, or Conflict
        when the scope ended without being cancelled.
        """
        cancelling = self._cancels.get(scope)
        if cancelling is None:
            cancelling = self._cancels[scope] = asyncio.create_task(self._cancel(scope))
            cancelling.add_done_callback(lambda _: self._cancels.pop(scope, None))
        return await asyncio.shield(cancelling)

    async def _cancel(self, scope: Scope) -> CancelReceipt:
        before = await self._store.read(partial(_locate, scope))
        if before.status in {State.COMPLETED, State.FAILED}:
            raise Conflict(f"{scope.id} is {before.status} already: there is nothing to cancel", before.status)
        changed = await self._store.write(partial(_request_cancel, before, self._now()))
        running = [row["id"] for row in before.rows] if changed else []
        receipts = await self._scheduler.stop(running)
        self._scheduler.changed.set()
        after = await self._store.read(partial(_locate, scope))
        return _receipt(scope, after, changed, receipts)

    async def delete(self, job: str) -> None:
        """Cancels the job and deletes all of it: processes, rows, files. Raises NotFound, Gone or Conflict."""
        row = await self._store.read(lambda t: job_row(t, job))
        if row["status"] in {State.QUEUED, State.PROCESSING}:
            await self.cancel(Scope(job=job))
        if not await self._store.write(lambda t: t.run("delete_job", id=job)):
            raise Conflict(f"{job} was started again while it was being deleted", State.PROCESSING)
        await asyncio.to_thread(remove, self._paths.job(job))


def _locate(scope: Scope, transaction: Transaction) -> _Located:
    job = job_row(transaction, scope.job)
    source = variation = None
    if scope.source is not None:
        source = transaction.one("source_of_job", job=scope.job, id=scope.source)
        if source is None:
            raise NotFound(f"the job {scope.job} has no source {scope.source}")
    if scope.variation is not None:
        variation = variation_row(scope.job, scope.variation, transaction)
    keys = {
        "job": job["seq"],
        "source": source["seq"] if source else None,
        "variation": variation["seq"] if variation else None,
    }
    rows = tuple(transaction.all("scope", **keys))
    requested = job["cancel_requested_at"] if scope.id == scope.job else _latest(rows, "cancel_requested_at")
    return _Located(rows=rows, requested_at=requested, **keys)


def _latest(rows: Iterable[Row], column: str) -> float | None:
    return max((row[column] for row in rows if row[column] is not None), default=None)


def _request_cancel(scope: _Located, now: float, transaction: Transaction) -> bool:
    """Writes the request before anything is signalled. False: there was nothing left to cancel."""
    if scope.source is None and scope.variation is None:
        transaction.run("request_cancel_of_job", job=scope.job, now=now)
    queued = transaction.run("cancel_queued", now=now, **scope.keys)
    running = transaction.run("request_cancel", now=now, **scope.keys)
    return queued + running > 0


def _receipt(scope: Scope, after: _Located, changed: bool, receipts: Sequence[Receipt]) -> CancelReceipt:
    ended = after.status == State.CANCELLED
    return CancelReceipt(
        id=scope.id,
        status=after.status,
        changed=changed,
        completed_variations=sum(row["status"] == State.COMPLETED for row in after.rows),
        total_variations=len(after.rows),
        cancel_requested_at=when(after.requested_at),
        cancelled_at=when(_latest(after.rows, "finished_at")) if ended else None,
        bytes_freed=sum(receipt.bytes_freed for receipt in receipts),
        stopped=tuple(
            StoppedVariation(variation=receipt.variation, stage=receipt.stage, seconds=receipt.seconds)
            for receipt in receipts
        ),
    )
