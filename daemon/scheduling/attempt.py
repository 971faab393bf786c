"""Takes variations of one source from slot to end: encoded in one process, each proven and published, or abandoned.

An attempt is the one writer that ends the variations it was claimed for.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from daemon.encode.stall import Standing
from daemon.encode.task import Ended, Progress
from daemon.errors import BadParameter, OutOfSpace, ProbeError, ProofError, Unavailable, UnknownPreset, UnsuitableSource
from daemon.journal import known, tell
from daemon.models import SourceFile, Stopped
from daemon.proof import prove
from daemon.proof.publish import Sealed, seal
from daemon.proof.score import score
from daemon.recipes import command
from daemon.recipes.recipe import Piece
from daemon.scheduling import claims
from daemon.scheduling.claims import INTERRUPTED, MAX_RETRIES, Failure
from daemon.scheduling.encoding import Encoding, log_failure
from daemon.scheduling.resources import Resources
from daemon.scheduling.settlement import Member, Receipt, Settlement
from daemon.scheduling.sources import UPLOAD_GONE

log = logging.getLogger(__name__)

GROWING = "the source changed while it was encoded, as one that is still being written: retry when it is complete"
# What is wrong with the source, or with what was asked of it: another try would end alike.
UNSUITABLE = (ProbeError, ProofError, UnsuitableSource, UnknownPreset, BadParameter)


class Attempt:
    """An attempt has claimed variations on their way.

    `run` takes them to their end; the rest may be called beside it.
    """

    def __init__(
        self, members: Sequence[Member], resources: Resources, *, threads: Mapping[str, int], held: bool = False
    ) -> None:
        self.members = members
        self.crowded_out = False  # the disk had no room for it
        self.held = held  # it shall not start, or stand still once it runs
        self.encoded = False  # its process did what it was to do; what came of it is being proven
        self._resources = resources
        self._settlement = Settlement(resources)
        self._source = members[0].claim  # of all of them
        self._began = time.monotonic()
        self._stopping: asyncio.Task[Stopped] | None = None
        self._tell_free: Callable[[], None] = lambda: None
        self._encoding = Encoding(
            members,
            resources,
            threads=threads,
            end=self._stop_engine,
            has_ended=lambda: self._stopping is not None,
            on_free=lambda: self._tell_free(),
        )
        self._running = asyncio.create_task(self._run(), name=f"source {self._source.source}")

    @property
    def job(self) -> str:
        return self._source.job

    @property
    def owner(self) -> str | None:
        """Returns whose job it is; None: the daemon's own."""
        return self._source.owner

    @property
    def variations(self) -> tuple[str, ...]:
        return tuple(member.claim.id for member in self.members)

    @property
    def frozen(self) -> bool:
        """Tells whether it stands still."""
        return self._encoding.frozen

    @property
    def width(self) -> int:
        """Returns how many processes it has at work."""
        return self._encoding.width

    @property
    def parted(self) -> bool:
        """Tells whether it is a film that is encoded in several spans."""
        return self._encoding.parted

    def widen(self) -> bool:
        """Has it work by one process more; False where it has no use for that."""
        return self._stopping is None and not self.held and self._encoding.widen()

    @property
    def standing(self) -> Standing | None:
        """Returns what the stall watch says; None while it gets on or is frozen."""
        return self._encoding.proving() if self.encoded else self._encoding.standing

    @property
    def shown(self) -> Progress | None:
        """Returns the latest report; of what stands still the speed, and what follows from it, is not known."""
        return self._encoding.shown

    def duration(self, variation: str) -> float | None:
        """Returns the planned seconds of that output; None while or where nobody knows."""
        return self._encoding.duration(variation)

    @property
    def source_seconds(self) -> float | None:
        """Returns how many seconds the source lasts; None: unknown."""
        return self._source.media.duration_seconds

    def written(self, variation: str) -> int:
        """Returns the bytes of one of the variations that are on this disk. Any thread may call it; it may block."""
        return self._encoding.written(variation)

    def on_free(self, tell: Callable[[], None]) -> None:
        """Has `tell` called whenever others may have a slot for it: once `encoded` is set, if ever, at last."""
        self._tell_free = tell

    def on_end(self, tell: Callable[[], None]) -> None:
        """Has `tell` called when all is settled."""
        self._running.add_done_callback(lambda _: tell())

    async def stop(self) -> list[Receipt]:
        """Ends the encode by the escalation and waits until each of its variations is settled.

        What a variation becomes, the database decides: what was requested of it, else queued again.
        """
        stopped = await asyncio.shield(self._stop_engine())
        await asyncio.wait([self._running])
        return [
            Receipt(
                variation=member.claim.id,
                stage=stopped.stage,
                seconds=stopped.seconds,
                bytes_freed=member.bytes_freed,
            )
            for member in self.members
        ]

    async def hold(self, held: bool) -> None:
        """Freezes the encode, or lets it go on; when this returns, it stands still. One not begun will not begin."""
        self.held = held
        if held:
            await self._encoding.freeze()
        else:
            self._encoding.thaw()

    def _stop_engine(self) -> asyncio.Task[Stopped]:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._end_process())
        return self._stopping

    async def _end_process(self) -> Stopped:
        stopped = await self._encoding.stop()
        self._resources.figures.stopped(stopped)
        await self._settlement.insist(lambda t: t.run("count_stop", stage=stopped.stage, seconds=stopped.seconds))
        return stopped

    # To its end

    async def _run(self) -> None:
        await self._settling(self.members, self._encode())

    async def _settling(self, members: Sequence[Member], work: Awaitable[None]) -> None:
        """Whatever `work` raises is the end of those of its `members` that are not settled by then."""
        failure = INTERRUPTED
        try:
            return await work
        except asyncio.CancelledError:
            failure = self._encoding.fault
        except UNSUITABLE as error:
            failure = Failure(error=str(error))
        except OutOfSpace:
            return await self._wait_for_space(members)
        except Unavailable as error:
            failure = Failure(error=str(error), retries=MAX_RETRIES)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                return await self._wait_for_space(members)
            failure = Failure(error=f"the host refused: {error.strerror}", retries=MAX_RETRIES)
        except Exception:
            for claim in (member.claim for member in members):
                log.exception("variation failed by a fault of ffspool", extra=known(job=claim.job, variation=claim.id))
            failure = Failure(error="an internal error; the daemon's log has the details", ours=True)
        return await self._settlement.abandon_all(members, failure)

    async def _encode(self) -> None:
        if await self._resources.whereabouts.has_lost(self._source.recorded):
            return await self._settlement.abandon_all(self.members, Failure(error=UPLOAD_GONE))
        members = await self._suitable()
        if not members:
            return None
        await self._prepare(members)
        if self._stopping or self.held:  # asked before there was a process; nothing comes between this and its start
            return await self._settlement.abandon_all(members, INTERRUPTED)
        ended = await self._make(members)
        if ended.stopped or ended.lost or self._stopping:
            return await self._settlement.abandon_all(members, self._encoding.fault, ended.cpu_seconds)
        if ended.disk_full:
            return await self._wait_for_space(members, ended.cpu_seconds)
        if ended.error:
            failure = claims.failure_of(ended, sharing=len(members))
            return await self._settlement.abandon_all(members, failure, ended.cpu_seconds)
        if await self._resources.whereabouts.has_grown(self._source.recorded):
            await self._settlement.insist(partial(claims.unsettle_source, source=self._source.source))
            growing = Failure(error=GROWING, retries=MAX_RETRIES)
            return await self._settlement.abandon_all(members, growing, ended.cpu_seconds)
        self.encoded = True
        self._tell_free()
        self._learn(members, ended)
        for member in members:
            member.unmeasured = ended.unmeasured.get(member.claim.id)
            member.chosen = ended.chosen.get(member.claim.id, {})
        whole = sum(member.cost for member in members) or 1.0
        finishing = (
            self._settling([one], self._finish(one, ended.cpu_seconds * one.cost / whole))
            for one in members
            if not one.settled
        )
        await asyncio.gather(*finishing)
        return None

    async def _prepare(self, members: Sequence[Member]) -> None:
        if not self._resources.engine.reads(self._resources.whereabouts.of(self._source.recorded).path):
            raise Unavailable("no machine that could encode it reads the source where it lies")
        for member in members:
            if member.film:
                await self._encoding.read(member.film.begin_anew_or_go_on())
        self._tell_free()  # a film that got on is held to be guilty of nothing

    async def _make(self, members: Sequence[Member]) -> Ended:
        """Runs the encoder; films in pieces are joined in a second task, once this attempt's pieces are there."""
        parted = [member for member in members if member.film]
        try:
            encoded = await self._encoding.encode(members)
        except (ProofError, ProbeError) as error:  # by a span that does not fit
            for member in parted:
                await self._begin_anew(member, str(error), 0.0)
            return Ended()
        if not parted or not encoded.succeeded or self._stopping:
            return encoded
        films = list[tuple[Member, tuple[Piece, ...]]]()
        for member in parted:
            await self._settling([member], self._collect(member, films))
        if not films or self._stopping:
            return encoded
        joined = await self._encoding.join(films)
        if joined.error and joined.is_final and not self._stopping:
            for member in (one for one in parted if not one.settled):
                await self._begin_anew(member, joined.error, 0.0)
            return encoded
        return replace(
            joined,
            cpu_seconds=encoded.cpu_seconds + joined.cpu_seconds,
            unmeasured={**encoded.unmeasured, **joined.unmeasured},
            chosen={**encoded.chosen, **joined.chosen},
        )

    async def _suitable(self) -> list[Member]:
        """The members of which something can be made; the others are abandoned."""
        for member in self.members:
            await self._settling([member], self._plan(member))
        return [member for member in self.members if not member.settled]

    async def _plan(self, member: Member) -> None:
        member.plan = command.plan(member.claim.media, self._resources.base(member.claim), member.claim.parameters)

    def _learn(self, members: Sequence[Member], ended: Ended) -> None:
        if any(member.film and member.film.resumed for member in members):
            return  # what was spent before it was interrupted is not known
        keys = [(member.claim.preset, member.claim.parameters) for member in members]
        predicted = sum(member.cost for member in members)
        learning = asyncio.ensure_future(self._resources.history.learn(keys, predicted, ended.cpu_seconds * ended.pace))
        learning.add_done_callback(log_failure)

    async def _finish(self, member: Member, cpu_seconds: float) -> None:
        """Makes an encoded part a published file, if it is what was planned."""
        known = member.claim.media
        try:
            lasting, sealed = await self._encoding.read(self._prove(member))
        except (ProofError, ProbeError) as error:
            if member.film:
                return await self._begin_anew(member, str(error), cpu_seconds)
            failure = Failure(error=str(error), alone=member.claim.media is not known)  # made by less than is known now
            return await self._settlement.abandon(member, failure, cpu_seconds)
        speed = self._encoding.progress.speed if self._encoding.progress else None
        proof = member.proof(cpu_seconds, sealed, lasting, speed)
        return await self._settlement.publish(member, proof, time.monotonic() - self._began)

    async def _begin_anew(self, member: Member, error: str, cpu_seconds: float) -> None:
        """What was joined is not what was planned: without its pieces it is encoded whole."""
        assert member.film
        of = {"job": member.claim.job, "variation": member.claim.id}
        words = "variation is encoded from the beginning, since its pieces do not fit"
        tell(log, logging.WARNING, words, **of, error=error)
        await member.film.give_up(f"what was encoded in pieces did not fit: {error}")
        await self._settlement.abandon(member, Failure(error=error, alone=True), cpu_seconds)

    async def _prove(self, member: Member) -> tuple[float | None, Sealed]:
        """Seconds it plays (None: pictures), and its seal."""
        assert member.plan is not None
        part = self._resources.part(member.claim)
        whole = member.claim.is_proven_whole
        file = self._resources.whereabouts.of(self._source.recorded)
        try:
            lasting = await prove.prove_output(self._resources.prober, part, member.plan, file, whole=whole)
        except ProofError:
            if not await self._is_planned_otherwise(member, file):
                raise
            lasting = await prove.prove_output(self._resources.prober, part, member.plan, file, whole=whole)
        if member.film:
            await member.film.prove_joints(part, member.plan)
        if whole:
            await self._refuse_damaged(member, file)
        if metric := member.plan.quality:
            picture = self._resources.paths.plot(member.claim.job, member.claim.id)
            member.quality = await asyncio.to_thread(score, part, metric, picture, member.unmeasured)
        return lasting, await asyncio.to_thread(seal, part)

    async def _is_planned_otherwise(self, member: Member, file: SourceFile) -> bool:
        """Reads all of a source that was too large for it before, and tells whether it makes another plan: what a
        header says, or FFmpeg takes from the beginning and the end, need not be so."""
        known, planned = member.claim, member.plan
        if known.media.read_whole:
            return False
        try:
            media = await self._resources.prober.scan(file, known.recorded.bytes)
        except ProbeError:
            return False
        await self._resources.store.write(partial(claims.record_media, source=known.source, media=media))
        member.claim = replace(known, media=media)
        await self._plan(member)
        if member.plan == planned:
            member.claim = known
        return member.plan != planned

    async def _refuse_damaged(self, member: Member, file: SourceFile) -> None:
        """Nothing takes the place of a source that is damaged, nor is it deleted: what was missing may come yet."""
        try:
            await prove.refuse_damaged(self._resources.prober, file, self._source.media, self._source.recorded.bytes)
        except UnsuitableSource as error:
            if not member.claim.source_goes:
                raise
            words = str(error).replace("its original", "it")
            await self._settlement.keep_source(member.claim.job, words)

    async def _collect(self, member: Member, films: list[tuple[Member, tuple[Piece, ...]]]) -> None:
        """Adds a film that may be joined of its pieces."""
        assert member.film
        try:
            pieces = await self._encoding.read(member.film.pieces())
        except (ProofError, ProbeError) as error:
            await self._begin_anew(member, str(error), 0.0)
        else:
            films.append((member, pieces))

    async def _wait_for_space(self, members: Iterable[Member], cpu_seconds: float = 0.0) -> None:
        self.crowded_out = True
        written = await asyncio.to_thread(lambda: {one: self.written(one) for one in self.variations})
        progress = self._encoding.progress
        await self._settlement.let_wait(members, written, progress.seconds if progress else 0.0, cpu_seconds)
