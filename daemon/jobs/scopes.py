"""Finds what of a job a verb is about, be it all of it, one source or one variation, and how that stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from daemon.database.store import Row, Transaction
from daemon.delivery import rows
from daemon.jobs.receipts import Changed
from daemon.jobs.rows import job_row, source_row, title_of, variation_row
from daemon.models import Model
from daemon.states import State, derive


class Scope(Model, frozen=True):
    """A scope is a job, or one source or one variation of it."""

    job: str
    source: str | None = None
    variation: str | None = None

    @property
    def id(self) -> str:
        return self.variation or self.source or self.job


class Located(Model, frozen=True):
    """A scope in row numbers, with its variations as they are."""

    job: int
    source: int | None
    variation: int | None
    rows: tuple[Row, ...]
    requested_at: float | None
    brought: bool  # somewhere, or to be: something of it
    kept: tuple[Row, ...] = ()
    title: str = ""
    paused: bool = False  # the job

    @property
    def keys(self) -> dict[str, int | None]:
        return {"job": self.job, "source": self.source, "variation": self.variation}

    @property
    def status(self) -> State:
        return derive(self.counts)

    @property
    def counts(self) -> Counter[State]:
        return Counter(State(row["status"]) for row in self.rows)


def locate(scope: Scope, now: float, transaction: Transaction) -> Located:
    job = job_row(transaction, scope.job, now)
    source = variation = None
    title = title_of(transaction, job)
    if scope.source is not None:
        source = source_row(scope.job, scope.source, now, transaction)
        title = source["name"]
    if scope.variation is not None:
        variation = variation_row(scope.job, scope.variation, now, transaction)
        title = variation["name"]
    keys = {
        "job": job["seq"],
        "source": source["seq"] if source else None,
        "variation": variation["seq"] if variation else None,
    }
    found = tuple(transaction.all("scope", **keys))
    requested = job["cancel_requested_at"] if scope.id == scope.job else latest(found, "cancel_requested_at")
    kept = tuple(transaction.all("kept_pieces", **keys))
    brought, paused = rows.is_brought(job), bool(job["paused"])
    return Located(rows=found, requested_at=requested, brought=brought, kept=kept, title=title, paused=paused, **keys)


def latest(rows: Iterable[Row], column: str) -> float | None:
    return max((row[column] for row in rows if row[column] is not None), default=None)


def standing(scope: Scope, changed: bool, now: float, transaction: Transaction) -> Changed:
    """Answers a verb that ends nothing. Raises NotFound or Gone."""
    found = locate(scope, now, transaction)
    return Changed(
        id=scope.id, status=found.status, paused=found.paused, changed=changed, title=found.title, job=scope.job
    )
