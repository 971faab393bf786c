"""Runs the operator's commands after each delivery: durably queued, one at a time, what they said kept for a while.

A command is run at least once for each delivery; again, where it failed, or where the daemon died before it could write
down how the command ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from daemon.config_tables import Hook
from daemon.database.due_queue import Backoff, DueQueue
from daemon.database.store import Row, Store, Transaction
from daemon.delivery.place import Receipt
from daemon.journal import tell
from daemon.models import Destination, Model, when
from daemon.process.hear import hear_command
from daemon.process.launcher import Limits, spawn

log = logging.getLogger(__name__)

TRIES = 5
WAITS = (1, 6, 60, 360)  # of the backoff, after each try that failed: 5 s, 30 s, 5 min, 30 min
KEPT = 7 * 24 * 3600.0  # seconds a run is kept after its end
SAID = 4000  # characters that are kept of what a command said
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class HookStatus(StrEnum):
    """Is the state of one run of a hook."""

    PENDING = "pending"  # to be run, or run again
    DONE = "done"
    FAILED = "failed"  # given up


class HookRun(Model, frozen=True):
    """Shows one run of a hook, and how its command ended the last time."""

    id: int
    hook: str
    job: str
    variation: str
    status: HookStatus
    attempts: int
    exit_code: int | None  # None: it was never run, or took too long
    said: str | None
    created_at: datetime
    settled_at: datetime | None


class HookRuns(Model, frozen=True):
    items: tuple[HookRun, ...]


class Hooks:
    """Queues what is to be run and runs it. `run` is its loop; the rest may be called beside it."""

    def __init__(
        self,
        store: Store,
        hooks: Sequence[Hook],
        *,
        backoff: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hooks = {hook.called: hook for hook in hooks}
        self._backoff = Backoff(backoff, WAITS, most_asked=0.0)
        self._now = now
        self._queue = DueQueue(store, "hooks", self._run_due, now=now, listens=False)

    def queue(self, due: Row, receipt: Receipt, now: float, transaction: Transaction) -> None:
        """Queues every hook for a delivery that was made; what was there already is none."""
        if self._hooks and not receipt.kept:
            told = msgspec.json.encode(_told(due, receipt, now)).decode()
            of = {"job": due["job"], "variation": due["variation"], "told": told, "now": now}
            transaction.run_many("insert_hook_run", [{"hook": name, **of} for name in self._hooks])

    def wake(self) -> None:
        """Has the loop look for what was queued."""
        self._queue.wake()

    async def page(self, job: str | None, limit: int) -> HookRuns:
        """Returns the newest runs, of one job or of all."""
        query = "hook_runs_of_job" if job else "newest_hook_runs"
        rows = await self._store.read(lambda t: t.all(query, job=job, limit=limit))
        return HookRuns(items=tuple(_shown(row) for row in rows))

    async def run(self) -> None:
        """Runs what is due until it is cancelled; what runs then is ended, and run again by the next daemon."""
        if self._hooks:
            await self._queue.run()

    async def _run_due(self, _: asyncio.TaskGroup) -> None:
        while (due := await self._store.read(partial(_due, self._now(), self._backoff.longest))) is not None:
            await self._run(due)

    async def _run(self, due: Row) -> None:
        hook = self._hooks.get(due["hook"])
        code, said = await _heard(hook, due["told"]) if hook else (None, "there is no such hook any more")
        failed, last = code != 0, hook is None or due["attempts"] + 1 >= TRIES
        now = self._now()
        again = now + self._backoff.after(due["attempts"]) if failed and not last else None
        status = HookStatus.PENDING if again else HookStatus.FAILED if failed else HookStatus.DONE
        await self._store.write(
            lambda t: t.run(
                "record_hook_run", seq=due["seq"], status=status, code=code, said=said, again=again, now=now
            )
        )
        of = {"job": due["job"], "variation": due["variation"], "hook": due["hook"], "code": code}
        tell(log, logging.WARNING if failed else logging.INFO, f"hook {status}", **of, said=said or None)


async def _heard(hook: Hook, told: str) -> tuple[int | None, str]:
    """The exit code of its command, None where it took too long, and the last it said. Needs the main thread."""
    program, *_ = hook.command
    child = spawn(
        list(hook.command),
        program=program,
        folder=Path("/"),
        limits=Limits(),
        environment=ENVIRONMENT,
        called=f"the program of the hook {hook.called}",
    )
    child.write(told.encode())
    child.close_stdin()
    try:
        heard = await hear_command(child, hook.timeout)
    except TimeoutError:
        return None, f"it was ended after {hook.timeout:g} s"
    return heard.ended.code, "\n".join(filter(None, (heard.said, heard.complaint)))[-SAID:]


def _due(now: float, longest: float, transaction: Transaction) -> Row | None:
    return transaction.one("due_hook_run", now=now, latest=now + longest)


def _told(due: Row, receipt: Receipt, now: float) -> dict[str, Any]:
    """What a command reads on its stdin. It runs on the host, so it is told where the file lies there, if it does."""
    destination = msgspec.json.decode(due["wanted"], type=Destination)
    root = destination.place.partition(":")[2].rstrip("/")
    return {
        "type": "variation.delivered",
        "timestamp": when(now),
        "job": due["job"],
        "variation": due["variation"],
        "source": due["source"],
        "preset": due["preset"],
        "path": None if destination.wish.scheme else f"{root}/{receipt.to}",
        "to": receipt.to,
        "bytes": due["bytes"],
        "sha256": due["sha256"],
    }


def _shown(row: Row) -> HookRun:
    created = when(row["created_at"])
    assert created is not None
    return HookRun(
        id=row["seq"],
        hook=row["hook"],
        job=row["job"],
        variation=row["variation"],
        status=HookStatus(row["status"]),
        attempts=row["attempts"],
        exit_code=row["exit_code"],
        said=row["said"],
        created_at=created,
        settled_at=when(row["settled_at"]),
    )
