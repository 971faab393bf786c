"""The event feed: every change once and in order, whatever happens to the client or to the daemon."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest
from conftest import PATIENCE, Daemon, wait_until


class Event(NamedTuple):
    id: int | None
    type: str
    data: Any


def parse(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "event" in fields:
                number = int(fields["id"]) if "id" in fields else None
                yield Event(number, fields["event"], json.loads(fields["data"]))
            fields = {}


class Listener:
    """Reads a stream in a thread, until it ends or is closed."""

    def __init__(self, daemon: Daemon, path: str = "/api/events", after: int | None = None) -> None:
        headers = {"Authorization": f"Bearer {daemon.token}"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        self.seen: list[Event] = []
        self._client = httpx.Client(
            base_url=daemon.url, headers=headers, timeout=PATIENCE, trust_env=False, verify=False
        )
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(path,))
        self._thread.start()
        assert self._up.wait(PATIENCE)

    def _listen(self, path: str) -> None:
        with self._client, self._client.stream("GET", path) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            next(lines)
            self._up.set()
            try:
                for event in parse(lines):
                    self.seen.append(event)  # one by one: the test looks at them as they come
            except httpx.HTTPError:
                return

    def changes(self) -> list[Event]:
        return [event for event in self.seen if event.id is not None]

    def end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the stream goes on after the daemon stopped"


def log(daemon: Daemon, after: int = 0, until: Callable[[Event], bool] = lambda _: False) -> list[Event]:
    """What the stream replays after an id, up to the event for which `until` holds."""
    found: list[Event] = []
    with daemon.client.stream("GET", "/api/events", headers={"Last-Event-ID": str(after)}) as answer:
        for event in parse(answer.iter_lines()):
            found.append(event)
            if until(event):
                return found
    return found


def is_job(job: str, status: str) -> Callable[[Event], bool]:
    return lambda event: event.type == "job" and (event.data["id"], event.data["status"]) == (job, status)


def test_every_change_is_told_once_in_order_with_growing_ids(daemon: Daemon, clip: Path) -> None:
    listener = Listener(daemon)
    job = daemon.submit(clip, presets=["mp3", "h264-480p"])["id"]
    daemon.wait_for(job)
    wait_until(lambda: any(is_job(job, "completed")(event) for event in listener.seen), "the last event")
    ids = [event.id for event in listener.changes()]
    assert ids == sorted(set(ids))
    assert [e.data["status"] for e in listener.seen if e.type == "job"] == ["queued", "processing", "completed"]
    states = defaultdict(list)
    for event in listener.seen:
        if event.type == "variation":
            states[event.data["id"]].append(event.data["status"])
    assert list(states.values()) == [["processing", "completed"]] * 2
    assert [e.data["was"] for e in listener.seen if e.type == "job"] == [None, "queued", "processing"]
    page = (Path(__file__).resolve().parents[1] / "docs" / "http.md").read_text()
    told = {
        row[0]: set(re.findall(r"`(\w+)`", row[1])) for row in re.findall(r"^\| `(\w+)` ?²? \| (.*) \|$", page, re.M)
    }
    for event in listener.seen:
        assert set(event.data) == told[event.type]
    assert daemon.stop() == 0
    listener.end()


def test_progress_is_monotonic_never_above_100_and_not_stored(daemon: Daemon, clip: Path) -> None:
    listener = Listener(daemon)
    job = daemon.submit(clip, presets=["h264-480p"])["id"]
    daemon.wait_for(job)
    wait_until(lambda: any(is_job(job, "completed")(event) for event in listener.seen), "the last event")
    told = [event.data["progress"] for event in listener.seen if event.type == "progress"]
    assert told == sorted(told)
    assert told[-1] == pytest.approx(100, abs=10), "the last progress before the end was not sent"
    assert max(told) <= 100
    assert all(event.id is None for event in listener.seen if event.type == "progress")
    assert [event.type for event in log(daemon, until=is_job(job, "completed"))].count("progress") == 0


def test_a_client_that_comes_back_misses_nothing_even_across_a_crash(
    start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    listener = Listener(daemon)
    first = daemon.submit(clip, presets=["mp3"])["id"]
    wait_until(lambda: any(is_job(first, "completed")(event) for event in listener.seen), "the first job's end")
    second = daemon.submit(long_clip)["id"]
    daemon.wait_for_encoder()
    daemon.stop(signal.SIGKILL)
    listener.end()
    daemon.start()
    daemon.client.post(f"/api/jobs/{second}/cancel")
    seen = listener.changes()
    rest = log(daemon, after=seen[-1].id or 0, until=is_job(second, "cancelled"))
    whole = log(daemon, until=is_job(second, "cancelled"))
    assert seen + [event for event in rest if event.id] == [event for event in whole if event.id]
    # "processing" twice: the crash in between is told as its way back to the queue
    states = [e.data["status"] for e in whole if e.type == "variation" and e.data["job"] == second]
    assert states in (["processing", "queued", "processing", "cancelled"], ["processing", "queued", "cancelled"])


def test_a_client_that_was_told_nothing_yet_comes_back_without_a_gap(daemon: Daemon, clip: Path) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    with daemon.client.stream("GET", "/api/events") as answer:
        first = next(answer.iter_lines())
    assert first.startswith("id: ")
    job = daemon.submit(clip, presets=["mp3"])["id"]
    news = log(daemon, after=int(first.removeprefix("id: ")), until=is_job(job, "completed"))
    jobs = [(event.data["id"], event.data["status"]) for event in news if event.type == "job"]
    assert jobs == [(job, "queued"), (job, "processing"), (job, "completed")]


def test_a_jobs_stream_is_about_that_job_alone(daemon: Daemon, clip: Path) -> None:
    first = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    listener = Listener(daemon, f"/api/jobs/{first}/events", after=0)
    second = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    daemon.client.delete(f"/api/jobs/{first}")
    wait_until(lambda: any(event.type == "deleted" for event in listener.seen), "the deletion")
    assert {event.data.get("job", event.data["id"]) for event in listener.seen} == {first}
    assert second != first
    assert daemon.client.get("/api/jobs/nothing/events").status_code == 404
    assert daemon.client.get("/api/events", headers={"Last-Event-ID": "x"}).status_code == 422
    daemon.stop()
    listener.end()


@pytest.mark.thorough
def test_a_client_that_does_not_read_costs_little_and_misses_nothing(
    start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    blocker = daemon.submit(long_clip)["id"]
    host, port = daemon.url.removeprefix("http://").split(":")
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect((host, int(port)))
        head = f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token}\r\n\r\n"
        lazy.sendall(head.encode())
        assert lazy.recv(16).startswith(b"HTTP/1.1 200")
        spec = {"variations": [{"preset": "refresh", "count": 20, "seed": str(n)} for n in range(10)]}
        before = psutil.Process(daemon.process.pid).memory_info().rss
        for _ in range(10):
            job = daemon.submit(clip, spec=spec)["id"]
            daemon.client.post(f"/api/jobs/{job}/cancel")
        assert psutil.Process(daemon.process.pid).memory_info().rss - before < 30e6
        lazy.settimeout(PATIENCE)
        received = b""
        while received.count(b"event: variation") < 2000:
            chunk = lazy.recv(65536)
            assert chunk, "the stream ended before all was told"
            received += chunk
    ids = [int(line[4:]) for line in received.decode().split("\n")[:-1] if line.startswith("id: ")]
    assert ids == sorted(set(ids))
    daemon.client.post(f"/api/jobs/{blocker}/cancel")


def test_a_stop_does_not_wait_for_listeners(daemon: Daemon) -> None:
    listener = Listener(daemon)
    assert daemon.stop() == 0
    listener.end()
    assert "graceful shutdown exceeded" not in daemon.log()
