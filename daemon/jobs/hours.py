"""Says of jobs of watched folders that they wait for the hours of these."""

from __future__ import annotations

from msgspec.structs import replace

from daemon.jobs.views import JobView, SourceView
from daemon.states import State


def told_of_hours(job: JobView) -> JobView:
    """Returns the job, whose variations say that they wait for the hours of its folder, if they do."""
    if not job.outside_hours:
        return job
    words = f"it is not the hour of its folder {job.folder}"
    return replace(job, sources=tuple(_waiting(source, words) for source in job.sources))


def _waiting(source: SourceView, words: str) -> SourceView:
    waits = (replace(one, waiting=words) if one.status == State.QUEUED else one for one in source.variations)
    return replace(source, variations=tuple(waits))
