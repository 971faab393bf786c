"""Changes the queue as a whole: whether it runs, as asked or by its schedule, and how many encodes it runs at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec.structs import asdict, replace

from daemon.config_tables import Schedule
from daemon.database.store import Row, Store, Transaction
from daemon.encode.engine import Engine
from daemon.errors import FfspoolError
from daemon.models import Model, when
from daemon.scheduling.scheduler import Scheduler
from daemon.scheduling.timetable import Timetable, Verdict
from daemon.states import QueueState

log = logging.getLogger(__name__)

MOST_SLOTS = 1000


class QueueView(Model, frozen=True):
    state: QueueState
    changed: bool


class ScheduleStanding(Model, frozen=True):
    """Tells what the schedule has the queue, or a folder's jobs, do, and `because` of what; null: it lets them run.

    Whoever resumes them then has `overruled` it, until it lets them run by itself. Its hours begin or end
    next at `changes_at`; null: never.
    """

    state: QueueState
    because: str | None
    overruled: bool
    changes_at: datetime | None


class QueueStanding(Model, frozen=True):
    """Tells what the queue does, be it by request or by its `schedule` (null: it has none)."""

    state: QueueState
    slots: int  # encodes that may run at once
    schedule: ScheduleStanding | None


class QueueChange(QueueStanding, frozen=True):
    changed: bool


class QueuePatch(Model, frozen=True, forbid_unknown_fields=True):
    """Says how many encodes run at once from now on; null: as many as the setting says."""

    slots: Annotated[int, msgspec.Meta(ge=1, le=MOST_SLOTS)] | None


class Queue:
    """Carries the verbs out, over one store, one scheduler and its engine. `slots` is the setting."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        engine: Engine,
        slots: int,
        schedule: Schedule | None,
        *,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._engine = engine
        self._usual_slots = slots
        self._timetable = Timetable(schedule, now=now) if schedule else None
        self._schedule: ScheduleStanding | None = None
        self._changing = asyncio.Lock()

    async def restore(self) -> None:
        """Goes on as was last asked, of whichever daemon. Call it before the scheduler runs."""
        row = await self._store.read(lambda t: t.one("queue"))
        assert row is not None
        self._engine.resize(row["slots"] or self._usual_slots)
        await self._keep_to(await self._timetable.look() if self._timetable else None)

    async def run(self) -> None:
        """Keeps to the schedule, if there is one, until it is cancelled."""
        while self._timetable:
            verdict = await self._timetable.look()
            try:
                await self._keep_to(verdict)
            except FfspoolError as error:
                log.error("the queue's schedule could not be kept to, and is looked at again: %s", error)
            await asyncio.sleep(verdict.patience)

    @property
    def standing(self) -> QueueStanding:
        return QueueStanding(state=self._scheduler.queue, slots=self._engine.capacity.slots, schedule=self._schedule)

    async def set_state(self, state: QueueState) -> QueueView:
        """Lets the whole queue run, freezes it, or lets what runs be finished and starts nothing more."""
        changed = await self._change("set_queue_state", state)
        return QueueView(state=self._scheduler.queue, changed=changed)

    async def patch(self, patch: QueuePatch) -> QueueChange:
        """Changes how many encodes run at once; what is above that goes on to its end."""
        changed = await self._store.write(lambda t: t.run("set_slots", slots=patch.slots))
        self._engine.resize(patch.slots or self._usual_slots)
        self._scheduler.wake()
        return QueueChange(**asdict(self.standing), changed=bool(changed))

    async def _keep_to(self, verdict: Verdict | None) -> None:
        if verdict:
            self._schedule = ScheduleStanding(
                state=verdict.state, because=verdict.because, overruled=False, changes_at=when(verdict.changes_at)
            )
        if await self._change("set_queue_schedule", verdict.state if verdict else QueueState.RUNNING):
            because = verdict and verdict.because
            log.info("the queue is %s: %s", self._scheduler.queue, because or "its schedule lets it run")

    async def _change(self, query: str, state: QueueState) -> bool:
        """Whether that changed anything."""
        async with self._changing:  # what was written last is done last
            changed, row, held = await self._store.write(partial(_changed, query, state))
            asked, overruled = QueueState(row["state"]), bool(row["overruled"])
            if self._schedule:
                self._schedule = replace(self._schedule, overruled=overruled)
            free = asked == QueueState.RUNNING and not overruled
            await self._scheduler.set_queue(QueueState(row["scheduled"]) if free else asked, held)
        return changed


def _changed(query: str, state: QueueState, transaction: Transaction) -> tuple[bool, Row, list[str]]:
    """Whether that changed anything, how the queue stands, and the variations of paused jobs that may run."""
    changed = transaction.run(query, state=state)
    row = transaction.one("queue")
    assert row is not None
    return bool(changed), row, [row["id"] for row in transaction.all("held_processing")]
