"""Jobs written straight into a real store, with their files: for tests of what becomes of them later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from daemon.callers import Caller
from daemon.database.store import Store, Transaction
from daemon.delivery.deliveries import Deliveries
from daemon.delivery.hooks import Hooks
from daemon.encode.local_engine import LocalEngine
from daemon.media.model import Media
from daemon.models import Sandbox
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.process.launcher import Limits
from daemon.proof.prove import Proof
from daemon.proof.publish import seal
from daemon.scheduling import claims
from daemon.scheduling.limits import Quota
from daemon.scheduling.resources import Resources
from daemon.scheduling.sources import Whereabouts
from daemon.scheduling.space import DiskUsage, Space
from daemon.settings import Settings, load
from daemon.storage.download import Downloader
from daemon.storage.fetches import Fetches

CONTENT = b"a proven file"
SILENCE = Media(format="wav", duration_seconds=1.0, video=None, audio=(), subtitles=())
ANY_FILE = {"device": None, "inode": None, "modified": None, "boot": None}  # nothing was recorded of which it is
OLD = 1e12  # a `now` at which every file on disk is old


def in_store(paths: Paths, work: Callable[[Store], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        store = await Store.open(paths.database)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(main())


def house(paths: Paths, store: Store) -> tuple[Whereabouts, Settings, Library, Quota, Deliveries]:
    """What jobs are made by."""
    settings = load({"state_dir": paths.state}, {})
    quota = Quota(settings, Space(lambda: DiskUsage(total=10**12, free=10**12), kept_free=0))
    deliveries = Deliveries(store, paths, {}, Library(), Hooks(store, ()))
    return Whereabouts(paths, ()), settings, Library(), quota, deliveries


def fetching(
    paths: Paths,
    store: Store,
    downloader: Downloader | None = None,
    now: Callable[[], float] = lambda: 1.0,
    most: int = 4,
) -> Fetches:
    """Fetches of a house, not run. Where no downloader is given they fetch nothing."""
    quota, space = house(paths, store)[3], Space(lambda: DiskUsage(total=10**12, free=10**12), kept_free=0)
    rooms = SimpleNamespace(store=store, paths=paths, quota=quota, space=space, now=now, caller_of=_caller)
    return Fetches(cast("Resources", rooms), downloader or Downloader(most_bytes=1), lambda: None, most=most)


def _caller(owner: str | None) -> Caller:
    return Caller(name=owner, rights=frozenset())


def local_engine(ffmpeg: str = "no encoder", *, slots: int = 1, grace: float = 1.0, home: str = "") -> LocalEngine:
    """One without a sandbox, not started."""
    unsandboxed = Sandbox(active=False, reason="not of interest here")
    limits = Limits()
    return LocalEngine(ffmpeg=ffmpeg, slots=slots, limits=limits, grace=grace, sandbox=unsandboxed, home=home)


def add_job(
    transaction: Transaction,
    name: str,
    *,
    expires_in: float = 100.0,
    deliver: str | None = None,
    owner: str | None = None,
) -> None:
    """A job with one source and one variation, all of that name."""
    job = transaction.one(
        "insert_job",
        id=name,
        name=None,
        priority=0,
        metadata="{}",
        on_unsuitable="fail",
        now=1.0,
        expires_in=expires_in,
        owner=owner,
    )
    assert job is not None
    source = transaction.one(
        "insert_source",
        id=name,
        job=job["seq"],
        name="clip.mp4",
        folder="clip",
        path=None,
        bytes=1,
        media=None,
        **ANY_FILE,
    )
    assert source is not None
    transaction.run(
        "insert_variation", id=name, job=job["seq"], source=source["seq"], name="clip_mp3.mp3", preset="mp3",
        parameters="{}", deliver=deliver, extension="mp3", priority=0,
    )  # fmt: skip


def claim(transaction: Transaction, owner: str | None = None) -> claims.Claim:
    row = transaction.all("ready", owner=owner, limit=1)[0]
    transaction.run("record_media", source=row["source_id"], media=msgspec.json.encode(SILENCE).decode())
    (claimed,) = claims.claim(transaction, variations=[row["id"]], now=2.0)
    return claimed


def finish(transaction: Transaction, name: str, paths: Paths, *, at: float, **job: Any) -> None:
    """A completed job whose file is there."""
    add_job(transaction, name, **job)
    output = write(paths.output(name, name, "mp3"))
    size, sha256, inode = seal(output)
    proof = Proof(bytes=size, sha256=sha256, inode=inode, output_seconds=1.0, cpu_seconds=1.0, speed=None)
    assert claims.complete(
        transaction, variation=claim(transaction, job.get("owner")).seq, attempt=1, proof=proof, now=at
    )


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    return path


def variation(transaction: Transaction, name: str) -> Any:
    return transaction.one("variation_of_job", job=name, id=name)
