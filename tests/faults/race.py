"""Clients that race by every verb there is, and how long each answer took, by route."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx

from faults.ledger import Job
from faults.load import TUS, Load, Verb

CLIENTS = 30
LIVE = 20  # jobs that are not ended
GRACE = 0.5  # seconds that a process is given at each stage of its end
PROMPT = 1.0  # seconds
ENDING = re.compile(r"(POST|DELETE) .*(cancel|fail|pause|jobs|{})$")  # may wait for the end of a process
IDENTIFIER = re.compile(r"/[0-9a-f]{16}(?=/|$)")
MICROSECONDS = 1e6


class Answer(NamedTuple):
    """`seconds` from the request to the end of its answer, of which the machine had no time for daemon or client."""

    route: str
    status: int
    seconds: float
    starved: float


class Race(Load):
    """A load of all verbs. `answers` holds each answer."""

    def __init__(self, *arguments: Any, pid: int, **more: Any) -> None:
        """`pid` is the daemon's."""
        super().__init__(*arguments, clients=CLIENTS, live=LIVE, **more)
        self._pid = pid
        self.answers: list[Answer] = []

    def __exit__(self, *_: object) -> None:
        super().__exit__(*_)
        with httpx.Client(**self._address) as http:
            http.post("/api/queue/resume").raise_for_status()

    def late(self) -> list[Answer]:
        """Answers that took longer than may be, the machine's own share of it not counted."""
        return [answer for answer in self.answers if answer.seconds - answer.starved > _allowed(answer.route)]

    def by_route(self) -> dict[str, list[float]]:
        """Sorted seconds."""
        routes = defaultdict[str, list[float]](list)
        for answer in self.answers:
            routes[answer.route].append(answer.seconds)
        return {route: sorted(routes[route]) for route in sorted(routes)}

    def _ask(self, http: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        began, before = time.perf_counter(), starved(self._pid)
        answer = super()._ask(http, method, path, **more)
        took, others = time.perf_counter() - began, starved(self._pid) - before
        self.answers.append(Answer(_route(method, path), answer.status_code, took, others))
        return answer

    # More verbs

    def _verbs(self) -> dict[Verb, int]:
        return super()._verbs() | {
            self._list: 3, self._stats: 2, self._health: 2, self._patch: 2, self._pause: 2, self._pause_all: 1,
            self._cancel_source: 1, self._fail: 1, self._log: 3, self._thumbnails: 3, self._source: 2,
            self._cancel_by_name: 1, self._delete_by_name: 1, self._forget_upload: 1,
        }  # fmt: skip

    def _list(self, http: httpx.Client, random: Random) -> None:
        self._ask(http, "GET", "/api/jobs?limit=50" + random.choice(["", "&status=processing", "&status=completed"]))

    def _stats(self, http: httpx.Client, random: Random) -> None:
        self._ask(http, "GET", random.choice(["/api/stats", "/metrics", "/api/presets", "/api/queue"]))

    def _health(self, http: httpx.Client, random: Random) -> None:
        self._ask(http, "GET", random.choice(["/healthz", "/readyz"]))

    def _patch(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self._ask(http, "PATCH", f"/api/jobs/{job.id}", json={"priority": random.randint(-5, 5)})

    def _pause(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self._ask(http, "POST", f"/api/jobs/{job.id}/pause")
            self._over.wait(random.random() / 10)
            self._ask(http, "POST", f"/api/jobs/{job.id}/resume")

    def _pause_all(self, http: httpx.Client, random: Random) -> None:
        self._ask(http, "POST", random.choice(["/api/queue/pause", "/api/queue/drain"]))
        self._over.wait(random.random() / 10)
        self._ask(http, "POST", "/api/queue/resume")

    def _cancel_source(self, http: httpx.Client, random: Random) -> None:
        if (job := self.ledger.pick(random)) and (source := self._source_of(http, job)):
            self._ask(http, "POST", f"/api/jobs/{job.id}/sources/{source}/cancel")

    def _fail(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self._ask(http, "POST", f"/api/jobs/{job.id}/fail")

    def _log(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self._ask(http, "GET", f"/api/jobs/{job.id}/variations/{random.choice(job.variations)}/log")

    def _thumbnails(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self._ask(http, "GET", f"/api/jobs/{job.id}/thumbnail")
            self._ask(http, "GET", f"/api/jobs/{job.id}/variations/{random.choice(job.variations)}/thumbnail")

    def _source(self, http: httpx.Client, random: Random) -> None:
        if (job := self.ledger.pick(random)) and (source := self._source_of(http, job)):
            self._ask(http, "GET", f"/api/jobs/{job.id}/sources/{source}/download")

    def _source_of(self, http: httpx.Client, job: Job) -> str | None:
        answer = self._ask(http, "GET", f"/api/jobs/{job.id}")
        self._see(job, answer)
        return answer.json()["sources"][0]["id"] if answer.status_code == 200 else None

    def _cancel_by_name(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self._ask(http, "POST", "/api/jobs/cancel", params={"q": job.name})

    def _delete_by_name(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            job.deleting = True
            self._ask(http, "DELETE", "/api/jobs", params={"q": job.name})

    def _forget_upload(self, http: httpx.Client, random: Random) -> None:
        answer = self._ask(http, "POST", "/api/uploads", headers={**TUS, "Upload-Length": str(random.randint(1, 9))})
        if answer.status_code == 201:
            self._ask(http, "HEAD", answer.headers["location"], headers=TUS)
            self._ask(http, "DELETE", answer.headers["location"], headers=TUS)


def _allowed(route: str) -> float:
    return 2 * GRACE + 1 if ENDING.match(route) else PROMPT


def _route(method: str, path: str) -> str:
    return f"{method} {IDENTIFIER.sub('/{}', path.partition('?')[0])}"


def starved(pid: int) -> float:
    """Seconds that the loop of that daemon and this thread could have run and had no processor, so far."""
    return sum(map(_waited, (f"{pid}/task/{pid}", f"self/task/{threading.get_native_id()}")))


def _waited(thread: str) -> float:
    return int(Path(f"/proc/{thread}/schedstat").read_text().split()[1]) / 1e9


def percentile(seconds: list[float], share: float) -> float:
    """Of sorted ones: no more than `1 - share` of them are greater."""
    return seconds[min(len(seconds) - 1, int(len(seconds) * share))]


def table(routes: dict[str, list[float]]) -> str:
    """A line for each route, in milliseconds, the slowest last."""
    every = sorted(one for seconds in routes.values() for one in seconds)
    rows = sorted(routes.items(), key=lambda row: row[1][-1])
    lines = [f"{'':52}{'n':>7}{'median':>8}{'99 %':>8}{'99.9 %':>8}{'most':>8}"]
    for name, seconds in [*rows, ("all", every)]:
        figures = [percentile(seconds, share) * 1e3 for share in (0.5, 0.99, 0.999, 1)]
        lines.append(f"{name:52}{len(seconds):>7}" + "".join(f"{figure:8.0f}" for figure in figures))
    return "\n".join(lines)
