"""Shows the job as the contract says: rows and live progress become typed answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from daemon.jobs.delivery_views import Deliveries, counted, delivery_view
from daemon.jobs.effort import ALMOST, OUT, Effort, job_eta, job_progress, weighed
from daemon.jobs.media_view import MediaView, media_view
from daemon.jobs.tally import tally
from daemon.jobs.variation_views import OVER, Live, VariationView, by_name, variation_view
from daemon.media.model import Media
from daemon.models import Model, when
from daemon.states import (
    ENDED,
    LIVE,
    FetchStatus,
    OnUnsuitable,
    Outcome,
    QueueState,
    SourceStatus,
    State,
    derive,
    outcome,
)

if TYPE_CHECKING:  # a client that only reads answers need not load the database
    from daemon.database.store import Row


class SourceView(Model, frozen=True):
    id: str
    name: str
    bytes: int  # while it is fetched: as many as its host says it has, or else as came
    status: SourceStatus
    progress: float | None
    error: str | None
    media: MediaView | None
    variations: tuple[VariationView, ...]
    url: str | msgspec.UnsetType = msgspec.UNSET  # where it comes from, if by URL: no more of that than its host
    bytes_fetched: int | msgspec.UnsetType = msgspec.UNSET  # while it is fetched
    fetch_error: str | msgspec.UnsetType | None = msgspec.UNSET  # what keeps or kept it from being fetched


class Usage(Model, frozen=True):
    cpu_seconds: float
    output_seconds: float
    output_bytes: int
    discarded_cpu_seconds: float


class JobSummary(Model, frozen=True):
    """Shows a job but for its sources."""

    id: str
    name: str | None
    status: State
    paused: bool
    priority: int
    progress: float | None
    eta_seconds: float | None
    total_variations: int
    completed_variations: int
    failed_variations: int
    cancelled_variations: int
    skipped_variations: int  # their presets do not apply to their sources
    lost_variations: int | msgspec.UnsetType  # completed ones whose file is gone from the disk unasked; not in webhooks
    outcome: Outcome | None  # how much of it came out; None: it has not ended
    on_unsuitable: OnUnsuitable
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    cancel_requested_at: datetime | None
    cancelled_at: datetime | None
    error: str | None
    deliveries: Deliveries | None  # None: nothing of it is brought anywhere so far
    usage: Usage
    folder: str | msgspec.UnsetType | None  # the watched folder it is of; not told in webhooks
    owner: str | msgspec.UnsetType | None  # the token that made it; null: the daemon's own; not told in webhooks
    outside_hours: bool  # that folder's schedule does not let it run now


class EndedJob(JobSummary, frozen=True):
    """Shows a job as webhooks tell it."""

    summary: str  # how much came out, in words
    metadata: dict[str, Any]


class ListedJob(JobSummary, frozen=True):
    """Shows a job as lists do: of its sources only the first one's name, and how many there are."""

    first_source: str
    total_sources: int
    source_bytes: int  # of all of them
    has_picture: bool | None  # whether the first source shows one; None: nobody looked yet
    metadata: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET  # where it was asked for


def named_after(first: str, files: int) -> str:
    """Returns `clip.mp4 and 2 more`."""
    return first + (f" and {files - 1:,} more" if files > 1 else "")


class JobView(JobSummary, frozen=True):
    metadata: dict[str, Any]
    webhook_url: str | None
    webhook_variations: bool
    sources: tuple[SourceView, ...]
    advice: tuple[str, ...] = ()  # what can be done about what failed or was cancelled, in words


def job_view(
    job: Row,
    effort: Effort | None,
    error: str | None,
    sources: Sequence[Row],
    variations: Sequence[Row],
    live: Live,
    brought: Mapping[str, Row],
    fetched: Mapping[str, Row],
    works: Mapping[str, float],
) -> JobView:
    """Returns the job with everything below it; what is `brought` somewhere is told by variation, as is what it
    `works`, and how what comes by URL is `fetched` by source."""
    views = _source_views(sources, variations, live, brought, works)
    shown = tuple(_with_fetch(view, fetched[view.id]) if view.id in fetched else view for view in views)
    told = {"sources": shown, "error": error, "metadata": _metadata(job), "webhook_url": job["webhook_url"]}
    fields = _job_fields(job, effort, live, [one.eta_seconds for source in shown for one in source.variations])
    return JobView(webhook_variations=bool(job["webhook_variations"]), **told, **fields)


def listed_job(
    job: Row, files: Row, effort: Effort | None, error: str | None, live: Live, *, with_metadata: bool
) -> ListedJob:
    """Returns the job as lists show it. What its status alone tells needs no `effort`; `error` is why it failed."""
    return ListedJob(
        error=error,
        metadata=_metadata(job) if with_metadata else msgspec.UNSET,
        first_source=files["first"],
        total_sources=files["total"],
        source_bytes=job["bytes"],
        has_picture=None if files["picture"] is None else bool(files["picture"]),
        **_job_fields(job, effort, live),
    )


def ended_job(copy: Any) -> EndedJob:
    """Returns an ended job, from a copy of its row in which `error` stands too."""
    job = EndedJob(error=copy["error"], summary="", metadata=_metadata(copy), **_job_fields(copy, None, OVER))
    return replace(job, summary=tally(job))


def _job_fields(
    row: Row | dict[str, Any], effort: Effort | None, live: Live, parts: Iterable[float | None] = ()
) -> dict[str, Any]:
    """The fields that every view of a job has; `parts` are the seconds that its variations are shown to have left."""
    job = by_name(row)
    status = State(job["status"])
    running = list(live.of_job(job["id"])) if status is State.PROCESSING else []
    return {
        "id": job["id"],
        "name": job["name"],
        "status": status,
        "paused": bool(job["paused"]),
        "priority": job["priority"],
        "progress": job_progress(status, effort, running, live.progress),
        "eta_seconds": job_eta(status, effort, running, parts),
        "total_variations": job["total"],
        "completed_variations": job["completed"],
        "failed_variations": job["failed"],
        "cancelled_variations": job["cancelled"],
        "skipped_variations": job["skipped"] or 0,  # messages of before this column lack it
        "lost_variations": job.get("lost", msgspec.UNSET),
        "outcome": outcome({state: job[state] for state in ENDED if job[state]}) if status in ENDED else None,
        "on_unsuitable": OnUnsuitable(job["on_unsuitable"] or OnUnsuitable.FAIL),
        **{name: when(job[name]) for name in _TIMES},
        "expires_at": when(job["expires_at"] or job["keep_until"]),  # until it ends, only what the user wants is known
        "deliveries": counted(job),
        "usage": Usage(
            cpu_seconds=round(job["cpu_seconds"], 3),
            output_seconds=round(job["output_seconds"], 3),
            output_bytes=job["output_bytes"],
            discarded_cpu_seconds=round(job["discarded_cpu"], 3),
        ),
        "folder": job.get("folder", msgspec.UNSET),
        "owner": job.get("owner", msgspec.UNSET),
        "outside_hours": status in LIVE and job["scheduled"] != QueueState.RUNNING and not job["overruled"],
    }


def _metadata(job: Row | dict[str, Any]) -> dict[str, Any]:
    return msgspec.json.decode(job["metadata"], type=dict[str, Any])


_TIMES = ("created_at", "started_at", "finished_at", "cancel_requested_at", "cancelled_at")


def _source_views(
    sources: Sequence[Row],
    variations: Sequence[Row],
    live: Live,
    brought: Mapping[str, Row],
    works: Mapping[str, float],
) -> tuple[SourceView, ...]:
    by_source: dict[int, list[Row]] = defaultdict(list)
    for row in variations:
        by_source[row["source"]].append(row)
    return tuple(_source_view(source, by_source[source["seq"]], live, brought, works) for source in sources)


def _with_fetch(source: SourceView, fetch: Row) -> SourceView:
    told = replace(source, url=fetch["shown"], fetch_error=fetch["error"])
    if fetch["status"] != FetchStatus.PENDING:
        return told
    length = source.bytes if fetch["length"] is None else fetch["length"]
    return replace(told, status=SourceStatus.FETCHING, bytes_fetched=source.bytes, bytes=length)


def _source_view(
    source: Row, variations: Iterable[Row], live: Live, brought: Mapping[str, Row], works: Mapping[str, float]
) -> SourceView:
    media = msgspec.json.decode(source["media"], type=Media) if source["media"] else None
    duration = media.duration_seconds if media else None
    mine = tuple(
        replace(
            variation_view(row, duration, live),
            delivery=delivery_view(row, brought.get(row["id"])),
            work=works.get(row["id"], msgspec.UNSET),
        )
        for row in variations
    )
    return SourceView(
        id=source["id"],
        name=source["name"],
        bytes=source["bytes"],
        status=SourceStatus(derive(Counter(variation.status for variation in mine))),
        progress=_mean(mine),
        error=source["error"],
        media=media_view(media) if media else None,
        variations=mine,
    )


def _mean(variations: Sequence[VariationView]) -> float | None:
    """Progress of one source's variations together; None when one is unknown. Failed and skipped ones are left out."""
    counted = [variation for variation in variations if variation.status not in OUT]
    if any(variation.progress is None for variation in counted):
        return None
    live = any(variation.status in LIVE for variation in counted)
    percent = weighed([(variation.work or 1.0, (variation.progress or 0.0) / 100) for variation in counted])
    return round(min(percent, ALMOST if live else 100.0), 1)
