"""A token stores what it may and no more, outputs to come included; and as many variations are encoded at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import PATIENCE, PLAIN, Daemon, wait_until
from file_host import FileHost, hosting
from test_fetch import endless, open_to
from test_tokens import ended, submitted

MB = 1_000_000
ALL_OF_IT = {"variations": [{"preset": "archive-ffv1"}]}  # some 25 MB are foreseen of the clip


@pytest.fixture(scope="module")
def host(clip: Path) -> Iterator[FileHost]:
    with hosting(clip.read_bytes()) as host:
        yield host


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, host: FileHost) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("own room") / "state", *open_to(host))
    yield daemon
    daemon.stop()


@pytest.fixture
def given(daemon: Daemon) -> Iterator[Callable[..., httpx.Client]]:
    """Gives a client with a new token of limits; what it made is gone afterwards."""
    opened: list[httpx.Client] = []

    def give(name: str, **limits: int) -> httpx.Client:
        token = daemon.client.post("/api/tokens", json={"name": name, **limits}).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        opened.append(httpx.Client(base_url=daemon.url, headers=headers, timeout=PATIENCE, **PLAIN))
        return opened[-1]

    yield give
    for one in opened:
        one.close()
    daemon.client.delete("/api/jobs").raise_for_status()


def fetched(client: httpx.Client, url: str) -> Any:
    answer = client.post("/api/jobs", json={"sources": [{"url": url}], "variations": [{"preset": "mp3"}]})
    assert answer.status_code == 202, answer.text
    return ended(client, answer.json()["id"])


def test_a_file_that_does_not_say_how_long_it_is_ends_at_its_tokens_limit(
    host: FileHost, given: Callable[..., httpx.Client]
) -> None:
    host.answers, came = [endless], len(host.came)
    job = fetched(given("endless", max_stored_bytes=3 * MB), host.url())
    [source] = job["sources"]
    assert job["status"] == "failed"
    assert "of which the limit is 3000000 bytes" in source["fetch_error"]
    assert "waits for room" not in source["fetch_error"]
    assert len(host.came) == came + 1, "it was asked for again"


def test_a_file_that_could_never_be_stored_fails_in_words(host: FileHost, given: Callable[..., httpx.Client]) -> None:
    job = fetched(given("announced", max_stored_bytes=1000), host.url())
    assert "of which the limit is 1000 bytes" in job["sources"][0]["fetch_error"]


def test_what_outputs_will_come_to_counts_when_a_job_is_made(given: Callable[..., httpx.Client], clip: Path) -> None:
    client = given("foreseeing", max_stored_bytes=clip.stat().st_size + MB)
    with clip.open("rb") as file:
        answer = client.post("/api/jobs", data={"spec": json.dumps(ALL_OF_IT)}, files={"files": file})
    assert (answer.status_code, answer.json()["code"]) == (429, "limit_reached")
    assert "foreseen for outputs" in answer.json()["detail"]
    assert client.get("/api/jobs").json()["items"] == []
    assert ended(client, submitted(client, clip)["id"])["status"] == "completed"


def test_what_was_not_read_when_the_job_was_made_waits_for_room_of_its_token(
    host: FileHost, given: Callable[..., httpx.Client], clip: Path
) -> None:
    client = given("waiting", max_stored_bytes=clip.stat().st_size + MB)
    job = client.post("/api/jobs", json={"sources": [{"url": host.url()}], **ALL_OF_IT}).json()["id"]

    def waits() -> bool:
        why = client.get(f"/api/jobs/{job}").json()["sources"][0]["variations"][0]["waiting"]
        return "it waits for jobs of this token to be deleted" in (why or "")

    wait_until(waits, "it to be set aside")
    other = given("beside")
    assert ended(other, submitted(other, clip)["id"])["status"] == "completed"


def test_a_token_has_as_many_variations_encoded_at_once_as_it_may(
    daemon: Daemon, given: Callable[..., httpx.Client], clip: Path
) -> None:
    """Also where several of one source could share a process."""
    free, bounded = given("free"), given("bounded", max_encodes=2)
    spec = {"variations": [{"preset": "h264-480p", "short_side": 120 + 2 * number} for number in range(6)]}
    daemon.client.patch("/api/queue", json={"slots": 4}).raise_for_status()
    sharing = dict[str, int]()
    for name, client in {"free": free, "bounded": bounded}.items():
        made = ended(client, submitted(client, clip, spec)["id"])["sources"][0]["variations"]
        assert {one["status"] for one in made} == {"completed"}
        sharing[name] = max(one["sharing"] for one in made)
    daemon.client.patch("/api/queue", json={"slots": None}).raise_for_status()
    assert sharing["free"] > 2
    assert sharing["bounded"] <= 2
