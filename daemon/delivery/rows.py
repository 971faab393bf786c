"""Reads and changes the deliveries of jobs within a caller's transaction, and shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daemon.database.store import Row, Transaction

CANCELLED = "its delivery was cancelled"


def is_brought(job: Row) -> bool:
    """Tells whether something of the job was or is being brought somewhere."""
    return bool(job["undelivered"] + job["delivered"] + job["not_delivered"])


def of_job(transaction: Transaction, job: Row) -> dict[str, Row]:
    """Returns the job's deliveries by variation. Where there can be none, none is looked for."""
    if not is_brought(job):
        return {}
    return {row["brought"]: row for row in transaction.all("deliveries_of_job", job=job["seq"])}


def parts_of(jobs: Sequence[int], transaction: Transaction) -> list[str]:
    """Returns the deliveries of jobs, by row number, that may have left something where they go to."""
    return [row["id"] for row in transaction.all("parts_of_jobs", jobs=msgspec.json.encode(jobs).decode())]


def give_up(scope: Mapping[str, Any], now: float, transaction: Transaction) -> list[str]:
    """Ends what is not delivered yet of a job, source or variation, by row numbers; returns those deliveries."""
    return [row["id"] for row in transaction.all("give_up_deliveries", error=CANCELLED, now=now, **scope)]


def retry(scope: Mapping[str, Any], now: float, transaction: Transaction) -> int:
    """Has what could not be delivered of a job, source or variation tried again; returns how many those are."""
    return transaction.run("retry_deliveries", now=now, **scope)
