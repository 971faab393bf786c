"""Ends claimed variations: published, abandoned, or left to wait for the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from daemon.database import owned_files
from daemon.database.store import Transaction
from daemon.errors import OutOfSpace, Unavailable
from daemon.journal import tell
from daemon.models import Model, Parameters, Stage
from daemon.paths import remove
from daemon.proof.prove import Proof
from daemon.proof.publish import Sealed, reveal
from daemon.proof.quality import Quality
from daemon.recipes.recipe import Plan
from daemon.scheduling import claims, piece_rows
from daemon.scheduling.claims import INTERRUPTED, Claim, Failure
from daemon.scheduling.film import Film
from daemon.scheduling.resources import Resources
from daemon.scheduling.sources import Recorded
from daemon.scheduling.space import learnt

T = TypeVar("T")

log = logging.getLogger(__name__)

INSIST_EVERY = 1.0  # seconds between two tries to write an end that the disk does not take


@dataclass
class Member:
    """A member is one of the variations that share the process, and what becomes of it.

    Predicted are its `cost` in CPU seconds, the bytes it `usual`ly comes to, and the `space` kept for it.
    """

    claim: Claim
    cost: float
    usual: int
    space: int
    film: Film | None = None  # that is made in pieces
    plan: Plan | None = None
    unmeasured: str | None = None  # why it could not be compared with the source
    quality: Quality | None = None
    chosen: Parameters = field(default_factory=dict)
    bytes_freed: int = 0
    settled: bool = False

    def proof(self, cpu_seconds: float, sealed: Sealed, output_seconds: float | None, speed: float | None) -> Proof:
        """Returns what is known of its part, now that it is proven."""
        length, sha256, inode = sealed
        return Proof(
            bytes=length,
            sha256=sha256,
            inode=inode,
            output_seconds=output_seconds,
            cpu_seconds=round(cpu_seconds, 3),
            speed=speed,
            quality=self.quality,
            chosen=self.chosen,
            contents=self.plan.contents if self.plan else None,
        )


class Receipt(Model, frozen=True):
    """Tells what ending one running variation took, and the bytes of partial files it gave back."""

    variation: str
    stage: Stage
    seconds: float
    bytes_freed: int


class Settlement:
    """Writes the ends of variations; what the end is, whoever ran them says, and requests overrule."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def publish(self, member: Member, proof: Proof, took: float) -> None:
        """Records the proof, gives the file its final name, records `completed`: recovery can go on from each.

        `took` is in seconds, from slot to now.
        """
        claim, resources = member.claim, self._resources
        mine = {"variation": claim.seq, "attempt": claim.attempt}
        if not await resources.store.write(lambda t: claims.record_proof(t, proof=proof, **mine)):
            return await self.abandon(member, INTERRUPTED, proof.cpu_seconds)
        output = resources.paths.output(claim.job, claim.id, claim.extension)
        await asyncio.to_thread(reveal, resources.part(claim), output)
        # Insisted on: a commit that failed at its fsync may be found after a crash, and then needs the file.
        done = await self.insist(lambda t: claims.complete(t, proof=proof, now=resources.now(), **mine))
        if done is False:
            member.bytes_freed += await self._clear(claim, output)
            return await self.abandon(member, INTERRUPTED, proof.cpu_seconds)
        member.settled = True
        if done is None:
            return None
        await self._clear(claim, resources.paths.work(claim.job, claim.id))
        resources.space.experience.learn(claim.preset, member.usual, proof.bytes)
        resources.figures.completed(claim.preset, took, proof.speed, proof.output_seconds)
        return None

    async def keep_source(self, job: str, words: str) -> None:
        """Has the source of a job of a watched folder stay, for which the words give the reason."""
        await self._resources.store.write(lambda t: t.run("keep_source", job=job, said=words))

    async def let_wait(
        self, members: Iterable[Member], written: Mapping[str, int], seconds: float, cpu_seconds: float
    ) -> None:
        """Gives back what was written to a disk that is full, and lets the work wait until what it needs is free.

        By then `seconds` of output had been made, and that many bytes `written` for each variation.
        """
        words = "it waits for disk space: the disk was full while it was encoded"
        left = [member for member in members if not member.settled]
        for member in left:
            planned = member.plan.duration_seconds if member.plan else None
            needed = learnt(written[member.claim.id], seconds, planned)
            waiting = Failure(error=words, space=max(needed, member.space))
            await self.abandon(member, waiting, cpu_seconds / len(left))

    async def abandon_all(self, members: Iterable[Member], failure: Failure | None, cpu_seconds: float = 0.0) -> None:
        """Ends those that are not settled; the CPU seconds came to nothing once, not for each of them."""
        left = [member for member in members if not member.settled]
        for member in left:
            await self.abandon(member, failure, cpu_seconds / len(left))

    async def _was_away(self, source: Recorded, failure: Failure) -> bool:
        """Whether a source is out of reach, or was when it was opened, though it is back by now as it was."""
        places = self._resources.whereabouts
        try:
            is_as_it_was = failure.unread and source.path is not None and not await places.has_grown(source)
        except Unavailable:
            return True
        return is_as_it_was or await places.is_away(source)

    async def abandon(self, member: Member, failure: Failure | None, cpu_seconds: float = 0.0) -> None:
        """Ends one that came to nothing: partial files first, then the row, which a request overrules.

        Pieces of a film stay as long as it may be gone on with.
        """
        claim, resources = member.claim, self._resources
        full = failure is not None and failure.space is not None  # and the end can be written once there is room
        asking = partial(claims.may_go_on, variation=claim.seq, attempt=claim.attempt)
        going_on = bool(member.film) and not full and await resources.store.read(asking)
        away = failure is not None and not full and await self._was_away(claim.recorded, failure)
        finding = partial(piece_rows.files_of, paths=resources.paths, job=claim.job, variation=claim.id, seq=claim.seq)
        await self._clear_attempt(member, but=await resources.store.read(finding) if going_on else ())
        kept = await self.insist(
            lambda t: claims.abandon(
                t,
                variation=claim.seq,
                attempt=claim.attempt,
                now=resources.now(),
                failure=failure,
                away=claim.source if away else None,
                cpu_seconds=cpu_seconds,
                retry_delay=resources.retry_delay,
            )
        )
        if going_on and kept is False:
            await self._clear_attempt(member)
        member.settled = True

    async def _clear_attempt(self, member: Member, *, but: Collection[Path] = ()) -> None:
        claim, paths = member.claim, self._resources.paths
        finding = partial(owned_files.of_attempt, paths, claim.job, claim.id, but=but)
        for left in await asyncio.to_thread(finding):
            member.bytes_freed += await self._clear(claim, left)

    async def _clear(self, claim: Claim, left: Path) -> int:
        """Removes what an attempt left and returns its bytes. What cannot be removed now is left to the sweep."""
        try:
            return await asyncio.to_thread(remove, left)
        except OSError as error:
            words = f"{left.name} cannot be removed yet"
            tell(log, logging.WARNING, words, job=claim.job, variation=claim.id, error=error.strerror)
            return 0

    async def insist(self, work: Callable[[Transaction], T]) -> T | None:
        """Writes what must not be lost, however long the disk takes to have room for it, and returns what it came to.

        At shutdown it is tried once more and then left (None): the row still says that it runs, and recovery
        settles it.
        """
        while True:
            last = self._resources.closing.is_set()
            try:
                return await self._resources.store.write(work)
            except (OutOfSpace, Unavailable) as error:
                log.error("an end cannot be written %s: %s", "any more" if last else "yet", error)
            if last:
                return None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._resources.closing.wait(), INSIST_EVERY)
