"""One variation from its slot to its end: probed, encoded, proven, published, or abandoned.

An attempt is the one writer that ends the variation it was claimed for.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from daemon import claims, evidence, recipes
from daemon.claims import INTERRUPTED, MAX_RETRIES, Claim, Failure
from daemon.disk import Space, learnt, usual_bytes
from daemon.engine import Engine
from daemon.errors import BadParameter, OutOfSpace, ProbeError, ProofError, Unavailable, UnknownPreset, UnsuitableSource
from daemon.library import Library
from daemon.metrics import Figures
from daemon.models import Media, Model, Order, Outcome, Progress, Report, Stage, Started, Stopped, Task, Vitals
from daemon.paths import Paths, remove, size
from daemon.plans import Plan
from daemon.probe import Prober
from daemon.publish import Proof, reveal, seal
from daemon.stall import Pace, StallWatch
from daemon.store import Store, Transaction

log = logging.getLogger(__name__)

INSIST_EVERY = 1.0  # seconds between two tries to write an end that the disk does not take


class Receipt(Model, frozen=True):
    """What ending one running variation took, and the bytes of partial files it gave back."""

    variation: str
    stage: Stage
    seconds: float
    bytes_freed: int


@dataclass(frozen=True)
class Workshop:
    """What every attempt works with. `hung_after` and `retry_delay` are in seconds."""

    store: Store
    engine: Engine
    prober: Prober
    paths: Paths
    figures: Figures
    space: Space
    library: Library
    hung_after: float = 120.0
    retry_delay: float = 5.0
    now: Callable[[], float] = time.time
    probes: dict[str, asyncio.Task[Media]] = field(default_factory=dict)  # under way, by source
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # what cannot be written now is left to recovery


class Attempt:
    """A claimed variation on its way. `run` takes it to its end; the rest may be called beside it."""

    def __init__(self, claim: Claim, shop: Workshop, threads: Callable[[Claim], int]) -> None:
        self.claim = claim
        self.duration: float | None = None  # planned seconds of output; None while or where nobody knows
        self.source_seconds: float | None = None  # as the probe found it
        self.progress: Progress | None = None
        self.held = False  # it shall not start, or stand still once it runs
        self.frozen = False
        self._shop = shop
        self._threads = threads
        self._began = time.monotonic()
        self._watch = StallWatch(shop.hung_after, self._began)
        self._hung: Failure | None = None
        self._stopping: asyncio.Task[Stopped] | None = None
        self._interruptible = False
        self._bytes_freed = 0
        self.crowded_out = False  # the disk had no room for it
        self._usual = 0
        self._running = asyncio.create_task(self._run(), name=f"variation {claim.id}")

    @property
    def pace(self) -> Pace | None:
        """What the stall watch says; None while it gets on or is frozen."""
        if self.frozen:
            return None
        return Pace.HUNG if self._hung else self._watch.pace(time.monotonic(), self.duration)

    def on_end(self, tell: Callable[[], None]) -> None:
        """Has `tell` called when it is settled."""
        self._running.add_done_callback(lambda _: tell())

    async def wait(self) -> None:
        """Returns when the variation is settled and its partial files are gone."""
        await asyncio.wait([self._running])

    async def stop(self) -> Receipt:
        """Ends the encode by the escalation and waits until it is settled.

        What the variation becomes, the database decides: what was requested of it, else queued again.
        """
        stopped = await asyncio.shield(self._stop_engine())
        await self.wait()
        return Receipt(
            variation=self.claim.id, stage=stopped.stage, seconds=stopped.seconds, bytes_freed=self._bytes_freed
        )

    async def hold(self, held: bool) -> None:
        """Freezes the encode, or lets it go on; when this returns, it stands still. One not begun will not begin."""
        self.held = held
        if held:
            self.frozen = await self._shop.engine.pause(self.claim.token)
        elif self.frozen:
            self.frozen = False
            self._watch.restart(time.monotonic())
            self._shop.engine.resume(self.claim.token)

    def _stop_engine(self) -> asyncio.Task[Stopped]:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._end_process())
        return self._stopping

    async def _end_process(self) -> Stopped:
        stopped = await self._shop.engine.stop(self.claim.token)
        if self._interruptible:  # a probe or a proof may take long, and nothing will come of it any more
            self._running.cancel()
        self._shop.figures.stopped(stopped)
        await self._insist(lambda t: t.run("count_stop", stage=stopped.stage, seconds=stopped.seconds))
        return stopped

    # To its end

    async def _run(self) -> None:
        try:
            await self._encode()
        except asyncio.CancelledError:
            await self._abandon(self._hung)
        except (ProbeError, UnsuitableSource, UnknownPreset, BadParameter) as error:
            await self._abandon(Failure(error=str(error)))
        except OutOfSpace:
            await self._wait_for_space()
        except Unavailable as error:
            await self._abandon(Failure(error=str(error), retries=MAX_RETRIES))
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                await self._wait_for_space()
            else:
                await self._abandon(Failure(error=f"the host refused: {error.strerror}", retries=MAX_RETRIES))
        except Exception:
            log.exception("variation %s failed by a fault of ffspool", self.claim.id)
            await self._abandon(Failure(error="an internal error; the daemon's log has the details"))

    async def _encode(self) -> None:
        claim = self.claim
        with self._waiting():
            media = await self._media()
        plan = recipes.plan(media, self._base, claim.parameters)
        self.duration, self.source_seconds = plan.duration_seconds, media.duration_seconds
        if self._stopping or self.held:  # asked before there was a process
            return await self._abandon(INTERRUPTED)
        if words := self._crowded(plan, media):
            self.crowded_out = True
            return await self._abandon(Failure(error=words, space=0))
        self._watch.restart(time.monotonic())
        outcome = await self._shop.engine.run(self._task(media), self._report)
        if outcome.stopped or self._stopping:
            return await self._abandon(self._hung, outcome.cpu_seconds)
        if outcome.disk_full:
            return await self._wait_for_space(outcome.cpu_seconds)
        if outcome.error:
            retries = MAX_RETRIES if outcome.may_pass else 0
            return await self._abandon(Failure(error=outcome.error, retries=retries), outcome.cpu_seconds)
        try:
            with self._waiting():
                lasting = await evidence.find(self._shop.prober, self._part, plan, self._source)
                sealed = await asyncio.to_thread(seal, self._part)
        except ProofError as error:
            return await self._abandon(Failure(error=str(error)), outcome.cpu_seconds)
        return await self._publish(outcome, sealed, lasting)

    def _crowded(self, plan: Plan, media: Media) -> str | None:
        """Words about the disk, when only the probe told how much this comes to and there is no room for it."""
        claim, space = self.claim, self._shop.space
        self._usual = usual_bytes(plan, self._base, claim.parameters, media, claim.source_bytes)
        if claim.media is not None:
            return None
        return space.resize(claim.id, max(claim.space, space.experience.expected(claim.preset, self._usual)))

    async def _wait_for_space(self, cpu_seconds: float = 0.0) -> None:
        """The disk is full: gives back what was written, and lets the work wait until what it needs is free."""
        seconds = self.progress.seconds if self.progress else 0.0
        needed = learnt(size(self._part.parent), seconds, self.duration)
        self.crowded_out = True
        words = "it waits for disk space: the disk was full while it was encoded"
        await self._abandon(Failure(error=words, space=max(needed, self.claim.space)), cpu_seconds)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Marks a wait that a stop may cut short: no process runs, and nothing is published yet."""
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    async def _media(self) -> Media:
        """The source's media, probed once however many of its variations start at the same time."""
        claim, probes = self.claim, self._shop.probes
        if claim.source_error:
            raise ProbeError(claim.source_error)
        if claim.media:
            return claim.media
        probing = probes.get(claim.source)
        if probing is None:
            probing = probes[claim.source] = asyncio.create_task(self._probe())
            probing.add_done_callback(lambda _: probes.pop(claim.source, None))
            probing.add_done_callback(_retrieve)
        return await asyncio.shield(probing)

    async def _probe(self) -> Media:
        claim, store = self.claim, self._shop.store
        try:
            media = await self._shop.prober.probe(self._source)
        except ProbeError as error:
            words = f"{claim.source_name}: {error}"
            refuse = partial(claims.refuse_source, source=claim.source_seq, error=words, now=self._shop.now())
            await store.write(refuse)
            raise ProbeError(words) from error
        await store.write(lambda t: claims.record_media(t, source=claim.source_seq, media=media))
        return media

    def _task(self, media: Media) -> Task:
        claim = self.claim
        order = Order(
            variation=claim.id,
            attempt=claim.attempt,
            preset=self._base,
            parameters=claim.parameters,
            part=str(self._part),
            log=str(self._shop.paths.log(claim.job, claim.id)),
        )
        return Task(
            id=claim.token,
            source=str(self._source),
            source_name=claim.source_name,
            media=media,
            orders=(order,),
            threads=self._threads(claim),
        )

    # While it runs

    def _report(self, report: Report) -> None:
        now = time.monotonic()
        if isinstance(report, Progress):
            self.progress = report
            self._watch.progress(report.seconds, now)
        elif isinstance(report, Vitals):
            self._watch.vitals(report.cpu_seconds, report.io_bytes, now)
            self._end_if_hung()
        else:
            self._record_process(report)

    def _end_if_hung(self) -> None:
        if self._stopping is None and self.pace == Pace.HUNG:
            words = f"the encoder hung: for {self._shop.hung_after:.0f} s nothing came of it, so it was ended"
            self._hung = Failure(error=words, retries=1)
            self._stop_engine()

    def _record_process(self, started: Started) -> None:
        # Not waited for: should the daemon die before this is durable, the token still finds the process.
        writing = asyncio.ensure_future(self._shop.store.write(partial(claims.record_process, started)))
        writing.add_done_callback(_log_failure)

    # Settled one way or the other

    async def _publish(self, outcome: Outcome, sealed: tuple[int, str, int], output_seconds: float | None) -> None:
        """Proof in the database, final name on disk, `completed` in the database: recovery can go on from each."""
        claim, shop = self.claim, self._shop
        length, sha256, inode = sealed
        proof = Proof(
            bytes=length,
            sha256=sha256,
            inode=inode,
            output_seconds=output_seconds,
            cpu_seconds=round(outcome.cpu_seconds, 3),
            speed=self.progress.speed if self.progress else None,
        )
        mine = {"variation": claim.seq, "attempt": claim.attempt}
        if not await shop.store.write(lambda t: claims.record_proof(t, proof=proof, **mine)):
            return await self._abandon(INTERRUPTED, outcome.cpu_seconds)
        output = shop.paths.output(claim.job, claim.id, claim.extension)
        await asyncio.to_thread(reveal, self._part, output)
        if not await shop.store.write(lambda t: claims.complete(t, proof=proof, now=shop.now(), **mine)):
            self._bytes_freed += remove(output)
            return await self._abandon(INTERRUPTED, outcome.cpu_seconds)
        remove(shop.paths.work(claim.job, claim.id))
        shop.space.experience.learn(claim.preset, self._usual, length)
        shop.figures.completed(claim.preset, time.monotonic() - self._began, proof.speed, proof.output_seconds)
        return None

    async def _abandon(self, failure: Failure | None, cpu_seconds: float = 0.0) -> None:
        """Ends an attempt that came to nothing: partial files first, then the row, which a request overrules."""
        claim, shop = self.claim, self._shop
        self._bytes_freed += await asyncio.to_thread(remove, shop.paths.work(claim.job, claim.id))
        await self._insist(
            lambda t: claims.abandon(
                t,
                variation=claim.seq,
                attempt=claim.attempt,
                now=shop.now(),
                failure=failure,
                cpu_seconds=cpu_seconds,
                retry_delay=shop.retry_delay,
            )
        )

    async def _insist(self, work: Callable[[Transaction], object]) -> None:
        """Writes what must not be lost, however long the disk takes to have room for it.

        At shutdown it is tried once more and then left: the row still says that it runs, and recovery settles it.
        """
        while True:
            last = self._shop.closing.is_set()
            try:
                await self._shop.store.write(work)
                return
            except (OutOfSpace, Unavailable) as error:
                log.error("variation %s cannot be settled %s: %s", self.claim.id, "any more" if last else "yet", error)
            if last:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._shop.closing.wait(), INSIST_EVERY)

    @property
    def _base(self) -> str:
        """The built-in preset by whose rules it is made. Raises UnknownPreset when the user's own is gone by now."""
        return self._shop.library.find(self.claim.preset).base

    @property
    def _part(self) -> Path:
        return self._shop.paths.part(self.claim.job, self.claim.id, self.claim.attempt)

    @property
    def _source(self) -> Path:
        if self.claim.source_path:
            return Path(self.claim.source_path)
        return self._shop.paths.source(self.claim.job, self.claim.source)


def _retrieve(probing: asyncio.Task[Media]) -> None:
    """Marks a failure as seen: all who waited for the probe may have been cancelled."""
    if not probing.cancelled():
        probing.exception()


def _log_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a process could not be recorded: %s", error)
