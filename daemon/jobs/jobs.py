"""Begins jobs and harvests them: create, look, fetch. The HTTP layer and `ffspool run` call these verbs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from daemon.addresses import WEBHOOKS, against_literal
from daemon.callers import OURSELVES, Caller
from daemon.database.store import Row, Store, Transaction
from daemon.delivery import rows
from daemon.delivery.deliveries import Deliveries
from daemon.errors import Doubtful, Gone, InvalidRequest, NotFound
from daemon.jobs import insertion, listing
from daemon.jobs.hours import told_of_hours
from daemon.jobs.insertion import JobSpec
from daemon.jobs.listing import Selection
from daemon.jobs.remedies import advised
from daemon.jobs.resumable_uploads import finished_upload
from daemon.jobs.rows import children_of, completed_of, fetches_of, job_row, variation_row, whole_source
from daemon.jobs.views import JobView, ListedJob, job_view, listed_job
from daemon.jobs.works import Works
from daemon.journal import tell
from daemon.media.model import Media
from daemon.models import Model, SourceFile, Wanted, Wish, new_id
from daemon.paths import Paths, fsync_folder
from daemon.plaintext import so_many
from daemon.presets.builtin import FOLDER
from daemon.presets.library import Library
from daemon.scheduling.limits import Quota, Reservation
from daemon.scheduling.scheduler import Scheduler
from daemon.scheduling.sources import NewSource, Whereabouts, recorded, take_over, taken
from daemon.settings import Settings
from daemon.states import State

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_VARIATIONS = 10_000  # of one job: its answer is encoded at one go
MAX_METADATA_BYTES = 64 * 1024
PATIENCE = 5.0  # seconds in which sources are read whose outputs are counted before anything is made


class JobPage(Model, frozen=True):
    items: tuple[ListedJob, ...]
    next_cursor: str | None


class Jobs:
    """Makes jobs, shows them, and tells where their files lie."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        paths: Paths,
        whereabouts: Whereabouts,
        settings: Settings,
        library: Library,
        quota: Quota,
        deliveries: Deliveries,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._paths = paths
        self._whereabouts = whereabouts
        self._settings = settings
        self._library = library
        self._works = Works(library)
        self._quota = quota
        self._deliveries = deliveries
        self._now = now

    # Create

    async def check_queue(self, caller: Caller) -> None:
        """Raises LimitReached when no job of the caller can be taken now, whatever it is."""
        await self._store.read(partial(self._quota.check_queue, more=1, caller=caller))

    def reservation(self, caller: Caller) -> AbstractContextManager[Reservation]:
        """Makes room for the files of a job to come: `create` takes them from there."""
        return self._quota.reservation(self._store, caller)

    async def uploaded(self, upload: str, caller: Caller) -> NewSource:
        """Returns a resumable upload of the caller's that is complete.

        Raises NotFound, Gone, UploadUnfinished or EmptyUpload.
        """
        found = await self._store.read(partial(finished_upload, self._paths, upload, self._now(), owner=caller.sees))
        media = msgspec.json.decode(found.media, type=Media) if found.media else None
        place = self._paths.upload(upload)
        return NewSource(name=found.name, bytes=found.length, upload=place, resumable=upload, media=media)

    def check_wish(self, spec: JobSpec, files: int) -> None:
        """Looks at all that is asked for but the files themselves, which may take long.

        Raises UnknownPreset, BadParameter, or InvalidRequest for none or too much of something.
        """
        self._check_files(files)
        self._check_webhook(spec)
        whole = files * len(self._library.expand(spec.variations))
        if whole > MAX_VARIATIONS:
            raise InvalidRequest(
                f"{so_many(files, 'file')} would be {whole} variations; one job takes {MAX_VARIATIONS} at most"
            )
        if (size := len(msgspec.json.encode(spec.metadata))) > MAX_METADATA_BYTES:
            raise InvalidRequest(f"metadata has {size} bytes; {MAX_METADATA_BYTES} are the limit")

    def _check_files(self, count: int) -> None:
        if not 1 <= count <= self._settings.max_sources:
            raise InvalidRequest(f"a job takes 1 to {self._settings.max_sources} files, not {count}")

    def _check_webhook(self, spec: JobSpec) -> None:
        """What a name leads to is looked at when something is sent there: an address is here already."""
        if spec.webhook_url and not self._settings.webhook_allow_private:
            host = (urlsplit(spec.webhook_url).hostname or "").partition("%")[0]
            if refusal := against_literal(host, WEBHOOKS):
                raise InvalidRequest(f"the webhook's URL cannot be met: {refusal}")

    async def create(
        self,
        spec: JobSpec,
        sources: Sequence[NewSource],
        *,
        conclude: Callable[[Transaction, JobView], T],
        reservation: Reservation | None = None,
        caller: Caller = OURSELVES,
    ) -> T:
        """Queues a job of the caller's. When this returns, job and files are durable; when it raises, nothing is left.

        But for Doubtful, where the sweep has to see: the disk did not say whether the job is on it.

        `conclude` is run in the transaction that makes the job, which comes to nothing when it raises; returns what it
        returns. Raises NotFound when another job took an upload first, LimitReached when it would be too much at once,
        and Forbidden for a priority above the caller's.
        """
        self._check_files(len(sources))
        spec = _ranked(spec, caller)
        wanted = self._library.expand(spec.variations)
        insertion.check_names(sources)
        places = await self._deliveries.resolve(want.deliver for want in wanted if want.deliver)
        resumable, job, identifiers = insertion.resumable(sources), new_id(), [new_id() for _ in sources]
        inserting = partial(self._insert, job, spec, wanted, places, reservation, conclude, caller)
        try:
            if any(source.upload or source.remote for source in sources):
                await asyncio.to_thread(self._take_over, job, identifiers, sources)
            read = await self._looked_at(job, identifiers, sources, caller)
            foreseen = await self._foreseen(read, wanted, caller)
            await self._hold_apart(job, spec, wanted, places, read)
            made = await self._store.write(partial(inserting, [*zip(identifiers, read, strict=True)], foreseen))
        except Doubtful:  # after a crash the row may be there all the same, and need them
            raise
        except Exception:  # not of a cancelled caller: the write goes on without it, and may need the files
            await asyncio.to_thread(self._take_back, job, identifiers)
            raise
        of = {"owner": caller.name, "files": len(sources), "variations": len(sources) * len(wanted)}
        tell(log, logging.INFO, "job accepted", job=job, **of)
        await self._set_going(places, resumable)
        return made

    async def _hold_apart(
        self, job: str, spec: JobSpec, wanted: Sequence[Wanted], places: Mapping[Wish, str], read: Sequence[NewSource]
    ) -> None:
        """Raises BadName where two outputs would come to one address: of many that takes a while."""
        if places:
            of = {"job": job, "job_name": spec.name, "created_at": self._now()}
            brought = insertion.brought(of, wanted, places, read)
            await asyncio.to_thread(self._deliveries.hold_apart, brought)

    async def _set_going(self, places: Mapping[Wish, str], resumable: Sequence[str]) -> None:
        self._scheduler.wake()
        if places:
            self._deliveries.expect()
        if resumable:
            await asyncio.to_thread(self._forget, resumable)

    def _forget(self, uploads: Iterable[str]) -> None:
        for upload in uploads:
            self._paths.upload(upload).unlink(missing_ok=True)

    async def _looked_at(
        self, job: str, identifiers: Sequence[str], sources: Sequence[NewSource], caller: Caller
    ) -> list[NewSource]:
        """The same, the first with what it holds if its encode could begin at once: that then need not wait for a look.

        Where outputs count towards a limit of the caller's, all that can be read in some seconds are.
        """
        looked, ends = list(sources), time.monotonic() + PATIENCE
        counts = caller.limits.max_stored_bytes is not None
        for number, source in enumerate(sources if counts else sources[:1]):
            if source.media or source.remote:
                continue
            file, left = self._whereabouts.of_new(source, job, identifiers[number]), ends - time.monotonic()
            looking = self._scheduler.look(file, left) if counts else self._scheduler.glance(file)
            looked[number] = replace(source, media=await looking)
        return looked

    async def _foreseen(self, sources: Sequence[NewSource], wanted: Sequence[Wanted], caller: Caller) -> int:
        """The bytes that outputs may come to, for whom they count: of sources that are read by now."""
        if caller.limits.max_stored_bytes is None:
            return 0
        read = [(source.media, wanted, source.bytes) for source in sources if source.media]
        return await asyncio.to_thread(lambda: sum(self._scheduler.forecast.bytes_of(*one) for one in read))

    def _take_over(self, job: str, identifiers: Iterable[str], sources: Iterable[NewSource]) -> None:
        folder = self._paths.job(job) / "sources"
        folder.mkdir(parents=True)
        for identifier, source in zip(identifiers, sources, strict=True):
            if source.upload:
                take_over(source, source.upload, self._paths.source(job, identifier))
        for durable in (folder, folder.parent, self._paths.jobs):
            fsync_folder(durable)

    def _take_back(self, job: str, identifiers: Iterable[str]) -> None:
        """Opens nothing: that there is no descriptor left may be why. What cannot be removed is left to the sweep."""
        for identifier in identifiers:
            self._paths.source(job, identifier).unlink(missing_ok=True)
        folder = self._paths.job(job)
        for emptied in (folder / "sources", folder):
            with suppress(OSError):
                emptied.rmdir()

    def _insert(
        self,
        job: str,
        spec: JobSpec,
        wanted: Sequence[Wanted],
        places: Mapping[Wish, str],
        reservation: Reservation | None,
        conclude: Callable[[Transaction, JobView], T],
        caller: Caller,
        sources: Sequence[tuple[str, NewSource]],
        foreseen: int,
        transaction: Transaction,
    ) -> T:
        self._quota.check_queue(transaction, len(wanted) * len(sources), caller)
        if reservation:
            reservation.release()  # for rows, in the same step
        added = insertion.added_bytes(source for _, source in sources)
        self._quota.check_bytes(transaction, added, caller, foreseen=foreseen)
        seq = insertion.insert_job(transaction, job, spec, self._now(), self._settings.retention, caller.name)
        folders, outputs = insertion.called([source for _, source in sources], wanted)
        boot = self._whereabouts.boot
        for (identifier, source), folder, names in zip(sources, folders, outputs, strict=True):
            row = insertion.insert_source(transaction, seq, identifier, source, folder, boot)
            keys = {"job": seq, "source": row, "priority": spec.priority}
            new = (
                insertion.new_variation(name, want, places.get(want.deliver) if want.deliver else None, keys)
                for number, (name, want) in enumerate(zip(names, wanted, strict=True))
                if number not in source.without
            )
            transaction.run_many("insert_variation", new)
            if source.remote:
                insertion.insert_fetch(transaction, seq, row, source.remote, self._now())
            if source.resumable and not transaction.run("take_upload", id=source.resumable):
                raise taken(source.resumable)
        return conclude(transaction, self._view(transaction, job_row(transaction, job, self._now())))

    # Look

    async def get(self, job: str) -> JobView:
        """Returns the job with its sources and variations. Raises NotFound, or Gone if it expired."""
        return await self._store.read(lambda t: self._view(t, job_row(t, job, self._now())))

    async def check(self, job: str) -> None:
        """Raises NotFound when there is no such job, or Gone if it expired."""
        await self._store.read(lambda t: job_row(t, job, self._now()))

    async def page(
        self, selection: Selection, *, limit: int, cursor: str | None, with_metadata: bool = False
    ) -> JobPage:
        """Returns one page of the selected jobs. Raises InvalidRequest for a cursor we did not give."""
        return await self._store.read(lambda t: self._page(t, selection, limit, cursor, with_metadata))

    def _view(self, transaction: Transaction, job: Row) -> JobView:
        effort = listing.efforts(transaction, [job], self._works).get(job["seq"])
        works = {part.id: part.work for part in self._works.of(transaction, [job]).get(job["seq"], ())}
        error = listing.errors(transaction, [job]).get(job["seq"])
        children, brought = children_of(transaction, job), rows.of_job(transaction, job)
        fetched = fetches_of(transaction, job)
        view = job_view(job, effort, error, *children, self._scheduler, brought, fetched, works)
        return advised(told_of_hours(view))

    def _page(
        self, transaction: Transaction, selection: Selection, limit: int, cursor: str | None, with_metadata: bool
    ) -> JobPage:
        now = self._now()
        rows, next_cursor = listing.page(transaction, selection, limit, cursor, now, with_metadata=with_metadata)
        files = listing.files(transaction, rows)
        efforts = listing.efforts(transaction, rows, self._works)
        errors = listing.errors(transaction, rows)
        items = (
            listed_job(row, files[seq], efforts.get(seq), errors.get(seq), self._scheduler, with_metadata=with_metadata)
            for row in rows
            for seq in (row["seq"],)
        )
        return JobPage(items=tuple(items), next_cursor=next_cursor)

    # Fetch

    async def output(self, job: str, variation: str) -> tuple[Path, Row]:
        """Returns where a completed variation's file lies, and its row.

        Raises NotFound before it is completed, Gone if it is lost.
        """
        row = await self._store.read(partial(variation_row, job, variation, self._now()))
        if row["status"] != State.COMPLETED:
            raise NotFound(f"{row['name']} is {row['status']}: there is no file to download")
        if row["dropped"]:
            raise Gone(f"{row['name']} was delivered, and as its job asked for, no copy of it was kept here")
        if row["lost_at"] is not None:
            raise Gone(f"{row['name']} was completed, but its file is gone from the disk")
        return self._paths.output(job, variation, row["extension"]), row

    async def folder(self, job: str, variation: str) -> tuple[Path, Row]:
        """Returns what `output` does, for a folder of files. Raises NotFound when it is a single file."""
        path, row = await self.output(job, variation)
        if row["extension"] != FOLDER:
            raise NotFound(f"{row['name']} is one file, not a folder of files: its download is all of it")
        return path, row

    async def source(self, job: str, source: str) -> tuple[SourceFile, Row]:
        """Returns a source's file, and its row. Raises NotFound, also while it is fetched."""
        row = await self._store.read(partial(whole_source, job, source, self._now()))
        return self._whereabouts.of(recorded(job, source, row)), row

    async def first_source(self, job: str) -> str:
        """Returns the identifier of the job's first source. Raises NotFound, or Gone if it expired."""
        return str((await self._store.read(lambda t: children_of(t, job_row(t, job, self._now()))))[0][0]["id"])

    async def outputs(self, job: str) -> tuple[JobView, list[tuple[str, Path]]]:
        """Returns the job and, of all completed so far, (name in the zip, file).

        Raises NotFound when that is nothing, Gone when all of it is lost.
        """
        return await self._store.read(partial(self._outputs, job))

    def _outputs(self, job: str, transaction: Transaction) -> tuple[JobView, list[tuple[str, Path]]]:
        row = job_row(transaction, job, self._now())
        files = [
            (f"{folder}/{done['name']}", self._paths.output(job, done["id"], done["extension"]))
            for folder, done in completed_of(transaction, row)
        ]
        if not files and row["completed"] and not row["lost"]:
            raise Gone(f"all that was completed of {job} was delivered, and as it asked for, no copy was kept here")
        if not files and row["completed"]:
            raise Gone(f"all that was completed of {job} is gone from the disk")
        if not files:
            raise NotFound(f"nothing of {job} is completed yet")
        return self._view(transaction, row), files

    async def log(self, job: str, variation: str) -> Path:
        """Returns the file with the encoder's command and words. Raises NotFound when it has not been started yet."""
        row = await self._store.read(partial(variation_row, job, variation, self._now()))
        path = self._paths.log(job, variation)
        if not await asyncio.to_thread(path.exists):
            raise NotFound(f"{row['name']} has no log: its encoder was never started")
        return path

    async def plot(self, job: str, variation: str) -> tuple[Path, str]:
        """Returns the SVG of its quality, frame by frame, and a name for it.

        Raises NotFound with the reason for none.
        """
        row = await self._store.read(partial(variation_row, job, variation, self._now()))
        path = self._paths.plot(job, variation)
        if row["quality"] is None:
            raise NotFound(f"{row['name']} has no score: ask for one with the parameter `quality` before it is encoded")
        if not await asyncio.to_thread(path.exists):
            raise NotFound(f"{row['name']} has no plot: {msgspec.json.decode(row['quality'])['error'] or 'it is gone'}")
        return path, f"{Path(row['name']).stem}_quality.svg"


def _ranked(spec: JobSpec, caller: Caller) -> JobSpec:
    """The same, with the usual priority lowered to the most that the caller may ask for."""
    most = caller.limits.max_priority
    if most is not None and spec.priority == 0:
        return replace(spec, priority=min(0, most))
    insertion.check_priority(spec.priority, caller)
    return spec
