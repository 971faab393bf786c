"""Has an engine work for one attempt; tells how far that is, and has what hangs, or comes to nothing, be ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from daemon import host
from daemon.database.store import Transaction
from daemon.encode.stall import ENDING, StallWatch, Standing
from daemon.encode.task import Durable, Ended, Order, Progress, Report, Task, Vitals, part_of
from daemon.models import Stage, Stopped
from daemon.recipes.recipe import Piece
from daemon.scheduling import claims, growth, piece_rows
from daemon.scheduling.claims import Failure
from daemon.scheduling.film import Film
from daemon.scheduling.lanes import Lane, Lanes
from daemon.scheduling.resources import Resources
from daemon.scheduling.settlement import Member

T = TypeVar("T")

log = logging.getLogger(__name__)

SHARED_PATIENCE = 20.0  # seconds without a sign of life after which those who share a process are tried alone


class Encoding:
    """Runs the tasks of an attempt: one after the other, but for the spans of a film.

    `end` is called where nothing comes of them any more, for the `fault` that is told then; `has_ended` tells
    whether that was done, by whomever. `on_free` is called whenever a slot is free again that one of several had.
    """

    def __init__(
        self,
        members: Sequence[Member],
        resources: Resources,
        *,
        threads: Mapping[str, int],
        end: Callable[[], object],
        has_ended: Callable[[], bool],
        on_free: Callable[[], None],
    ) -> None:
        self.progress: Progress | None = None
        self.fault: Failure | None = None
        self.frozen = False
        self._members = members
        self._resources = resources
        self._threads = threads
        self._end = end
        self._has_ended = has_ended
        self._on_free = on_free
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._source = members[0].claim  # of all of them
        self._orders: dict[str, Order] = {}  # by variation, once they are given
        self._more_to_come = False  # tasks of films, once those that run have ended
        self._all_encoded = False  # what follows goes by in moments
        self._lanes: Lanes | None = None  # of a film that is encoded in several spans at once
        self._tasks = set[str]()  # that run
        self._readings = set[asyncio.Future[Any]]()  # of what was made, beside them
        self._vitals: dict[str, Vitals] = {}  # the latest, by task
        self._machines = set[str]()
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
        now = time.monotonic()
        return None if self._watch.gets_on(now) else self._watch.standing(now, self._longest(), self._load)

    @property
    def _load(self) -> host.Load:
        """That of where it was last heard to work."""
        return next((one.load for one in reversed(self._vitals.values()) if one.load), None) or host.load()

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
        """Returns the bytes of one of the variations that are on this disk. Any thread may call it; it may block."""
        order = self._orders.get(variation)
        return self._resources.engine.written(order) if order else 0

    # What is done to it

    @property
    def width(self) -> int:
        """Returns how many processes it has at work."""
        return self._lanes.width if self._lanes and not self._lanes.closed else 1

    @property
    def parted(self) -> bool:
        """Tells whether it is a film that is encoded in several spans."""
        return self._lanes is not None

    def widen(self) -> bool:
        """Has it work by one process more; False where it has no use for that."""
        return not self.frozen and self._lanes is not None and self._lanes.open()

    async def freeze(self) -> None:
        self._thawed.clear()
        between = self._more_to_come and not self._tasks
        self.frozen = any(await asyncio.gather(*map(self._resources.engine.pause, self._at_work))) or between
        if self._thawed.is_set():  # meanwhile, which may be long where a machine does not answer
            self.thaw()

    def thaw(self) -> None:
        self._thawed.set()
        if self.frozen:
            self.frozen = False
            self._watch.restart(time.monotonic())
            for task in self._at_work:
                self._resources.engine.resume(task)

    async def stop(self) -> Stopped:
        """Ends what runs by the escalation; of several that is told which took longest."""
        self._thawed.set()
        if self._lanes:
            self._lanes.closed = True
        ended = await asyncio.gather(*map(self._resources.engine.stop, self._at_work))
        for reading in self._readings:
            reading.cancel()
        return max(ended, key=lambda stopped: stopped.seconds)

    async def read(self, work: Awaitable[T]) -> T:
        """Waits for `work` that reads what was made, which may take long. Raises CancelledError once all is ended, when
        nothing will come of it any more.
        """
        reading = asyncio.ensure_future(work)
        if self._has_ended():
            reading.cancel()
        self._readings.add(reading)
        try:
            return await reading
        finally:
            self._readings.discard(reading)

    @property
    def _at_work(self) -> list[str]:
        """The tasks that run; one that is about to, where none does."""
        return list(self._tasks) or [self._source.token]

    # Its tasks

    async def encode(self, members: Sequence[Member]) -> Ended:
        """Encodes what each of `members` is, or what of its film is still to come."""
        begins = min(member.film.seconds if member.film else 0.0 for member in members)
        self._watch.restart(time.monotonic(), begins)
        self.progress = Progress(task=self._source.token, seconds=begins) if begins else None
        left = [member for member in members if not (member.film and member.film.whole)]
        films = [(member, member.film) for member in left if member.film]
        self._more_to_come = any(member.film for member in members)
        if len(left) == 1 and films and len(films[0][1].spans) > 1:
            return await self._encode_spans(*films[0])
        for _, film in films:
            await film.spans[0].write(film.spans[0].next_piece())
        if self._has_ended() or not self._thawed.is_set():  # asked meanwhile, when there was no process yet
            return Ended(lost=True)
        ended = await self._run([self._order(member) for member in left]) if left else Ended()
        if ended.succeeded and not self._has_ended():
            for _, film in films:
                await self.read(film.finish(film.spans[0], film.spans[0].latest))
        return ended

    async def _encode_spans(self, member: Member, film: Film) -> Ended:
        async def encode(lane: Lane) -> Ended:
            try:
                return await self._run([self._order(member, lane)], lane)
            finally:
                self._on_free()

        async def stop(lane: Lane) -> Stopped:
            return await self._resources.engine.stop(self._name(lane))

        self._lanes = Lanes(film, encode, stop, self._on_free, self.read)
        return await self._lanes.run()

    async def join(self, films: Sequence[tuple[Member, tuple[Piece, ...]]]) -> Ended:
        """Joins films of their pieces, when all is encoded."""
        self._all_encoded = True
        orders = [
            replace(self._order(member), part=str(self._resources.part(member.claim)), begin=None, pieces=pieces)
            for member, pieces in films
        ]
        joined = await self._run(orders)
        if joined.is_final:  # to encode anew costs far more than another try
            again = await self._run(orders)
            joined = replace(again, cpu_seconds=joined.cpu_seconds + again.cpu_seconds)
        self._more_to_come = False
        return joined

    def _name(self, lane: Lane | None) -> str:
        """The id of a task."""
        token = self._source.token
        return part_of(token, f"{lane.span.number}-{lane.piece}") if lane else token

    async def _run(self, orders: Sequence[Order], lane: Lane | None = None) -> Ended:
        await self._thawed.wait()
        if self._has_ended() or (lane and self._lanes and not self._lanes.wants(lane)):  # nothing comes between now
            return Ended(stopped=Stopped(stage=Stage.EXITED, seconds=0.0))
        self._orders |= {order.variation: order for order in orders}
        one, file = self._source, self._resources.whereabouts.of(self._source.recorded)
        task = Task(
            id=self._name(lane), source=file, source_name=one.source_name, media=one.media, orders=tuple(orders)
        )
        self._tasks.add(task.id)
        try:
            return await self._resources.engine.run(task, partial(self._report, lane))
        finally:
            self._tasks.remove(task.id)

    def _order(self, member: Member, lane: Lane | None = None) -> Order:
        claim, film = member.claim, member.film
        span = lane.span if lane else film.spans[0] if film else None
        written = span.path(lane.piece if lane else span.latest) if span else self._resources.part(claim)
        share = film.share(lane.span) if film and lane else 1.0
        return Order(
            variation=claim.id,
            attempt=claim.attempt,
            preset=self._resources.base(claim),
            parameters=claim.parameters,
            part=str(written),
            log=str(self._resources.paths.log(claim.job, claim.id)),
            threads=self._threads[claim.id],
            bytes=int(member.space * share),
            cpu_seconds=member.cost * share,
            begin=span.begin if span else None,
        )

    # While they run

    def _report(self, lane: Lane | None, report: Report) -> None:
        now = time.monotonic()
        if isinstance(report, Progress):
            self._advance(self._lanes.progress(lane, report) if lane and self._lanes else report, now)
        elif isinstance(report, Vitals):
            self._vitals[report.task] = report
            told = self._vitals.values()
            spent, moved = sum(one.cpu_seconds for one in told), sum(one.io_bytes for one in told)
            self._watch.vitals(spent, moved, now, report.doing)
            self._end_if_hung()
            self._end_if_too_large(report.written)
        elif isinstance(report, Durable):
            span, piece = (lane.span.number, lane.piece) if lane else (0, None)
            films = {member.claim.id: member.film for member in self._members if member.film}
            numbers = {one: piece or film.spans[0].latest for one, film in films.items()}
            self._record(partial(piece_rows.record_durable, report, span=span, numbers=numbers))
        else:
            self._machines |= {report.machine} if report.machine else set()
            machines = ", ".join(sorted(self._machines)) or None
            self._record(partial(claims.record_start, replace(report, task=self._source.token, machine=machines)))

    def _advance(self, progress: Progress | None, now: float) -> None:
        if progress is None:
            return
        self._watch.progress(progress.seconds, now)
        if self._lanes and self.progress:  # what was lost with a machine is not told again
            progress = replace(progress, seconds=max(progress.seconds, self.progress.seconds))
        self.progress = self.progress if self._all_encoded else progress

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
        if words and not (member.film and (member.film.seconds or self._lanes)):
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
