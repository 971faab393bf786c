"""Counts the whole daemon at this moment, for people (`/api/stats`) and for Prometheus."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from daemon.api.openapi import VERSION
from daemon.database.file import target
from daemon.database.store import Transaction, of_owner
from daemon.models import Model, Sandbox
from daemon.scheduling.metrics import Figures
from daemon.service import Service
from daemon.states import QueueState, State

SCHEMA = target()  # the version of the database that this ffspool makes


class Queue(Model, frozen=True):
    state: QueueState
    depth: int
    oldest_seconds: float | None  # age of the job whose variation waits longest; None: nothing waits
    paused_jobs: int  # that are paused by themselves and have not ended; counted up to a thousand
    slots: int  # encodes that may run at once
    slots_used: int
    jobs_with_failures: int  # whatever became or becomes of the rest of them; counted up to a thousand
    lost_variations: int  # completed ones whose file is gone from the disk unasked, of up to a thousand jobs


class Stops(Model, frozen=True):
    """Counts processes ended at one stage of the escalation, and the seconds that took together."""

    count: int
    seconds: float


class Outbox(Model, frozen=True):
    """Holds what webhooks' receivers did not take so far."""

    failing: int
    oldest_failing_seconds: float | None


class Undelivered(Model, frozen=True):
    """Holds what could not be delivered so far, and is tried again."""

    failing: int
    oldest_failing_seconds: float | None


class Disk(Model, frozen=True):
    """Tells of the spool's file system, and what ffspool has there: not counted are logs, and what is being written."""

    total_bytes: int
    free_bytes: int
    reserved_bytes: int  # that those which run, and files on their way in, may yet write
    waiting: str | None  # why nothing starts; None while something small could
    sources_bytes: int
    outputs_bytes: int
    uploads_bytes: int
    pieces_bytes: int  # of interrupted films, until they go on
    database_bytes: int  # of its file, what holds something
    kept_free_bytes: int  # by encodes
    checkpoint_age_seconds: float | None  # since the database's log was written back; None: all of it is


class Events(Model, frozen=True):
    subscribers: int
    lag: int


class Hour(Model, frozen=True):
    """Counts variations completed in the hour that began `at`; an hour without any is left out."""

    at: datetime
    completed: int


class PresetSpeed(Model, frozen=True):
    completed: int
    speed: float | None  # seconds of output per second in a slot; None for what does not last


class Stats(Model, frozen=True):
    """Counts what the caller sees. Who sees its own jobs alone is told nothing of the host and of all together: that is
    null, or empty.
    """

    jobs: dict[str, int]
    variations: dict[str, int]
    queue: Queue
    cancellations: dict[str, Stops]
    disk: Disk | None
    events: Events | None
    webhooks: Outbox | None
    deliveries: Undelivered | None
    encoder: str
    sandbox: Sandbox
    hours: tuple[Hour, ...]  # of the last day
    presets: dict[str, PresetSpeed]  # of the last week


async def gather(service: Service) -> Stats:
    """Reads counters only: it costs the same with a million rows."""
    now = time.time()
    jobs, variations, oldest, (paused, failures, lost), stops, held = await service.store.read(_counters)
    failing, since = await service.store.read(_failing)
    slots, used = service.scheduler.slots
    hours, speeds = await service.store.read(partial(_history, int(now // 3600)))
    disk = await asyncio.to_thread(psutil.disk_usage, str(service.paths.spool))
    return Stats(
        jobs=jobs,
        variations=variations,
        queue=Queue(
            state=service.scheduler.queue,
            depth=variations["queued"],
            oldest_seconds=None if oldest is None else round(max(0.0, now - oldest), 3),
            paused_jobs=paused,
            slots=slots,
            slots_used=used,
            jobs_with_failures=failures,
            lost_variations=lost,
        ),
        cancellations=stops,
        disk=Disk(
            total_bytes=disk.total,
            free_bytes=disk.free,
            reserved_bytes=await asyncio.to_thread(service.scheduler.reserved),
            waiting=service.scheduler.no_room,
            kept_free_bytes=service.scheduler.kept_free(disk.total),
            checkpoint_age_seconds=await asyncio.to_thread(_checkpoint_age, service.paths.database, now),
            **held,
        ),
        webhooks=Outbox(failing=failing, oldest_failing_seconds=None if since is None else max(0.0, now - since)),
        deliveries=await service.store.read(partial(_undelivered, now)),
        events=Events(subscribers=service.feed.subscribers, lag=service.feed.lag),
        encoder=service.encoder_version,
        sandbox=service.sandbox,
        hours=hours,
        presets=speeds,
    )


def exposition(figures: Figures, stats: Stats) -> tuple[bytes, str]:
    """Returns the metrics as Prometheus reads them, brought up to date by figures of all, and their content type."""
    assert stats.disk
    assert stats.events
    assert stats.webhooks
    assert stats.deliveries
    for state, count in stats.jobs.items():
        figures.jobs.labels(state).set(count)
    for state, count in stats.variations.items():
        figures.variations.labels(state).set(count)
    figures.oldest.set(stats.queue.oldest_seconds or 0.0)
    figures.disk.labels("total").set(stats.disk.total_bytes)
    figures.disk.labels("free").set(stats.disk.free_bytes)
    figures.disk.labels("reserved").set(stats.disk.reserved_bytes)
    figures.disk.labels("sources").set(stats.disk.sources_bytes)
    figures.disk.labels("outputs").set(stats.disk.outputs_bytes)
    figures.disk.labels("uploads").set(stats.disk.uploads_bytes)
    figures.disk.labels("pieces").set(stats.disk.pieces_bytes)
    figures.disk.labels("database").set(stats.disk.database_bytes)
    figures.disk.labels("kept_free").set(stats.disk.kept_free_bytes)
    for state in QueueState:
        figures.queue.labels(state).set(stats.queue.state == state)
    figures.slots.labels("all").set(stats.queue.slots)
    figures.slots.labels("used").set(stats.queue.slots_used)
    figures.sandbox.set(stats.sandbox.active)
    figures.failing.set(stats.webhooks.failing)
    figures.failing_age.set(stats.webhooks.oldest_failing_seconds or 0.0)
    figures.undelivered.set(stats.deliveries.failing)
    figures.undelivered_age.set(stats.deliveries.oldest_failing_seconds or 0.0)
    figures.checkpoint_age.set(stats.disk.checkpoint_age_seconds or 0.0)
    figures.build.labels(VERSION, stats.encoder.partition(" Copyright")[0], str(SCHEMA)).set(1)
    figures.subscribers.set(stats.events.subscribers)
    figures.lag.set(stats.events.lag)
    return figures.render()


def _failing(transaction: Transaction) -> tuple[int, float | None]:
    row = transaction.one("failing_messages")
    return (row["count"], row["since"]) if row else (0, None)


def _undelivered(now: float, transaction: Transaction) -> Undelivered:
    row = transaction.one("failing_deliveries")
    assert row is not None
    since = row["since"]
    return Undelivered(failing=row["count"], oldest_failing_seconds=None if since is None else max(0.0, now - since))


def _checkpoint_age(database: Path, now: float) -> float | None:
    """Seconds since the database's own file was written, which its log is written back to; None: all of it is."""
    log = database.with_name(f"{database.name}-wal")
    if not log.exists() or log.stat().st_mtime <= database.stat().st_mtime:
        return None
    return round(max(0.0, now - database.stat().st_mtime), 3)


def _counters(
    transaction: Transaction,
) -> tuple[dict[str, int], dict[str, int], float | None, tuple[int, int, int], dict[str, Stops], dict[str, int]]:
    tally, oldest = transaction.all("tally"), transaction.one("oldest_queued")
    return (
        {row["status"]: row["jobs"] for row in tally if row["status"] != State.SKIPPED},  # no job is
        {row["status"]: row["variations"] for row in tally},
        oldest["created_at"] if oldest else None,
        counted(transaction, None),
        {row["stage"]: Stops(count=row["count"], seconds=row["seconds"]) for row in transaction.all("stops")},
        {f"{row['kind']}_bytes": row["bytes"] for row in transaction.all("disk")},
    )


def counted(transaction: Transaction, owner: str | None) -> tuple[int, int, int]:
    """Counts an owner's jobs, or all (None), that are paused and that have failures, and variations that are lost."""
    paused, failures, lost = (
        transaction.one(of_owner(query, owner), **({"owner": owner} if owner is not None else {}))
        for query in ("paused_jobs", "jobs_with_failures", "lost_variations")
    )
    assert paused
    assert failures
    assert lost
    return paused["count"], failures["count"], lost["count"]


def _history(hour: int, transaction: Transaction) -> tuple[tuple[Hour, ...], dict[str, PresetSpeed]]:
    hours = transaction.all("hours_since", hour=hour - 23)
    presets = transaction.all("presets_since", hour=hour - 24 * 7)
    return (
        tuple(Hour(at=datetime.fromtimestamp(row["hour"] * 3600, UTC), completed=row["completed"]) for row in hours),
        {row["preset"]: PresetSpeed(completed=row["completed"], speed=row["speed"]) for row in presets},
    )
