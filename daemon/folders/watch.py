"""Watches folders of the host: what comes to lie there, and is left alone, becomes a job that reads it in place.

A scan is the truth: what it finds is taken once it is the same over two of them, and once it is old enough. Each file
is taken once, known by its inode, size, time and what is made of it; the row that says so is written with its job. A
folder that is away tells nothing: nothing is forgotten for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import msgspec

from daemon.bounded_threads import Workers
from daemon.database.store import Store, Transaction
from daemon.errors import (
    BadName,
    Conflict,
    EmptyUpload,
    ForbiddenPath,
    Gone,
    InvalidRequest,
    LimitReached,
    OutOfSpace,
    StartupError,
    Unavailable,
)
from daemon.jobs.jobs import Jobs, JobSpec
from daemon.jobs.views import JobView
from daemon.journal import tell
from daemon.models import Model, VariationRequest, when
from daemon.plaintext import is_text
from daemon.presets.library import Library
from daemon.scheduling.sources import Whereabouts
from daemon.settings import Folder
from daemon.source_files import Identity, identity_of, lies_below

log = logging.getLogger(__name__)

UNFINISHED = ("*.part", "*.partial", "*.partial~", "*.!qB", "*.crdownload", "*.download", "*.tmp", "*~")
Key = tuple[int | None, int | None, int | None]  # inode, bytes, ns of the last change


class FolderView(Model, frozen=True):
    """Shows a watched folder. `error` says why nothing is known of it for now."""

    name: str
    scanned_at: datetime | None
    found: int  # files at the last scan, of those that it takes
    taken: int  # of all times
    error: str | None


class _Watch:
    """What is known of one folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        asked = msgspec.json.encode([folder.variations, folder.deliver], order="sorted")
        self.recipe = hashlib.sha256(asked).hexdigest()[:16]
        self.variations = tuple(_variation(entry, folder) for entry in folder.variations)
        self.known = set[Key]()
        self.seen: dict[str, tuple[Identity, float]] = {}  # and since when it was so
        self.scanned_at: float | None = None
        self.error: str | None = None

    def stable(self, found: dict[str, Identity], now: float) -> Iterator[tuple[str, Identity]]:
        """Yields what is the same as at the scan before and for long enough, and was not taken yet."""
        before, self.seen = self.seen, {}
        for name, identity in found.items():
            was, since = before.get(name, (None, now))
            self.seen[name] = (identity, since if was == identity else now)
            if was == identity and now - since >= self.folder.stable_seconds and key_of(identity) not in self.known:
                yield name, identity


class Watcher:
    """Scans folders and makes jobs of what it finds. `run` is its loop."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        whereabouts: Whereabouts,
        folders: Sequence[Folder],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._whereabouts = whereabouts
        self._watches = [_Watch(folder) for folder in folders]
        self._threads = Workers("a scan", most=1)
        self._now = now

    @property
    def views(self) -> list[FolderView]:
        return [
            FolderView(
                name=watch.folder.name,
                scanned_at=when(watch.scanned_at),
                found=len(watch.seen),
                taken=len(watch.known),
                error=watch.error,
            )
            for watch in self._watches
        ]

    async def run(self) -> None:
        """Scans each folder in its time until it is cancelled; one that hangs holds up no other."""
        async with asyncio.TaskGroup() as watching:
            for watch in self._watches:
                watching.create_task(self._watch(watch), name=f"folder {watch.folder.name}")

    async def _watch(self, watch: _Watch) -> None:
        of = {"folder": watch.folder.name, "recipe": watch.recipe}
        for row in await self._store.read(lambda t: t.all("watched_files", **of)):
            watch.known.add((row["inode"], row["bytes"], row["modified"]))
        while True:
            try:
                await self._scan(watch)
            except (OSError, Unavailable) as error:
                watch.error = "it is away, or cannot be read: nothing is forgotten"
                log.warning("the folder %s cannot be scanned: %s", watch.folder.name, error)
            except Exception:
                log.exception("the folder %s cannot be scanned, by a fault of ffspool", watch.folder.name)
            await asyncio.sleep(watch.folder.scan_every)

    async def _scan(self, watch: _Watch) -> None:
        found = await self._threads.run(watch.folder.name, partial(_listed, watch.folder))
        watch.scanned_at, watch.error = self._now(), None
        for name, identity in list(watch.stable(found, time.monotonic())):
            try:
                await self._take(watch, name, identity)
            except (LimitReached, OutOfSpace, Unavailable) as error:
                tell(log, logging.WARNING, "files wait to be taken", folder=watch.folder.name, error=str(error))
                return

    async def _take(self, watch: _Watch, name: str, identity: Identity) -> None:
        """Makes a job of a file. What can make none is remembered too; what cannot be read now is tried again.

        Raises LimitReached, OutOfSpace or Unavailable.
        """
        folder = watch.folder
        remember = partial(_remember, watch, name, identity, self._now())
        try:
            source = await self._whereabouts.find(str(folder.path / name))
            if key_of(source.identity) != key_of(identity):
                return
            spec = JobSpec(variations=watch.variations, name=f"{folder.name}: {name}"[:200], priority=folder.priority)
            job = await self._jobs.create(spec, [source], conclude=remember)
        except (BadName, EmptyUpload) as error:
            await self._store.write(partial(remember, job=None, error=str(error)))
            tell(log, logging.WARNING, "a file of a folder is refused", folder=folder.name, error=str(error))
        except (InvalidRequest, Conflict, Gone, ForbiddenPath) as error:
            tell(log, logging.WARNING, "a file of a folder is not taken yet", folder=folder.name, error=str(error))
            return
        else:
            tell(log, logging.INFO, "a file of a folder is taken", folder=folder.name, job=job)
        watch.known.add(key_of(identity))


def key_of(identity: Identity) -> Key:
    """Returns what a file is known by after a restart of the host, too."""
    size, _, inode, modified = identity
    return inode, size, modified


def check(folders: Sequence[Folder], library: Library, roots: Sequence[Path]) -> None:
    """Raises StartupError for a folder that makes nothing that there is, is no source, or would feed itself."""
    for folder in folders:
        where = f"the folder {folder.name}"
        try:
            library.expand([_variation(entry, folder) for entry in folder.variations])
        except InvalidRequest as error:
            raise StartupError(f"{where}: {error}") from error
        if not lies_below(f"{folder.path}/-", [str(root) for root in roots]):
            raise StartupError(f"{where} lies below no source root: name {folder.path} as one (`source_roots`)")
        if folder.deliver and os.path.normpath(folder.deliver.folder) == os.path.normpath(folder.path):
            raise StartupError(f"{where} would take what is delivered to it: deliver to another folder")


def _variation(entry: dict[str, object], folder: Folder) -> VariationRequest:
    overrides = dict(entry)
    preset = overrides.pop("preset", None)
    if not isinstance(preset, str):
        raise StartupError(f"the folder {folder.name}: each of its variations names its `preset`")
    return VariationRequest(preset, overrides, folder.deliver)


def _listed(folder: Folder) -> dict[str, Identity]:
    """The files in it that it takes, by name: neither hidden nor unfinished, and with no other name."""
    found = {}
    with os.scandir(folder.path) as entries:
        for entry in entries:
            if not _is_taken(folder, entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size:
                found[entry.name] = identity_of(status)
    return found


def _is_taken(folder: Folder, name: str) -> bool:
    if name.startswith(".") or not is_text(name) or any(fnmatch(name, pattern) for pattern in UNFINISHED):
        return False
    included = not folder.include or any(fnmatch(name, pattern) for pattern in folder.include)
    return included and not any(fnmatch(name, pattern) for pattern in folder.exclude)


def _remember(
    watch: _Watch,
    name: str,
    identity: Identity,
    now: float,
    transaction: Transaction,
    job: JobView | None,
    error: str | None = None,
) -> str | None:
    """Writes that a file was taken, in the transaction that makes its job."""
    inode, size, modified = key_of(identity)
    transaction.run(
        "insert_watched_file",
        folder=watch.folder.name,
        recipe=watch.recipe,
        name=name,
        inode=inode,
        bytes=size,
        modified=modified,
        job=job.id if job else None,
        error=error,
        now=now,
    )
    return job.id if job else None
