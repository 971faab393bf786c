"""Changes the queue as a whole: whether it runs, and how many encodes it runs at once."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from daemon.database.store import Store, Transaction
from daemon.encode.engine import Engine
from daemon.models import Model
from daemon.scheduling.scheduler import Scheduler
from daemon.states import QueueState

MOST_SLOTS = 1000


class QueueView(Model, frozen=True):
    state: QueueState
    changed: bool


class QueueStanding(Model, frozen=True):
    state: QueueState
    slots: int  # encodes that may run at once


class QueueChange(QueueStanding, frozen=True):
    changed: bool


class QueuePatch(Model, frozen=True, forbid_unknown_fields=True):
    """Says how many encodes run at once from now on; null: as many as the setting says."""

    slots: Annotated[int, msgspec.Meta(ge=1, le=MOST_SLOTS)] | None


class Queue:
    """Carries the verbs out, over one store, one scheduler and its engine. `slots` is the setting."""

    def __init__(self, store: Store, scheduler: Scheduler, engine: Engine, slots: int) -> None:
        self._store = store
        self._scheduler = scheduler
        self._engine = engine
        self._usual_slots = slots

    async def restore(self) -> None:
        """Goes on as was last asked, of whichever daemon. Call it before the scheduler runs."""
        row = await self._store.read(lambda t: t.one("queue"))
        assert row is not None
        self._engine.resize(row["slots"] or self._usual_slots)
        await self._scheduler.set_queue(QueueState(row["state"]))

    @property
    def standing(self) -> QueueStanding:
        return QueueStanding(state=self._scheduler.queue, slots=self._engine.capacity.slots)

    async def set_state(self, state: QueueState) -> QueueView:
        """Lets the whole queue run, freezes it, or lets what runs be finished and starts nothing more."""
        changed, held = await self._store.write(partial(_set_state, state))
        await self._scheduler.set_queue(state, held)
        return QueueView(state=state, changed=changed)

    async def patch(self, patch: QueuePatch) -> QueueChange:
        """Changes how many encodes run at once; what is above that goes on to its end."""
        changed = await self._store.write(lambda t: t.run("set_slots", slots=patch.slots))
        self._engine.resize(patch.slots or self._usual_slots)
        self._scheduler.wake()
        return QueueChange(state=self.standing.state, slots=self.standing.slots, changed=bool(changed))


def _set_state(state: QueueState, transaction: Transaction) -> tuple[bool, list[str]]:
    """Whether that changed anything, and the variations of paused jobs that may run."""
    changed = transaction.run("set_queue_state", state=state)
    return bool(changed), [row["id"] for row in transaction.all("held_processing")]
