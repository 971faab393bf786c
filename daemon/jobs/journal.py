"""Logs and counts what becomes of jobs, from the record of events: each start, end, failure and attempt anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from daemon.database.store import Row, Store, Transaction
from daemon.jobs.reasons import reason
from daemon.journal import tell
from daemon.scheduling.metrics import Figures
from daemon.states import ENDED, State

log = logging.getLogger(__name__)

GATHER = 0.5  # seconds in which lines gather, so that a busy queue is read in a few reads
BATCH = 200  # events read at once

Told = tuple[Any, Row | None, Row | None]  # an event's data, and its job and variation as they are now


class Journal:
    """Follows the events behind one. `run` is its loop.

    Up to `recovered` they tell what became of what an earlier daemon left.
    """

    def __init__(self, store: Store, figures: Figures, *, behind: int, recovered: int) -> None:
        self._store = store
        self._figures = figures
        self._last = behind
        self._recovered = recovered
        self._awake = asyncio.Event()
        self._awake.set()  # there may be some already
        store.on_commit(self._awake.set)

    async def run(self) -> None:
        """Logs until it is cancelled. What cannot be read now is told later."""
        while True:
            await self._awake.wait()
            await asyncio.sleep(GATHER)
            self._awake.clear()
            try:
                while read := await self._store.read(partial(_news, self._last)):
                    for number, kind, told in read:
                        self._last = (
                            number  # what cannot be told is not tried again, and keeps nothing else from being told
                        )
                        self._tell(kind, *told)
            except Exception:
                log.exception("what became of a job cannot be told, by a fault of ffspool")

    def _tell(self, kind: str, data: Any, job: Row | None, variation: Row | None) -> None:
        if kind == "job":
            self._tell_job(data, job)
        elif kind == "variation":
            _tell_variation(data, variation, recovered=self._last <= self._recovered)
            if variation and data["status"] in ENDED:
                self._count(State(data["status"]), data["error"], variation)

    def _count(self, status: State, error: str | None, variation: Row) -> None:
        self._figures.ended(status, variation["preset"], reason(status, error, variation["source_error"]))

    def _tell_job(self, data: Any, row: Row | None) -> None:
        identifier, status = data["id"], data["status"]
        if status == data.get("was"):  # it was paused, renamed or the like
            return
        if status == State.PROCESSING:
            tell(log, logging.INFO, "job started", job=identifier, waited=_between(row, "created_at", "started_at"))
        elif status in ENDED:
            tell(log, logging.INFO, f"job ended {status}", job=identifier, **_counts(row))


def _tell_variation(data: Any, row: Row | None, *, recovered: bool) -> None:
    of = {"job": data["job"], "variation": data["id"], "source": data["source"]}
    of |= {"preset": row["preset"] if row else None, "attempt": data["attempts"]}
    why = data["error"].splitlines()[0] if data["error"] else None
    if data["status"] == State.FAILED:
        took = _between(row, "started_at", "finished_at")
        tell(log, logging.WARNING, "variation failed", **of, took=took, error=why)
    elif recovered:  # of an encode that was under way when an earlier daemon ended
        became = "waits to be encoded again" if data["status"] == State.QUEUED else f"is {data['status']}"
        tell(log, logging.WARNING, f"variation was left by an earlier daemon, and {became}", **of)
    elif data["status"] == State.QUEUED and data["attempts"]:
        waiting = row["waiting"] if row else None
        tell(log, logging.INFO, "variation waits to be encoded again", **of, error=why or waiting)


def _counts(row: Row | None) -> dict[str, Any]:
    if row is None:
        return {}
    counts = {state: row[state] for state in ("completed", "failed", "cancelled", "skipped", "lost")}
    counts["completed"] -= counts["lost"]
    took, told = _between(row, "started_at", "finished_at"), {state: count for state, count in counts.items() if count}
    return {"took": took, **told, "output_bytes": row["output_bytes"]}


def _between(row: Row | None, one: str, other: str) -> float | None:
    """Returns the seconds between two times of a row; None where one is not known."""
    if row is None or row[one] is None or row[other] is None:
        return None
    return float(row[other]) - float(row[one])


def _news(after: int, transaction: Transaction) -> Sequence[tuple[int, str, Told]]:
    rows = transaction.all("events_after", after=after, limit=BATCH)
    return [(row["id"], row["type"], _told(row, transaction)) for row in rows]


def _told(event: Row, transaction: Transaction) -> Told:
    data = msgspec.json.decode(event["data"])
    if event["type"] == "job":
        return data, transaction.one("job", id=data["id"]) if data["status"] != State.QUEUED else None, None
    if event["type"] == "variation" and data["status"] != State.PROCESSING:
        return data, None, transaction.one("told_variation", id=data["id"])
    return data, None, None
