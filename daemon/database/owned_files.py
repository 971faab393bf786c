"""Says what the spool holds for whom: the one place that says which files a row owns.

The sweep removes what is not told here. Whoever lets go of a row or an attempt removes what is told of it, and what
is told to be on an account comes to the bytes that the table `disk` has for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from daemon.database.store import Row, Transaction
from daemon.paths import Paths
from daemon.states import LIVE, State


class Role(StrEnum):
    """A role says what a file or folder is to the row that owns it."""

    UPLOAD = "upload"
    SOURCE = "source"
    THUMBNAIL = "thumbnail"
    LOG = "log"
    WORK = "work"
    PLOT = "plot"
    OUTPUT = "output"


# Rows of the table `disk`, which its triggers keep; what is being written, or is small, is on none.
ACCOUNTS = {Role.SOURCE: "sources", Role.OUTPUT: "outputs", Role.UPLOAD: "uploads"}


class Item(NamedTuple):
    """An item is a file, or a folder with all that is in it."""

    role: Role
    path: Path


def of_uploads(paths: Paths, transaction: Transaction) -> list[Item]:
    """Lists all that uploads own which no job took yet."""
    return [Item(Role.UPLOAD, paths.upload(row["id"])) for row in transaction.all("uploads")]


def of_job(paths: Paths, job: str, transaction: Transaction) -> list[Item] | None:
    """Lists all that may be there of a job, each item in one of the `folders`; None when there is no such job."""
    row = transaction.one("known_job", id=job)
    if row is None:
        return None
    items = list[Item]()
    for source in transaction.all("sources_of_job", job=row["seq"]):
        items += _of_source(paths, job, source)
    for variation in transaction.all("variations_of_job", job=row["seq"]):
        items += _of_variation(paths, job, variation)
    return items


def folders(paths: Paths, job: str) -> set[Path]:
    """Returns what may lie in a job's folder: one folder for each kind of file it has."""
    some = (paths.source(job, "-"), paths.thumbnail(job, "-"), paths.log(job, "-"), paths.work(job, "-"))
    return {path.parent for path in (*some, paths.plot(job, "-"), paths.output(job, "-", ""))}


def of_attempt(paths: Paths, job: str, variation: str, *, but: Collection[Path] = ()) -> tuple[Path, ...]:
    """Lists what an attempt may leave that was not published, `but` what is to be gone on with. Its log stays: it says
    why.
    """
    work = paths.work(job, variation)
    left = [path for path in work.iterdir() if path not in but] if but and work.is_dir() else [work]
    return *left, paths.plot(job, variation)


def _of_source(paths: Paths, job: str, source: Row) -> Iterator[Item]:
    yield Item(Role.THUMBNAIL, paths.thumbnail(job, source["id"]))
    if source["path"] is None:  # one on the host is not ours
        yield Item(Role.SOURCE, paths.source(job, source["id"]))


def _of_variation(paths: Paths, job: str, variation: Row) -> Iterator[Item]:
    identifier, status = variation["id"], variation["status"]
    yield Item(Role.LOG, paths.log(job, identifier))
    if status in LIVE or (status in {State.CANCELLED, State.FAILED} and variation["keep_partial"]):
        yield Item(Role.WORK, paths.work(job, identifier))
    if status in {State.PROCESSING, State.COMPLETED}:  # it has its name a moment before its row says so
        if not variation["dropped"]:
            yield Item(Role.OUTPUT, paths.output(job, identifier, variation["extension"]))
        yield Item(Role.PLOT, paths.plot(job, identifier))
        yield Item(Role.THUMBNAIL, paths.thumbnail(job, identifier))
