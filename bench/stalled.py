"""How long each answer takes while a share does not answer that others wait for, and while it does answer them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench.clips import make_clip
from bench.daemons import Daemon, daemon, wait_until

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from faults.race import GRACE, starved
from stalled import Asker, Disk, every_verb, going_on, job_of

CALLS = ("stat", "open", "read", "readdir")
ROUNDS = 3
JOBS = 12  # each time, of what lies on that share; clients that wait for it are three times as many
SHOWN = 3
LEAST = 0.005  # seconds: what took less is told by its noise


def stalled() -> None:
    """Prints for each call of a file system the slowest answers and how much slower they are. Needs root, to mount."""
    for call in CALLS:
        answering, silent = _answers(call)
        times = sorted(((max(took), route) for route, took in silent.items()), reverse=True)
        ratios = {route: _usual(took) / _usual(answering[route]) for route, took in silent.items()}
        slowest = ", ".join(f"{route} {took * 1e3:.0f} ms" for took, route in times[:SHOWN])
        slower = sorted(ratios, key=ratios.__getitem__, reverse=True)[:SHOWN]
        more = ", ".join(f"{route} {ratios[route]:.1f}" for route in slower)
        print(f"a share stalls at each {call}: the slowest of {sum(map(len, silent.values()))} answers: {slowest}")
        print(f"  against the same while it answers: median {median(ratios.values()):.2f}; {more}")


def _usual(seconds: list[float]) -> float:
    return max(LEAST, median(seconds))


def _answers(call: str) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds by route while it answers and while it does not, in turn; those that others took the processors for are
    not counted."""
    with tempfile.TemporaryDirectory() as name:
        share, here = Path(name) / "share", Path(name) / "here"
        share.mkdir()
        here.mkdir()
        make_clip(share / "clip.mp4", 2)
        make_clip(here / "clip.mp4", 2)
        settings = {"FFSPOOL_SOURCE_ROOTS": f"{share}{os.pathsep}{here}", "FFSPOOL_GRACE": str(GRACE)}
        with _mounted(share) as disk, daemon(Path(name), **settings) as running:
            done = running.ended(job_of(running.client, here / "clip.mp4", "mp3")["id"])["id"]
            token = (Path(name) / "state" / "token").read_text().strip()
            others = partial(starved, running.process.pid)
            asked = (str(running.client.base_url), token, others)
            with Asker(*asked) as answering, Asker(*asked) as silent:
                for _ in range(ROUNDS):
                    for ask, stalls in ((answering, ()), (silent, (call,))):
                        with ThreadPoolExecutor(3 * JOBS) as clients, going_on(disk):
                            _keep_waiting(running, disk, clients, *stalls)
                            every_verb(ask, here, done)
                        running.client.post("/api/jobs/cancel?q=clip").raise_for_status()
            return answering.took, silent.took


@contextmanager
def _mounted(share: Path) -> Iterator[Disk]:
    disk = Disk(share)
    try:
        yield disk
    finally:
        disk.end()


def _keep_waiting(running: Daemon, disk: Disk, clients: ThreadPoolExecutor, *stalls: str) -> None:
    """Has encoders, readers and clients wait for the share, which stalls in these calls."""
    running.client.post("/api/queue/pause").raise_for_status()
    jobs = [job_of(running.client, disk.folder / "clip.mp4", "mp3") for _ in range(JOBS)]
    disk.stall(*stalls)
    running.client.post("/api/queue/resume").raise_for_status()
    for job in jobs:
        clients.submit(running.client.get, f"/api/jobs/{job['id']}/sources/{job['sources'][0]['id']}/download")
        clients.submit(running.client.get, f"/api/jobs/{job['id']}/thumbnail")
        clients.submit(job_of, running.client, disk.folder / "clip.mp4", "mp3")
    wait_until(lambda: disk.stall(*stalls) or stalls in {(), ("readdir",)})
