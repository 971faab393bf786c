"""Keeps the jobs of watched folders to the schedules of these."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from daemon.config_tables import AnyFolder
from daemon.database.store import Row, Store, Transaction
from daemon.errors import FfspoolError
from daemon.jobs.queue import ScheduleStanding
from daemon.models import when
from daemon.scheduling.scheduler import Scheduler
from daemon.scheduling.timetable import Timetable
from daemon.states import QueueState

log = logging.getLogger(__name__)


class Schedules:
    """Holds, for each folder that has a schedule, what that has its jobs do. `run` is its loop."""

    def __init__(
        self, store: Store, scheduler: Scheduler, folders: Sequence[AnyFolder], *, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._timetables = {one.name: Timetable(one.schedule, now=now) for one in folders if one.schedule}
        self._standings: dict[str, ScheduleStanding] = {}

    async def restore(self) -> None:
        """Has jobs keep to the schedules that there are now. Call it before the scheduler runs."""
        folders = msgspec.json.encode(list(self._timetables)).decode()
        await self._store.write(lambda t: t.run("forget_schedules", folders=folders))
        for folder in self._timetables:
            await self._look(folder)

    async def run(self) -> None:
        """Keeps to each schedule until it is cancelled."""
        async with asyncio.TaskGroup() as keeping:
            for folder in self._timetables:
                keeping.create_task(self._keep_to(folder), name=f"schedule of {folder}")

    def standing(self, folder: str) -> ScheduleStanding | None:
        """Returns what a folder's schedule has its jobs do; None: it has none."""
        return self._standings.get(folder)

    def record(self, transaction: Transaction, job: str, folder: str) -> None:
        """Writes of which folder a new job is, in the transaction that makes it."""
        standing = self._standings.get(folder)
        state, overruled = (standing.state, standing.overruled) if standing else (QueueState.RUNNING, False)
        transaction.run("record_folder", job=job, folder=folder, state=state, overruled=int(overruled))

    async def overrule(self, folder: str) -> None:
        """Has a folder's jobs run until its schedule lets them by itself."""
        standing = self._standings.get(folder)
        if standing and standing.state != QueueState.RUNNING and not standing.overruled:
            self._standings[folder] = replace(standing, overruled=True)
            await self._change(folder, partial(_overrule, folder))

    async def _keep_to(self, folder: str) -> None:
        while True:
            try:
                patience = await self._look(folder)
            except FfspoolError as error:
                log.error("the schedule of the folder %s could not be kept to: %s", folder, error)
                patience = 1.0
            await asyncio.sleep(patience)

    async def _look(self, folder: str) -> float:
        """Seconds until the next look."""
        verdict, before = await self._timetables[folder].look(), self._standings.get(folder)
        overruled = before.overruled if before else await self._store.read(partial(_is_overruled, folder))
        overruled = overruled and verdict.state != QueueState.RUNNING
        self._standings[folder] = ScheduleStanding(
            state=verdict.state, because=verdict.because, overruled=overruled, changes_at=when(verdict.changes_at)
        )
        if before is None or before.state != verdict.state:
            await self._change(folder, partial(_schedule, folder, verdict.state))
            log.info(
                "jobs of the folder %s are %s: %s",
                folder,
                verdict.state,
                verdict.because or "its schedule lets them run",
            )
        return verdict.patience

    async def _change(self, folder: str, change: Callable[[Transaction], int]) -> None:
        live = await self._store.write(partial(_changed, folder, change))
        for held in (False, True):
            await self._scheduler.hold([row["id"] for row in live if row["held"] == held], held)


def _overrule(folder: str, transaction: Transaction) -> int:
    transaction.run("insert_overruled_folder", folder=folder)
    return transaction.run("overrule_folder", folder=folder)


def _is_overruled(folder: str, transaction: Transaction) -> bool:
    return transaction.one("overruled_folder", folder=folder) is not None


def _schedule(folder: str, state: QueueState, transaction: Transaction) -> int:
    if state == QueueState.RUNNING:
        transaction.run("delete_overruled_folder", folder=folder)
    return transaction.run("set_folder_schedule", folder=folder, state=state)


def _changed(folder: str, change: Callable[[Transaction], int], transaction: Transaction) -> list[Row]:
    """What runs of the folder after it, if that changed anything."""
    return transaction.all("processing_of_folder", folder=folder) if change(transaction) else []
