"""Watches folders of the host: what comes to lie there, and is left alone, becomes a job that reads it in place.

A scan is the truth: what it finds is taken once it is the same over two of them, and once it is old enough; that it
may be time for one is heard from the kernel (`hints.py`). Each file is taken once, known by its inode, size, time and
what is made of it; the row that says so is written with its job. A folder that is away tells nothing: nothing is
forgotten for it. However many files there are, few are held in memory: what was taken is looked up in the database,
some at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from daemon.bounded_threads import Workers
from daemon.config_tables import Folder
from daemon.database.store import Transaction
from daemon.delivery import disk_mark
from daemon.delivery.deliveries import Deliveries
from daemon.errors import (
    BadName,
    Conflict,
    EmptyUpload,
    ForbiddenPath,
    Gone,
    InvalidRequest,
    LimitReached,
    NotFound,
    OutOfSpace,
    ProbeError,
    Unavailable,
    Unresponsive,
)
from daemon.folders import fates, history, known_files, rules
from daemon.folders.history import Verdicts
from daemon.folders.own_outputs import ours
from daemon.folders.replacing import Unfit, lost, replacing
from daemon.folders.scan import Found, Walk
from daemon.folders.schedules import Schedules
from daemon.folders.views import FolderView
from daemon.folders.watched import Key, Watched, key_of
from daemon.folders.writers import is_written
from daemon.jobs.insertion import JobSpec
from daemon.jobs.jobs import Jobs
from daemon.jobs.views import JobView
from daemon.journal import tell
from daemon.media.model import Media
from daemon.models import VariationRequest, when
from daemon.scheduling.resources import Resources
from daemon.scheduling.scheduler import Scheduler
from daemon.scheduling.sources import NewSource
from daemon.source_files import Identity

log = logging.getLogger(__name__)

LOOKS = 1000  # at a time; between them a scan rests as long as it took, lest a share has to do with nothing else
LOOKS_A_SECOND = 60_000  # at most
NOT_REPLACED = "not replaced: "
EMPTY = "it is empty: perhaps what is mounted there is away; nothing is forgotten"
PATIENCE = 3.0  # seconds to find where a place lies


class Watcher:
    """Scans folders and makes jobs of what it finds. `run` is its loop."""

    def __init__(
        self,
        resources: Resources,
        jobs: Jobs,
        scheduler: Scheduler,
        deliveries: Deliveries,
        folders: Sequence[Folder],
    ) -> None:
        self._store = resources.store
        self._jobs = jobs
        self._deliveries = deliveries
        self._whereabouts = resources.whereabouts
        self._prober = resources.prober
        self._library = resources.library
        self._apart = resources.paths.state  # which is the daemon's own
        self._now = now = resources.now
        self._watches = [Watched(folder, now) for folder in folders]
        self._schedules = Schedules(resources.store, scheduler, folders, now=now)
        self._threads = Workers("a scan", most=1)
        self._reading = Workers("reading a file", most=1, patience=None)
        self._finding = Workers("finding a place", patience=PATIENCE)

    async def views(self) -> list[FolderView]:
        """Returns what is watched, as it was at the last scans."""
        return [await self._view(watch) for watch in self._watches]

    async def _view(self, watch: Watched) -> FolderView:
        counts = await self._store.read(lambda t: t.one("watched_counts", **watch.key))
        saved = await self._store.read(lambda t: t.one("saved", folder=watch.folder.name))
        assert counts is not None and saved is not None
        return FolderView(
            name=watch.folder.name,
            scanned_at=when(watch.scanned_at),
            found=watch.found,
            left_out=watch.left_out,
            waiting=len(watch.waiting),
            paused=watch.paused,
            schedule=self._schedules.standing(watch.folder.name),
            replaced=saved["replaced"],
            saved_bytes=saved["bytes"],
            error=watch.error or (EMPTY if watch.empty and counts["taken"] else None),
            **counts,
        )

    # What is asked for

    def path_of(self, folder: str, name: str) -> Path:
        """Returns the path of a file within a folder. Raises NotFound."""
        return self._named(folder).folder.path / name

    async def scan(self, folder: str) -> FolderView:
        """Has a folder be scanned now, even if it is paused. Raises NotFound."""
        watch = self._named(folder)
        watch.asked.set()
        return await self._view(watch)

    async def pause(self, folder: str) -> FolderView:
        """Has a folder be left alone, also by the next daemon, until it is resumed. Raises NotFound."""
        watch = self._named(folder)
        await self._store.write(lambda t: t.run("pause_folder", folder=folder))
        watch.paused = True
        return await self._view(watch)

    async def resume(self, folder: str) -> FolderView:
        """Has a folder be scanned again, and now, and its jobs run though it is not their hour. Raises NotFound."""
        watch = self._named(folder)
        await self._store.write(lambda t: t.run("resume_folder", folder=folder))
        await self._schedules.overrule(folder)
        watch.paused = False
        return await self.scan(folder)

    async def retry(self, folder: str) -> FolderView:
        """Has what was refused, failed or was cancelled be looked at anew as if it had just come, and what was made and
        not delivered be delivered. Raises NotFound."""
        watch = self._named(folder)
        await self._store.write(partial(known_files.retry, watch, self._now()))
        self._deliveries.expect()
        return await self.scan(folder)

    async def history(self, folder: str, limit: int, cursor: str | None) -> Verdicts:
        """Returns a page of what became of a folder's files, the newest first. Raises NotFound or InvalidRequest."""
        watch, standing = self._named(folder), self._schedules.standing(folder)
        keeps = standing.because if standing and not standing.overruled else None
        return await self._store.read(partial(history.page, watch.key, limit, cursor, keeps))

    def _named(self, folder: str) -> Watched:
        for watch in self._watches:
            if watch.folder.name == folder:
                return watch
        raise NotFound(f"no folder is watched that is called {folder}")

    # The loop

    async def restore(self) -> None:
        """Has the jobs of folders keep to their hours, and files known that an earlier version took. Call it before
        the scheduler runs."""
        await self._schedules.restore()
        for watch in self._watches:
            if watch.folder.deliver:
                await self._store.write(partial(known_files.adopt, watch))

    async def run(self) -> None:
        """Scans each folder in its time until it is cancelled; one that hangs holds up no other."""
        paused = {row["folder"] for row in await self._store.read(lambda t: t.all("paused_folders"))}
        async with asyncio.TaskGroup() as watching:
            watching.create_task(self._schedules.run(), name="schedules of folders")
            for watch in self._watches:
                watch.paused = watch.folder.name in paused
                watching.create_task(self._watch(watch), name=f"folder {watch.folder.name}")

    async def _watch(self, watch: Watched) -> None:
        with watch.hints.listening():
            while True:
                if watch.asked.is_set() or not watch.paused:
                    watch.asked.clear()
                    await self._try_scan(watch)
                with suppress(TimeoutError):
                    async with asyncio.timeout(watch.patience(time.monotonic())):
                        await watch.asked.wait()

    async def _try_scan(self, watch: Watched) -> None:
        try:
            await self._scan(watch)
        except (OSError, Unavailable) as error:
            watch.error = "it is away, or cannot be read: nothing is forgotten"
            log.warning("the folder %s cannot be scanned: %s", watch.folder.name, error)
        except Exception:
            log.exception("the folder %s cannot be scanned, by a fault of ffspool", watch.folder.name)

    async def _scan(self, watch: Watched) -> None:
        before, watch.waiting = watch.waiting, {}
        watch.begin()
        try:
            walk = await self._walk(watch, before)
        except BaseException:
            watch.waiting = before | watch.waiting
            raise
        watch.scanned_at, watch.error = self._now(), _flaw(walk)
        await self._let_go(watch)
        for found in watch.stable(before, time.monotonic()):
            try:
                await self._take(watch, *found)
            except (LimitReached, OutOfSpace, Unavailable) as error:
                tell(log, logging.WARNING, "files wait to be taken", folder=watch.folder.name, error=str(error))
                watch.error = "; ".join(filter(None, (watch.error, f"files wait to be taken: {error}")))
                return

    async def _let_go(self, watch: Watched) -> None:
        """Moves or deletes what is done with; what cannot be yet, after a later scan."""
        rows = await self._store.read(lambda t: t.all("files_to_go", folder=watch.folder.name))
        for row in await self._threads.run(watch.folder.name, partial(fates.at_hand, watch.folder, rows)):
            of = {"folder": watch.folder.name, "fate": row["fate"]}
            try:
                stays = await self._threads.run(watch.folder.name, partial(fates.carry_out, watch.folder, row))
            except (OSError, Unavailable) as error:
                tell(log, logging.WARNING, "a file of a folder cannot go yet", **of, error=str(error))
                return
            await self._store.write(partial(fates.record, row, stays))
            tell(
                log, logging.INFO, "a file of a folder stays" if stays else "a file of a folder went", **of, error=stays
            )

    async def _walk(self, watch: Watched, before: Mapping[Key, tuple[Found, float]]) -> Walk:
        """Goes through the folder once. Raises OSError or Unavailable."""
        walk, count, now = Walk(watch.folder, self._apart, watch.hints.enter), 0, time.monotonic()
        places = await self._places()
        while True:
            began = time.monotonic()
            files = await self._threads.run(watch.folder.name, partial(walk.next, LOOKS))
            if files is None:
                watch.found, watch.left_out, watch.empty = count, walk.left_out, not walk.looks
                await self._threads.run(watch.folder.name, watch.hints.settle)
                watch.end(now, time.monotonic())
                return walk
            ended = time.monotonic()
            count += len(files)
            watch.wait_for(await self._unknown(watch, files, places), before, now)
            rested = ended + max(ended - began, LOOKS / LOOKS_A_SECOND)
            await asyncio.sleep(rested - time.monotonic())

    async def _places(self) -> dict[str, str]:
        """Where the places lie to which something was brought; of one that does not answer, as it is called."""
        places = {}
        for row in await self._store.read(lambda t: t.all("brought_places")):
            root = row["place"].partition(":")[2]
            try:
                places[row["place"]] = await self._finding.run(root, partial(os.path.realpath, root))
            except Unavailable:
                places[row["place"]] = root
        return places

    async def _unknown(self, watch: Watched, files: Sequence[Found], places: Mapping[str, str]) -> list[Found]:
        """Those of the files that were not taken yet; what is our own is known from now on."""
        new = await self._store.read(partial(known_files.new, watch, files))
        if not new or not places:
            return new
        folder = await self._threads.run(watch.folder.name, partial(os.path.realpath, watch.folder.path))
        own = set(await self._store.read(partial(ours, folder, places, new)))
        if own:
            await self._store.write(partial(known_files.keep_own, watch, own, self._now()))
        return [found for found in new if found not in own]

    async def _take(self, watch: Watched, name: str, identity: Identity) -> None:
        """Makes a job of a file, or keeps why nothing is made of it; what cannot be read now is tried again.

        Raises LimitReached, OutOfSpace or Unavailable.
        """
        if watch.folder.is_changed:
            marking = partial(disk_mark.keep, watch.folder.path)
            watch.disk = await self._reading.run(watch.folder.name, marking)
        try:
            source = await self._whereabouts.find(str(watch.folder.path / name))
            if key_of(source.identity) != key_of(identity) or await self._is_written(watch, name):
                return
            await self._make(watch, name, source)
        except (BadName, EmptyUpload, ProbeError) as error:
            if isinstance(error, Unresponsive):
                raise Unavailable(str(error)) from error
            await self._refuse(watch, name, identity, str(error))
        except (InvalidRequest, Conflict, Gone, ForbiddenPath) as error:
            tell(
                log, logging.WARNING, "a file of a folder is not taken yet", folder=watch.folder.name, error=str(error)
            )
            return
        watch.waiting.pop(key_of(identity), None)

    async def _is_written(self, watch: Watched, name: str) -> bool:
        try:
            return await self._threads.run(watch.folder.name, partial(is_written, watch.folder.path / name))
        except OSError:
            return True  # it went meanwhile, or cannot be read now

    async def _make(self, watch: Watched, name: str, source: NewSource) -> None:
        """Makes a job of a file, unless it is not whole or rules refuse it. Raises ProbeError, or as `create`."""
        folder = watch.folder
        media = await self._read(folder.path / name, source)
        if error := rules.flaw(media, goes=folder.on_success == "delete") or rules.refusal(
            folder.when, media, source.bytes
        ):
            await self._refuse(watch, name, source.identity, error)
            return
        try:
            variations = await self._variations(watch, name, source, media)
        except Unfit as error:
            await self._refuse(watch, name, source.identity, f"{NOT_REPLACED}{error}")
            return
        called = f"{folder.name}: {name}"[:200]
        spec = JobSpec(variations=variations, name=called, priority=folder.priority, on_unsuitable=folder.on_unsuitable)
        remember = partial(self._remember_job, watch, name, source.identity)
        job = await self._jobs.create(spec, [replace(source, media=media)], conclude=remember)
        tell(log, logging.INFO, "a file of a folder is taken", folder=folder.name, job=job)

    async def _read(self, path: Path, source: NewSource) -> Media:
        """What a file holds. Raises ProbeError, or as `find` does: where its disk went away that is no fault of it."""
        try:
            return await self._prober.probe(self._whereabouts.of_new(source, "", ""))
        except ProbeError as error:
            if (await self._whereabouts.find(str(path))).identity != source.identity:
                raise Conflict("it was replaced, or its disk was, while it was read") from error
            raise

    def _remember_job(
        self, watch: Watched, name: str, identity: Identity, transaction: Transaction, job: JobView
    ) -> str:
        self._schedules.record(transaction, job.id, watch.folder.name)
        known_files.remember(watch, name, identity, self._now(), transaction, job)
        return job.id

    async def _variations(
        self, watch: Watched, name: str, source: NewSource, media: Media
    ) -> tuple[VariationRequest, ...]:
        """What is made of a file. Raises Unfit where that may not take its place, as it is to."""
        if watch.folder.replace is None:
            return watch.variations
        [wanted] = self._library.expand(watch.variations)
        try:
            if words := lost(wanted, self._library, media):
                raise Unfit(words)
            reading = partial(replacing, watch.folder, name, source, wanted.extension, watch.disk or "")
            wish = await self._reading.run(watch.folder.name, reading)
        except OSError as error:
            raise Conflict(f"it cannot be read now: {error.strerror}") from error
        return tuple(replace(one, deliver=wish) for one in watch.variations)

    async def _refuse(self, watch: Watched, name: str, identity: Identity, error: str) -> None:
        await self._store.write(
            partial(known_files.remember, watch, name, identity, self._now(), job=None, error=error)
        )
        tell(log, logging.WARNING, "a file of a folder is refused", folder=watch.folder.name, error=error)


def _flaw(walk: Walk) -> str | None:
    """What a scan that came to its end did not see."""
    flaws = []
    if walk.unreadable:
        flaws.append(f"{walk.unreadable} of the folders in it cannot be read")
    if walk.nameless:
        are = "is" if walk.nameless == 1 else "are"
        flaws.append(f"{walk.nameless} of the names in it {are} not UTF-8: rename what is called so")
    return "; ".join(flaws) or None
