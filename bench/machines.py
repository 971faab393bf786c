"""What a cluster costs: the daemon and its coordinator with many machines whose encoders only wait, and where there is
none.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.daemons import Daemon, cpu_seconds, daemon, wait_until

STANDINS, TASKS = 200, 1000
WAITS = 10.0  # seconds of an encode
ROUNDS = 5
AT_REST = 30.0  # seconds in which nothing is made


@contextmanager
def clustered(folder: Path, *, local_slots: int = 0) -> Iterator[Daemon]:
    """A daemon that machines may work for, with the folder as source root."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, files = (one.getsockname()[1] for one in held)
    for one in held:
        one.close()
    config = folder / "ffspool.toml"
    config.write_text(
        f"source_roots = [{json.dumps(str(folder))}]\n[cluster]\nlisten = 'tls://127.0.0.1:{port}'\n"
        f"files_port = {files}\nlocal_slots = {local_slots}\n"
    )
    with daemon(folder, FFSPOOL_CONFIG=str(config)) as running:
        yield running


@contextmanager
def machine(place: Path, name: str, surroundings: Mapping[str, str], *, within: Sequence[str] = ()) -> Iterator[None]:
    """One of one slot that works for the daemon whose state is in `place`; `within` is a command that starts it."""
    env = {**os.environ, **surroundings, "FFSPOOL_STATE_DIR": str(place / "state")}
    ffspool = [sys.executable, "-m", "daemon.cli"]
    invited = subprocess.run([*ffspool, "cluster", "invite", name], env=env, capture_output=True, check=True).stdout
    invitation = place / f"{name}.invite"
    invitation.write_bytes(invited)
    work = [*within, *ffspool, "worker", str(invitation), "--slots", "1", "--work", str(place / name)]
    with (place / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(work, env=env, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def here(running: Daemon) -> int:
    return sum(one["state"] == "working" for one in running.client.get("/api/machines").json()["items"])


def standins() -> None:
    """All machines are one process, which speaks as so many would; what it takes is not counted."""
    with tempfile.TemporaryDirectory() as name, clustered(Path(name)) as running:
        folder = Path(name)
        with wave.open(str(folder / "clip.wav"), "wb") as sound:
            sound.setparams((1, 2, 44100, 0, "NONE", ""))
            sound.writeframes(bytes(2 * 2 * 44100))
        for number in range(TASKS):
            (folder / f"{number}.wav").hardlink_to(folder / "clip.wav")
        [coordinator] = [one for one in running.process.children() if "daemon.cluster.coordinator" in one.cmdline()]
        command = [sys.executable, "-m", "bench.standins", name, str(STANDINS), str(WAITS)]
        with subprocess.Popen(command) as machines:
            wait_until(lambda: here(running) == STANDINS, every=1.0)
            processes = {"the daemon": running.process, "its coordinator": coordinator}
            for what, process in processes.items():
                print(f"{what}, with {STANDINS} machines at rest: {_share([process]):.1f} % of a core")
            before = {what: cpu_seconds([process]) for what, process in processes.items()}
            wish = {
                "sources": [{"path": str(folder / f"{number}.wav")} for number in range(TASKS)],
                "variations": [{"preset": "mp3"}],
            }
            began = time.monotonic()
            job = running.client.post("/api/jobs", json=wish).raise_for_status().json()["id"]
            ended = running.ended(job)
            took = time.monotonic() - began
            total = 0.0
            for what, process in processes.items():
                spent = (cpu_seconds([process]) - before[what]) / TASKS
                total += spent
                print(
                    f"{what}, of {TASKS} tasks of {WAITS:.0f} s each: {1000 * spent:.1f} ms of CPU for each; "
                    f"it holds {process.memory_info().rss / 2**20:.0f} MiB"
                )
            came = ended["completed_variations"]
            print(f"together {1000 * total:.1f} ms of CPU for each; {came} came out in {took:.0f} s")
            machines.terminate()


def _share(processes: list[psutil.Process]) -> float:
    before = cpu_seconds(processes)
    time.sleep(AT_REST)
    return 100 * (cpu_seconds(processes) - before) / AT_REST


# None at all


def alone() -> None:
    """How soon a daemon listens that has no table [cluster], and what it holds; and one that has it."""
    for what, opened in (("without a cluster", daemon), ("with one", clustered)):
        took, memory = [], 0.0
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as name:
                began = time.monotonic()
                with opened(Path(name)) as running:
                    took.append(time.monotonic() - began)
                    running.settle()
                    memory = running.process.memory_info().rss / 2**20
        print(f"{what}: from exec to listening {sorted(took)[len(took) // 2]:.2f} s, the daemon holds {memory:.0f} MiB")
