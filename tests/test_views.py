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
from daemon.jobs.jobs import Jobs
from daemon.jobs.listing import Selection
from daemon.media.model import Media
from daemon.paths import Paths
from daemon.scheduling import claims

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
    [waiting] = transaction.all("ready", limit=9)
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
