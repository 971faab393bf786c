"""`make bench`: how long a submission takes to become an encode, a cancel to be answered, and what idling costs.

Everything is measured on a daemon in a process of its own, over HTTP on loopback, with the bundled encoder.
"""

from __future__ import annotations

import secrets
import statistics
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import imageio_ffmpeg
import psutil

from bench.clips import make_clip
from bench.daemons import Daemon, daemon, wait_until
from bench.events import events
from bench.queue import queue

ROUNDS = 20
IDLE_SECONDS = 20
SETTLE_SECONDS = 5
UPLOAD_BYTES = 1024**3
CHUNK = 1024 * 1024


def spread(seconds: list[float]) -> str:
    ordered = sorted(value * 1000 for value in seconds)
    return f"median {statistics.median(ordered):.0f} ms, min {ordered[0]:.0f}, max {ordered[-1]:.0f} (n={len(ordered)})"


def dispatch() -> None:
    """From the POST's answer to the encoder's first instruction, which a two-line wrapper writes down."""
    with tempfile.TemporaryDirectory() as folder:
        stamp, wrapper = Path(folder) / "stamp", Path(folder) / "ffmpeg"
        real = imageio_ffmpeg.get_ffmpeg_exe()
        wrapper.write_text(f'#!/bin/sh\n[ "$1" = -version ] || date +%s.%N > {stamp}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)
        clip = make_clip(Path(folder) / "clip.mp4", 1)
        waits = []
        with daemon(Path(folder), FFSPOOL_FFMPEG=str(wrapper)) as running:
            for _ in range(ROUNDS):
                job = running.submit(clip, "h264-480p")
                answered = time.time()
                wait_until(lambda job=job: running.job(job["id"])["status"] == "completed")
                waits.append(float(stamp.read_text()) - answered)
                stamp.unlink()
        print(f"POST answered → ffmpeg started, a slot being free: {spread(waits)}")


def cancel() -> None:
    """A running x264 encode (medium, 720p): from the cancel's request to its receipt."""
    with tempfile.TemporaryDirectory() as name, daemon(folder := Path(name)) as running:
        clip = make_clip(folder / "clip.mp4", 120)
        waits, stages = [], []
        for _ in range(ROUNDS):
            job = running.submit(clip, "h264-720p")["id"]
            wait_until(lambda job=job: (running.job(job)["progress"] or 0) > 0.5)
            began = time.perf_counter()
            receipt = running.client.post(f"/api/jobs/{job}/cancel").raise_for_status().json()
            waits.append(time.perf_counter() - began)
            stages += [stopped["stage"] for stopped in receipt["stopped"]]
        counted = ", ".join(f"{stages.count(stage)} × {stage}" for stage in sorted(set(stages)))
        print(f"cancel of a running x264 encode answered: {spread(waits)}; ended by {counted}")


def idle() -> None:
    with tempfile.TemporaryDirectory() as name, daemon(Path(name)) as running:
        time.sleep(SETTLE_SECONDS)  # the prober loads its decoders once
        before = cpu_seconds(running)
        time.sleep(IDLE_SECONDS)  # the measurement itself
        used = (cpu_seconds(running) - before) / IDLE_SECONDS
        rss, pss = (sum(getattr(p.memory_full_info(), kind) for p in running.family()) / 1e6 for kind in ("rss", "pss"))
        print(f"idle: {used:.2%} of a core, {rss:.0f} MB resident in daemon and prober ({pss:.0f} MB shared out)")


def cpu_seconds(running: Daemon) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in running.family()))


def upload() -> None:
    """1 GiB of noise: peak memory of the daemon above what it had before, and speed against `cp`."""
    with tempfile.TemporaryDirectory() as name, daemon(folder := Path(name)) as running:
        file = folder / "noise"
        with file.open("wb") as noise:
            for _ in range(UPLOAD_BYTES // CHUNK):
                noise.write(secrets.token_bytes(CHUNK))
        process = psutil.Process(running.process.pid)
        before = process.memory_info().rss
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # resets the kernel's peak
        began = time.perf_counter()
        curl = ["curl", "-sS", "-o", "/dev/null", "-F", "preset=mp3", "-F", f"files=@{file}"]
        headers = ["-H", f"Authorization: {running.client.headers['authorization']}"]
        subprocess.run([*curl, *headers, f"{running.client.base_url}/api/jobs"], check=True)
        took = time.perf_counter() - began
        peak = int(Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
        began = time.perf_counter()
        subprocess.run(["cp", file, folder / "copy"], check=True)
        subprocess.run(["sync", folder / "copy"], check=True)
        copied = time.perf_counter() - began
        print(
            f"1 GiB upload by curl: {UPLOAD_BYTES / took / 1e6:.0f} MB/s, {copied / took:.2f} × cp and sync; "
            f"memory rose by {(peak - before) / 1e6:.0f} MB"
        )


def main() -> None:
    for measure in (
        dispatch,
        cancel,
        idle,
        upload,
        events,
        *(partial(queue, jobs) for jobs in (1_000, 100_000, 1_000_000)),
    ):
        measure()


if __name__ == "__main__":
    main()
