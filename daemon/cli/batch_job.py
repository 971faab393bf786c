"""Runs one job for `ffspool run`, through the same queue in this very process, its outputs into a folder of the user's.

It loads all that a daemon is made of; whoever is in a hurry starts the prober before.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from daemon.cli.arrival import arrive
from daemon.cli.batch import Batch
from daemon.cli.made import Origin
from daemon.cli.work_place import is_needed, working_in
from daemon.database.store import Transaction
from daemon.errors import Conflict
from daemon.jobs.inheritance import inherit, lay_down
from daemon.jobs.insertion import JobSpec
from daemon.jobs.receipts import KeptVariation
from daemon.jobs.scopes import Scope
from daemon.jobs.views import JobView
from daemon.media.prober import Prober
from daemon.models import Model
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.service import Service, running
from daemon.settings import Settings
from daemon.states import ENDED, State

TICK = 0.25  # seconds between two looks at progress, which nobody announces
RESTRAINT = 10  # times as long as a look took nobody looks again: the cores are the encoders'
NEVER = 1e9  # seconds


class Made(Model, frozen=True):
    """Holds a completed variation's file, and how many seconds it plays (None: a picture)."""

    path: Path
    duration_seconds: float | None


class Result(Model, frozen=True):
    """Holds the job at its end, what was made by variation, and whether a signal ended it early.

    What is `kept` of films is in the work folder `left`, which may hold what other commands left, too.
    """

    job: JobView
    made: dict[str, Made]
    interrupted: bool
    kept: tuple[KeptVariation, ...] = ()
    left: Path | None = None


class Watcher(Protocol):
    """Lets the user see what goes on."""

    def show(self, job: JobView) -> None: ...

    def say(self, words: str) -> None: ...


async def run(
    batch: Batch,
    settings: Settings,
    library: Library,
    watcher: Watcher,
    interrupt: asyncio.Event,
    prober: Prober | None = None,
    *,
    fresh: bool = False,
) -> Result:
    """Runs the batch as one job; each output is in its folder as soon as it is completed.

    What an interrupted run left of the same films is gone on with, unless it is to be `fresh`. `interrupt` cancels what
    is left and keeps what is completed, and what is encoded of films. Must run on the main thread. Raises StartupError
    when it cannot begin. The work folder is gone afterwards, unless it holds such films, and a `prober` that was
    started closed.
    """
    with working_in(batch.folder, fresh=fresh, say=watcher.say) as work:
        own = msgspec.structs.replace(
            settings,
            state_dir=work,
            source_roots=(Path("/"),),  # whose user names files may read them
            sweep_every=NEVER,
            retention=NEVER,
            max_disk_use=1.0,  # what an interrupted run left is not evicted
            max_sources=max(len(batch.sources), settings.max_sources),
        )
        if (database := Paths(work).database).exists():
            await lay_down(database, time.time())
        async with running(own, library, prober=prober) as service:
            job = await _created(service, batch)
            result = await _Follower(service, batch, watcher, interrupt).follow(job)
        return msgspec.structs.replace(result, left=work if is_needed(work) else None)


async def _created(service: Service, batch: Batch) -> JobView:
    spec = JobSpec(variations=batch.variations, on_unsuitable=batch.on_unsuitable)
    concluding = partial(_conclude, service.paths, batch)
    job, needless = await service.jobs.create(spec, batch.sources, conclude=concluding)
    for path in needless:
        await asyncio.to_thread(service.paths.discard, path)
    return job


def _conclude(paths: Paths, batch: Batch, transaction: Transaction, made: JobView) -> tuple[JobView, list[Path]]:
    job = _named(made, batch)
    for variation in (one for source in job.sources for one in source.variations):
        transaction.run("rename_variation", variation=variation.id, name=variation.name)
    return job, inherit(paths, job, transaction)


def _named(job: JobView, batch: Batch) -> JobView:
    """Calls the variations what their files in the folder will be called."""
    sources = []
    for source, targets in zip(job.sources, batch.targets, strict=True):
        pairs = zip(source.variations, targets, strict=True)
        shown = tuple(msgspec.structs.replace(variation, name=target) for variation, target in pairs)
        sources.append(msgspec.structs.replace(source, variations=shown))
    return msgspec.structs.replace(job, sources=tuple(sources))


class _Follower:
    """One job on its way: shown, published as it completes, cancelled when the user asks."""

    def __init__(self, service: Service, batch: Batch, watcher: Watcher, interrupt: asyncio.Event) -> None:
        self._service = service
        self._batch = batch
        self._watcher = watcher
        self._interrupt = interrupt
        self._made: dict[str, Made] = {}

    async def follow(self, job: JobView) -> Result:
        cancelling = asyncio.create_task(self._cancel_when_asked(job.id))
        try:
            self._watcher.show(job)
            while job.status not in ENDED:
                await self._next_change()
                began = time.monotonic()
                job = await self._service.jobs.get(job.id)
                await self._publish(job)
                self._watcher.show(job)
                await asyncio.sleep(RESTRAINT * (time.monotonic() - began))
        finally:
            if not self._interrupt.is_set():
                cancelling.cancel()
            await asyncio.wait([cancelling])
        kept = await self._service.control.kept(Scope(job=job.id))
        return Result(job=job, made=self._made, interrupted=self._interrupt.is_set(), kept=kept)

    async def _next_change(self) -> None:
        changed = self._service.scheduler.changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), TICK)
        changed.clear()

    async def _cancel_when_asked(self, job: str) -> None:
        await self._interrupt.wait()
        given = 2 * self._service.settings.grace
        self._watcher.say(
            f"Stopping: ending the encoders and keeping what is completed. What goes on after {given:g} s is killed; "
            "on a busy machine that takes longer."
        )
        with contextlib.suppress(Conflict):  # everything ended a moment ago
            await self._service.control.cancel(Scope(job=job), keep_partial=True)

    async def _publish(self, job: JobView) -> None:
        for source, targets, origins in zip(job.sources, self._batch.targets, self._batch.origins, strict=True):
            for variation, target, origin in zip(source.variations, targets, origins, strict=True):
                if variation.status == State.COMPLETED and variation.id not in self._made:
                    self._made[variation.id] = await self._move(job.id, variation.id, target, origin)

    async def _move(self, job: str, variation: str, target: str, origin: Origin) -> Made:
        output, row = await self._service.jobs.output(job, variation)
        arriving = partial(arrive, output, row["sha256"], row["output_seconds"], self._batch.folder, target, origin)
        path = await asyncio.to_thread(arriving, overwrite=self._batch.overwrite)
        return Made(path=path, duration_seconds=row["output_seconds"])
