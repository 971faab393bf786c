"""Changes a job under way. The HTTP layer and `ffspool run` call these verbs.

Each writes its wish in one transaction before it signals anything, and answers when the wish is true.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
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
from daemon.jobs.receipts import CancelReceipt, Changed, KeptVariation, StoppedVariation
from daemon.jobs.rows import job_row
from daemon.jobs.scopes import Located, Scope, latest, locate, standing
from daemon.jobs.tally import over
from daemon.media.prober import Prober
from daemon.models import Model, when
from daemon.paths import Paths, remove
from daemon.plaintext import flaw
from daemon.scheduling import piece_rows
from daemon.scheduling.scheduler import Scheduler
from daemon.scheduling.settlement import Receipt
from daemon.states import ENDED, FORCED, LIVE, State
from daemon.storage.fetches import Fetches


class JobPatch(Model, frozen=True, forbid_unknown_fields=True):
    """Names what may be changed of a job; what is left out stays."""

    name: Annotated[str, msgspec.Meta(max_length=200)] | msgspec.UnsetType | None = msgspec.UNSET
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] | msgspec.UnsetType = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if reason := flaw(self.name):
            raise ValueError(f"name {reason}")


class _Verb(Model, frozen=True):
    """One way of ending what is left of a scope; `keep`: pieces of films outlive it."""

    result: State
    keep: bool
    mark_running: Callable[[Transaction, Located, float], int]
    end_queued: Callable[[Transaction, Located, float], int]


def _cancelling(*, keep: bool) -> _Verb:
    return _Verb(
        result=State.CANCELLED,
        keep=keep,
        mark_running=lambda t, scope, now: t.run("request_cancel", now=now, keep=int(keep), **scope.keys),
        end_queued=lambda t, scope, now: _cancel_queued(t, scope, now, keep=keep),
    )


def _cancel_queued(transaction: Transaction, scope: Located, now: float, *, keep: bool) -> int:
    let_go = 0 if keep else transaction.run("keep_no_longer", **scope.keys)
    return let_go + transaction.run("cancel_queued", now=now, keep=int(keep), **scope.keys)


_FAIL = _Verb(
    result=State.FAILED,
    keep=False,
    mark_running=lambda t, scope, now: t.run("request_fail", now=now, job=scope.job),
    end_queued=lambda t, scope, now: t.run("fail_queued", now=now, job=scope.job, error=FORCED),
)


class Control:
    """Carries the verbs out, over one store and one scheduler; `retrying.py` has the retry."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        paths: Paths,
        deliveries: Deliveries,
        fetches: Fetches,
        prober: Prober,
        *,
        grace: float = 0.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._deliveries = deliveries
        self._fetches = fetches
        self._prober = prober
        self._grace = grace
        self._scheduler = scheduler
        self._paths = paths
        self._now = now
        self._ending: dict[tuple[Scope, State, bool], asyncio.Task[CancelReceipt]] = {}

    # Ending

    async def cancel(self, scope: Scope, *, keep_partial: bool = False) -> CancelReceipt:
        """Stops what is left of the scope and keeps what is completed.

        Answers once no process of it is left and its partial files are gone, but for those of films that a retry can
        go on with, if `keep_partial`. Calls alike at the same time are one cancel with one receipt; a caller that goes
        away does not stop it. Raises NotFound, Gone, or Conflict when the scope ended without being cancelled.
        """
        return await self._end_once(scope, _cancelling(keep=keep_partial))

    async def fail(self, job: str) -> CancelReceipt:
        """Stops what is left of the job and marks it failed; otherwise as `cancel`."""
        return await self._end_once(Scope(job=job), _FAIL)

    async def _end_once(self, scope: Scope, verb: _Verb) -> CancelReceipt:
        key = scope, verb.result, verb.keep
        ending = self._ending.get(key)
        if ending is None:
            ending = self._ending[key] = asyncio.create_task(self._end(scope, verb))
            ending.add_done_callback(lambda _: self._ending.pop(key, None))
        return await asyncio.shield(ending)

    async def _end(self, scope: Scope, verb: _Verb) -> CancelReceipt:
        until = time.monotonic() + 2 * self._grace
        before = await self._store.read(partial(locate, scope, self._now()))
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
        after = await self._store.read(partial(locate, scope, self._now()))
        if not changed:  # it may have ended by itself since the first look
            _check_open(scope, after, verb)
        kept = await kept_films(self._prober, self._paths, scope.job, after.kept, within=until - time.monotonic())
        return _receipt(scope, after, changed, receipts, freed, kept)

    async def kept(self, scope: Scope) -> tuple[KeptVariation, ...]:
        """Returns what is kept of films that were cancelled or failed, for a retry. Raises NotFound or Gone."""
        located = await self._store.read(partial(locate, scope, self._now()))
        return await kept_films(self._prober, self._paths, scope.job, located.kept, within=self._grace)

    async def delete(self, job: str) -> None:
        """Cancels the job and deletes all of it: processes, rows, files. Raises NotFound, Gone or Conflict."""
        row = await self._store.read(lambda t: job_row(t, job, self._now()))
        if row["status"] in LIVE:
            with suppress(Conflict):  # it ended by itself a moment ago
                await self.cancel(Scope(job=job))
        parts = await self._store.read(partial(rows.parts_of, [row["seq"]])) if rows.is_brought(row) else []
        await self._store.write(partial(_delete, row, self._now()))
        await self._deliveries.let_go(parts)
        await asyncio.to_thread(self._paths.discard, self._paths.job(job))

    # Going on

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
        return await self._standing(job, changed)

    async def resume(self, job: str) -> Changed:
        """Lets a paused job go on, and one that waits for the hours of its folder start now.

        One that has ended since is resumed too: it only loses the flag.
        """
        changed, live = await self._store.write(partial(_set_paused, job, False, self._now()))
        await self._scheduler.hold(live, False)
        return await self._standing(job, changed)

    async def patch(self, job: str, patch: JobPatch, caller: Caller = OURSELVES) -> Changed:
        """Changes a job's name, priority or expiry; a new priority counts from the next start on.

        Raises NotFound, Gone, BadParameter for an expiry that is past, or Forbidden for a priority above the caller's.
        """
        if patch.priority is not msgspec.UNSET:
            check_priority(patch.priority, caller)
        await self._store.write(partial(_patch, job, patch, self._now()))
        self._scheduler.wake()
        return await self._standing(job, True)

    async def _standing(self, job: str, changed: bool) -> Changed:
        return await self._store.read(partial(standing, Scope(job=job), changed, self._now()))


async def remove_needless_pieces(store: Store, paths: Paths, jobs: Sequence[int]) -> int:
    """Removes pieces of films that were cancelled or failed while they waited; returns the bytes that came free.

    `jobs` are row numbers.
    """
    dropped = await store.write(partial(piece_rows.drop_needless_pieces, jobs=jobs))
    return sum([await asyncio.to_thread(remove, paths.work(job, variation)) for job, variation in dropped])


def _request(verb: _Verb, scope: Located, now: float, transaction: Transaction) -> tuple[bool, list[str]]:
    """Writes the request before anything is signalled.

    Whether there was anything left to end, and the variations that may have a process.
    """
    if verb.result is State.CANCELLED and scope.source is None and scope.variation is None:
        transaction.run("request_cancel_of_job", job=scope.job, now=now)
    queued = verb.end_queued(transaction, scope, now)
    running = verb.mark_running(transaction, scope, now)
    live = [row["id"] for row in transaction.all("scope", **scope.keys) if row["status"] == State.PROCESSING]
    return queued + running > 0, live


def _delete(job: Row, now: float, transaction: Transaction) -> None:
    """Gives up first what was not delivered, so that this is told of the files of watched folders. Raises Conflict."""
    if rows.is_brought(job):
        rows.give_up({"job": job["seq"], "source": None, "variation": None}, now, transaction)
    if not transaction.run("delete_job", id=job["id"]):
        raise Conflict(f"{job['id']} was started again while it was being deleted", State.PROCESSING)


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


def _check_open(scope: Scope, located: Located, verb: _Verb) -> None:
    """Raises Conflict when the scope has ended, and nothing of it as the verb would have it."""
    if located.status in ENDED and all(row["status"] != verb.result for row in located.rows):
        words = f"{scope.id} ({located.title}) is {over(located.counts)}: nothing of it is left to stop"
        raise Conflict(words, located.status)


def _receipt(
    scope: Scope,
    after: Located,
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
        cancelled_at=when(latest(after.rows, "finished_at")) if ended else None,
        bytes_freed=freed + sum(receipt.bytes_freed for receipt in receipts),
        stopped=tuple(
            StoppedVariation(variation=receipt.variation, stage=receipt.stage, seconds=receipt.seconds)
            for receipt in receipts
        ),
        kept=kept,
        title=after.title,
        job=scope.job,
    )
