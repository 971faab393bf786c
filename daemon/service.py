"""Puts together everything that runs behind the HTTP edge and behind `ffspool run`, and takes it down in order."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import psutil

from daemon import json_types
from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.engines import of_many, open_engine
from daemon.config_tables import Tables
from daemon.database import lineage
from daemon.database.store import Store
from daemon.delivery import originals
from daemon.delivery.deliveries import Deliveries
from daemon.delivery.folder import Folders
from daemon.delivery.hooks import Hooks
from daemon.delivery.originals import Originals
from daemon.delivery.place import Place
from daemon.delivery.replacements import Replacements
from daemon.delivery.standing_terms import StandingTerms
from daemon.encode import sandbox_trial
from daemon.encode.engine import Engine
from daemon.folders import checks
from daemon.folders.watch import Watcher
from daemon.housekeeping import recovery, restoring, rounds
from daemon.jobs.bulk import Bulk
from daemon.jobs.control import Control
from daemon.jobs.feed import Feed, News, fetching_event, last_event, progress_event
from daemon.jobs.idempotency import IdempotencyKeys
from daemon.jobs.jobs import Jobs
from daemon.jobs.journal import Journal
from daemon.jobs.queue import Queue
from daemon.jobs.request_bodies import RequestBodies
from daemon.jobs.resumable_uploads import Uploads
from daemon.jobs.retrying import Retries
from daemon.jobs.thumbnails import Thumbnails
from daemon.jobs.upload_contents import UploadReader
from daemon.media.prober import Prober
from daemon.models import Sandbox
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.process import ffmpeg_binary
from daemon.process.ffmpeg_binary import Build
from daemon.scheduling.attempt import Attempt
from daemon.scheduling.cost_history import CostHistory
from daemon.scheduling.limits import Quota
from daemon.scheduling.metrics import Figures
from daemon.scheduling.resources import Resources
from daemon.scheduling.scheduler import Scheduler
from daemon.scheduling.sources import Whereabouts
from daemon.scheduling.space import DiskUsage, Space
from daemon.settings import Settings
from daemon.state_lock import locked
from daemon.storage import credentials
from daemon.storage.bucket_sources import MOST_PORTS, BucketSources
from daemon.storage.buckets import Buckets
from daemon.storage.download import Downloader
from daemon.storage.fetches import Fetches
from daemon.storage.receivers import Receivers
from daemon.tokens.registry import Tokens
from daemon.webhooks.delivery import Sender
from daemon.webhooks.outbox import Webhooks
from daemon.webhooks.signing import Secrets

log = logging.getLogger(__name__)

S = TypeVar("S")
T = TypeVar("T")

NO_TABLES = Tables()
THREADS = 32  # that wait for the disk: what is read at once would else stand behind what is being made durable


@dataclass(frozen=True)
class Service:
    """Holds the running parts that the edges talk to."""

    settings: Settings
    library: Library
    paths: Paths
    whereabouts: Whereabouts
    store: Store
    scheduler: Scheduler
    feed: Feed[Attempt]
    journal: Journal
    bodies: RequestBodies
    figures: Figures
    jobs: Jobs
    uploads: Uploads
    upload_reader: UploadReader
    keys: IdempotencyKeys
    webhooks: Webhooks
    deliveries: Deliveries
    fetches: Fetches
    bucket_sources: BucketSources
    hooks: Hooks
    replacements: Replacements
    watcher: Watcher
    control: Control
    retries: Retries
    queue: Queue
    bulk: Bulk
    thumbnails: Thumbnails
    cluster: ClusterEngine | None  # None: there is this host alone
    encoder_version: str
    sandbox: Sandbox
    tokens: Tokens

    def quiesce(self) -> None:
        """Starts nothing more, ends what streams, and begins to end what is encoded."""
        self.feed.close()
        self.bodies.stop()
        self.scheduler.close()


@asynccontextmanager
async def running(
    settings: Settings,
    library: Library,
    tables: Tables = NO_TABLES,
    *,
    prober: Prober | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Service]:
    """Runs a service with these presets. On leaving, encodes are ended gracefully and their work is queued again.

    A `prober` that was started already is taken over.
    Raises StartupError when the state dir is in use or unusable, there is no encoder, or a bucket that nothing opens.
    """
    await _check(settings, library, tables)
    paths = Paths(settings.state_dir)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "disk"))
    async with locked(paths), AsyncExitStack() as stack:
        began = now()
        prober = prober or Prober(sandboxed=settings.sandbox != "off")
        stack.push_async_callback(prober.close)
        program = await asyncio.to_thread(ffmpeg_binary.locate, settings.ffmpeg)
        lineage.refuse_to_forget(paths)
        prober.start()  # first: it takes longest to begin
        build, sandbox = await _try_encoder(settings, paths, program, prober)
        store = await Store.open(paths.database)
        stack.push_async_callback(store.close)
        engine = await open_engine(settings, tables.cluster, paths, program, sandbox)
        stack.push_async_callback(engine.close)
        behind = await last_event(store)
        await recovery.recover(store, paths, engine, now())
        await restoring.renew(store, paths)
        prober.start()
        await engine.start()
        tokens = await Tokens.load(store, now=now)
        resources = await _open_resources(settings, library, paths, store, engine, prober, build, tokens, now, tables)
        service = await _open_rest(settings, resources, tables, tokens, (build.version, sandbox, behind))
        await service.queue.restore()
        await service.watcher.restore()
        async with _at_work(service, began, now):
            yield service


async def _check(settings: Settings, library: Library, tables: Tables) -> None:
    """Raises StartupError for what the operator wrote and cannot be."""
    await checks.check(tables.folders, library, settings)
    if tables.buckets:
        await asyncio.to_thread(credentials.check, tables.buckets)


async def _try_encoder(settings: Settings, paths: Paths, program: str, prober: Prober) -> tuple[Build, Sandbox]:
    """The encoder's build, and the sandbox that held when it was tried. Raises StartupError."""
    json_types.prepare()
    readable = tuple(map(str, settings.sandbox_read))
    trying = sandbox_trial.choose(settings.sandbox, program, readable, paths.incoming, prober)
    build, sandbox = await _both(ffmpeg_binary.build(program), trying)
    if not sandbox.active:
        await prober.relax()
    return build, sandbox


async def _open_resources(
    settings: Settings,
    library: Library,
    paths: Paths,
    store: Store,
    engine: Engine,
    prober: Prober,
    build: Build,
    tokens: Tokens,
    now: Callable[[], float],
    tables: Tables,
) -> Resources:
    space = Space(partial(_usage, paths), settings.disk_reserve)
    return Resources(
        store=store,
        engine=engine,
        prober=prober,
        paths=paths,
        whereabouts=Whereabouts(paths, settings.source_roots),
        figures=Figures(),
        space=space,
        quota=Quota(settings, space),
        library=library,
        history=await CostHistory.load(store),
        encoder=build.fingerprint,
        resume_from=settings.resume_from,
        span_seconds=tables.cluster.piece_seconds if tables.cluster else math.inf,
        hung_after=settings.hung_after,
        retry_delay=settings.retry_delay,
        now=now,
        caller_of=tokens.caller_of,
    )


def _open_deliveries(settings: Settings, resources: Resources, tables: Tables) -> tuple[Hooks, Deliveries]:
    """Raises StartupError for output roots that are none."""
    store, paths, now, backoff = resources.store, resources.paths, resources.now, settings.delivery_backoff
    places: dict[str, Place] = {
        "folder": Folders(settings.output_roots, paths, settings.output_owner),
        originals.PLACE: Originals(StandingTerms(tables.folders, now=now)),
        "bucket": Buckets(tables.buckets),
    }
    places["http"] = places["https"] = Receivers(
        allow_private=settings.delivery_allow_private, ports=settings.fetch_ports, now=now
    )
    hooks = Hooks(store, tables.hooks, backoff=backoff, now=now)
    return hooks, Deliveries(store, paths, places, resources.library, hooks, backoff=backoff, now=now)


def _open_fetches(
    settings: Settings, resources: Resources, scheduler: Scheduler, bucket_sources: BucketSources
) -> Fetches:
    opened = partial(Downloader, most_bytes=settings.max_upload_bytes, at_once=settings.max_fetches, now=resources.now)
    downloader = opened(allow_private=settings.fetch_allow_private, ports=settings.fetch_ports)
    of_buckets = opened(allow_private=True, ports=MOST_PORTS, sign=bucket_sources.signed)
    most, backoff = settings.max_fetches, settings.fetch_backoff
    return Fetches(resources, downloader, scheduler.wake, most=most, backoff=backoff, of_buckets=of_buckets)


_Told = tuple[str, Sandbox, int]  # the encoder's version, its sandbox, and the last event before the recovery


async def _open_rest(settings: Settings, resources: Resources, tables: Tables, tokens: Tokens, told: _Told) -> Service:
    """Opens what is left."""
    store, paths, now, whereabouts = resources.store, resources.paths, resources.now, resources.whereabouts
    quota, prober, grace = resources.quota, resources.prober, settings.grace
    scheduler = Scheduler(resources, longest=settings.max_shared_seconds)
    hooks, deliveries = _open_deliveries(settings, resources, tables)
    fetches = _open_fetches(settings, resources, scheduler, bucket_sources := BucketSources(tables.buckets))
    jobs = Jobs(store, scheduler, paths, whereabouts, settings, resources.library, quota, deliveries, now=now)
    return Service(
        settings=settings,
        library=resources.library,
        paths=paths,
        whereabouts=whereabouts,
        store=store,
        scheduler=scheduler,
        feed=_open_feed(store, scheduler, fetches, tokens),
        journal=Journal(store, resources.figures, behind=told[2], recovered=await last_event(store)),
        bodies=(bodies := RequestBodies()),
        figures=resources.figures,
        jobs=jobs,
        uploads=Uploads(store, paths, settings, bodies, quota, now=now),
        upload_reader=UploadReader(store, prober, paths, resources.library, now=now),
        keys=IdempotencyKeys(store, now=now),
        webhooks=_webhooks(settings, resources),
        deliveries=deliveries,
        fetches=fetches,
        bucket_sources=bucket_sources,
        hooks=hooks,
        replacements=Replacements(store, StandingTerms(tables.folders, now=now), now=now),
        watcher=Watcher(resources, jobs, scheduler, deliveries, fetches, bucket_sources, tables.folders),
        control=Control(store, scheduler, paths, deliveries, fetches, prober, grace=grace, now=now),
        retries=Retries(store, scheduler, paths, quota, deliveries, now=now),
        queue=Queue(store, scheduler, resources.engine, settings.slots, tables.schedule, now=now),
        bulk=Bulk(store, scheduler, paths, quota, fetches, now=now),
        thumbnails=Thumbnails(jobs, prober, paths, whereabouts),
        cluster=of_many(resources.engine),
        encoder_version=told[0],
        sandbox=told[1],
        tokens=tokens,
    )


async def _both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, S]) -> tuple[T, S]:
    """What both come to; when one raises, after the other has ended too."""
    found, beside = await asyncio.gather(one, other, return_exceptions=True)
    for result in (found, beside):
        if isinstance(result, BaseException):
            raise result
    return found, beside


@asynccontextmanager
async def _at_work(service: Service, began: float, now: Callable[[], float]) -> AsyncIterator[None]:
    scheduling = asyncio.create_task(service.scheduler.run(), name="scheduler")
    feeding = asyncio.create_task(service.feed.run(), name="event feed")
    telling = asyncio.create_task(service.webhooks.run(), name="webhooks")
    delivering = asyncio.create_task(service.deliveries.run(), name="deliveries")
    fetching = asyncio.create_task(service.fetches.run(), name="fetches")
    hooking = asyncio.create_task(service.hooks.run(), name="hooks")
    watching = asyncio.create_task(service.watcher.run(), name="watched folders")
    keeping_house = rounds.run(service.store, service.paths, service.settings, service.replacements, began, now)
    housekeeping = asyncio.create_task(keeping_house, name="housekeeping")
    looking = asyncio.create_task(service.whereabouts.look(), name="source roots")
    keeping = asyncio.create_task(service.queue.run(), name="schedule")
    if service.cluster:
        service.cluster.on_change = service.scheduler.wake
    try:
        yield
    finally:
        housekeeping.cancel()
        watching.cancel()
        keeping.cancel()
        fetching.cancel()
        service.quiesce()
        await asyncio.gather(scheduling, housekeeping, keeping, fetching, return_exceptions=True)
        await service.uploads.close()
        feeding.cancel()
        telling.cancel()
        delivering.cancel()
        hooking.cancel()
        looking.cancel()
        await asyncio.gather(feeding, telling, delivering, hooking, watching, looking, return_exceptions=True)


def _open_feed(store: Store, scheduler: Scheduler, fetches: Fetches, tokens: Tokens) -> Feed[Attempt]:
    feed = Feed(store, partial(_progress_events, scheduler, fetches), lambda: scheduler.attempts, _last_news)
    tokens.on_revoked(feed.dismiss)
    return feed


def _last_news(variation: str, attempt: Attempt) -> News | None:
    if (shown := attempt.shown) is None:
        return None
    event = progress_event(attempt.job, variation, shown, attempt.duration(variation), attempt.standing)
    return News(attempt.owner, attempt.job, variation, event)


def _progress_events(scheduler: Scheduler, fetches: Fetches) -> list[News]:
    """The present progress of all that runs or comes."""
    encoded = (news for one in scheduler.attempts.items() if (news := _last_news(*one)))
    fetched = (
        News(owner, job, source, fetching_event(job, source, come, length, speed))
        for owner, job, source, come, length, speed in fetches.progress()
    )
    return [*encoded, *fetched]


def _webhooks(settings: Settings, resources: Resources) -> Webhooks:
    now, secrets = resources.now, Secrets(resources.paths.webhook_secret, now=resources.now)
    sender = Sender(secrets, allow_private=settings.webhook_allow_private, now=now)
    backoff = settings.webhook_backoff
    return Webhooks(resources.store, secrets, sender, resources.figures, backoff=backoff, now=now)


def _usage(paths: Paths) -> DiskUsage:
    disk = psutil.disk_usage(str(paths.spool))
    return DiskUsage(total=disk.total, free=disk.free)
