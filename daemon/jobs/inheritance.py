"""Hands what is encoded of films on, from jobs that were interrupted to one that makes the same films again.

Films are known by what they are made of, and by which parameters or as an output of which name. Whether what is there
fits them is seen when they are gone on with, and it goes where it does not: nothing is handed on to another film's
output of that name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    """Gives a new job's films what is encoded of the same, and deletes jobs of which nothing is left: no film, and
    nothing that was completed.

    To be run in the transaction that makes the job, before anything of it may start. Returns what is to be removed
    once that is durable.
    """
    row = transaction.one("job", id=job.id)
    assert row is not None
    heirs = transaction.all("wanted_of_job", job=row["seq"])
    needless = []
    for film in transaction.all("films_in_pieces", job=row["seq"]):
        if heir := _heir(film, heirs):
            heirs.remove(heir)
            _hand_on(paths, film, job.id, heir["id"], transaction)
            needless.append(paths.work(film["job"], film["id"]))
    held = {film["job"] for film in transaction.all("films_in_pieces", job=row["seq"])}
    earlier = {job["id"] for job in transaction.all("earlier_jobs_in_vain", job=row["seq"])} - held
    return needless + [paths.job(ended) for ended in earlier if transaction.run("delete_job", id=ended)]


def _heir(film: Row, wanted: Sequence[Row]) -> Row | None:
    """What is made of the same file, wherever that lies by now: by the same preset and parameters, or of that name."""
    where = [one for one in wanted if one["path"] == film["path"]]
    file = *where, *(one for one in wanted if (one["bytes"], one["modified"]) == (film["bytes"], film["modified"]))
    same = [one for one in file if (one["preset"], one["parameters"]) == (film["preset"], film["parameters"])]
    named = [one for one in file if one["name"] == film["name"]]
    return next(iter([*(one for one in same if one in named), *same, *named]), None)


def _hand_on(paths: Paths, film: Row, job: str, heir: str, transaction: Transaction) -> None:
    """Its pieces get second names, so that they are there whether or not all this comes true."""
    work = paths.work(job, heir)
    work.mkdir(mode=0o700, parents=True)
    for piece in paths.work(film["job"], film["id"]).glob(paths.piece("-", "-", 0).with_stem("*").name):
        os.link(piece, work / piece.name)
    transaction.run("hand_pieces_on", variation=film["seq"], heir=heir)
    transaction.run("count_attempts_on", attempts=film["attempts"], stuck_at=film["stuck_at"], heir=heir)
