"""Hands what is encoded of films on, from jobs that were interrupted to one that makes the same films again.

Films are known by the names of their outputs. Whether what is there fits them is seen when they are gone on with.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from daemon.database.store import Row, Store, Transaction
from daemon.jobs.views import JobView
from daemon.paths import Paths


async def lay_down(database: Path, now: float) -> None:
    """Cancels all that another process left live in that database, but keeps what is encoded of films.

    Call it before a service works on it: nothing of that is to start. Raises StartupError as `Store.open` does.
    """
    store = await Store.open(database)
    try:
        await store.write(partial(_lay_down, now))
    finally:
        await store.close()


def _lay_down(now: float, transaction: Transaction) -> None:
    transaction.run("lay_down_waiting", now=now)
    transaction.run("lay_down_running", now=now)
    transaction.run("lay_down_completed", now=now)


def inherit(paths: Paths, job: JobView, transaction: Transaction) -> list[Path]:
    """Gives a new job's films what is encoded of films of the same names, and deletes jobs of which nothing is left: no
    film, and nothing that was completed.

    To be run in the transaction that makes the job, before anything of it may start. Returns what is to be removed
    once that is durable.
    """
    heirs = {variation.name: variation.id for source in job.sources for variation in source.variations}
    row = transaction.one("job", id=job.id)
    assert row is not None
    needless = []
    for film in transaction.all("films_in_pieces", job=row["seq"]):
        if heir := heirs.get(film["name"]):
            _hand_on(paths, film, job.id, heir, transaction)
            needless.append(paths.work(film["job"], film["id"]))
    held = {film["job"] for film in transaction.all("films_in_pieces", job=row["seq"])}
    earlier = {job["id"] for job in transaction.all("earlier_jobs_in_vain", job=row["seq"])} - held
    return needless + [paths.job(ended) for ended in earlier if transaction.run("delete_job", id=ended)]


def _hand_on(paths: Paths, film: Row, job: str, heir: str, transaction: Transaction) -> None:
    """Its pieces get second names, so that they are there whether or not all this comes true."""
    work = paths.work(job, heir)
    work.mkdir(mode=0o700, parents=True)
    for piece in paths.work(film["job"], film["id"]).glob(paths.piece("-", "-", 0).with_stem("*").name):
        os.link(piece, work / piece.name)
    transaction.run("hand_pieces_on", variation=film["seq"], heir=heir)
    transaction.run("count_attempts_on", attempts=film["attempts"], stuck_at=film["stuck_at"], heir=heir)
