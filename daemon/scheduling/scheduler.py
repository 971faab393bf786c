"""Keeps the slots full: has sources read, claims the best of what is queued, starts, freezes and stops attempts.

It is woken by events; the slow safety poll only covers a wake-up that was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial

from daemon.database.store import Row, Transaction
from daemon.encode.stall import Standing
from daemon.encode.task import Capacity, Progress
from daemon.errors import FfspoolError
from daemon.media.model import Media
from daemon.models import SourceFile
from daemon.scheduling import claims, shares
from daemon.scheduling.attempt import Attempt
from daemon.scheduling.claims import Claim
from daemon.scheduling.film import Film
from daemon.scheduling.forecast import Forecast, Outlook
from daemon.scheduling.resources import Resources
from daemon.scheduling.room import Left, Room
from daemon.scheduling.settlement import Member, Receipt
from daemon.scheduling.shares import Ready, Share
from daemon.scheduling.source_reading import Judge, Survey
from daemon.scheduling.turns import Owner, Turns
from daemon.states import OnUnsuitable, QueueState

log = logging.getLogger(__name__)

SAFETY_POLL = 30.0  # seconds
LOOK_FOR_ROOM = 1.0  # seconds between two looks at a disk that has no room for something
WINDOW = 64  # ready variations that are looked at when one process is chosen
NOBODY = "no machine is here that could make it: `ffspool machines` tells how each stands"
MOST_AT_ONCE = 200  # processes begun before others get their turn


class Scheduler:
    """Keeps the engine's slots filled while there is work. `run` is its loop; the rest may be called beside it.

    `longest` bounds, in predicted seconds, a process that several variations share; 0: none ever does.
    """

    def __init__(self, resources: Resources, *, longest: float = 120.0) -> None:
        self._resources = resources
        self._longest = longest
        self._queue = QueueState.RUNNING
        self.forecast = Forecast(
            resources.library, resources.history.corrections, resources.space.experience, resources.resume_from
        )
        self._survey = Survey(resources.store, resources.prober, resources.whereabouts, self.wake, resources.now)
        self._turns = Turns()
        self._running: list[Attempt] = []
        self._attempts: dict[str, Attempt] = {}  # the same, by variation
        self._awake = asyncio.Event()
        self._closing = False
        self._room = Room(resources)
        self.no_room: str | None = None  # why nothing starts though there may be work
        self.changed = asyncio.Event()  # set whenever a variation changed its state; whoever waits clears it

    def wake(self) -> None:
        """Has it look for what may have become ready."""
        self._awake.set()

    async def glance(self, file: SourceFile) -> Media | None:
        """Returns what the file of a job to come holds.

        None: nothing could start now, or it is to be read in its turn.
        """
        return await self._survey.glance(file) if self._may_start() else None

    async def look(self, file: SourceFile, within: float) -> Media | None:
        """Returns what the file holds, though nothing may start now; None: that is not known `within` some seconds."""
        return await self._survey.glance(file, within)

    def on_media(self, judge: Judge) -> None:
        """Has `judge` be called in the transaction that records what a source holds, before anything is made of it."""
        self._survey.on_media(judge)

    @property
    def running(self) -> bool:
        """Tells whether it still starts work."""
        return not self._closing

    async def run(self) -> None:
        """Claims and starts work until `close`; then ends what runs, whose work goes back to the queue."""
        while not self._closing:
            self._awake.clear()
            patience = SAFETY_POLL
            try:
                await self._fill_slots()
                patience = await self._until_delayed()
            except FfspoolError as error:  # a full disk must not end the scheduler; the safety poll tries again
                log.error("nothing can be started: %s", error)
            except Exception:  # nor must a fault of ours, be it by one row of many
                log.exception("something could not be started, by a fault of ffspool")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), patience)
        await self._survey.close()
        await self.stop(list(self._attempts))

    @property
    def shortage(self) -> str | None:
        """Returns why nothing starts though there may be work."""
        return self.no_room if self._capacity.places else NOBODY

    @property
    def slots(self) -> tuple[int, int]:
        """Returns how many encodes may run at once, and how many do."""
        return self._capacity.slots, self._encoding

    def slots_of(self, owner: Owner) -> int:
        """Returns how many slots are an owner's."""
        return sum(_width(attempt) for attempt in self._running if attempt.owner == owner)

    def reserved(self) -> int:
        """Returns the bytes that those that run, and files on their way in, may yet write."""
        return self._resources.space.reserved

    def kept_free(self, total: int) -> int:
        """Returns the bytes that encodes leave free on a disk of `total`."""
        return self._resources.space.kept_free(total)

    def close(self) -> None:
        """Starts nothing more; `run` returns once all that runs has been ended."""
        self._closing = True
        self._resources.closing.set()
        self.wake()

    # What is said of running variations

    def progress(self, variation: str) -> Progress | None:
        """Returns the latest report on a running variation; None while it has none."""
        attempt = self._attempts.get(variation)
        return attempt.shown if attempt else None

    def standing(self, variation: str) -> Standing | None:
        """Returns what the stall watch says of a variation; None while it gets on, is frozen, or does not run."""
        attempt = self._attempts.get(variation)
        return attempt.standing if attempt else None

    def of_job(self, job: str) -> Iterator[tuple[Progress, float | None]]:
        """Yields each running variation's latest report in the job, and the seconds its source lasts (None: unknown).

        May be called on any thread.
        """
        for attempt in list(self._attempts.values()):  # one step for the interpreter: nothing comes between
            if attempt.job == job and (shown := attempt.shown):
                yield shown, attempt.source_seconds

    @property
    def attempts(self) -> dict[str, Attempt]:
        """Returns what runs, by variation; each tells of itself, also when it has ended."""
        return dict(self._attempts)

    # What is done to them

    async def stop(self, variations: Iterable[str]) -> list[Receipt]:
        """Ends those of `variations` that run; returns when each is settled and its partial files are gone.

        Others that share a process with them end too, and are queued again unless they were completed.
        """
        wanted = set(variations)
        ended = await asyncio.gather(*(attempt.stop() for attempt in self._among(wanted)))
        return [receipt for receipts in ended for receipt in receipts if receipt.variation in wanted]

    async def hold(self, variations: Iterable[str], held: bool) -> None:
        """Freezes those of `variations` that run and gives their slots away, or lets them go on.

        When this returns, they stand still. What the whole queue's pause froze stays frozen.
        """
        await self._hold(self._among(variations), held or self._queue == QueueState.PAUSED)

    @property
    def queue(self) -> QueueState:
        return self._queue

    async def set_queue(self, state: QueueState, held: Iterable[str] = ()) -> None:
        """Lets the queue run, freezes all that runs, or lets that finish and starts nothing more.

        `held` are variations of paused jobs, which stay frozen whatever the queue does.
        """
        self._queue = state
        stay = set(held)
        frozen = [a for a in self._running if state == QueueState.PAUSED or not stay.isdisjoint(a.variations)]
        await self._hold(frozen, True)
        await self._hold([a for a in self._running if a not in frozen], False)

    async def _hold(self, attempts: Iterable[Attempt], held: bool) -> None:
        await asyncio.gather(*(attempt.hold(held) for attempt in attempts))
        self.changed.set()
        self.wake()

    def _among(self, variations: Iterable[str]) -> list[Attempt]:
        """Each process once, however many of the variations share it."""
        wanted = set(variations)
        return [attempt for attempt in self._running if not wanted.isdisjoint(attempt.variations)]

    # Claiming

    async def _fill_slots(self) -> None:
        await self._room.recall()
        for _ in range(MOST_AT_ONCE):
            if not self._may_start():
                self.no_room = None
                return
            rows = await self._next_ready()
            if not rows:
                self.no_room = None
                self._widen()
                return
            left = await self._room.left()
            self.no_room = left.refusal(0)
            if self.no_room or not self._may_start():
                return
            await self._start_best(rows, left)

    async def _next_ready(self) -> list[Row]:
        """What may start of the first job of whose turn it is, as far as its sources were read; reading of the others
        begins.

        A source that takes long to be read is overtaken.
        """
        passed = {owner for owner in {one.owner for one in self._running} if self._more_of(owner) == 0}
        while True:
            owners, rows = await self._resources.store.read(partial(self._ready_in_turn, passed))
            found = self._startable(rows)
            if found or len(owners) < 2:
                return found
            passed.add(owners[0])

    def _ready_in_turn(self, passed: set[Owner], transaction: Transaction) -> tuple[list[Owner], list[Row]]:
        """The owners that have something ready, in turn, and what the first of them has."""
        owners = [one for one in self._turns.in_order(transaction.all("first_ready")) if one not in passed]
        return owners, transaction.all("ready", owner=owners[0], limit=WINDOW) if owners else []

    def _more_of(self, owner: Owner) -> int | None:
        """How many more variations of that owner may be encoded beside those that are; None: any number."""
        most = self._resources.caller_of(owner).limits.max_encodes
        return (
            None if most is None else max(0, most - sum(_encodes(one) for one in self._running if one.owner == owner))
        )

    def _startable(self, rows: list[Row]) -> list[Row]:
        """What may start of the first job among the rows; what is not read yet is read ahead."""
        for row in rows:
            if row["media"] is None:
                self._survey.read_ahead(row)
        if not rows or self._survey.is_fresh(rows[0]["source"]):
            return []
        innocent = [row for row in rows if row["crashes"] < claims.SUSPECT_AFTER]
        known = [row for row in innocent or rows if row["media"] is not None]
        if not innocent:  # the daemon may die again: of what else there is, nothing shall be lost by that
            return [] if any(not attempt.frozen for attempt in self._running) else known[:1]
        return [row for row in known if row["job"] == known[0]["job"]]

    async def _start_best(self, rows: list[Row], left: Left) -> None:
        """Starts one process for some of the rows; those there is no room for let others pass."""
        outlooks = await self._suitable({row["id"]: (row, self.forecast.of_row(row)) for row in rows})
        owner: Owner = rows[0]["owner"]
        left = await self._room.left_to(owner, left)
        waiting = await self._room.set_aside(owner, {one: each.more_bytes for one, each in outlooks.items()}, left)
        fitting = [outlook.ready for one, outlook in outlooks.items() if one not in waiting]
        if not fitting:
            return
        share = self._share(fitting[: self._more_of(owner)], left.most)
        claimed = list[Claim]()
        wanted = {variation: outlooks[variation] for variation in share.variations}
        for variation, outlook in wanted.items():
            self._resources.space.reserve(variation, outlook.more_bytes, owner=owner)
        try:
            claimed = await self._resources.store.write(partial(self._claim, wanted, owner))
        finally:
            for variation in wanted.keys() - {claim.id for claim in claimed}:
                self._resources.space.release(variation)
        if claimed:
            self._turns.took(claimed[0].owner, share.cpu_seconds)
            self._start(claimed, share, outlooks)

    async def _suitable(self, seen: Mapping[str, tuple[Row, Outlook]]) -> dict[str, Outlook]:
        """Those that a preset does not apply to are skipped where that was asked; the others, by variation."""
        unsuitable = {
            one: outlook.unsuitable
            for one, (row, outlook) in seen.items()
            if outlook.unsuitable and row["on_unsuitable"] == OnUnsuitable.SKIP
        }
        if unsuitable:
            skip = partial(claims.skip, unsuitable=unsuitable, now=self._resources.now())
            await self._resources.store.write(skip)
            self.changed.set()
        return {one: outlook for one, (_, outlook) in seen.items() if one not in unsuitable}

    def _claim(self, wanted: Mapping[str, Outlook], owner: Owner, transaction: Transaction) -> list[Claim]:
        """An empty list, where a file that came meanwhile took the room."""
        quota = self._resources.quota
        lefts = quota.left(transaction), quota.own_left(transaction, self._resources.caller_of(owner))
        if any(left is not None and left < 0 for left in lefts):
            return []
        claimed = claims.claim(transaction, variations=list(wanted), now=self._resources.now())
        for claim in claimed:  # from now on what is there of it does not count as stored
            self._resources.space.reserve(claim.id, wanted[claim.id].ready.bytes, owner=owner)
        return claimed

    def _share(self, ready: list[Ready], most_bytes: int) -> Share:
        slots, cores = self._capacity.slots, self._capacity.cores
        return shares.next_share(
            ready, cores=cores, slots=slots, running=self._encoding, longest=self._longest, most_bytes=most_bytes
        )

    @property
    def _capacity(self) -> Capacity:
        return self._resources.engine.capacity

    @property
    def _encoding(self) -> int:
        """Processes at work: what stands still, or is being proven, holds no slot."""
        return sum(map(_width, self._running))

    def _may_start(self) -> bool:
        slots = self._capacity.slots
        if self._closing or self._queue != QueueState.RUNNING or self._encoding >= slots:
            return False
        proving = sum(attempt.encoded for attempt in self._running)  # bounded too: a slow disk would gather them
        return proving <= slots and not any(_is_suspect(one) for one in self._running if not one.frozen)

    def _start(self, claimed: list[Claim], share: Share, outlooks: Mapping[str, Outlook]) -> None:
        cut = len(claimed) == 1 and self._idles_beside(outlooks)
        members = [self._member(claim, share.costs[claim.id], outlooks[claim.id], cut) for claim in claimed]
        held = self._queue == QueueState.PAUSED  # since the claim was asked for
        attempt = Attempt(members, self._resources, threads=share.threads, held=held)
        # Again: one that ended early in company may have given it back when its company ended.
        for member in members:
            one, written = member.claim, partial(attempt.written, member.claim.id)
            self._resources.space.reserve(one.id, member.space, written, owner=one.owner)
        self._running.append(attempt)
        self._attempts |= dict.fromkeys(attempt.variations, attempt)
        attempt.on_free(self.wake)
        attempt.on_end(lambda: self._ended(attempt))
        self.changed.set()

    def _member(self, claim: Claim, cost: float, outlook: Outlook, cut: bool) -> Member:
        film = Film(self._resources, claim, cut=cut) if outlook.resumable else None
        return Member(claim, cost, outlook.usual, outlook.ready.bytes, film)

    def _idles_beside(self, ready: Collection[str]) -> bool:
        """Whether slots of other hosts would be left with nothing to do by what is ready."""
        capacity = self._capacity
        return capacity.places > 1 and capacity.slots - self._encoding > len(ready)

    def _widen(self) -> None:
        """Gives slots that nobody else wants to films that are encoded in several spans."""
        for attempt in (one for one in self._running if one.parted):
            while self._may_start() and self._more_of(attempt.owner) != 0 and attempt.widen():
                pass

    def _ended(self, attempt: Attempt) -> None:
        self._running.remove(attempt)
        for variation in attempt.variations:
            if self._attempts.get(variation) is attempt:  # one that ended early may be on its way again
                del self._attempts[variation]
                self._resources.space.release(variation)
        self._room.ended(crowded_out=attempt.crowded_out)
        self.changed.set()
        self.wake()

    async def _until_delayed(self) -> float:
        """Seconds until something may have to be started without anybody waking us."""
        if self.no_room:
            return LOOK_FOR_ROOM
        if not self._may_start():
            return SAFETY_POLL
        patience = LOOK_FOR_ROOM if self._room.is_wanted else SAFETY_POLL
        row = await self._resources.store.read(lambda t: t.one("next_delayed"))
        if row is None or row["at"] is None:
            return patience
        left: float = row["at"] - self._resources.now()
        if 0 < left <= claims.longest_wait(self._resources.retry_delay):
            return min(patience, left)
        release = partial(claims.release_delayed, retry_delay=self._resources.retry_delay, now=self._resources.now())
        await self._resources.store.write(release)
        return 0.0


def _is_suspect(attempt: Attempt) -> bool:
    return any((member.film or member.claim).crashes >= claims.SUSPECT_AFTER for member in attempt.members)


def _width(attempt: Attempt) -> int:
    return 0 if attempt.frozen or attempt.encoded else attempt.width


def _encodes(attempt: Attempt) -> int:
    """How many variations are encoded; each span of one that several processes share is one."""
    return 0 if attempt.frozen or attempt.encoded else max(attempt.width, len(attempt.variations))
