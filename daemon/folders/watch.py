"""Watches folders, of the host or in buckets: what comes to lie there, and is left alone, becomes a job.

A scan is the truth: what it finds is taken once it is the same over two of them, and once it is old enough; that it
may be time for one is heard from the kernel (`hints.py`). Each file is taken once, known by its inode, size, time and
what is made of it; the row that says so is written with its job. A folder that is away tells nothing: nothing is
forgotten for it. However many files there are, few are held in memory: what was taken is looked up in the database,
some at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from daemon.bounded_threads import Workers
from daemon.config_tables import AnyFolder, BucketFolder, Folder
from daemon.database.store import Transaction
from daemon.delivery import rules
from daemon.delivery.deliveries import Deliveries
from daemon.delivery.refusals import AWAY
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
    Undelivered,
    Unresponsive,
)
from daemon.folders import fates, history, known_files, renamed
from daemon.folders.bucket_files import BucketFiles
from daemon.folders.hints import Hints
from daemon.folders.history import Verdicts
from daemon.folders.local_files import LocalFiles
from daemon.folders.origin import Origin, Ours, Refused, Taken, Unwritten, Walk
from daemon.folders.scan import Found
from daemon.folders.schedules import Schedules
from daemon.folders.views import FolderView
from daemon.folders.watched import Key, Watched, key_of
from daemon.jobs.insertion import JobSpec
from daemon.jobs.jobs import Jobs
from daemon.jobs.views import JobView
from daemon.journal import tell
from daemon.media.model import Media
from daemon.models import when
from daemon.scheduling.resources import Resources
from daemon.scheduling.scheduler import Scheduler
from daemon.source_files import GONE
from daemon.storage.bucket_sources import BucketSources
from daemon.storage.fetches import Fetches

log = logging.getLogger(__name__)

LOOKS = 1000  # at a time; between them a scan rests as long as it took, lest a share has to do with nothing else
LOOKS_A_SECOND = 60_000  # at most
EMPTY = "it is empty: perhaps what is mounted there is away; nothing is forgotten"
REFUSED = "a file of a folder is refused"


class Watcher:
    """Scans folders and makes jobs of what it finds. `run` is its loop."""

    def __init__(
        self,
        resources: Resources,
        jobs: Jobs,
        scheduler: Scheduler,
        deliveries: Deliveries,
        fetches: Fetches,
        bucket_sources: BucketSources,
        folders: Sequence[AnyFolder],
    ) -> None:
        self._store = resources.store
        self._library = resources.library
        self._jobs = jobs
        self._deliveries = deliveries
        self._fetches = fetches
        self._now = now = resources.now
        self._watches = [Watched(folder, now) for folder in folders]
        self._in_buckets = [watch for watch in self._watches if isinstance(watch.folder, BucketFolder)]
        self._schedules = Schedules(resources.store, scheduler, folders, now=now)
        self._threads = Workers("a scan", most=1)
        opened = partial(_origin, resources=resources, bucket_sources=bucket_sources, threads=self._threads)
        self._origins = {watch.folder.name: opened(watch) for watch in self._watches}
        if self._in_buckets:
            scheduler.on_media(self._judge_fetched)

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
        """Returns the path of a file within a folder of this host. Raises NotFound."""
        watched = self._named(folder).folder
        if not isinstance(watched, Folder):
            raise NotFound(f"{folder} is in a bucket, where nothing is replaced")
        return watched.path / name

    async def scan(self, folder: str) -> FolderView:
        """Has a folder be scanned now, even if it is paused. Raises NotFound."""
        watch = self._named(folder)
        watch.asked.set()
        return await self._view(watch)

    async def pause(self, folder: str) -> FolderView:
        """Has a folder be left alone, also by the next daemon, until it is resumed: nothing is replaced in it, either.

        Raises NotFound."""
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
        self._deliveries.expect()
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
        """Has the jobs of folders keep to their hours, and files known that were taken under another name, or by an
        earlier version. Call it before the scheduler runs."""
        await self._store.write(partial(renamed.know, self._watches, self._library))
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
        except Undelivered as error:
            watch.error = f"{error}: nothing is forgotten"
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
        watch.scanned_at, watch.error = self._now(), walk.flaw
        if isinstance(watch.folder, Folder) and not watch.paused:
            await self._let_go(watch)
        await self._take_all(watch, watch.stable(before, time.monotonic()))

    async def _take_all(self, watch: Watched, files: Sequence[Found]) -> None:
        """Takes each but what its store does not show, or is at fault with, until there is no room, or the folder is
        away. Raises OSError where its disk is."""
        unshown, faults = list[str](), list[str]()
        for found in files:
            try:
                await self._take(watch, found)
            except (LimitReached, OutOfSpace, Unavailable, Undelivered) as error:
                if isinstance(error, Undelivered) and not error.away:
                    unshown.append(f"{found.path} waits: {error}")
                    continue
                tell(log, logging.WARNING, "files wait to be taken", folder=watch.folder.name, error=str(error))
                watch.error = "; ".join(filter(None, (watch.error, f"files wait to be taken: {error}")))
                return
            except OSError as error:
                if error.errno in AWAY:
                    raise
                if error.errno not in GONE:
                    unshown.append(f"{found.path} waits: {fates.why(error)}")
            except Exception:
                if not faults:
                    log.exception("a file of the folder %s is not taken, by a fault of ffspool", watch.folder.name)
                faults.append(f"{found.path} waits, by a fault of ffspool: see its log")
        if unshown:
            tell(log, logging.WARNING, "files cannot be looked at", folder=watch.folder.name, count=len(unshown))
        for words in filter(None, (unshown, faults)):
            more = f" (and {len(words) - 1} more)" if words[1:] else ""
            watch.error = "; ".join(filter(None, (watch.error, words[0] + more)))

    async def _let_go(self, watch: Watched) -> None:
        """Moves or deletes what is done with; what cannot be yet, after a later scan."""
        folder = watch.folder
        assert isinstance(folder, Folder)
        rows = await self._store.read(lambda t: t.all("files_to_go", folder=folder.name))
        if lost := await self._threads.run(folder.name, partial(fates.unmarked, folder, rows)) if rows else ():
            watch.error = "; ".join(filter(None, (watch.error, fates.told_of_unmarked(len(lost)))))
            for row in lost:
                await self._store.write(partial(fates.tell_of, row, fates.UNMARKED))
        for row in await self._threads.run(folder.name, partial(fates.at_hand, folder, rows)):
            of = {"folder": folder.name, "fate": row["fate"]}
            try:
                stays = await self._threads.run(folder.name, partial(fates.carry_out, folder, row))
            except (OSError, Unavailable) as error:
                tell(log, logging.WARNING, "a file of a folder cannot go yet", **of, error=str(error))
                if fates.is_away(error):
                    return
                await self._store.write(partial(fates.tell_of, row, f"it stays for now: {fates.why(error)}"))
                continue
            except Exception:
                log.exception("a file of the folder %s cannot go, by a fault of ffspool", folder.name)
                await self._store.write(partial(fates.tell_of, row, "it stays, by a fault of ffspool: see its log"))
                continue
            await self._store.write(partial(fates.record, row, stays))
            tell(
                log, logging.INFO, "a file of a folder stays" if stays else "a file of a folder went", **of, error=stays
            )

    async def _walk(self, watch: Watched, before: Mapping[Key, tuple[Found, float]]) -> Walk:
        """Goes through the folder once. Raises OSError, Unavailable or Undelivered."""
        origin, count, now = self._origins[watch.folder.name], 0, time.monotonic()
        walk = await self._threads.run(watch.folder.name, origin.walk)
        while True:
            began = time.monotonic()
            files = await self._threads.run(watch.folder.name, partial(walk.next, LOOKS))
            if files is None:
                watch.found, watch.left_out, watch.empty = count, walk.left_out, not walk.looks
                await self._threads.run(watch.folder.name, origin.settle)
                watch.end(now, time.monotonic())
                return walk
            ended = time.monotonic()
            count += len(files)
            watch.wait_for(await self._unknown(watch, origin, files), before, now)
            rested = ended + max(ended - began, LOOKS / LOOKS_A_SECOND)
            await asyncio.sleep(rested - time.monotonic())

    async def _unknown(self, watch: Watched, origin: Origin, files: Sequence[Found]) -> list[Found]:
        """Those of the files that were not taken yet; what is our own is known from now on."""
        new = await self._store.read(partial(known_files.new, watch, files))
        own = await origin.own(new) if new else set()
        if own:
            await self._store.write(partial(known_files.keep_own, watch, own, self._now()))
        return [found for found in new if found not in own]

    async def _take(self, watch: Watched, found: Found) -> None:
        """Makes a job of a file, or keeps why nothing is made of it; what cannot be read now is tried again.

        Raises LimitReached, OutOfSpace, Unavailable or Undelivered.
        """
        try:
            taken = await self._origins[watch.folder.name].take(found)
            if taken is None:
                return
            await self._make(watch, found, taken)
        except Unwritten as error:
            watch.error = watch.error or f"{found.path} waits: {error}"
            return
        except Ours:
            await self._store.write(partial(known_files.keep_own, watch, [found], self._now()))
        except (Refused, BadName, EmptyUpload, ProbeError) as error:
            if isinstance(error, Unresponsive):
                raise Unavailable(str(error)) from error
            await self._store.write(partial(known_files.refuse, watch, found, str(error), self._now()))
            tell(log, logging.WARNING, REFUSED, folder=watch.folder.name, error=str(error))
        except (InvalidRequest, Conflict, Gone, ForbiddenPath) as error:
            tell(
                log, logging.WARNING, "a file of a folder is not taken yet", folder=watch.folder.name, error=str(error)
            )
            return
        watch.waiting.pop(key_of(found.identity), None)

    async def _make(self, watch: Watched, found: Found, taken: Taken) -> None:
        """Makes a job of a file. Raises as `create`."""
        folder = watch.folder
        spec = JobSpec(
            variations=taken.variations,
            name=f"{folder.name}: {found.path}"[:200],
            priority=folder.priority,
            on_unsuitable=folder.on_unsuitable,
        )
        remember = partial(self._remember_job, watch, found, taken.disk)
        job = await self._jobs.create(spec, [taken.source], conclude=remember)
        if taken.source.remote:
            self._fetches.expect()
        tell(log, logging.INFO, "a file of a folder is taken", folder=folder.name, job=job)

    def _remember_job(
        self, watch: Watched, found: Found, disk: str | None, transaction: Transaction, job: JobView
    ) -> str:
        self._schedules.record(transaction, job.id, watch.folder.name)
        known_files.take(watch, found, job, disk, self._now(), transaction)
        return job.id

    def _judge_fetched(self, transaction: Transaction, source: str, media: Media) -> None:
        """Has nothing be made of an object that is no whole film, or that rules refuse, now that it could be read."""
        row = transaction.one("source_of_folder", source=source)
        watch = next((one for one in self._in_buckets if row and one.folder.name == row["folder"]), None)
        if row is None or watch is None:
            return
        if error := rules.flaw(media) or rules.refusal(watch.folder.when, media, row["bytes"]):
            known_files.refuse_fetched(watch, row, error, self._now(), transaction)
            tell(log, logging.WARNING, REFUSED, folder=watch.folder.name, error=error)


def _origin(watch: Watched, *, resources: Resources, bucket_sources: BucketSources, threads: Workers) -> Origin:
    folder, hints = watch.folder, watch.hints
    if isinstance(folder, BucketFolder):
        return BucketFiles(folder, watch.variations, resources.store, bucket_sources, threads)
    assert isinstance(folder, Folder)
    assert isinstance(hints, Hints)
    return LocalFiles(folder, watch.variations, hints, resources, threads)
