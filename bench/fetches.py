"""A large file by URL against `curl` from the same bare server, and what the daemon's memory rose by."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.daemons import Daemon, cpu_seconds, daemon, wait_until
from bench.rounds import ratio, turned
from bench.transfers import bare

ROUNDS = 5
SIZE = 1024**3  # bytes
BLOCK = 1024**2


def fetches(size: int = SIZE) -> None:
    """Both write what comes, and make it durable."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, copy = folder / "film", folder / "copy"
        with file.open("wb") as out:
            for _ in range(size // BLOCK):
                out.write(bytes(BLOCK))
        with bare(file, folder / "sink") as url:
            flags = {"FFSPOOL_FETCH_ALLOW_PRIVATE": "true", "FFSPOOL_FETCH_PORTS": str(urlsplit(url).port)}
            with daemon(folder, **flags) as running:
                running.settle()
                _compete(running, url, copy, size)


def _compete(running: Daemon, url: str, copy: Path, size: int) -> None:
    process = psutil.Process(running.process.pid)
    before = process.memory_info().rss
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # resets the kernel's peak
    took, cpu = defaultdict[str, list[float]](list), list[float]()
    curl = ["sh", "-c", 'curl -sS -o "$0" "$1" && sync "$0"', str(copy), url]
    for turn in range(ROUNDS):
        for what in turned(["fetch", "curl"], turn):
            began, spent = time.perf_counter(), cpu_seconds([process])
            if what == "curl":
                subprocess.run(curl, check=True)
            else:
                job = _fetched(running, url, size)
                cpu.append(cpu_seconds([process]) - spent)
            took[what].append(time.perf_counter() - began)
            if what == "fetch":
                running.client.delete(f"/api/jobs/{job}").raise_for_status()
            copy.unlink(missing_ok=True)
    peak = int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    print(
        f"{size >> 20} MiB by URL: {size / statistics.median(took['fetch']) / 1e6:.0f} MB/s, "
        f"{ratio(took['curl'], took['fetch']):.2f} × curl and sync; {statistics.median(cpu):.2f} s of the daemon's CPU"
    )
    print(f"the daemon's memory rose by {(peak - before) / 1e6:.0f} MB")


def _fetched(running: Daemon, url: str, size: int) -> str:
    """The job, once its file is here whole. It is no film, which is found out in no time."""
    wish = {"sources": [{"url": url}], "variations": [{"preset": "mp3"}]}
    job = str(running.client.post("/api/jobs", json=wish).raise_for_status().json()["id"])
    [source] = wait_until(lambda: (s := running.job(job)["sources"])[0]["status"] != "fetching" and s, 0.02)
    assert source["bytes"] == size, source
    return job
