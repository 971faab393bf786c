"""Carries outputs to where their jobs want them: durably queued, tried again while a place is away, and each once.

Triggers in `schema.sql` put a delivery into the queue in the transaction in which its variation is completed. What a
place is, and how a thing comes there whole, the place knows; here it is only known when it is to be tried.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from daemon import addresses
from daemon.bounded_threads import Workers
from daemon.database.due_queue import Backoff, DueQueue
from daemon.database.store import Row, Store, Transaction
from daemon.delivery import apart, brought, originals, replacements
from daemon.delivery.hooks import Hooks
from daemon.delivery.place import WEB, BroughtFile, Course, Parcel, Place, Receipt, Stopped, place_of_scheme
from daemon.delivery.rests import WAITS as RESTS
from daemon.delivery.rests import Rests
from daemon.delivery.slots import AT_PLACE, Slots, Trip
from daemon.delivery.wording import parcel_of
from daemon.errors import InvalidRequest, Undelivered
from daemon.journal import tell
from daemon.models import Deliver, Destination, Wish
from daemon.name_template import NameTemplate
from daemon.paths import Paths, remove
from daemon.plaintext import clipped
from daemon.presets.library import Library
from daemon.states import DeliveryStatus
from daemon.steady_clock import steady

log = logging.getLogger(__name__)

WAITS = (1, 3, 12, 36, 120, 180)  # of the backoff: 5 s, 15 s, 1 min … 15 min
GIVE_UP = 7 * 24 * 3600.0  # seconds after which a delivery is not tried again by itself
LONGEST_WAIT = 3600.0  # seconds that a host may ask for
SILENCE = 30.0  # seconds without a step after which a place is said not to answer


class Deliveries:
    """Empties the queue of deliveries. `run` is its loop; the rest may be called beside it."""

    def __init__(
        self,
        store: Store,
        paths: Paths,
        places: Mapping[str, Place],
        library: Library,
        hooks: Hooks,
        *,
        backoff: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`places` are told by what the names of theirs begin with, up to a colon."""
        self._store = store
        self._paths = paths
        self._places = places
        self._hooks = hooks
        self._library = library
        self._backoff = Backoff(backoff, WAITS, most_asked=LONGEST_WAIT)
        self._now = now
        self._steady = steady(now)
        self._threads = Workers("a delivery", most=AT_PLACE, patience=None)
        self._slots = Slots()
        self._rests = Rests()
        self._queue = DueQueue(store, "deliveries", self._begin_due, now=now)

    # What is asked for

    async def resolve(self, wishes: Iterable[Wish]) -> dict[Wish, str]:
        """Returns by each wish where it is that it speaks of, as is kept. Raises ForbiddenPath or InvalidRequest."""
        places = dict.fromkeys(wishes, "")
        for wish in places:
            if isinstance(wish, Deliver) and wish.name is not None:
                NameTemplate(wish.name)
            places[wish] = msgspec.json.encode(await self._place_for(wish).resolve(wish)).decode()
        return places

    def _place_for(self, wish: Wish) -> Place:
        if not isinstance(wish, Deliver):
            return self._places[originals.PLACE]
        sort = place_of_scheme(wish.scheme)
        if sort not in self._places:
            raise InvalidRequest(f"results are not delivered to a URL that begins with {clipped(wish.scheme, 20)!r}")
        return self._places[sort]

    def hold_apart(self, outputs: Iterable[Mapping[str, Any]]) -> None:
        """Raises BadName where two outputs of a new job, told by what deliveries are worded of, want one address."""
        apart.check(outputs, self._places, self._library)

    def expect(self) -> None:
        """Has commits looked at from now on: a job was made or retried that wants deliveries."""
        self._queue.expect()

    async def let_go(self, deliveries: list[str]) -> None:
        """Waits until attempts at these, which nobody wants any more, have ended, and what they left is removed.

        Where a place hangs or is away that is done later, once it answers.
        """
        if deliveries:
            await self._queue.let_go("uncleared_delivery", _json(deliveries))

    # The loop

    async def run(self) -> None:
        """Carries what is due until it is cancelled; what is under way then is gone on with by the next run."""
        try:
            await self._queue.run()
        finally:
            for trip in self._slots.trips.values():
                trip.unwanted.set()

    async def _begin_due(self, carrying: asyncio.TaskGroup) -> float | None:
        """Begins what there is room for; returns when another is due, if that is known."""
        if self._slots.trips:
            await self._stop_unwanted()
        return await self._queue.paced(self._look, carrying)

    async def _look(self, carrying: asyncio.TaskGroup) -> float | None:
        while True:
            looking = partial(_due, self._now(), self._backoff.longest, self._busy(), self._rests.told())
            due, following, untold = await self._store.read(looking)
            if untold:
                await self._store.write(partial(self._rests.tell, self._now()))
            if due is None:
                if following is None and not self._slots.trips:
                    await self._queue.empty("deliveries_to_come")
                return min(filter(None, (following, *self._rests.ends)), default=None)
            trip = self._slots.take(due)
            carrying.create_task(self._carry(due, trip), name=f"delivery {due['id']}")

    def _busy(self) -> Sequence[Mapping[str, str | int]]:
        """What is not begun now, as statements take it in turn."""
        now = self._now()
        self._rests.forget_past(now, now + self._backoff.longest)
        return list(self._slots.told(self._rests))

    async def _stop_unwanted(self) -> None:
        wanted = await self._store.read(partial(_wanted, list(self._slots.trips)))
        for delivery, trip in self._slots.trips.items():
            if delivery not in wanted:
                trip.unwanted.set()

    # One of them

    async def _carry(self, due: Row, trip: Trip) -> None:
        """Makes one attempt, or removes what others left, and writes what came of it."""
        going = due["status"] in {DeliveryStatus.PENDING, DeliveryStatus.RUNNING}
        work = self._attempt(due, trip) if going else self._clear(due)
        of = {"job": due["job"], "variation": due["variation"], "delivery": due["id"]}
        leave = partial(self._slots.leave, due["id"])
        await self._queue.carry(work, leave, "what became of a delivery cannot be recorded", **of)

    async def _attempt(self, due: Row, trip: Trip) -> None:
        if not await self._store.write(lambda t: t.run("begin_delivery", id=due["id"], passed=RESTS)):
            return
        try:
            receipt = await self._delivered(due, trip)
        except Stopped:
            return
        except Undelivered as error:
            await self._put_off(due, error)
        else:
            await self._record(due, receipt)

    async def _delivered(self, due: Row, trip: Trip) -> Receipt:
        try:
            parcel = parcel_of(due, self._paths, self._library)
            if due["landing"] is None and not await self._threads.run(due["place"], parcel.output.exists):
                raise Undelivered("its file is gone from the disk, so it cannot be delivered", final=True)
            place, loop = self._place(due), asyncio.get_running_loop()
            await self._store.write(partial(brought.expect, due, parcel, place))
        except InvalidRequest as error:
            raise Undelivered(str(error), final=True) from error

        def note(landing: str | None, files: Sequence[BroughtFile]) -> None:
            work = partial(brought.note, due["id"], landing, files)
            if not asyncio.run_coroutine_threadsafe(self._store.write(work), loop).result():
                raise Stopped

        course = Course(due["landing"], note, trip.unwanted.is_set)
        watching = asyncio.create_task(self._tell_if_it_hangs(due["id"], course))
        try:
            receipt = await self._threads.run(due["place"], partial(place.deliver, parcel, course))
            return replace(receipt, mark=parcel.mark)
        finally:
            watching.cancel()

    async def _tell_if_it_hangs(self, delivery: str, course: Course) -> None:
        """One that hangs cannot be tried again until it ends; what can be done is to say so."""
        seen = -1
        while course.steps != seen:
            seen = course.steps
            await asyncio.sleep(SILENCE)
        words = f"where it goes to there was no answer for {SILENCE:.0f} s: it waits for that"
        await self._store.write(lambda t: t.run("tell_of_delivery", id=delivery, error=words))

    def _place(self, due: Row) -> Place:
        return self._places[due["place"].partition(":")[0]]

    async def _record(self, due: Row, receipt: Receipt) -> None:
        dropped = await self._store.write(partial(_record_receipt, due, receipt, self._hooks, self._now()))
        self._rests.end(due["place"], due["owner"])
        self._hooks.wake()
        of = {"job": due["job"], "variation": due["variation"], "delivery": due["id"]}
        words = "was there already, and is left" if receipt.kept else "output delivered"
        tell(log, logging.INFO, words, **of, to=receipt.to, after=self._now() - due["since"])
        if dropped:
            await asyncio.to_thread(remove, self._paths.output(due["job"], due["variation"], due["extension"]))

    async def _put_off(self, due: Row, error: Undelivered) -> None:
        now = self._now()
        wait = self._backoff.after(due["failures"], error.retry_after)
        again, final = now + wait, error.final or self._is_enough(due, wait)
        if error.away:
            self._rests.begin(due["place"], due["owner"], again)
        why = addresses.told(error, to_admin=bool(due["of_admin"]))
        await self._store.write(partial(_record_failure, due, why, None if final else again, now))
        of = {"job": due["job"], "variation": due["variation"], "delivery": due["id"]}
        words = "output cannot be delivered" if final else "output cannot be delivered yet, and is tried again"
        tell(log, logging.WARNING, words, **of, error=str(error))

    def _is_enough(self, due: Row, wait: float) -> bool:
        """Whether it was tried for so long that it is not tried again after another wait."""
        return bool(self._steady() + wait > due["since"] + GIVE_UP)

    async def _clear(self, due: Row) -> None:
        """Removes what attempts left, which nobody wants any more."""
        destination = msgspec.json.decode(due["wanted"], type=Destination)
        parcel = Parcel(id=due["id"], destination=destination, landing=due["landing"])
        now = self._now()
        again: float | None = None
        landing: str | None = None
        try:
            landing = await self._threads.run(due["place"], partial(self._place(due).withdraw, parcel))
        except Undelivered as error:
            wait = self._backoff.after(due["failures"])
            again = now + wait
            if not due["landing"] and (error.final or self._is_enough(due, wait)):
                of = {"job": due["job"], "variation": due["variation"], "delivery": due["id"]}
                tell(log, logging.ERROR, "what is left of a delivery cannot be removed", **of, error=error)
                again = None
        await self._store.write(partial(_record_clearing, due["id"], again, landing))


def _due(
    now: float, longest: float, busy: Sequence[Mapping[str, str | int]], resting: str, transaction: Transaction
) -> tuple[Row | None, float | None, bool]:
    """The next delivery whose time has come; if there is none, when one is due; whether any waits for a place unsaid.

    One that is to wait longer than any does saw the clock set back meanwhile.
    """
    untold = transaction.one("untold_rest", now=now, resting=resting) is not None
    due, at = _first_due(now, busy, transaction), None
    if due is None and (following := transaction.one("next_delivery", now=now)):
        at = following["at"]
    if at is not None and at > now + longest:
        return _first_due(at, busy, transaction), None, untold
    return due, at, untold


def _first_due(now: float, busy: Sequence[Mapping[str, str | int]], transaction: Transaction) -> Row | None:
    return next(filter(None, (transaction.one("due_delivery", now=now, **one) for one in busy)), None)


def _wanted(deliveries: list[str], transaction: Transaction) -> set[str]:
    return {row["id"] for row in transaction.all("wanted_deliveries", deliveries=_json(deliveries))}


def _record_receipt(due: Row, receipt: Receipt, hooks: Hooks, now: float, transaction: Transaction) -> bool:
    """Whether the copy in the spool is to be removed."""
    destination = msgspec.json.decode(due["wanted"], type=Destination)
    wish = destination.wish
    if wish.scheme in WEB:
        _erase_url(due, destination, transaction)
    transaction.run(
        "record_delivered",
        id=due["id"],
        reached=receipt.to,
        kept=int(receipt.kept),
        now=now,
    )
    if not receipt.kept and wish.scheme not in WEB:  # all else may be watched
        brought.keep(due, receipt, transaction)
    transaction.run("forget_orphaned_deliveries")
    if receipt.aside:
        replacements.record(due, receipt, now, transaction)
    hooks.queue(due, receipt, now, transaction)
    keep = receipt.kept or wish.keep
    return not keep and bool(transaction.run("drop_output", variation=due["variation"], now=now))


def _erase_url(due: Row, destination: Destination, transaction: Transaction) -> None:
    """Keeps no more of a URL than may be shown, once it has done what it was for: whoever has it may write there."""
    shown = replace(destination, wish=replace(destination.wish, url=destination.below))
    wanted = msgspec.json.encode(shown).decode()
    transaction.run("erase_url_of_delivery", id=due["id"], wanted=wanted)
    transaction.run("erase_url_of_variation", id=due["id"], wanted=wanted)


def _record_failure(due: Row, error: str, again: float | None, now: float, transaction: Transaction) -> None:
    status = DeliveryStatus.FAILED if again is None else DeliveryStatus.PENDING
    transaction.run(
        "record_undelivered", id=due["id"], status=status, error=error, next_attempt_at=again or now, now=now
    )


def _record_clearing(delivery: str, again: float | None, landing: str | None, transaction: Transaction) -> None:
    transaction.run("record_cleared", id=delivery, again=again, landing=landing)
    transaction.run("forget_orphaned_deliveries")


def _json(values: list[str]) -> str:
    return msgspec.json.encode(values).decode()
