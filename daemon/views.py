"""The job as the contract shows it: rows and live progress become typed answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from daemon import progress
from daemon.models import AudioStream, Media, Model, Parameters, Progress, SubtitleStream, VideoStream
from daemon.stall import Pace
from daemon.states import ENDED, State, derive

if TYPE_CHECKING:  # a client that only reads answers need not load the database
    from daemon.store import Row


class Live(Protocol):
    """What is known of running variations and stands in no row."""

    def progress(self, variation: str) -> Progress | None: ...

    def pace(self, variation: str) -> Pace | None: ...


class MediaView(Model, frozen=True):
    duration_seconds: float | None
    video: VideoStream | None
    audio: tuple[AudioStream, ...]
    subtitles: tuple[SubtitleStream, ...]


class VariationView(Model, frozen=True):
    id: str
    name: str
    preset: str
    parameters: Parameters
    status: State
    progress: float | None
    speed: float | None
    eta_seconds: float | None
    bytes: int | None
    sha256: str | None
    attempts: int
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    output_seconds: float | None = None
    pace: Pace | None = None  # slow, finishing or hung; None while it gets on


class SourceView(Model, frozen=True):
    id: str
    name: str
    bytes: int
    status: State
    progress: float | None
    error: str | None
    media: MediaView | None
    variations: tuple[VariationView, ...]


class Usage(Model, frozen=True):
    cpu_seconds: float
    output_seconds: float
    output_bytes: int
    discarded_cpu_seconds: float


class JobSummary(Model, frozen=True):
    """A job as lists show it: all but its sources."""

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
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    cancel_requested_at: datetime | None
    cancelled_at: datetime | None
    error: str | None
    metadata: dict[str, Any]
    usage: Usage


class JobView(JobSummary, frozen=True):
    sources: tuple[SourceView, ...]


def job_view(job: Row, sources: Sequence[Row], variations: Sequence[Row], live: Live) -> JobView:
    """The job with everything below it."""
    shown = _source_views(sources, variations, live)
    return JobView(sources=shown, **_job_fields(job, shown))


def job_summary(job: Row, sources: Sequence[Row], variations: Sequence[Row], live: Live) -> JobSummary:
    """The job as lists show it; of one that is queued or completed, sources and variations may be left out."""
    shown = _source_views(sources, variations, live)
    return JobSummary(**_job_fields(job, shown))


def ended_job(copy: Any) -> JobSummary:
    """An ended job, from a copy of its row in which `error` stands too."""
    return msgspec.structs.replace(job_summary(copy, (), (), _OVER), error=copy["error"])


def ended_variation(copy: Any) -> VariationView:
    """An ended variation, from its row or a copy of it."""
    return _variation_view(copy, None, _OVER)


class _Over:
    """Of what ended nothing is live."""

    def progress(self, _: str) -> None:
        return None

    def pace(self, _: str) -> None:
        return None


_OVER = _Over()


def when(seconds: float | None) -> datetime | None:
    """The UTC time of so many seconds since the epoch."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _job_fields(job: Row, sources: Sequence[SourceView]) -> dict[str, Any]:
    status = State(job["status"])
    return {
        "id": job["id"],
        "name": job["name"],
        "status": status,
        "paused": bool(job["paused"]),
        "priority": job["priority"],
        "progress": _job_progress(status, sources),
        "eta_seconds": _job_eta(status, sources),
        "total_variations": job["total"],
        "completed_variations": job["completed"],
        "failed_variations": job["failed"],
        "cancelled_variations": job["cancelled"],
        **{name: when(job[name]) for name in _TIMES},
        "error": _first_error(status, sources),
        "metadata": msgspec.json.decode(job["metadata"]),
        "usage": Usage(
            cpu_seconds=round(job["cpu_seconds"], 3),
            output_seconds=round(job["output_seconds"], 3),
            output_bytes=job["output_bytes"],
            discarded_cpu_seconds=round(job["discarded_cpu"], 3),
        ),
    }


_TIMES = ("created_at", "started_at", "finished_at", "expires_at", "cancel_requested_at", "cancelled_at")


def _source_views(sources: Sequence[Row], variations: Sequence[Row], live: Live) -> tuple[SourceView, ...]:
    by_source: dict[int, list[Row]] = defaultdict(list)
    for row in variations:
        by_source[row["source"]].append(row)
    return tuple(_source_view(source, by_source[source["seq"]], live) for source in sources)


def _source_view(source: Row, variations: Iterable[Row], live: Live) -> SourceView:
    media = msgspec.json.decode(source["media"], type=Media) if source["media"] else None
    duration = media.duration_seconds if media else None
    mine = tuple(_variation_view(row, duration, live) for row in variations)
    return SourceView(
        id=source["id"],
        name=source["name"],
        bytes=source["bytes"],
        status=derive(Counter(variation.status for variation in mine)),
        progress=_mean(mine),
        error=source["error"],
        media=_media_view(media) if media else None,
        variations=mine,
    )


def _media_view(media: Media) -> MediaView:
    return MediaView(
        duration_seconds=media.duration_seconds,
        video=media.video,
        audio=media.audio,
        subtitles=media.subtitles,
    )


def _variation_view(row: Row, duration: float | None, live: Live) -> VariationView:
    status = State(row["status"])
    seconds, speed = _where(status, live.progress(row["id"]))
    return VariationView(
        id=row["id"],
        name=row["name"],
        preset=row["preset"],
        parameters=msgspec.json.decode(row["parameters"]),
        status=status,
        progress=100.0 if status == State.COMPLETED else _percent(status, seconds, duration),
        speed=row["speed"] if status == State.COMPLETED else speed,
        eta_seconds=0.0 if status in ENDED else progress.eta(seconds, duration, speed),
        pace=live.pace(row["id"]) if status == State.PROCESSING else None,
        bytes=row["bytes"],
        sha256=row["sha256"],
        output_seconds=row["output_seconds"],
        attempts=row["attempts"],
        error=row["error"],
        started_at=when(row["started_at"]),
        finished_at=when(row["finished_at"]),
    )


def _where(status: State, report: Progress | None) -> tuple[float, float | None]:
    """Output seconds written and speed; what has not begun, or is over, is at 0."""
    return (report.seconds, report.speed) if report and status == State.PROCESSING else (0.0, None)


def _percent(status: State, seconds: float, duration: float | None) -> float | None:
    if status != State.PROCESSING:
        return 0.0
    percent = progress.percent(seconds, duration)
    return None if percent is None else round(percent, 1)


def _mean(variations: Sequence[VariationView]) -> float | None:
    """Mean progress of one source's variations, which all last equally long; None when one is unknown.

    Failed ones are left out: nothing more is to come of them, and they should not hold the others below 100.
    """
    counted = [variation.progress for variation in variations if variation.status != State.FAILED]
    if None in counted:
        return None
    return round(sum(progress or 0.0 for progress in counted) / len(counted), 1) if counted else 0.0


def _job_progress(status: State, sources: Sequence[SourceView]) -> float | None:
    """Progress of all variations weighted by their duration; None while any is unknown."""
    if not sources:
        return 100.0 if status == State.COMPLETED else 0.0
    if any(source.progress is None for source in sources):
        return None
    weights = [_weight(source) for source in sources]
    done = sum(weight * (source.progress or 0.0) for weight, source in zip(weights, sources, strict=True))
    return round(done / sum(weights), 1) if sum(weights) else 0.0


def _weight(source: SourceView) -> float:
    duration = source.media.duration_seconds if source.media else None
    return (duration or 1.0) * sum(variation.status != State.FAILED for variation in source.variations)


def _job_eta(status: State, sources: Sequence[SourceView]) -> float | None:
    """Seconds left at the present speed of all that runs; None while that cannot be told."""
    if status in ENDED:
        return 0.0
    speed = sum(variation.speed or 0.0 for source in sources for variation in source.variations
                if variation.status == State.PROCESSING)  # fmt: skip
    left = [_seconds_left(source) for source in sources]
    if not speed or any(seconds is None for seconds in left):
        return None
    return round(sum(seconds or 0.0 for seconds in left) / speed, 1)


def _seconds_left(source: SourceView) -> float | None:
    open_ = [variation for variation in source.variations if variation.status not in ENDED]
    if not open_:
        return 0.0
    duration = source.media.duration_seconds if source.media else None
    if duration is None:
        return None
    return sum(duration * (1 - (variation.progress or 0.0) / 100) for variation in open_)


def _first_error(status: State, sources: Sequence[SourceView]) -> str | None:
    """Why the job failed, in the words of the first variation that did."""
    if status != State.FAILED:
        return None
    return next((variation.error for source in sources for variation in source.variations if variation.error), None)
