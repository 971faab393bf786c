"""`make bench`: what ffspool costs, against other ways to the same outputs and by itself; it writes RESULTS.md.

Everything is measured on a daemon in a process of its own, over HTTP on loopback, with the bundled encoder. Names
on the command line choose measurements; then nothing is written.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import psutil

from bench.batch import batch
from bench.clips import make_clip
from bench.daemons import Daemon, cpu_seconds, daemon, wait_until
from bench.events import events
from bench.fetches import fetches
from bench.interruptions import interruptions
from bench.large import large
from bench.machines import alone, clustered, here, machine, standins
from bench.queue import queue
from bench.race import race
from bench.report import Report, plot
from bench.stalled import stalled
from bench.throughput import throughput
from bench.transfers import transfers
from bench.watching import watching
from daemon.process.launcher import Limits, Reserve, Walls, spawn

ROUNDS = 20
CANCELS = 9  # at each speed
LOOKS_EVERY = 0.1  # seconds between FFmpeg's looks at its stdin, each with a report of its progress
IDLE_SECONDS = 12
MANY_JOBS = 1000
JOBS_AT_ONCE = 50
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def spread(seconds: list[float]) -> str:
    ordered = sorted(value * 1000 for value in seconds)
    least, last = ordered[0], ordered[int(len(ordered) * 0.99)]
    return f"median {statistics.median(ordered):.0f} ms, min {least:.0f}, 99th {last:.0f} (n={len(ordered)})"


def dispatch() -> None:
    """From the POST's answer to the encoder's first instruction, which a two-line wrapper writes down."""
    with tempfile.TemporaryDirectory() as folder:
        stamp, wrapper = Path(folder) / "stamp", Path(folder) / "ffmpeg"
        real = imageio_ffmpeg.get_ffmpeg_exe()
        wrapper.write_text(f'#!/bin/bash\n[ "$1" = -version ] || echo $EPOCHREALTIME > {stamp}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)
        clip = make_clip(Path(folder) / "clip.mp4", 1)
        waits = []
        with daemon(Path(folder), FFSPOOL_FFMPEG=str(wrapper)) as running:
            running.settle()
            for _ in range(3 * ROUNDS):
                job = running.submit(clip, "h264-480p")
                answered = time.time()
                wait_until(lambda job=job: running.job(job["id"])["status"] == "completed")
                waits.append(float(stamp.read_text()) - answered)
                stamp.unlink()
        print(f"POST answered → ffmpeg started, a slot being free: {spread(waits)}")


def launch() -> None:
    """From the wish for a process to its end, for a program that does nothing."""
    took = asyncio.run(_launches())
    for what, seconds in took.items():
        print(f"a sandboxed process that does nothing, {what}: {spread(seconds)}")


async def _launches() -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"its launcher started for it": [], "its launcher waiting": []}
    reserve = Reserve()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for (what, seconds), kept in zip(took.items(), (None, reserve), strict=True):
                if kept:
                    kept.fill()
                    await asyncio.sleep(0.3)  # until it waits
                walls = Walls(folders=(os.path.realpath(folder),))
                began = time.perf_counter()
                child = spawn(
                    ["true"],
                    program="/bin/true",
                    folder=Path(folder),
                    limits=Limits(),
                    environment={},
                    walls=walls,
                    reserve=kept,
                )
                assert (await child.wait()).code == 0, what
                seconds.append(time.perf_counter() - began)
    reserve.close()
    return took


def cancel() -> None:
    """A running x264 encode (720p), here and on another machine: from the cancel's request to its receipt."""
    with tempfile.TemporaryDirectory() as name, daemon(Path(name), FFSPOOL_SOURCE_ROOTS=name) as running:
        _cancels(running, Path(name), "a running x264 encode")
    with (
        tempfile.TemporaryDirectory() as name,
        clustered(Path(name)) as running,
        machine(Path(name), "box2", {"FFSPOOL_CONFIG": f"{name}/ffspool.toml"}),
    ):
        wait_until(lambda: here(running) == 1)
        _cancels(running, Path(name), "one on another machine")


def _cancels(running: Daemon, folder: Path, what: str) -> None:
    """Of each of three speeds of x264 several."""
    clip = make_clip(folder / "clip.mp4", 120)
    for speed in ("ultrafast", "veryfast", "medium"):
        waits, encoder, stages = list[float](), list[float](), list[str]()
        for turn in range(CANCELS):
            took, stopped = _cancel(running, clip, speed, LOOKS_EVERY * turn / CANCELS)
            waits.append(took)
            encoder.append(stopped["seconds"])
            stages.append(stopped["stage"])
        counted = ", ".join(f"{stages.count(stage)} × {stage}" for stage in sorted(set(stages)))
        beyond = statistics.median(took - ended for took, ended in zip(waits, encoder, strict=True))
        print(
            f"cancel of {what} ({speed}) answered: {spread(waits)}; ended by {counted}; "
            f"of it ffmpeg took {statistics.median(encoder) * 1e3:.0f} ms to end, and all else {beyond * 1e3:.0f} ms"
        )


def _cancel(running: Daemon, clip: Path, speed: str, pause: float) -> tuple[float, Any]:
    """So long after a report: people do not cancel just when FFmpeg has looked whether they did."""
    wish = {"sources": [{"path": str(clip)}], "variations": [{"preset": "h264-720p", "speed": speed}]}
    job = running.client.post("/api/jobs", json=wish).raise_for_status().json()["id"]
    wait_until(lambda: (running.job(job)["progress"] or 0) > 0.5)
    time.sleep(pause)
    began = time.perf_counter()
    receipt = running.client.post(f"/api/jobs/{job}/cancel").raise_for_status().json()
    return time.perf_counter() - began, receipt["stopped"][0]


def idle() -> None:
    with tempfile.TemporaryDirectory() as name, daemon(Path(name)) as running:
        running.settle()
        used = running.share_of_a_core(IDLE_SECONDS)
        busy = _cost_of_an_encode(running, Path(name))
        rss, pss = (sum(getattr(p.memory_full_info(), kind) for p in running.family()) / 1e6 for kind in ("rss", "pss"))
        print(f"idle: {used:.2%} of a core, {rss:.0f} MB resident in daemon and prober ({pss:.0f} MB shared out)")
        print(f"the daemon beside one running encode: {busy:.2%} of a core")


def _cost_of_an_encode(running: Daemon, folder: Path) -> float:
    """CPU that the daemon itself takes while one encode runs: its progress is read, its log kept."""
    job = running.submit(make_clip(folder / "clip.mp4", 200), "h264-720p")["id"]
    wait_until(lambda: (running.job(job)["progress"] or 0) > 0.5)
    itself = [psutil.Process(running.process.pid)]
    before = cpu_seconds(itself)
    time.sleep(IDLE_SECONDS)
    used = cpu_seconds(itself) - before
    running.client.post(f"/api/jobs/{job}/cancel").raise_for_status()
    return used / IDLE_SECONDS


def leaks() -> None:
    """The daemon's memory over many jobs: a leak is a slope."""
    with tempfile.TemporaryDirectory() as name, daemon(folder := Path(name), FFSPOOL_SOURCE_ROOTS=name) as running:
        clip = folder / "clip.wav"
        with wave.open(str(clip), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(1600))
        wish = {"sources": [{"path": str(clip)}], "variations": [{"preset": "mp3"}]}
        resident = list[float]()
        for _ in range(MANY_JOBS // JOBS_AT_ONCE):
            jobs = [
                running.client.post("/api/jobs", json=wish).raise_for_status().json()["id"] for _ in range(JOBS_AT_ONCE)
            ]
            wait_until(lambda jobs=jobs: all(running.job(job)["status"] == "completed" for job in jobs), 0.05)
            resident.append(psutil.Process(running.process.pid).memory_info().rss / 1e3)
        half = len(resident) // 2
        slope = statistics.linear_regression(range(half), resident[-half:]).slope / JOBS_AT_ONCE
        print(
            f"{MANY_JOBS:,} jobs: {resident[0] / 1e3:.0f} MB after the first {JOBS_AT_ONCE}, "
            f"{resident[-1] / 1e3:.0f} MB after all; {slope:.1f} kB for each job of the second half"
        )


def queues() -> dict[str, list[float]]:
    """Medians in milliseconds by operation, one for each of SIZES."""
    found = [queue(jobs) for jobs in SIZES]
    return {name: [medians[name] for medians in found] for name in found[0]}


MEASURES: dict[str, tuple[str, Callable[[], object]]] = {
    "batches": ("Batches against a shell loop, `xargs -P` and the bare commands", batch),
    "dispatch": ("From a submission to its encode", dispatch),
    "launch": ("Launching a process", launch),
    "cancel": ("A cancel", cancel),
    "idle": ("Doing nothing", idle),
    "throughput": ("Batches and a film on more machines", throughput),
    "transfers": ("Uploads and downloads", transfers),
    "fetches": ("Sources by URL", fetches),
    "large": ("Five gigabytes from a URL to a bucket", large),
    "events": ("Clients that listen", events),
    "race": ("Answers while clients race by every verb beside encodes", race),
    "stalled": ("Answers while a share does not answer", stalled),
    "interruptions": ("Films that are interrupted, and what it costs those that are not", interruptions),
    "watching": ("Watched folders with many files", watching),
    "standins": ("Many machines whose encoders only wait", standins),
    "alone": ("A daemon without machines, and one that may have them", alone),
    "leaks": ("Memory over many jobs", leaks),
    "queue": ("The queue, by how many jobs are in the table", queues),
}


def main() -> None:
    chosen = sys.argv[1:] or list(MEASURES)
    report = Report()
    for name in chosen:
        title, act = MEASURES[name]
        found = report.measure(title, act)
        if isinstance(found, dict):
            report.show("queue.svg", plot("Milliseconds by ended jobs in the table (median)", SIZES, found))
    if not sys.argv[1:]:
        report.write()


if __name__ == "__main__":
    main()
