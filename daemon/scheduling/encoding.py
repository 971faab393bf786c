"""Has an engine work for one attempt; tells how far that is, and has what hangs, or comes to nothing, be ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from daemon import host
from daemon.database.store import Transaction
from daemon.encode.stall import ENDING, StallWatch, Standing
from daemon.encode.task import Durable, Ended, Order, Progress, Report, Task, Vitals
from daemon.models import Stopped
from daemon.recipes.recipe import Piece
from daemon.scheduling import claims, growth
from daemon.scheduling.claims import Failure
from daemon.scheduling.resources import Resources
from daemon.scheduling.settlement import Member

log = logging.getLogger(__name__)

SHARED_PATIENCE = 20.0  # seconds without a sign of life after which those who share a process are tried alone


class Encoding:
    """Runs the tasks of an attempt, one after the other.

    `end` is called where nothing comes of them any more, for the `fault` that is told then; `has_ended` tells
    whether that was done, by whomever.
    """

    def __init__(
        self,
        members: Sequence[Member],
        resources: Resources,
        *,
        threads: Mapping[str, int],
        end: Callable[[], object],
        has_ended: Callable[[], bool],
    ) -> None:
        self.progress: Progress | None = None
        self.fault: Failure | None = None
        self.frozen = False
        self._members = members
        self._resources = resources
        self._threads = threads
        self._end = end
        self._has_ended = has_ended
        self._source = members[0].claim  # of all of them
        self._orders: dict[str, Order] = {}  # by variation, once they are given
        self._all_encoded = False  # what follows goes by in moments
        self._patience = min(resources.hung_after, SHARED_PATIENCE) if len(members) > 1 else resources.hung_after
        self._watch = StallWatch(self._patience, time.monotonic())

    # What is told of it

    @property
    def shown(self) -> Progress | None:
        """Returns the latest report; of what stands still the speed, and what follows from it, is not known."""
        if self.progress is None or not (self.frozen or self.standing == ENDING):
            return self.progress
        return replace(self.progress, speed=None)

    @property
    def standing(self) -> Standing | None:
        """Returns what the stall watch says; None while it gets on or is frozen."""
        if self.frozen or self.fault:
            return ENDING if self.fault else None
        return self._watch.standing(time.monotonic(), self._longest(), host.load())

    def proving(self) -> Standing | None:
        """Returns what is said while what was made is compared with what was planned; None for the first moments."""
        return None if self.frozen else self._watch.proving(time.monotonic())

    def duration(self, variation: str) -> float | None:
        """Returns the planned seconds of that output; None while or where nobody knows."""
        plan = next(member.plan for member in self._members if member.claim.id == variation)
        return plan.duration_seconds if plan else None

    def _longest(self) -> float | None:
        return max(filter(None, (self.duration(member.claim.id) for member in self._members)), default=None)

    def written(self, variation: str) -> int:
        """Returns the bytes made for one of the variations so far. Any thread may call it; it may block."""
        order = self._orders.get(variation)
        return self._resources.engine.written(order) if order else 0

    # What is done to it

    async def freeze(self) -> None:
        self.frozen = await self._resources.engine.pause(self._source.token)

    def thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            self._watch.restart(time.monotonic())
            self._resources.engine.resume(self._source.token)

    async def stop(self) -> Stopped:
        """Ends what runs by the escalation."""
        return await self._resources.engine.stop(self._source.token)

    # Its tasks

    async def encode(self, members: Sequence[Member]) -> Ended:
        """Encodes what each of `members` is, or the piece of its film that is still to come."""
        begins = min(member.resumption.begin.seconds if member.resumption else 0.0 for member in members)
        self._watch.restart(time.monotonic(), begins)
        self.progress = Progress(task=self._source.token, seconds=begins) if begins else None
        return await self._run([self._order(member) for member in members])

    async def join(self, films: Sequence[tuple[Member, tuple[Piece, ...]]]) -> Ended:
        """Joins films of their pieces, when all is encoded."""
        self._all_encoded = True
        orders = [
            replace(self._order(member), part=str(self._resources.part(member.claim)), begin=None, pieces=pieces)
            for member, pieces in films
        ]
        joined = await self._run(orders)
        if not joined.is_final or self._has_ended():
            return joined
        again = await self._run(orders)  # to encode anew costs far more than another try
        return replace(again, cpu_seconds=joined.cpu_seconds + again.cpu_seconds)

    async def _run(self, orders: Sequence[Order]) -> Ended:
        self._orders |= {order.variation: order for order in orders}
        one, file = self._source, self._resources.whereabouts.of(self._source.recorded)
        task = Task(id=one.token, source=file, source_name=one.source_name, media=one.media, orders=tuple(orders))
        return await self._resources.engine.run(task, self._report)

    def _order(self, member: Member) -> Order:
        claim, resumption = member.claim, member.resumption
        return Order(
            variation=claim.id,
            attempt=claim.attempt,
            preset=self._resources.base(claim),
            parameters=claim.parameters,
            part=str(resumption.path if resumption else self._resources.part(claim)),
            log=str(self._resources.paths.log(claim.job, claim.id)),
            threads=self._threads[claim.id],
            bytes=member.space,
            begin=resumption.begin if resumption else None,
        )

    # While they run

    def _report(self, report: Report) -> None:
        now = time.monotonic()
        if isinstance(report, Progress):
            self.progress = self.progress if self._all_encoded else report
            self._watch.progress(report.seconds, now)
        elif isinstance(report, Vitals):
            self._watch.vitals(report.cpu_seconds, report.io_bytes, now)
            self._end_if_hung()
            self._end_if_too_large(report.written)
        elif isinstance(report, Durable):
            self._record(partial(claims.record_durable, report))
        else:
            self._record(partial(claims.record_start, report))

    def _end_if_hung(self) -> None:
        if not self._has_ended() and self.standing == ENDING:
            words = f"the encoder hung: for {self._patience:.0f} s nothing came of it, so it was ended"
            self.fault = Failure(error=words, retries=1, alone=len(self._members) > 1)
            self._end()

    def _end_if_too_large(self, written: int) -> None:
        """Ends one that will not come out smaller than its source, and so not take its place."""
        member, encoded = self._members[0], self.progress.encoded if self.progress else None
        if self._source.most_bytes is None or encoded is None or self._all_encoded or self._has_ended():
            return
        bounds = {"most": self._source.most_bytes, "original": self._source.recorded.bytes}
        words = growth.refusal(written, encoded, duration=self._longest(), **bounds)
        if words and not (member.resumption and member.resumption.begin.seconds):
            self.fault = Failure(error=words)
            self._end()

    def _record(self, work: Callable[[Transaction], None]) -> None:
        # Not waited for: should the daemon die before this is durable, the token still finds the process.
        writing = asyncio.ensure_future(self._resources.store.write(work))
        writing.add_done_callback(log_failure)


def log_failure(task: asyncio.Future[None]) -> None:
    """Logs why what nobody waits for could not be written."""
    if not task.cancelled() and (error := task.exception()):
        log.error("what an encode told could not be recorded: %s", error)
