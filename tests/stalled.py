"""A disk whose answers stop, and who asks a daemon for everything meanwhile."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import stalling

SOON = 20.0  # seconds, on a busy machine, for an answer of a moment
NO_FOLDER = "0" * 16  # none is watched
TUS = {"Tus-Resumable": "1.0.0"}


class Disk:
    """A mounted folder whose answers stop and go on."""

    def __init__(self, folder: Path, inode: int = 0) -> None:
        """Counts inodes from that one on."""
        self.folder = folder
        command = [sys.executable, stalling.__file__, str(folder), str(inode)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._heard() == "mounted"

    def stall(self, *calls: str) -> int:
        """Stalls these kinds of calls and no others; returns how many hang."""
        assert self._server.stdin
        self._server.stdin.write(" ".join(calls) + "\n")
        self._server.stdin.flush()
        return int(self._heard())

    def end(self) -> None:
        self._server.communicate(timeout=SOON)

    def _heard(self) -> str:
        assert self._server.stdout
        return self._server.stdout.readline().strip()


@contextmanager
def going_on(disk: Disk) -> Iterator[None]:
    """Has the disk answer again afterwards, whatever was found."""
    try:
        yield
    finally:
        disk.stall()


def wish(path: Path, *presets: str, **more: Any) -> dict[str, Any]:
    return {"sources": [{"path": str(path)}], "variations": [{"preset": preset} for preset in presets], **more}


def job_of(client: httpx.Client, path: Path, *presets: str, **more: Any) -> Any:
    answer = client.post("/api/jobs", json=wish(path, *presets, **more))
    assert answer.status_code == 202, answer.text
    return answer.json()


class Asker:
    """Asks for one thing after the other, and remembers how many seconds each answer took."""

    def __init__(self, url: str, token: str, starved: Callable[[], float] = float) -> None:
        """`starved` tells seconds in which others had the processors, so far: they are not counted."""
        self._starved = starved
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=url, headers=headers, trust_env=False, verify=False, timeout=SOON)
        self.took: dict[str, list[float]] = defaultdict(list)

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        began = self._now()
        with self.client.stream(method, path, **more) as answer:
            if "event-stream" not in answer.headers.get("content-type", ""):
                answer.read()
        took = self._now() - began
        assert answer.status_code < 500, answer.text
        self.took[f"{method} " + re.sub(r"/[0-9a-f]{16}(?=/|$)", "/{}", path.partition("?")[0])].append(took)
        return answer

    def _now(self) -> float:
        return time.perf_counter() - self._starved()


def every_verb(ask: Asker, here: Path, done: str) -> None:
    """Uses the daemon in each way there is, of files that lie elsewhere."""
    clip = here / "clip.mp4"
    for path in ("jobs", "queue", "presets", "stats", "events", "webhooks/deliveries", "webhooks/secret", "hooks/runs"):
        ask("GET", f"/api/{path}")
    for path in ("folders", "tokens", "usage", "machines"):
        ask("GET", f"/api/{path}")
    ask("GET", f"/api/folders/{NO_FOLDER}/history")
    ask("POST", "/api/folders/undo", json={"path": "/no/such/film.mkv"})
    for verb in ("scan", "pause", "resume", "retry"):
        ask("POST", f"/api/folders/{NO_FOLDER}/{verb}")
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json", "/docs", "/"):
        ask("GET", path)
    job = f"/api/jobs/{done}"
    source = ask("GET", job).json()["sources"][0]
    variation = f"{job}/variations/{source['variations'][0]['id']}"
    for path in ("download", "thumbnail", "events", f"sources/{source['id']}/download"):
        ask("GET", f"{job}/{path}")
    for path in ("download", "files", "thumbnail", "log", "quality.svg"):
        ask("GET", f"{variation}/{path}")
    spec = {"spec": '{"name": "form", "variations": [{"preset": "mp3"}]}'}
    ask("POST", "/api/jobs", data=spec, files={"files": ("clip.mp4", clip.read_bytes())})
    upload = ask("POST", "/api/uploads", headers={**TUS, "Upload-Length": "4"}).headers["location"]
    ask("HEAD", upload, headers=TUS)
    piece = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    ask("PATCH", upload, headers=piece, content=b"0123")
    ask("GET", f"{upload}/media")
    ask("DELETE", upload, headers=TUS)
    new = ask("POST", "/api/jobs", json=wish(clip, "h264-480p", name="elsewhere")).json()
    job = f"/api/jobs/{new['id']}"
    source = new["sources"][0]
    ask("PATCH", job, json={"priority": 3})
    part = f"sources/{source['id']}"
    for verb in ("pause", "resume", "fail", "retry", f"{part}/cancel", f"{part}/retry", "cancel", "retry"):
        ask("POST", f"{job}/{verb}")
    for verb in ("cancel", "retry", "cancel"):
        ask("POST", f"{job}/variations/{source['variations'][0]['id']}/{verb}")
    for verb in ("pause", "drain", "resume"):
        ask("POST", f"/api/queue/{verb}")
    ask("PATCH", "/api/queue", json={"slots": 2})
    ask("POST", "/api/jobs/cancel?q=form")
    ask("POST", "/api/jobs/retry?q=nothing")
    ask("DELETE", "/api/jobs?q=form")
    ask("DELETE", job)
