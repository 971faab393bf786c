"""Ends or finishes at the start what a daemon that crashed left behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from daemon.database import owned_files
from daemon.database.store import Row, Store
from daemon.encode.engine import Engine
from daemon.encode.task import Unfinished
from daemon.host import boot_id
from daemon.paths import Paths, remove
from daemon.proof.prove import Proof
from daemon.proof.publish import matches, reveal
from daemon.scheduling import claims, piece_rows

# Boot recovery


async def recover(store: Store, paths: Paths, engine: Engine, now: float) -> None:
    """Settles what an earlier daemon left in flight. Call it alone: with the lock held, before the scheduler.

    What survived is ended by the engine. A variation whose proven part is there is completed;
    otherwise it is cancelled if that was requested, else queued again.
    """
    attempts = await store.read(lambda t: t.all("live_attempts"))
    blameless = set[int]()
    if attempts:
        unfinished = {row["token"]: Unfinished(task=row["token"], handle=row["handle"]) for row in attempts}
        fallen = await engine.end_survivors(list(unfinished.values()))
        before = {row["token"] for row in attempts if row["boot"] not in {None, boot_id()}}
        blameless = {row["variation"] for row in attempts if row["token"] in fallen | before}
    for row in await store.read(lambda t: t.all("interrupted")):
        if not await _finish_publishing(store, paths, row, now):
            await _requeue(store, paths, row, now, crashed=row["seq"] not in blameless)
    for row in await store.read(lambda t: t.all("uploads")):
        await asyncio.to_thread(_trim, paths.upload(row["id"]), row["offset"])
    for row in await store.read(lambda t: t.all("begun_fetches")):
        await asyncio.to_thread(_trim, paths.source(row["job"], row["id"]), row["bytes"])


async def _finish_publishing(store: Store, paths: Paths, row: Row, now: float) -> bool:
    """Goes on where a publication was interrupted: the proof says which file it is. False: it was not that far."""
    if row["proof"] is None or row["cancel_requested_at"] is not None:
        return False
    proof = msgspec.json.decode(row["proof"], type=Proof)
    part = paths.part(row["job_id"], row["id"], row["attempts"])
    output = paths.output(row["job_id"], row["id"], row["extension"])
    if await asyncio.to_thread(matches, part, proof):
        await asyncio.to_thread(reveal, part, output)
    elif not await asyncio.to_thread(matches, output, proof):
        return False
    mine = {"variation": row["seq"], "attempt": row["attempts"]}
    done = await store.write(lambda t: claims.complete(t, proof=proof, now=now, **mine))
    await asyncio.to_thread(remove, paths.work(row["job_id"], row["id"]))
    return done


async def _requeue(store: Store, paths: Paths, row: Row, now: float, *, crashed: bool) -> None:
    await asyncio.to_thread(remove, paths.output(row["job_id"], row["id"], row["extension"]))
    mine = {"variation": row["seq"], "attempt": row["attempts"]}
    going_on = row["cancel_requested_at"] is None or bool(row["keep_partial"])
    finding = partial(piece_rows.files_of, paths=paths, job=row["job_id"], variation=row["id"], seq=row["seq"])
    await asyncio.to_thread(_clear, paths, row, but=await store.read(finding) if going_on else ())
    kept = await store.write(lambda t: claims.abandon(t, failure=claims.INTERRUPTED, crashed=crashed, now=now, **mine))
    if going_on and not kept:
        await asyncio.to_thread(_clear, paths, row)


def _clear(paths: Paths, row: Row, *, but: Collection[Path] = ()) -> None:
    for path in owned_files.of_attempt(paths, row["job_id"], row["id"], but=but):
        remove(path)


def _trim(file: Path, offset: int) -> None:
    """Cuts off what no commit vouches for, so that the disk holds what the database says."""
    with suppress(FileNotFoundError):  # nothing came yet
        if file.stat().st_size > offset:
            os.truncate(file, offset)
