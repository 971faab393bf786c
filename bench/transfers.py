"""A large file up against `cp`, down and in a zip against `curl file://`, and all against a bare server."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.clips import make_noise
from bench.daemons import cpu_seconds, daemon, wait_until
from bench.rounds import ratio, turned

ROUNDS = 5
RIVALS = {"up": "cp and sync", "down": "curl file://", "in a zip": "curl file://"}


def transfers() -> None:
    """Besides, what the daemon's memory grew by, and its CPU."""
    with tempfile.TemporaryDirectory() as name, daemon(folder := Path(name)) as running:
        file, copy, answer = folder / "film.mkv", folder / "copy", folder / "answer"
        make_noise(file)
        curl = ["curl", "-sS", "-o"]
        ask = ["curl", "-sS", "-H", f"Authorization: {running.client.headers['authorization']}", "-o"]
        jobs = f"{running.client.base_url}/api/jobs"
        process = psutil.Process(running.process.pid)
        before = process.memory_info().rss
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # resets the kernel's peak
        took, used = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)

        def timed(what: str, *command: str | Path) -> None:
            began, cpu = time.perf_counter(), cpu_seconds([process])
            subprocess.run(command, check=True)
            took[what].append(time.perf_counter() - began)
            used[what].append(cpu_seconds([process]) - cpu)

        with bare(file, folder / "sink") as url:
            for turn in range(ROUNDS):
                ways = {
                    "up": [*ask, answer, "-F", "preset=remux-mkv", "-F", f"files=@{file}", jobs],
                    "bare up": [*curl, copy, "-F", f"files=@{file}", url],
                    "cp and sync": ["sh", "-c", 'cp "$0" "$1" && sync "$1"', file, copy],
                }
                for what in turned(ways, turn):
                    timed(what, *ways[what])
                job = json.loads(answer.read_text())["id"]
                done = wait_until(lambda job=job: (v := running.job(job))["status"] == "completed" and v, 0.05)
                variation = done["sources"][0]["variations"][0]["id"]
                ways = {
                    "down": [*ask, copy, f"{jobs}/{job}/variations/{variation}/download"],
                    "in a zip": [*ask, copy, f"{jobs}/{job}/download"],
                    "bare down": [*curl, copy, url],
                    "curl file://": [*curl, copy, f"file://{file}"],
                }
                for what in turned(ways, turn):
                    timed(what, *ways[what])
                running.client.delete(f"/api/jobs/{job}").raise_for_status()
        peak = int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
        size = file.stat().st_size
        for what, rival in RIVALS.items():
            bare_one = "bare up" if what == "up" else "bare down"
            print(
                f"{size >> 20} MiB {what}: {size / statistics.median(took[what]) / 1e6:.0f} MB/s, "
                f"{ratio(took[rival], took[what]):.2f} × {rival} "
                f"(a bare server: {ratio(took[rival], took[bare_one]):.2f}); "
                f"{statistics.median(used[what]):.2f} s of the daemon's CPU"
            )
        print(f"the daemon's memory rose by {(peak - before) / 1e6:.0f} MB")


@contextmanager
def bare(file: Path, sink: Path) -> Iterator[str]:
    """Yields the address of a server that does nothing but move bytes."""
    command = [sys.executable, "-m", "bench.bare", str(file), str(sink)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/"
        finally:
            server.terminate()
