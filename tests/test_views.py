"""What is told of a job agrees with what is told of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from browser import Visit
from conftest import Daemon
from stored import add_job, house, in_store

from daemon.database.store import Store, Transaction
from daemon.encode.task import Progress
from daemon.jobs.effort import Effort, Weighed, job_progress
from daemon.jobs.jobs import Jobs
from daemon.jobs.listing import Selection
from daemon.media.model import Media, VideoStream
from daemon.models import VariationRequest
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.scheduling import claims
from daemon.states import State

FILM = Media(format="mp4", duration_seconds=100.0, video=None, audio=(), subtitles=())
REPORTS = {  # one that is slow beside one that is fast: 50 s and 9 s left
    "slow": Progress(task="a", seconds=50.0, speed=1.0),
    "fast": Progress(task="b", seconds=10.0, speed=10.0),
}


class Running:
    """A scheduler in which these variations run, each so far."""

    shortage = None

    def __init__(self, reports: Mapping[str, Progress]) -> None:
        self._reports = reports

    def progress(self, variation: str) -> Progress | None:
        return self._reports.get(variation)

    def standing(self, _: str) -> None:
        return None

    def of_job(self, _: str) -> Iterator[tuple[Progress, float | None]]:
        for report in self._reports.values():
            yield report, FILM.duration_seconds


def add_batch(transaction: Transaction) -> None:
    """A job of which one variation waits beside those that run."""
    add_job(transaction, "j")
    [waiting] = transaction.all("ready", owner=None, limit=9)
    transaction.run("record_media", source="j", media=msgspec.json.encode(FILM).decode())
    job = transaction.one("known_job", id="j")
    assert job is not None
    for name in REPORTS:
        transaction.run(
            "insert_variation", id=name, job=job["seq"], source=waiting["source"], name=name, preset="mp3",
            parameters="{}", extension="mp3", priority=0, deliver=None,
        )  # fmt: skip
    claims.claim(transaction, variations=list(REPORTS), now=2.0)


def test_a_job_ends_no_earlier_than_any_of_its_variations(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    paths.prepare()

    async def work(store: Store) -> tuple[Any, Any]:
        await store.write(add_batch)
        running: Any = Running(REPORTS)
        jobs = Jobs(store, running, paths, *house(paths, store), now=lambda: 3.0)
        page = await jobs.page(Selection(), limit=9, cursor=None)
        return await jobs.get("j"), page.items[0]

    job, listed = in_store(paths, work)
    left = {variation.id: variation.eta_seconds for variation in job.sources[0].variations}
    assert left == {"j": None, "slow": 50.0, "fast": 9.0}
    assert job.eta_seconds == listed.eta_seconds == 50.0


FILM_SHOWN = msgspec.structs.replace(
    FILM,
    video=VideoStream(
        index=0, codec="h264", width=1280, height=720, coded_width=1280, coded_height=720, frame_rate=25.0, rotation=0
    ),
)


def add_poster_and_film(transaction: Transaction) -> None:
    """A job of a film and a poster that run, and a sound, of which the source has none."""
    add_job(transaction, "poster")
    [waiting] = transaction.all("ready", owner=None, limit=9)
    transaction.run("record_media", source="poster", media=msgspec.json.encode(FILM_SHOWN).decode())
    job = transaction.one("known_job", id="poster")
    assert job is not None
    for name, preset in (("film", "webm-720p"), ("sheet", "poster")):
        [wanted] = Library().expand([VariationRequest(preset, {})])
        transaction.run(
            "insert_variation", id=name, job=job["seq"], source=waiting["source"], name=name, preset=preset,
            parameters=msgspec.json.encode(wanted.parameters).decode(), extension="x", priority=0, deliver=None,
        )  # fmt: skip
    claims.claim(transaction, variations=["film", "sheet"], now=2.0)


def test_a_poster_counts_less_than_the_film_beside_it(tmp_path: Path) -> None:
    """And not as much, though it is of a source that lasts as long."""
    paths = Paths(tmp_path / "state")
    paths.prepare()

    async def work(store: Store) -> tuple[Any, Any]:
        await store.write(add_poster_and_film)
        so_far = {"film": 10.0, "sheet": 99.0}  # seconds
        running: Any = Running({name: Progress(task="a", seconds=at, speed=1.0) for name, at in so_far.items()})
        jobs = Jobs(store, running, paths, *house(paths, store), now=lambda: 3.0)
        page = await jobs.page(Selection(), limit=9, cursor=None)
        return await jobs.get("poster"), page.items[0]

    job, listed = in_store(paths, work)
    weights = {variation.id: variation.work for variation in job.sources[0].variations}
    assert weights["film"] > 5 * weights["sheet"] > 5 * weights["poster"]
    assert job.progress == listed.progress == job.sources[0].progress
    assert 10.0 < job.progress < 25.0  # and not 36 %, as their mean is


def test_nothing_is_all_done_before_its_last_part_is() -> None:
    film = Weighed(id="film", status=State.COMPLETED, work=1e6, seconds=100.0)
    poster = Weighed(id="poster", status=State.PROCESSING, work=0.1, seconds=100.0)
    effort = Effort(
        planned=200.0, done=100.0, left=100.0, running_unknown=False, left_unknown=False, parts=(film, poster)
    )
    assert job_progress(State.PROCESSING, effort, []) == 99.9
    failed = msgspec.structs.replace(effort, parts=(film, msgspec.structs.replace(poster, status=State.FAILED)))
    assert job_progress(State.COMPLETED, failed, []) == 100.0


def test_the_page_weighs_as_the_daemon_does(daemon: Daemon, visit: Visit) -> None:
    variations = [
        {"status": "completed", "progress": 100, "work": 1, "eta_seconds": 0},
        {"status": "processing", "progress": 50, "speed": 1, "work": 99, "eta_seconds": 50},
    ]
    job = {"sources": [{"media": {"duration_seconds": 100}, "variations": variations}]}
    told = visit(daemon).evaluate("job => import('/web/queue_state.js').then(({outlook}) => outlook(job))", job)
    assert told["progress"] == 50.5


def test_the_page_reckons_as_the_daemon_does(daemon: Daemon, visit: Visit) -> None:
    lasting = {"duration_seconds": 100}
    variations = [
        {"status": "processing", "progress": 50, "speed": 1, "eta_seconds": 50},
        {"status": "processing", "progress": 10, "speed": 10, "eta_seconds": 9},
        {"status": "queued", "progress": 0, "speed": None, "eta_seconds": None},
    ]
    job = {"sources": [{"media": lasting, "variations": variations}]}
    told = visit(daemon).evaluate("job => import('/web/queue_state.js').then(({outlook}) => outlook(job))", job)
    assert told["eta_seconds"] == 50
