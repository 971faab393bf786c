"""Changes a job under way. The HTTP layer and `ffspool run` call these verbs.

Each writes its wish in one transaction before it signals anything, and answers when the wish is true.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import msgspec

from daemon.callers import OURSELVES, Caller
from daemon.database.store import Row, Store, Transaction
from daemon.delivery import rows
from daemon.delivery.deliveries import Deliveries
from daemon.errors import BadParameter, Conflict
from daemon.jobs.insertion import check_priority
from daemon.jobs.kept_films import kept_films
from daemon.jobs.reasons import Reason
from daemon.jobs.receipts import CancelReceipt, Changed, KeptVariation, StoppedVariation
from daemon.jobs.retrying import requeue
from daemon.jobs.rows import job_row, source_row, title_of, variation_row
from daemon.jobs.tally import over
from daemon.jobs.views import named_after
from daemon.media.prober import Prober
from daemon.models import Model, when
from daemon.paths import Paths, remove
from daemon.plaintext import flaw
from daemon.scheduling import claims
from daemon.scheduling.limits import Quota
from daemon.scheduling.scheduler import Scheduler
from daemon.scheduling.settlement import Receipt
from daemon.states import ENDED, FORCED, LIVE, State, derive
from daemon.storage.fetches import Fetches


class Scope(Model, frozen=True):
    """A scope is a job, or one source or one variation of it."""

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
    brought: bool  # somewhere, or to be: something of it
    kept: tuple[Row, ...] = ()
    title: str = ""

    @property
    def keys(self) -> dict[str, int | None]:
        return {"job": self.job, "source": self.source, "variation": self.variation}

    @property
    def status(self) -> State:
        return derive(self.counts)

    @property
    def counts(self) -> Counter[State]:
        return Counter(State(row["status"]) for row in self.rows)


class JobPatch(Model, frozen=True, forbid_unknown_fields=True):
    """Names what may be changed of a job; what is left out stays."""

    name: Annotated[str, msgspec.Meta(max_length=200)] | msgspec.UnsetType | None = msgspec.UNSET
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] | msgspec.UnsetType = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if reason := flaw(self.name):
            raise ValueError(f"name {reason}")


class _Verb(Model, frozen=True):
    """One way of ending what is left of a scope."""

    result: State
    mark_running: Callable[[Transaction, _Located, float], int]
    end_queued: Callable[[Transaction, _Located, float], int]


def _cancelling(*, keep: bool) -> _Verb:
    """`keep`: pieces of films outlive it."""
    return _Verb(
        result=State.CANCELLED,
        mark_running=lambda t, scope, now: t.run("request_cancel", now=now, keep=int(keep), **scope.keys),
        end_queued=lambda t, scope, now: _cancel_queued(t, scope, now, keep=keep),
    )


def _cancel_queued(transaction: Transaction, scope: _Located, now: float, *, keep: bool) -> int:
    let_go = 0 if keep else transaction.run("keep_no_longer", **scope.keys)
    return let_go + transaction.run("cancel_queued", now=now, keep=int(keep), **scope.keys)


_FAIL = _Verb(
    result=State.FAILED,
    mark_running=lambda t, scope, now: t.run("request_fail", now=now, job=scope.job),
    end_queued=lambda t, scope, now: t.run("fail_queued", now=now, job=scope.job, error=FORCED),
)


class Control:
    """Carries the verbs out, over one store and one scheduler."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        paths: Paths,
        quota: Quota,
        deliveries: Deliveries,
        fetches: Fetches,
        prober: Prober,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._fetches = fetches
        self._prober = prober
        self._quota = quota
        self._scheduler = scheduler
        self._paths = paths
        self._now = now
        self._ending: dict[tuple[Scope, State], asyncio.Task[CancelReceipt]] = {}

    # Ending

    async def cancel(self, scope: Scope, *, keep_partial: bool = False) -> CancelReceipt:
        """Stops what is left of the scope and keeps what is completed.

        Answers once no process of it is left and its partial files are gone, but for those of films that a retry can
        go on with, if `keep_partial`. Calls at the same time are one cancel with one receipt; a caller that goes away
        does not stop it. Raises NotFound, Gone, or Conflict when the scope ended without being cancelled.
        """
        return await self._end_once(scope, _cancelling(keep=keep_partial))

    async def fail(self, job: str) -> CancelReceipt:
        """Stops what is left of the job and marks it failed; otherwise as `cancel`."""
        return await self._end_once(Scope(job=job), _FAIL)

    async def _end_once(self, scope: Scope, verb: _Verb) -> CancelReceipt:
        key = scope, verb.result
        ending = self._ending.get(key)
        if ending is None:
            ending = self._ending[key] = asyncio.create_task(self._end(scope, verb))
            ending.add_done_callback(lambda _: self._ending.pop(key, None))
        return await asyncio.shield(ending)

    async def _end(self, scope: Scope, verb: _Verb) -> CancelReceipt:
        before = await self._store.read(partial(_locate, scope, self._now()))
        given_up = await self._store.write(partial(rows.give_up, before.keys, self._now())) if before.brought else []
        if not given_up:
            _check_open(scope, before, verb)
        changed, running = await self._store.write(partial(_request, verb, before, self._now()))
        changed = changed or bool(given_up)
        receipts = await self._scheduler.stop(running)  # also what another verb is ending already
        await self._deliveries.let_go(given_up)
        await self._fetches.let_go([before.job])
        freed = await remove_needless_pieces(self._store, self._paths, [before.job])
        self._scheduler.changed.set()
        after = await self._store.read(partial(_locate, scope, self._now()))
        if not changed:  # it may have ended by itself since the first look
            _check_open(scope, after, verb)
        kept = await kept_films(self._prober, self._paths, scope.job, after.kept)
        return _receipt(scope, after, changed, receipts, freed, kept)

    async def kept(self, scope: Scope) -> tuple[KeptVariation, ...]:
        """Returns what is kept of films that were cancelled or failed, for a retry. Raises NotFound or Gone."""
        located = await self._store.read(partial(_locate, scope, self._now()))
        return await kept_films(self._prober, self._paths, scope.job, located.kept)

    async def delete(self, job: str) -> None:
        """Cancels the job and deletes all of it: processes, rows, files. Raises NotFound, Gone or Conflict."""
        row = await self._store.read(lambda t: job_row(t, job, self._now()))
        if row["status"] in LIVE:
            with suppress(Conflict):  # it ended by itself a moment ago
                await self.cancel(Scope(job=job))
        parts = await self._store.read(partial(rows.parts_of, [row["seq"]])) if rows.is_brought(row) else []
        if not await self._store.write(lambda t: t.run("delete_job", id=job)):
            raise Conflict(f"{job} was started again while it was being deleted", State.PROCESSING)
        await self._deliveries.let_go(parts)
        await asyncio.to_thread(self._paths.discard, self._paths.job(job))

    # Going on

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
        return await self._answer(job, changed)

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

    async def pause(self, job: str) -> Changed:
        """Freezes what runs of the job and starts nothing more of it; when this returns, it stands still.

        Raises Conflict when the job has ended.
        """
        row = await self._store.read(lambda t: job_row(t, job, self._now()))
        if row["status"] in ENDED:
            ends = over({state: row[state] for state in ENDED})
            raise Conflict(f"{job} is {ends}: there is nothing to pause", State(row["status"]))
        changed, live = await self._store.write(partial(_set_paused, job, True, self._now()))
        await self._scheduler.hold(live, True)
        return await self._answer(job, changed)

    async def resume(self, job: str) -> Changed:
        """Lets a paused job go on, and one that waits for the hours of its folder start now.

        One that has ended since is resumed too: it only loses the flag.
        """
        changed, live = await self._store.write(partial(_set_paused, job, False, self._now()))
        await self._scheduler.hold(live, False)
        return await self._answer(job, changed)

    async def patch(self, job: str, patch: JobPatch, caller: Caller = OURSELVES) -> Changed:
        """Changes a job's name, priority or expiry; a new priority counts from the next start on.

        Raises NotFound, Gone, BadParameter for an expiry that is past, or Forbidden for a priority above the caller's.
        """
        if patch.priority is not msgspec.UNSET:
            check_priority(patch.priority, caller)
        await self._store.write(partial(_patch, job, patch, self._now()))
        self._scheduler.wake()
        return await self._answer(job, True)

    async def _answer(self, job: str, changed: bool) -> Changed:
        row = await self._store.read(lambda t: job_row(t, job, self._now()))
        title = await self._store.read(partial(title_of, job=row))
        return Changed(id=job, status=State(row["status"]), paused=bool(row["paused"]), changed=changed, title=title)


async def remove_needless_pieces(store: Store, paths: Paths, jobs: Sequence[int]) -> int:
    """Removes pieces of films that were cancelled or failed while they waited; returns the bytes that came free.

    `jobs` are row numbers.
    """
    dropped = await store.write(partial(claims.drop_needless_pieces, jobs=jobs))
    return sum([await asyncio.to_thread(remove, paths.work(job, variation)) for job, variation in dropped])


def _locate(scope: Scope, now: float, transaction: Transaction) -> _Located:
    job = job_row(transaction, scope.job, now)
    source = variation = None
    title = title_of(transaction, job)
    if scope.source is not None:
        source = source_row(scope.job, scope.source, now, transaction)
        title = source["name"]
    if scope.variation is not None:
        variation = variation_row(scope.job, scope.variation, now, transaction)
        title = variation["name"]
    keys = {
        "job": job["seq"],
        "source": source["seq"] if source else None,
        "variation": variation["seq"] if variation else None,
    }
    found = tuple(transaction.all("scope", **keys))
    requested = job["cancel_requested_at"] if scope.id == scope.job else _latest(found, "cancel_requested_at")
    kept = tuple(transaction.all("kept_pieces", **keys))
    brought = rows.is_brought(job)
    return _Located(rows=found, requested_at=requested, brought=brought, kept=kept, title=title, **keys)


def _latest(rows: Iterable[Row], column: str) -> float | None:
    return max((row[column] for row in rows if row[column] is not None), default=None)


def _request(verb: _Verb, scope: _Located, now: float, transaction: Transaction) -> tuple[bool, list[str]]:
    """Writes the request before anything is signalled.

    Whether there was anything left to end, and the variations that may have a process.
    """
    if verb.result is State.CANCELLED and scope.source is None and scope.variation is None:
        transaction.run("request_cancel_of_job", job=scope.job, now=now)
    queued = verb.end_queued(transaction, scope, now)
    running = verb.mark_running(transaction, scope, now)
    live = [row["id"] for row in transaction.all("scope", **scope.keys) if row["status"] == State.PROCESSING]
    return queued + running > 0, live


def _set_paused(job: str, paused: bool, now: float, transaction: Transaction) -> tuple[bool, list[str]]:
    """Whether that changed anything, and the job's variations that may run."""
    row = job_row(transaction, job, now)
    changed = transaction.run("set_paused", job=row["seq"], paused=int(paused))
    if not paused:
        changed += transaction.run("overrule_schedule", job=row["seq"])
    scope = {"job": row["seq"], "source": None, "variation": None}
    return bool(changed), [v["id"] for v in transaction.all("scope", **scope) if v["status"] == State.PROCESSING]


def _to_come(wish: datetime, job: str, now: float) -> float:
    """Seconds since the epoch. Raises BadParameter for a time that is past, since that would delete the job."""
    moment = _moment(wish)
    if moment <= now:
        raise BadParameter(
            f"expires_at {wish.isoformat()} is past, and the job is kept until then: give a time to come; "
            f"to delete the job now, send DELETE /api/jobs/{job} (`ffspool rm {job}`)"
        )
    return moment


def _moment(wish: datetime) -> float:
    """Seconds since the epoch. Raises BadParameter for a time that cannot be told back in UTC."""
    if not 1970 < wish.year < 9999:
        raise BadParameter(f"expires_at {wish.isoformat()} is not between the years 1971 and 9998")
    return wish.replace(tzinfo=wish.tzinfo or UTC).timestamp()


def _patch(job: str, patch: JobPatch, now: float, transaction: Transaction) -> None:
    row = job_row(transaction, job, now)
    keep_until = row["keep_until"] if patch.expires_at is msgspec.UNSET else _to_come(patch.expires_at, job, now)
    priority = row["priority"] if patch.priority is msgspec.UNSET else patch.priority
    name = row["name"] if patch.name is msgspec.UNSET else patch.name
    transaction.run("update_job", job=row["seq"], name=name, priority=priority, keep_until=keep_until)
    if priority != row["priority"]:
        transaction.run("reprioritise", job=row["seq"], priority=priority)


def _check_open(scope: Scope, located: _Located, verb: _Verb) -> None:
    """Raises Conflict when the scope has ended, and nothing of it as the verb would have it."""
    if located.status in ENDED and all(row["status"] != verb.result for row in located.rows):
        words = f"{scope.id} ({located.title}) is {over(located.counts)}: nothing of it is left to stop"
        raise Conflict(words, located.status)


def _receipt(
    scope: Scope,
    after: _Located,
    changed: bool,
    receipts: Sequence[Receipt],
    freed: int,
    kept: tuple[KeptVariation, ...],
) -> CancelReceipt:
    """`freed` are bytes beside those that the encoders' ends gave back."""
    ended = after.status == State.CANCELLED
    return CancelReceipt(
        id=scope.id,
        status=after.status,
        changed=changed,
        completed_variations=sum(row["status"] == State.COMPLETED for row in after.rows),
        total_variations=len(after.rows),
        cancel_requested_at=when(after.requested_at),
        cancelled_at=when(_latest(after.rows, "finished_at")) if ended else None,
        bytes_freed=freed + sum(receipt.bytes_freed for receipt in receipts),
        stopped=tuple(
            StoppedVariation(variation=receipt.variation, stage=receipt.stage, seconds=receipt.seconds)
            for receipt in receipts
        ),
        kept=kept,
        title=after.title,
        job=scope.job,
    )
