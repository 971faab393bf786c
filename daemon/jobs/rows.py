"""Reads the rows of one job, its sources and its variations within a caller's transaction."""

from __future__ import annotations

from daemon.database.store import Row, Transaction
from daemon.errors import Gone, NotFound
from daemon.jobs.views import named_after
from daemon.states import FetchStatus, State


def job_row(transaction: Transaction, job: str, now: float) -> Row:
    """Returns the job's row. Raises NotFound, or Gone from the moment it expires, whenever it is deleted."""
    row = transaction.one("job", id=job)
    if row is None and not transaction.one("tombstone", id=job):
        raise NotFound(f"there is no job {job}")
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= now):
        raise Gone(f"the job {job} expired and its files were deleted")
    return row


def title_of(transaction: Transaction, job: Row) -> str:
    """Returns what the job is known by: its name, or its files'."""
    files = transaction.one("files_of_jobs", jobs=f"[{job['seq']}]")
    return job["name"] or (named_after(files["first"], files["total"]) if files else "")


def children_of(transaction: Transaction, job: Row) -> tuple[list[Row], list[Row]]:
    return transaction.all("sources_of_job", job=job["seq"]), transaction.all("variations_of_job", job=job["seq"])


def source_row(job: str, source: str, now: float, transaction: Transaction) -> Row:
    job_row(transaction, job, now)
    row = transaction.one("source_of_job", job=job, id=source)
    if row is None:
        raise NotFound(f"the job {job} has no source {source}")
    return row


def whole_source(job: str, source: str, now: float, transaction: Transaction) -> Row:
    """Returns the source's row. Raises NotFound, also when it is to come by URL and is not here whole."""
    row = source_row(job, source, now, transaction)
    fetch = transaction.one("fetch_of_source", source=row["seq"])
    if fetch is not None and fetch["status"] != FetchStatus.FETCHED:
        is_coming = fetch["status"] == FetchStatus.PENDING
        raise NotFound(f"{row['name']} {'is being fetched' if is_coming else 'was not fetched'}: there is no file yet")
    return row


def fetches_of(transaction: Transaction, job: Row) -> dict[str, Row]:
    """Returns what is known of fetches of the job's sources, by source."""
    return {row["id"]: row for row in transaction.all("fetches_of_job", job=job["seq"])}


def variation_row(job: str, variation: str, now: float, transaction: Transaction) -> Row:
    job_row(transaction, job, now)
    row = transaction.one("variation_of_job", job=job, id=variation)
    if row is None:
        raise NotFound(f"the job {job} has no variation {variation}")
    return row


def completed_of(transaction: Transaction, job: Row) -> list[tuple[str, Row]]:
    sources, variations = children_of(transaction, job)
    folders = {source["seq"]: source["folder"] for source in sources}
    return [
        (folders[row["source"]], row)
        for row in variations
        if row["status"] == State.COMPLETED and row["lost_at"] is None
    ]
