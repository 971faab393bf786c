"""Clients that use a daemon all at once: submit, upload in pieces, look, fetch, cancel, retry, delete, listen."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
from surroundings import ALL_FAULTS

from faults.ledger import Job, Ledger, Upload, Wish

CLIENTS = 4
REST = 0.05  # seconds for which a client leaves a busy daemon alone: it would only look, again and again
LIVE_AT_MOST = 5  # jobs that are not ended: beyond it clients rather look than submit
TUS = {"Tus-Resumable": "1.0.0"}
EXPECTED = {200, 201, 202, 204, 206, 404, 409, 410, 423, 503, 507}
VARIATIONS = (
    [{"preset": "mp3"}],
    [{"preset": "h264-480p", "speed": "ultrafast"}],
    [{"preset": "m4a"}, {"preset": "h264-480p", "speed": "ultrafast"}],
    [{"preset": "refresh", "count": 2, "seed": "x"}, {"preset": "mp3"}],
)


Verb = Callable[[httpx.Client, Random], None]


def load_seconds() -> float:
    """How long clients are at work under one attack; in the selection only until all of them did something."""
    return 3.0 if ALL_FAULTS in os.environ else 1.5


@dataclass(frozen=True)
class Clips:
    """What is sent: half a second that is encoded at once, and a source that takes a while."""

    short: Path
    long: Path

    def of(self, wish: Wish) -> Path:
        return self.long if wish.long else self.short


class Load:
    """Runs while it is entered, whatever becomes of the daemon."""

    def __init__(
        self,
        url: str,
        token: str,
        ledger: Ledger,
        clips: Clips,
        seed: str,
        *,
        clients: int = CLIENTS,
        live: int = LIVE_AT_MOST,
    ) -> None:
        self._address: dict[str, Any] = {
            "base_url": url,
            "headers": {"Authorization": f"Bearer {token}"},
            "timeout": 30.0,
            "trust_env": False,
            "verify": False,
        }
        self.ledger = ledger
        self._clips = clips
        self._live = live
        self._over = threading.Event()
        self._randoms = [Random(f"{seed}/{number}") for number in range(clients)]
        self._pool = ThreadPoolExecutor(clients + 1)
        self._work: list[Future[None]] = []

    def __enter__(self) -> Load:
        self._work = [
            self._pool.submit(self._until_over, partial(self._act, random=random)) for random in self._randoms
        ]
        self._work.append(self._pool.submit(self._until_over, self._hear))
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()
        for client in self._work:
            client.result()

    # Clients

    def _until_over(self, act: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(**self._address) as http:
            while not self._over.is_set():
                try:
                    act(http)
                except httpx.TransportError:  # what was asked is in doubt
                    self._over.wait(0.02)

    def _act(self, http: httpx.Client, random: Random) -> None:
        with suppress(IndexError):
            self._submit(http, self.ledger.again.pop())
        verbs = self._verbs()
        random.choices(list(verbs), list(verbs.values()))[0](http, random)

    def _verbs(self) -> dict[Verb, int]:
        """What a client may do, by how often it does."""
        return {
            self._new_job: 6, self._new_upload: 2, self._look: 5, self._fetch: 3, self._fetch_all: 1,
            self._cancel: 3, self._cancel_one: 2, self._retry: 2, self._delete: 2,
        }  # fmt: skip

    def _ask(self, http: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        answer = http.request(method, path, **more)
        if answer.status_code not in EXPECTED:
            self.ledger.surprises.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def _new_job(self, http: httpx.Client, random: Random) -> None:
        if self._is_busy(http):
            self._over.wait(REST)
        else:
            self._submit(http, self.ledger.wish(random.choice(VARIATIONS), long=random.random() < 0.3))

    def _is_busy(self, http: httpx.Client) -> bool:
        stats = self._ask(http, "GET", "/api/stats")
        jobs = stats.json()["jobs"] if stats.status_code == 200 else {}
        return bool(jobs.get("queued", 0) + jobs.get("processing", 0) > self._live)

    def _submit(self, http: httpx.Client, wish: Wish) -> None:
        """Sent again after a crash, it is the same request with the same key: it makes one job."""
        spec = {"name": wish.name, "variations": wish.variations}
        more: dict[str, Any] = {"headers": {"Idempotency-Key": wish.name}}
        if wish.upload:
            more["json"] = {**spec, "sources": [{"upload": wish.upload}]}
        else:
            more["data"] = {"spec": json.dumps(spec)}
            more["files"] = [("files", ("clip.mp4", self._clips.of(wish).read_bytes()))]
        answer = None
        try:
            answer = self._ask(http, "POST", "/api/jobs", **more)
        finally:
            if answer is None or answer.status_code in {409, 503, 507}:
                self.ledger.again.append(wish)
        if answer.status_code == 202:
            self.ledger.acknowledge(wish, answer.json())
            self.ledger.happened("submitted")

    def _new_upload(self, http: httpx.Client, random: Random) -> None:
        content = self._clips.short.read_bytes()
        name = base64.b64encode(b"clip.mp4").decode()
        head = {**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
        answer = self._ask(http, "POST", "/api/uploads", headers=head)
        if answer.status_code != 201:
            return
        place = answer.headers["location"]
        upload = self.ledger.uploads[place.rpartition("/")[2]] = Upload()
        while upload.offset < len(content):
            piece = content[upload.offset : upload.offset + random.choice([5000, len(content)])]
            head = {**TUS, "Upload-Offset": str(upload.offset), "Content-Type": "application/offset+octet-stream"}
            answer = self._ask(http, "PATCH", place, content=piece, headers=head)
            if answer.status_code != 204:
                return
            upload.offset = int(answer.headers["upload-offset"])
        upload.taken = True
        self._submit(http, self.ledger.wish([{"preset": "mp3"}], long=False, upload=place.rpartition("/")[2]))

    def _look(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self._see(job, self._ask(http, "GET", f"/api/jobs/{job.id}"))

    def _see(self, job: Job, answer: httpx.Response) -> None:
        if answer.status_code in {404, 410} and not job.deleting:
            self.ledger.lies.append((1, f"{job.id} was acknowledged, and then answered {answer.status_code}"))
        elif answer.status_code == 200:
            for variation in (variation for source in answer.json()["sources"] for variation in source["variations"]):
                if variation["status"] == "completed":
                    job.completed[variation["id"]] = (variation["bytes"], variation["sha256"])

    def _fetch(self, http: httpx.Client, random: Random) -> None:
        job = self.ledger.pick(random)
        if job is None or not job.completed:
            return
        variation, (size, sha256) = random.choice(list(job.completed.items()))
        answer = self._ask(http, "GET", f"/api/jobs/{job.id}/variations/{variation}/download")
        if answer.status_code == 200:
            if (len(answer.content), hashlib.sha256(answer.content).hexdigest()) != (size, sha256):
                self.ledger.lies.append((4, f"the download of {variation} is not what was said to be completed"))
        elif not job.deleting and answer.status_code not in {503, 507}:
            self.ledger.lies.append((5, f"{variation} was completed, and its download answers {answer.status_code}"))

    def _fetch_all(self, http: httpx.Client, random: Random) -> None:
        if (job := self.ledger.pick(random)) and job.completed:
            answer = self._ask(http, "GET", f"/api/jobs/{job.id}/download")
            if answer.status_code == 200 and (fault := _fault_of_zip(answer.content)):
                self.ledger.lies.append((4, f"the zip of {job.id}: {fault}"))

    def _cancel(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            self.ledger.happened("cancelling")
            answer = self._ask(http, "POST", f"/api/jobs/{job.id}/cancel")
            if answer.status_code == 200 and answer.json()["status"] == "cancelled" and not job.retries:
                job.kept = answer.json()["completed_variations"]

    def _cancel_one(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            variation = random.choice(job.variations)
            answer = self._ask(http, "POST", f"/api/jobs/{job.id}/variations/{variation}/cancel")
            if answer.status_code == 200 and answer.json()["status"] == "cancelled" and not job.retries:
                job.cancelled.add(variation)

    def _retry(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            job.retries += 1
            self._ask(http, "POST", f"/api/jobs/{job.id}/retry")

    def _delete(self, http: httpx.Client, random: Random) -> None:
        if job := self.ledger.pick(random):
            job.deleting = True
            job.deleted = self._ask(http, "DELETE", f"/api/jobs/{job.id}").status_code == 204

    # The listener

    def _hear(self, http: httpx.Client) -> None:
        """Events after the last one heard, until the load is over or the daemon is gone."""
        after = {"Last-Event-ID": str(self.ledger.last_event)}
        with http.stream("GET", "/api/events", headers=after, timeout=httpx.Timeout(30.0, read=0.5)) as answer:
            if answer.status_code == 200:
                for event in events(answer.iter_lines()):
                    if event.keys() >= {"id", "event"}:
                        self.ledger.events.append((int(event["id"]), event["event"], event["data"]))
                        self.ledger.happened(json.loads(event["data"]).get("status", event["event"]))
                    if self._over.is_set():
                        return


def events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Server-Sent Events by field."""
    event: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        if colon and name:
            event[name] = value
        elif not line and event:
            yield event
            event = {}


def _fault_of_zip(content: bytes) -> str | None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        promised = {
            f"{variation['sha256']}"
            for source in manifest["job"]["sources"]
            for variation in source["variations"]
            if variation["status"] == "completed"
        }
        held = {hashlib.sha256(archive.read(name)).hexdigest() for name in manifest["files"]}
    return None if held <= promised else f"it holds files that are not completed: {held - promised}"
