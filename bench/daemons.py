"""A daemon in a process of its own, for measuring."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from daemon.states import ENDED

QUIET_SECONDS = 0.5
QUIET_SHARE = 0.01  # of a core


class Daemon:
    """`ffspool serve` with a state dir of its own, and a client that has its token."""

    def __init__(self, folder: Path, **environment: str) -> None:
        state = folder / "state"
        settings = {"FFSPOOL_STATE_DIR": str(state), "FFSPOOL_PORT": "0", "FFSPOOL_MAX_DISK_USE": "1"}
        with (folder / "daemon.log").open("ab") as log:
            command = [sys.executable, "-m", "daemon.cli", "serve"]
            self.process = psutil.Popen(command, env={**os.environ, **settings, **environment}, stdout=log, stderr=log)
        wait_until((state / "address").exists)
        self.client = httpx.Client(
            base_url=(state / "address").read_text().strip(),
            headers={"Authorization": f"Bearer {(state / 'token').read_text().strip()}"},
            timeout=600,
            trust_env=False,
        )

    def submit(self, path: Path, preset: str) -> Any:
        with path.open("rb") as file:
            answer = self.client.post("/api/jobs", data={"preset": preset}, files={"files": (path.name, file)})
        return answer.raise_for_status().json()

    def job(self, job: str) -> Any:
        return self.client.get(f"/api/jobs/{job}").raise_for_status().json()

    def ended(self, job: str) -> Any:
        """The job as it is once it has ended. It is listened to until then: asking would cost what is measured."""
        told = ""
        with self.client.stream("GET", f"/api/jobs/{job}/events", headers={"Last-Event-ID": "0"}) as events:
            for line in events.iter_lines():
                kind, _, text = line.partition(": ")
                told = text if kind == "event" else told
                if kind == "data" and told == "job" and json.loads(text)["status"] in ENDED:
                    return self.job(job)
        raise RuntimeError("the daemon ended before the job did")

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *self.process.children(recursive=True)]

    def settle(self) -> None:
        """Waits until it idles: its prober has loaded the decoders, and what an earlier daemon left is seen to."""
        wait_until(lambda: self.share_of_a_core(QUIET_SECONDS) < QUIET_SHARE)

    def share_of_a_core(self, seconds: float) -> float:
        """What it and its prober use in the seconds to come."""
        before = cpu_seconds(self.family())
        time.sleep(seconds)
        return (cpu_seconds(self.family()) - before) / seconds

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def daemon(folder: Path, **environment: str) -> Iterator[Daemon]:
    """A daemon whose state dir is `state` in that folder; it ends with the block."""
    running = Daemon(folder, **environment)
    try:
        yield running
    finally:
        running.stop()


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Of all their threads, as the scheduler counts them: what wakes for less than a tick would else cost nothing."""
    threads = (file for process in processes for file in Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in threads) / 1e9


def wait_until(condition: Callable[[], Any], every: float = 0.002, seconds: float = 600) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("the daemon did not do what the bench waits for")
        time.sleep(every)
    return value
