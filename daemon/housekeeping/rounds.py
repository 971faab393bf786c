"""Keeps house at times: what is left over goes, what expired, and originals that were kept long enough."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial

import psutil

from daemon.database import lineage
from daemon.database.store import Store
from daemon.delivery.replacements import Replacements
from daemon.errors import FfspoolError
from daemon.housekeeping import cleanup, expiry
from daemon.paths import Paths
from daemon.settings import Settings
from daemon.steady_clock import steady

log = logging.getLogger(__name__)


async def run(
    store: Store,
    paths: Paths,
    settings: Settings,
    replacements: Replacements,
    began: float,
    now: Callable[[], float],
) -> None:
    """Does so until it is cancelled. The trash is emptied beside all else: what took the places of originals is
    compared whole before these go, which may take hours."""
    async with asyncio.TaskGroup() as keeping:
        keeping.create_task(_sweep(store, paths, settings, began, now))
        keeping.create_task(_empty_trash(replacements, settings.sweep_every, now))


async def _sweep(store: Store, paths: Paths, settings: Settings, began: float, now: Callable[[], float]) -> None:
    """Tidies at once what an earlier daemon left, while all that is on its way is younger than we; then at times."""
    swept_by = steady(now)
    tidy = partial(_tidy, store, paths, settings)
    with closing(cleanup.Sweep(store, paths, began)) as sweep:
        await _in_peace("housekeeping", tidy(partial(sweep.round, began, min_age=0), now()))
        while True:
            await asyncio.sleep(settings.sweep_every)
            await _in_peace("housekeeping", tidy(partial(sweep.round, swept_by()), now()))


async def _tidy(
    store: Store, paths: Paths, settings: Settings, sweep: Callable[[], Awaitable[object]], now: float
) -> None:
    await lineage.renew(store, paths)
    await sweep()
    await expiry.expire(store, paths, now, settings.tombstone)
    await expiry.evict(store, paths, now, settings.max_disk_use, lambda: _disk_use(paths))


async def _empty_trash(replacements: Replacements, every: float, now: Callable[[], float]) -> None:
    """Goes by the steady time: a clock that jumps ahead ends nobody's days."""
    kept_by = steady(now)
    while True:
        await _in_peace("the emptying of the trash", replacements.tidy(kept_by()))
        await asyncio.sleep(every)


async def _in_peace(what: str, work: Awaitable[object]) -> None:
    """Does some work; that it failed is told, and ends nothing."""
    try:
        await work
    except (FfspoolError, OSError) as error:
        log.error("%s could not finish and will try again: %s", what, error)
    except Exception:
        log.exception("%s could not finish, by a fault of ffspool, and will try again", what)


def _disk_use(paths: Paths) -> float:
    return psutil.disk_usage(str(paths.spool)).percent / 100
