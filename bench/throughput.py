"""How much more is done on more machines: a batch, and one long film, by machines of a quarter of a core each.

A quarter is what the kernel lets all processes of a machine have together, the worker itself among them; the daemon has
what is left of this host, and encodes nothing. Eight machines have an eighth each, and so has the one that they are
compared with: with a quarter they would leave nothing of two cores.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.clips import make_clip, make_scenes
from bench.daemons import Daemon, daemon, wait_until
from bench.machines import here, machine

PERIOD, QUARTER, EIGHTH = 100_000, 25_000, 12_500  # microseconds
FOR_BATCH = (QUARTER, (1, 2, 4)), (EIGHTH, (1, 8))  # how many machines
FOR_FILM = (1, 2, 4)
CLIPS, SECONDS, SPEED = 6, 10, "slow"  # clips for each machine; what those with many machines encode at
FILM, SPAN = 720, 30  # seconds, of all and of what is encoded at once
PORT = 18786
CPU = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")  # of the older kind, and of the newer


def throughput() -> None:
    """Prints what N machines do against one, as shares of N times as much."""
    if not _may_be_bounded():
        print("no control group for CPU time can be made here: machines of a quarter of a core are not to be had")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for quota, counts in FOR_BATCH:
            clips = [make_clip(folder / f"{number}.mp4", SECONDS, "640x360") for number in range(CLIPS * max(counts))]
            took = {count: _took(folder, count, clips[: CLIPS * count], "60", quota) / count for count in counts}
            _tell(f"a batch of {CLIPS} clips for each", took, quota)
        film = [make_scenes(folder / "film.mp4", FILM)]
        _tell("one film, in spans", {count: _took(folder, count, film, "0", QUARTER) for count in FOR_FILM}, QUARTER)


def _tell(what: str, took: Mapping[int, float], quota: int) -> None:
    """Tells how many seconds the same work took so many machines."""
    shares = (f"{count}: {seconds:.0f} s, {took[1] / seconds / count:.2f} N" for count, seconds in took.items())
    print(f"{what} on machines of {quota / PERIOD:g} of a core: {', '.join(shares)}", flush=True)


def _took(folder: Path, count: int, files: Iterable[Path], resume_from: str, quota: int) -> float:
    """Seconds from the first submit to the last end."""
    with tempfile.TemporaryDirectory(dir=folder) as name, ExitStack() as stack:
        place = Path(name)
        config = place / "ffspool.toml"
        config.write_text(
            f"source_roots = [{json.dumps(str(folder))}]\n"
            f'[cluster]\nlisten = "tls://127.0.0.1:{PORT}"\nlocal_slots = 0\npiece_seconds = {SPAN}\n'
        )
        surroundings = {"FFSPOOL_CONFIG": str(config), "FFSPOOL_RESUME_FROM": resume_from}
        running = stack.enter_context(daemon(place, **surroundings))
        for number in range(count):
            stack.enter_context(_machine(place, f"box{number}", surroundings, quota))
        wait_until(lambda: here(running) == count, every=0.1)
        running.settle()
        began = time.monotonic()
        jobs = [_submitted(running, file) for file in files]
        ended = [running.ended(job) for job in jobs]
        assert all(job["status"] == "completed" for job in ended)
        return time.monotonic() - began


def _submitted(running: Daemon, file: Path) -> str:
    wish = {"sources": [{"path": str(file)}], "variations": [{"preset": "h264-480p", "speed": SPEED}]}
    return str(running.client.post("/api/jobs", json=wish).raise_for_status().json()["id"])


@contextmanager
def _machine(place: Path, name: str, surroundings: dict[str, str], quota: int) -> Iterator[None]:
    with _bounded(name, quota) as procs:
        into = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(procs)]
        with machine(place, name, surroundings, within=into):
            yield


def _groups() -> Path | None:
    """The folder of control groups for CPU time, if there is one."""
    older, newer = CPU
    if (older / "cpu.cfs_quota_us").exists():
        return older
    controllers = newer / "cgroup.subtree_control"
    return newer if controllers.exists() and "cpu" in controllers.read_text().split() else None


def _may_be_bounded() -> bool:
    groups = _groups()
    return groups is not None and os.access(groups, os.W_OK)


@contextmanager
def _bounded(name: str, quota: int) -> Iterator[Path]:
    """A group that has so much of each period: its file of processes."""
    groups = _groups()
    assert groups
    group = groups / f"ffspool-bench-{os.getpid()}-{name}"
    group.mkdir()
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        yield group / "cgroup.procs"
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), every=0.1)
        group.rmdir()
