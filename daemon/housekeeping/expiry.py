"""Lets go of ended jobs: those kept long enough, and the oldest when the disk fills."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from daemon.database.store import Store, Transaction
from daemon.delivery import hooks
from daemon.jobs import idempotency
from daemon.journal import tell
from daemon.paths import Paths
from daemon.webhooks import outbox

log = logging.getLogger(__name__)

EVENTS_AT_ONCE = 5000
HOURS_KEPT = 31 * 24 * 3600.0  # seconds that figures of the past are kept
EVENTS_KEPT = 24 * 3600.0  # seconds a client may stay away and resume without a gap


async def expire(store: Store, paths: Paths, now: float, tombstone_seconds: float) -> int:
    """Deletes the jobs whose time is over, and tombstones older than `tombstone_seconds`. Returns how many jobs."""
    gone = 0
    while await _bury(store, paths, "delete_expired_job", "expired", now):
        gone += 1
    await store.write(partial(_forget, now=now, tombstone_seconds=tombstone_seconds))
    while await store.write(lambda t: t.run("forget_events", before=now - EVENTS_KEPT, limit=EVENTS_AT_ONCE)):
        pass
    return gone


async def evict(store: Store, paths: Paths, now: float, max_use: float, use: Callable[[], float]) -> int:
    """Deletes the oldest ended jobs while `use()`, the disk's share in use, is above `max_use`. Returns how many."""
    gone = 0
    while (used := await asyncio.to_thread(use)) > max_use:
        if not await _bury(store, paths, "delete_oldest_ended_job", "evicted", now):
            log.warning("the disk is %.0f %% full and no ended job is left to evict", used * 100)
            break
        gone += 1
    return gone


async def _bury(store: Store, paths: Paths, query: str, reason: str, now: float) -> bool:
    """Deletes the one job that `query` finds, if any: rows first, then files. Should we die between, the sweep takes
    them. It is found as it is deleted, so that what became of it a moment before counts."""

    def bury(transaction: Transaction) -> str | None:
        deleted = transaction.one(query, now=now)
        if deleted is None:
            return None
        transaction.run("bury", id=deleted["id"], now=now, reason=reason, owner=deleted["owner"])
        return str(deleted["id"])

    job = await store.write(bury)
    if job is None:
        return False
    await asyncio.to_thread(paths.discard, paths.job(job))
    tell(log, logging.INFO, f"job was {reason}", job=job)
    return True


def _forget(transaction: Transaction, *, now: float, tombstone_seconds: float) -> None:
    transaction.run("forget_tombstones", before=now - tombstone_seconds)
    transaction.run("forget_sessions", now=now)
    transaction.run("forget_uploads", now=now)  # the sweep takes their files
    transaction.run("forget_keys", before=now - idempotency.KEPT)
    transaction.run("forget_hook_runs", before=now - hooks.KEPT)
    transaction.run("forget_messages", before=now - outbox.KEPT)
    transaction.run("forget_hours", hour=int((now - HOURS_KEPT) // 3600))
