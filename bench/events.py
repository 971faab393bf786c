"""What 1,000 clients that listen cost: memory, and encode throughput against the same work with nobody listening."""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.clips import make_clip
from bench.daemons import Daemon, daemon, wait_until

CLIENTS = 1000
PAIRS = 2
WORK = {"variations": [{"preset": "refresh", "count": 12, "seed": "bench"}]}


class Crowd:
    """Listeners that only keep what they are sent, so that they cost as little as clients can."""

    def __init__(self, running: Daemon) -> None:
        host, port = urlsplit(str(running.client.base_url)).netloc.split(":")
        token = running.client.headers["authorization"]
        ask = f"GET /api/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n".encode()
        self._selector = selectors.DefaultSelector()
        self.heard = []
        for _ in range(CLIENTS):
            client = socket.create_connection((host, int(port)))
            client.sendall(ask)
            self.heard.append(heard := bytearray())
            self._selector.register(client, selectors.EVENT_READ, heard)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        wait_until(lambda: running.client.get("/api/stats").json()["events"]["subscribers"] == CLIENTS)

    def _listen(self) -> None:
        while not self._done.is_set():
            for key, _ in self._selector.select(0.2):
                key.data.extend(key.fileobj.recv(1 << 16))  # type: ignore[union-attr]

    def close(self) -> None:
        self._done.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def changes(self) -> list[list[int]]:
        """The ids that each client heard, in its order."""
        return [[int(number) for number in re.findall(rb"^id: (\d+)", heard, re.MULTILINE)] for heard in self.heard]


def events() -> None:
    with tempfile.TemporaryDirectory() as name, daemon(folder := Path(name)) as running:
        clip = make_clip(folder / "clip.mp4", 4, size="640x360")
        _encode(running, clip)  # warms caches
        walls, costs, listening = list[float](), list[float](), list[float]()
        machine = len(os.sched_getaffinity(0))
        peak = 0.0
        for _ in range(PAIRS):
            alone, cpu_alone = _encode(running, clip)
            with _crowd(running) as crowd:
                own = time.process_time()
                crowded, cpu_crowded = _encode(running, clip)
                listening.append((time.process_time() - own) / (crowded * machine))
                peak = max(peak, psutil.Process(running.process.pid).memory_info().rss / 1e6)
                _check(crowd)
            walls.append(crowded / alone)
            costs.append((cpu_crowded - cpu_alone) / (crowded * machine))
        runs = ", ".join(f"{wall:.3f}" for wall in walls)
        print(
            f"{CLIENTS} clients on a busy queue: each heard every change in order, at {peak:.0f} MB resident; they "
            f"took {statistics.median(costs):.1%} of the machine in the daemon and {statistics.median(listening):.1%} "
            f"in the clients themselves; the same encodes took {statistics.median(walls):.3f} × as long (runs: {runs})"
        )


@contextmanager
def _crowd(running: Daemon) -> Iterator[Crowd]:
    crowd = Crowd(running)
    try:
        yield crowd
    finally:
        crowd.close()
        wait_until(lambda: running.client.get("/api/stats").json()["events"]["subscribers"] == 0)


def _encode(running: Daemon, clip: Path) -> tuple[float, float]:
    """Wall seconds of the work, and CPU seconds of the daemon meanwhile."""
    before = psutil.Process(running.process.pid).cpu_times()
    began = time.perf_counter()
    with clip.open("rb") as file:
        answer = running.client.post("/api/jobs", data={"spec": json.dumps(WORK)}, files={"files": (clip.name, file)})
    job = answer.raise_for_status().json()["id"]
    wait_until(lambda: running.job(job)["status"] == "completed", every=0.1)
    took, after = time.perf_counter() - began, psutil.Process(running.process.pid).cpu_times()
    used = after.user + after.system - before.user - before.system
    return took, used


def _check(crowd: Crowd) -> None:
    """Raises unless every client hears of the same changes, and of each that the log holds."""
    least = 2 * WORK["variations"][0]["count"]  # type: ignore[operator]
    wait_until(lambda: least < min(lengths := [len(heard) for heard in crowd.changes()]) == max(lengths))
    first, *others = crowd.changes()
    assert first == list(range(first[0], first[-1] + 1)), "a change was left out, or came out of order"
    assert all(other == first for other in others), "clients heard different things"
