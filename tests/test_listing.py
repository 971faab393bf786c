"""Lists of jobs: what ended, the order to come, paused ones, a search; each paged without gap or repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon

from daemon.jobs.listing import MAX_METADATA_BYTES


def listed(daemon: Daemon, *, limit: int = 2, **query: Any) -> list[str]:
    """The names of all jobs the query selects, read page by page."""
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = daemon.client.get("/api/jobs", params={**query, "limit": limit, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        names += [job["name"] for job in page["items"]]
        if page["next_cursor"] is None:
            return names
        cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
def queue(daemon: Daemon, clip: Path) -> Daemon:
    """A paused queue with A to G, of which C and F go first, B is cancelled and D is paused."""
    daemon.client.post("/api/queue/pause")
    priorities = {"A": 0, "B": 0, "C": 5, "D": 0, "E": -3, "F": 5, "G": 0}
    jobs = {}
    for name, priority in priorities.items():
        spec = {"variations": [{"preset": "mp3"}], "name": name, "priority": priority}
        jobs[name] = daemon.submit(clip, spec=spec)["id"]
    daemon.client.post(f"/api/jobs/{jobs['B']}/cancel")
    daemon.client.post(f"/api/jobs/{jobs['D']}/pause")
    return daemon


def test_what_waits_is_listed_as_it_will_start(queue: Daemon) -> None:
    assert listed(queue, status="queued", order="upcoming") == ["C", "F", "A", "D", "G", "E"]


def test_what_ended_is_listed_newest_first_however_it_ended(queue: Daemon) -> None:
    assert listed(queue, ended="true") == ["B"]
    queue.client.post("/api/jobs/cancel")
    assert listed(queue, ended="true") == ["G", "F", "E", "D", "C", "B", "A"]


def test_jobs_are_listed_by_name_size_and_state(queue: Daemon, clip: Path, long_clip: Path, tmp_path: Path) -> None:
    unnamed = tmp_path / "bb.mp4"
    unnamed.write_bytes(clip.read_bytes() + b"0")
    broken = tmp_path / "d.mp4"
    broken.write_bytes(b"no film")
    mp3 = {"variations": [{"preset": "mp3"}]}
    queue.submit(unnamed, spec=mp3)  # by its file's name
    queue.submit(long_clip, spec={**mp3, "name": "c"})
    queue.client.patch(f"/api/jobs/{queue.submit(broken, spec={**mp3, 'name': 'z'})['id']}", json={"name": None})
    by_name = ["A", "B", None, "C", "c", "D", None, "E", "F", "G"]
    assert listed(queue, order="name") == by_name
    assert listed(queue, order="name", limit=3) == by_name
    assert listed(queue, order="name", status="cancelled") == ["B"]
    by_size = ["c", None, "G", "F", "E", "D", "C", "B", "A", None]
    assert listed(queue, order="size") == by_size
    assert listed(queue, order="size", status="queued") == [name for name in by_size if name != "B"]
    assert listed(queue, order="state") == [None, "c", None, "G", "F", "E", "D", "C", "A", "B"]
    assert listed(queue, order="state", limit=1, ended="true") == ["B"]


def test_jobs_of_which_something_failed_are_listed_in_every_order(daemon: Daemon, tmp_path: Path) -> None:
    for name, size in (("b", 300), ("a", 200), ("C", 100)):
        (tmp_path / name).write_bytes(b"no film " * size)
        daemon.wait_for(daemon.submit(tmp_path / name, spec={"variations": [{"preset": "mp3"}], "name": name})["id"])
    for order, names in (("name", ["a", "b", "C"]), ("size", ["b", "a", "C"]), ("state", ["C", "a", "b"])):
        assert listed(daemon, order=order, has="failed") == names
        assert listed(daemon, order=order, has="failed", ended="true") == names
        assert listed(daemon, order=order, has="failed", status="completed") == []


def test_paused_jobs_can_be_listed(queue: Daemon) -> None:
    assert listed(queue, paused="true") == ["D"]


def test_a_search_finds_names_of_jobs_and_of_files(queue: Daemon, clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "100%_sure.mp4"
    other.write_bytes(clip.read_bytes())
    queue.submit(other, spec={"variations": [{"preset": "mp3"}], "name": "H"})
    assert listed(queue, q="100%_") == ["H"]
    assert listed(queue, q="CLIP", status="cancelled") == ["B"]
    assert listed(queue, q="nothing like it") == []


def test_a_list_tells_metadata_where_it_is_asked_for_and_so_much_of_it_a_page(daemon: Daemon, clip: Path) -> None:
    daemon.client.post("/api/queue/pause")
    for number in range(40):
        metadata = {"number": number, "text": "m" * 60_000}
        made = daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": str(number), "metadata": metadata})
    assert daemon.job(made["id"])["metadata"] == metadata
    plain = daemon.client.get("/api/jobs?limit=200")
    assert len(plain.json()["items"]) == 40
    assert not any("metadata" in job for job in plain.json()["items"])
    for order in ({}, {"order": "upcoming", "status": "queued"}):
        whole = daemon.client.get("/api/jobs", params={"include": "metadata", "limit": 200, **order})
        assert 1 < len(whole.json()["items"]) < 40
        assert len(whole.content) < 1.5 * MAX_METADATA_BYTES
        names = listed(daemon, limit=200, include="metadata", **order)
        assert sorted(names, key=int) == [str(number) for number in range(40)]


def test_what_a_list_tells_of_files(queue: Daemon, clip: Path) -> None:
    queue.submit(clip, clip, spec={"variations": [{"preset": "mp3"}]})
    newest = queue.client.get("/api/jobs?limit=1").json()["items"][0]
    assert (newest["first_source"], newest["total_sources"], newest["has_picture"]) == ("clip.mp4", 2, None)


@pytest.mark.parametrize(
    "query",
    [
        "order=upcoming",
        "order=name&q=x",
        "order=size&paused=true",
        "order=name&cursor=x",
        "order=name&cursor=%FF.1",
        "order=size&cursor=x.1",
        "order=state&cursor=x.1",
        "order=state&cursor=skipped.1",
        "order=upcoming&status=failed",
        "order=upcoming&status=queued&cursor=x",
        "order=upcoming&status=queued&cursor=1.2.3",
        "order=best",
        "include=everything",
        "paused=perhaps",
        "ended=true&status=failed",
        "cursor=-1",
    ],
)
def test_a_strange_query_is_refused(shared_daemon: Daemon, query: str) -> None:
    answer = shared_daemon.client.get(f"/api/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
