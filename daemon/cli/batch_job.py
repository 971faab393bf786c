"""Runs one job for `ffspool run`, through the same queue in this very process, its outputs into a folder of the user's.

It loads all that a daemon is made of; whoever is in a hurry starts the prober before.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from daemon import filenames
from daemon.cli import made
from daemon.cli.batch import Batch
from daemon.cli.made import Origin
from daemon.cli.work_place import WORK, base_of, brought
from daemon.errors import Conflict, StartupError
from daemon.jobs.control import Scope
from daemon.jobs.jobs import JobSpec
from daemon.jobs.views import JobView
from daemon.media.prober import Prober
from daemon.models import Model
from daemon.paths import Paths, remove
from daemon.presets.library import Library
from daemon.service import Service, running
from daemon.settings import Settings
from daemon.states import ENDED, State

TICK = 0.25  # seconds between two looks at progress, which nobody announces
RESTRAINT = 10  # times as long as a look took nobody looks again: the cores are the encoders'
NEVER = 1e9  # seconds
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # nor is then worked in it, but in a folder that has some


class Made(Model, frozen=True):
    """Holds a completed variation's file, and how many seconds it plays (None: a picture)."""

    path: Path
    duration_seconds: float | None


class Result(Model, frozen=True):
    """Holds the job at its end, what was made by variation, and whether a signal ended it early."""

    job: JobView
    made: dict[str, Made]
    interrupted: bool


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
) -> Result:
    """Runs the batch as one job; each output is in its folder as soon as it is completed.

    `interrupt` cancels what is left and keeps what is completed. Must run on the main thread. Raises StartupError when
    it cannot begin. The work folder is gone afterwards, and a `prober` that was started closed.
    """
    with working_in(batch.folder) as state_dir:
        own = msgspec.structs.replace(
            settings,
            state_dir=state_dir,
            source_roots=(Path("/"),),  # whose user names files may read them
            sweep_every=NEVER,
            retention=NEVER,
            resume_from=NEVER,  # nobody comes back to a work folder that is gone afterwards
            max_sources=max(len(batch.sources), settings.max_sources),
        )
        async with running(own, library, prober=prober) as service:
            spec = JobSpec(variations=batch.variations, on_unsuitable=batch.on_unsuitable)
            job = await service.jobs.create(spec, batch.sources, conclude=lambda _, made: made)
            return await _Follower(service, batch, watcher, interrupt).follow(job)


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
            job = self._named(job)
            self._watcher.show(job)
            while job.status not in ENDED:
                await self._next_change()
                began = time.monotonic()
                job = self._named(await self._service.jobs.get(job.id))
                await self._publish(job)
                self._watcher.show(job)
                await asyncio.sleep(RESTRAINT * (time.monotonic() - began))
        finally:
            cancelling.cancel()
            await asyncio.wait([cancelling])
        return Result(job=job, made=self._made, interrupted=self._interrupt.is_set())

    def _named(self, job: JobView) -> JobView:
        """Calls the variations what their files in the folder will be called."""
        sources = []
        for source, targets in zip(job.sources, self._batch.targets, strict=True):
            pairs = zip(source.variations, targets, strict=True)
            shown = tuple(msgspec.structs.replace(variation, name=target) for variation, target in pairs)
            sources.append(msgspec.structs.replace(source, variations=shown))
        return msgspec.structs.replace(job, sources=tuple(sources))

    async def _next_change(self) -> None:
        changed = self._service.scheduler.changed
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), TICK)
        changed.clear()

    async def _cancel_when_asked(self, job: str) -> None:
        await self._interrupt.wait()
        most = 2 * self._service.settings.grace + 1
        self._watcher.say(
            f"Stopping: ending the encoders, which takes {most:.0f} s at most, and keeping what is completed."
        )
        with contextlib.suppress(Conflict):  # everything ended a moment ago
            await self._service.control.cancel(Scope(job=job))

    async def _publish(self, job: JobView) -> None:
        for source, targets, origins in zip(job.sources, self._batch.targets, self._batch.origins, strict=True):
            for variation, target, origin in zip(source.variations, targets, origins, strict=True):
                if variation.status == State.COMPLETED and variation.id not in self._made:
                    self._made[variation.id] = await self._move(job.id, variation.id, target, origin)

    async def _move(self, job: str, variation: str, target: str, origin: Origin) -> Made:
        output, row = await self._service.jobs.output(job, variation)
        here = await asyncio.to_thread(brought, output, self._batch.folder, row["sha256"])
        place = self._batch.folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        path = _moved(here, place, overwrite=self._batch.overwrite)
        made.note(self._batch.folder, path, origin)
        return Made(path=path, duration_seconds=row["output_seconds"])


# What is completed, on its way to the user's folder


def _moved(output: Path, target: Path, *, overwrite: bool) -> Path:
    """Where `output` is now: at `target`, or numbered beside a file that came there while we encoded."""
    if overwrite:
        if output.is_dir() or target.is_dir():
            remove(target)
        output.replace(target)
        return target
    free, number = target, 1
    while not _linked(output, free):
        number += 1
        free = target.with_name(filenames.numbered(target.name, number))
    return free


def _linked(output: Path, target: Path) -> bool:
    """Moves without ever replacing anything; False: there is something."""
    if output.is_dir():
        return _moved_folder(output, target)
    try:
        os.link(output, target)
    except FileExistsError:
        return False
    except OSError as error:  # some file systems have no hard links
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        if os.path.lexists(target):
            return False
        output.rename(target)
        return True
    output.unlink()
    return True


def _moved_folder(output: Path, target: Path) -> bool:
    try:
        target.mkdir()  # a rename replaces an empty folder, and nothing else
    except FileExistsError:
        return False
    output.rename(target)
    return True


# The work folder


@contextmanager
def working_in(folder: Path) -> Iterator[Path]:
    """Gives a fresh work folder, ours alone and gone afterwards. Raises StartupError.

    It is below `folder`, so that publishing is a rename, unless that cannot hold it.
    """
    with _held(folder), _held_beside(folder) as base:
        work = base / WORK
        _clear_leftovers(work)
        _make(work)
        try:
            yield work
        finally:
            remove(work)


@contextmanager
def _held_beside(folder: Path) -> Iterator[Path]:
    """The folder to work in: where it is another, that is locked as well, and gone afterwards."""
    if (base := base_of(folder)) == folder:
        yield folder
        return
    with _held(base):
        try:
            yield base
        finally:
            base.rmdir()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Makes the folder and locks it: the lock goes with the process, however that ends."""
    descriptor = _locked(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StartupError(f"the output folder {folder} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartupError(f"another `ffspool run` is writing to {folder}: wait for it, or choose another") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return descriptor


def _clear_leftovers(work: Path) -> None:
    """What a killed run left: the lock on the folder says that nobody works there."""
    if Paths(work).token.exists():
        raise StartupError(f"{work} is the state dir of a daemon: choose another --output folder")
    with contextlib.suppress(OSError):  # to make it tells of that
        remove(work)


def _make(work: Path) -> None:
    """Makes it, and takes none that is there: others may write to the folder, and would lead what is written to any
    file of ours."""
    try:
        work.mkdir(mode=0o700)
    except FileExistsError:
        words = "whoever made it could bring files of theirs, and it cannot be removed"
        raise StartupError(f"{work} is there already, {words}: remove it, or choose another --output folder") from None
    except OSError as error:
        raise StartupError(f"the output folder {work.parent} cannot be used: {error.strerror}") from error
