"""Counts what one client has, and nothing of others: it costs the same however much that is."""

from __future__ import annotations

import time

from daemon.api.stats import Queue, Stats, counted
from daemon.database.store import Transaction
from daemon.service import Service
from daemon.states import State


async def gather_of(service: Service, owner: str) -> Stats:
    """Returns the figures of an owner's jobs."""
    jobs, variations, oldest, (paused, failures, lost) = await service.store.read(lambda t: _counters(t, owner))
    slots, _ = service.scheduler.slots
    return Stats(
        jobs=jobs,
        variations=variations,
        queue=Queue(
            state=service.scheduler.queue,
            depth=variations[State.QUEUED],
            oldest_seconds=None if oldest is None else round(max(0.0, time.time() - oldest), 3),
            paused_jobs=paused,
            slots=slots,
            slots_used=service.scheduler.slots_of(owner),
            jobs_with_failures=failures,
            lost_variations=lost,
        ),
        cancellations={},
        disk=None,
        webhooks=None,
        deliveries=None,
        events=None,
        encoder=service.encoder_version,
        sandbox=service.sandbox,
        hours=(),
        presets={},
    )


def _counters(
    transaction: Transaction, owner: str
) -> tuple[dict[str, int], dict[str, int], float | None, tuple[int, int, int]]:
    tally = {row["status"]: row for row in transaction.all("tally_of_owner", owner=owner)}
    oldest = transaction.one("oldest_queued_of_owner", owner=owner)
    return (
        {state: tally[state]["jobs"] if state in tally else 0 for state in State if state != State.SKIPPED},
        {state: tally[state]["variations"] if state in tally else 0 for state in State},
        oldest["created_at"] if oldest else None,
        counted(transaction, owner),
    )
