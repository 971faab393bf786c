"""Tells, after a restore of the database, which jobs wait in vain, and keeps nothing for a retry that is not there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from daemon.database import lineage
from daemon.database.store import Row, Store, Transaction
from daemon.paths import Paths
from daemon.scheduling import piece_rows
from daemon.scheduling.sources import UPLOAD_GONE

log = logging.getLogger(__name__)


async def renew(store: Store, paths: Paths) -> None:
    """Begins a generation, and after a restore looks for the files of all that waits or is kept. Call it before the
    scheduler begins; raises as `lineage.renew`."""
    if not await lineage.renew(store, paths):
        return
    kept = await store.read(lambda t: t.all("kept_for_retries"))
    if gone := await asyncio.to_thread(_without_work, paths, kept):
        await store.write(partial(_forget, gone))
    ended = await store.read(lambda t: t.all("uploads_to_retry"))
    if lost := await asyncio.to_thread(_gone, paths, ended):
        await store.write(partial(_complain, lost))
    waiting = await store.read(lambda t: t.all("uploads_waited_for"))
    if jobs := {row["job"] for row in await asyncio.to_thread(_gone, paths, waiting)}:
        who = "1 job waits" if len(jobs) == 1 else f"{len(jobs)} jobs wait"
        log.warning("%s for uploaded files that are gone: what is wanted of these will fail, submit them anew", who)


def _gone(paths: Paths, uploads: Iterable[Row]) -> list[Row]:
    return [row for row in uploads if not paths.source(row["job"], row["source"]).exists()]


def _complain(lost: Iterable[Row], transaction: Transaction) -> None:
    for row in lost:
        transaction.run("complain_of_source", source=row["seq"], error=f"{row['name']}: {UPLOAD_GONE}")


def _without_work(paths: Paths, kept: Iterable[Row]) -> list[Row]:
    return [row for row in kept if not paths.work(row["job"], row["id"]).is_dir()]


def _forget(gone: Iterable[Row], transaction: Transaction) -> None:
    rows = list(gone)
    for row in rows:
        transaction.run("keep_no_longer", job=row["job_seq"], source=None, variation=row["seq"])
    piece_rows.drop_needless_pieces(transaction, jobs=[row["job_seq"] for row in rows])
