"""Runs what is queued: claims the best variation, hands it to the engine, proves and publishes, settles.

The scheduler is the one writer that ends a variation that ran. It is woken by events; the slow safety
poll only covers a wake-up that was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from daemon import claims, recipes
from daemon.claims import INTERRUPTED, Claim, Failure
from daemon.engine import Engine
from daemon.errors import FfspoolError, ProbeError, ProofError, UnsuitableSource
from daemon.models import Media, Model, Order, Outcome, Progress, Report, Stage, Started, Stopped, Task, Vitals
from daemon.paths import Paths, remove
from daemon.probe import Prober
from daemon.processes import boot_id
from daemon.publish import Proof, prove, reveal, seal
from daemon.stall import Pace, StallWatch
from daemon.states import QueueState
from daemon.store import Store, Transaction

log = logging.getLogger(__name__)

SAFETY_POLL = 30.0


class Receipt(Model, frozen=True):
    """What ending one running variation took, and the bytes of partial files it gave back."""

    variation: str
    stage: Stage
    seconds: float
    bytes_freed: int


class Work:
    """One claimed variation on its way: its latest progress, and what was asked of it."""

    def __init__(self, claim: Claim, watch: StallWatch) -> None:
        self.claim = claim
        self.watch = watch
        self.duration: float | None = None
        self.progress: Progress | None = None
        self.held = False  # its job is paused
        self.frozen = False
        self.hung: Failure | None = None
        self.stopping: asyncio.Task[Stopped] | None = None
        self.bytes_freed = 0
        self.task: asyncio.Task[None] | None = None


class Scheduler:
    """Keeps `slots` encodes going while there is work. `run` is its loop; the rest may be called beside it."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        prober: Prober,
        paths: Paths,
        *,
        slots: int,
        queue: QueueState = QueueState.RUNNING,
        hung_after: float = 120.0,
        retry_delay: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._engine = engine
        self._prober = prober
        self._paths = paths
        self._slots = slots
        self._hung_after = hung_after
        self._retry_delay = retry_delay
        self._now = now
        self._boot = boot_id()
        self._work: dict[str, Work] = {}
        self._probes: dict[str, asyncio.Task[Media]] = {}
        self._awake = asyncio.Event()
        self._closing = False
        self._queue = queue
        self.changed = asyncio.Event()  # set whenever a variation changed its state

    # What others may ask

    def wake(self) -> None:
        """Something may have become ready."""
        self._awake.set()

    @property
    def running(self) -> bool:
        """Whether it still starts work."""
        return not self._closing

    def progress(self, variation: str) -> Progress | None:
        """The latest report on a running variation; None while it has none."""
        work = self._work.get(variation)
        return work.progress if work else None

    def running_progress(self) -> Iterator[tuple[str, str, Progress, float | None]]:
        """(job, variation, latest report, planned seconds or None) of all that runs and has reported."""
        for work in self._work.values():
            if work.progress:
                yield work.claim.job, work.claim.id, work.progress, work.duration

    def pace(self, variation: str) -> Pace | None:
        """What the stall watch says of a running variation; None while it gets on, is frozen, or does not run."""
        work = self._work.get(variation)
        if work is None or work.frozen:
            return None
        return Pace.HUNG if work.hung else work.watch.pace(time.monotonic(), work.duration)

    @property
    def queue(self) -> QueueState:
        return self._queue

    async def set_queue(self, state: QueueState) -> None:
        """Lets the queue run, freezes all that runs, or lets that finish and starts nothing more."""
        self._queue = state
        await self._settle_freezing(list(self._work.values()))

    async def hold(self, variations: Iterable[str]) -> None:
        """Freezes those of `variations` that run and gives their slots away; returns when they stand still."""
        await self._set_held(variations, True)

    async def release(self, variations: Iterable[str]) -> None:
        """Lets those of `variations` that were held go on, unless the whole queue is paused."""
        await self._set_held(variations, False)

    async def _set_held(self, variations: Iterable[str], held: bool) -> None:
        works = [self._work[variation] for variation in variations if variation in self._work]
        for work in works:
            work.held = held
        await self._settle_freezing(works)

    async def _settle_freezing(self, works: Iterable[Work]) -> None:
        await asyncio.gather(*(self._freeze_or_thaw(work) for work in works))
        self.changed.set()
        self.wake()

    async def _freeze_or_thaw(self, work: Work) -> None:
        if self._stands(work):
            work.frozen = await self._engine.pause(work.claim.token)
        elif work.frozen:
            work.frozen = False
            work.watch.restart(time.monotonic())
            self._engine.resume(work.claim.token)

    def _stands(self, work: Work) -> bool:
        return work.held or self._queue == QueueState.PAUSED

    async def stop(self, variations: Iterable[str]) -> list[Receipt]:
        """Ends those of `variations` that run; returns when each is settled and its partial files are gone.

        What it becomes, the database decides: cancelled if that was requested, else queued again.
        """
        works = [self._work[variation] for variation in variations if variation in self._work]
        return list(await asyncio.gather(*(self._stop(work) for work in works)))

    async def run(self) -> None:
        """Claims and starts work until `close`; then ends what runs, whose work goes back to the queue."""
        while not self._closing:
            self._awake.clear()
            try:
                await self._fill_slots()
            except FfspoolError as error:  # a full disk must not end the scheduler; the safety poll tries again
                log.error("nothing can be started: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), await self._patience())
        await self.stop(list(self._work))

    def close(self) -> None:
        """Starts nothing more; `run` returns once all that runs has been ended."""
        self._closing = True
        self.wake()

    # Claiming

    def _may_start(self) -> bool:
        busy = sum(not work.frozen for work in self._work.values())
        return not self._closing and self._queue == QueueState.RUNNING and busy < self._slots

    async def _patience(self) -> float:
        """Seconds until something may have to be started without anybody waking us."""
        delayed = await self._store.read(lambda t: t.one("next_delayed"))
        if delayed is None or delayed["at"] is None:
            return SAFETY_POLL
        return float(min(SAFETY_POLL, max(0.05, delayed["at"] - self._now())))

    def _claim_next(self, transaction: Transaction) -> Claim | None:
        return claims.claim(transaction, boot=self._boot, slots=self._slots, now=self._now())

    async def _fill_slots(self) -> None:
        while self._may_start():
            claim = await self._store.write(self._claim_next)
            if claim is None:
                return
            work = self._work[claim.id] = Work(claim, StallWatch(self._hung_after, time.monotonic()))
            work.task = asyncio.create_task(self._attend(work), name=f"variation {claim.id}")
            self.changed.set()

    def _threads(self, wanting: int) -> int:
        """Threads for one encode when so many run or could: all cores for the only one, one each for many."""
        cores = len(os.sched_getaffinity(0))
        return max(1, cores // min(self._slots, wanting))

    # One variation from its slot to its end

    async def _attend(self, work: Work) -> None:
        claim = work.claim
        try:
            await self._encode(work)
        except (ProbeError, UnsuitableSource) as error:
            await self._abandon(work, Failure(error=str(error)))
        except OSError as error:
            words = f"the host refused: {error.strerror}"
            await self._abandon(work, Failure(error=words, retries=claims.MAX_RETRIES))
        except Exception:
            log.exception("variation %s failed by a fault of ffspool", claim.id)
            await self._abandon(work, Failure(error="an internal error; the daemon's log has the details"))
        finally:
            del self._work[claim.id]
            self.changed.set()
            self.wake()

    async def _encode(self, work: Work) -> None:
        claim = work.claim
        media = await self._media(claim)
        plan = recipes.plan(media, claim.preset, claim.parameters)
        work.duration = plan.duration_seconds
        if work.stopping or self._stands(work):  # asked before there was a process
            return await self._abandon(work, INTERRUPTED)
        work.watch.restart(time.monotonic())
        outcome = await self._engine.run(self._task(claim, media), partial(self._report, work))
        if outcome.stopped or work.stopping:
            return await self._abandon(work, work.hung, outcome.cpu_seconds)
        if outcome.error:
            retries = claims.MAX_RETRIES if outcome.may_pass else 0
            return await self._abandon(work, Failure(error=outcome.error, retries=retries), outcome.cpu_seconds)
        try:
            made = await prove(self._prober, self._part(claim), plan, self._source(claim))
        except ProofError as error:
            return await self._abandon(work, Failure(error=str(error)), outcome.cpu_seconds)
        return await self._publish(work, outcome, made)

    async def _media(self, claim: Claim) -> Media:
        """The source's media, probed once however many of its variations start at the same time."""
        if claim.source_error:
            raise ProbeError(claim.source_error)
        if claim.media:
            return claim.media
        probing = self._probes.get(claim.source)
        if probing is None:
            probing = self._probes[claim.source] = asyncio.create_task(self._probe(claim))
            probing.add_done_callback(lambda _: self._probes.pop(claim.source, None))
        return await asyncio.shield(probing)

    async def _probe(self, claim: Claim) -> Media:
        try:
            media = await self._prober.probe(self._source(claim))
        except ProbeError as error:
            words = f"{claim.source_name}: {error}"
            refuse = partial(claims.refuse_source, source=claim.source_seq, error=words, now=self._now())
            await self._store.write(refuse)
            raise ProbeError(words) from error
        await self._store.write(lambda t: claims.record_media(t, source=claim.source_seq, media=media))
        return media

    def _task(self, claim: Claim, media: Media) -> Task:
        order = Order(
            variation=claim.id,
            attempt=claim.attempt,
            preset=claim.preset,
            parameters=claim.parameters,
            part=str(self._part(claim)),
            log=str(self._paths.log(claim.job, claim.id)),
        )
        return Task(
            id=claim.token,
            source=str(self._source(claim)),
            source_name=claim.source_name,
            media=media,
            orders=(order,),
            threads=self._threads(len(self._work) + claim.waiting),
        )

    def _report(self, work: Work, report: Report) -> None:
        now = time.monotonic()
        if isinstance(report, Progress):
            work.progress = report
            work.watch.progress(report.seconds, now)
        elif isinstance(report, Vitals):
            work.watch.vitals(report.cpu_seconds, report.io_bytes, now)
            self._end_if_hung(work)
        else:
            self._record_process(report)

    def _end_if_hung(self, work: Work) -> None:
        if work.stopping is None and not work.frozen and self.pace(work.claim.id) == Pace.HUNG:
            words = f"the encoder hung: for {self._hung_after:.0f} s nothing came of it, so it was ended"
            work.hung = Failure(error=words, retries=1)
            work.stopping = asyncio.ensure_future(self._engine.stop(work.claim.token))

    def _record_process(self, started: Started) -> None:
        # Not waited for: should the daemon die before this is durable, the token still finds the process.
        writing = asyncio.ensure_future(self._store.write(partial(claims.record_process, started)))
        writing.add_done_callback(_log_failure)

    async def _publish(self, work: Work, outcome: Outcome, made: Media) -> None:
        """Proof in the database, final name on disk, `completed` in the database: recovery can go on from each."""
        claim = work.claim
        size, sha256, inode = await asyncio.to_thread(seal, self._part(claim))
        proof = Proof(
            bytes=size,
            sha256=sha256,
            inode=inode,
            output_seconds=made.duration_seconds,
            cpu_seconds=round(outcome.cpu_seconds, 3),
            speed=work.progress.speed if work.progress else None,
        )
        mine = {"variation": claim.seq, "attempt": claim.attempt}
        if not await self._store.write(lambda t: claims.record_proof(t, proof=proof, **mine)):
            return await self._abandon(work, INTERRUPTED, outcome.cpu_seconds)
        output = self._paths.output(claim.job, claim.id, claim.extension)
        await asyncio.to_thread(reveal, self._part(claim), output)
        if not await self._store.write(lambda t: claims.complete(t, proof=proof, now=self._now(), **mine)):
            work.bytes_freed += remove(output)
            return await self._abandon(work, INTERRUPTED, outcome.cpu_seconds)
        remove(self._paths.work(claim.job, claim.id))
        return None

    async def _abandon(self, work: Work, failure: Failure | None, cpu_seconds: float = 0.0) -> None:
        """Ends an attempt that came to nothing: partial files first, then the row, which a request overrules."""
        claim = work.claim
        work.bytes_freed += await asyncio.to_thread(remove, self._paths.work(claim.job, claim.id))
        await self._store.write(
            lambda t: claims.abandon(
                t,
                variation=claim.seq,
                attempt=claim.attempt,
                now=self._now(),
                failure=failure,
                cpu_seconds=cpu_seconds,
                retry_delay=self._retry_delay,
            )
        )

    # Stopping

    async def _stop(self, work: Work) -> Receipt:
        if work.stopping is None:
            work.stopping = asyncio.ensure_future(self._engine.stop(work.claim.token))
        stopped = await asyncio.shield(work.stopping)
        assert work.task is not None
        await asyncio.wait([work.task])
        return Receipt(
            variation=work.claim.id,
            stage=stopped.stage,
            seconds=stopped.seconds,
            bytes_freed=work.bytes_freed,
        )

    def _part(self, claim: Claim) -> Path:
        return self._paths.part(claim.job, claim.id, claim.attempt)

    def _source(self, claim: Claim) -> Path:
        return Path(claim.source_path) if claim.source_path else self._paths.source(claim.job, claim.source)


def _log_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a process could not be recorded: %s", error)
