"""Five gigabytes from a URL to a bucket: each way against `curl` and `rclone`, and what the daemon's memory rose by."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.clips import make_noise
from bench.daemons import Daemon, daemon, wait_until
from bench.rounds import ratio, turned
from bench.transfers import bare

ROUNDS = 3
SECONDS = 110  # of a film that has some 5 GB
LONGEST = 3600.0  # seconds of any step, on a machine that others use
KEY, SECRET = "ffspool-bench", "the-secret-of-the-bench"
RCLONE = str(Path(sys.executable).with_name("rclone"))


def large(seconds: int = SECONDS) -> None:
    """The film is fetched, copied into another container, and brought to the bucket."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_noise(film := folder / "film.mkv", seconds)
        with bare(film, folder / "sink") as url, _bucket(folder) as endpoint:
            config = folder / "ffspool.toml"
            config.write_text(
                f'[buckets.bench]\nurl = "s3://bench"\nendpoint = "{endpoint}"\nregion = "us-east-1"\n'
                f'credentials = "{_credentials(folder)}"\n'
            )
            flags = {"FFSPOOL_FETCH_ALLOW_PRIVATE": "true", "FFSPOOL_FETCH_PORTS": str(urlsplit(url).port)}
            with daemon(folder, FFSPOOL_CONFIG=str(config), **flags) as running:
                running.settle()
                _compete(running, folder, film, url, endpoint)


def _compete(running: Daemon, folder: Path, film: Path, url: str, endpoint: str) -> None:
    process = psutil.Process(running.process.pid)
    took, rises = defaultdict[str, list[float]](list), list[float]()
    there, copy = folder / "s3" / "bench", folder / "copy"
    upload = [RCLONE, "copyto", "--ignore-times", "--config", "", str(film), f":s3,{_remote(endpoint)}:bench/film.mkv"]
    rivals = {"curl": ["sh", "-c", 'curl -sS -o "$0" "$1" && sync "$0"', str(copy), url], "rclone": upload}
    for turn in range(ROUNDS):
        for what in turned(["ours", *rivals], turn):
            os.sync()  # gigabytes that the one before left to be written would cost this one
            if what == "ours":
                before = process.memory_info().rss
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # resets the kernel's peak
                fetched, delivered = _brought(running, url)
                rises.append((_peak(process.pid) - before) / 1e6)
                took["fetch"].append(fetched)
                took["delivery"].append(delivered)
            else:
                began = time.perf_counter()
                subprocess.run(rivals[what], check=True)
                took[what].append(time.perf_counter() - began)
            copy.unlink(missing_ok=True)
            shutil.rmtree(there)
            there.mkdir()
    size = film.stat().st_size
    for what, rival, called in (("fetch", "curl", "curl and sync"), ("delivery", "rclone", "rclone copyto")):
        speed = ", ".join(f"{size / seconds / 1e6:.0f}" for seconds in took[what])
        print(f"{what} of {size / 1e9:.1f} GB: {speed} MB/s, {ratio(took[rival], took[what]):.2f} × {called}")
    print(f"the daemon's memory rose by {', '.join(f'{rise:.0f}' for rise in rises)} MB")


def _peak(pid: int) -> int:
    """Bytes at most that the process held since that was reset."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def _brought(running: Daemon, url: str) -> tuple[float, float]:
    """Seconds until the file was here, and from its output's completion until that was in the bucket."""
    began = time.perf_counter()
    wish = {
        "sources": [{"url": url, "name": "film.mkv"}],
        "variations": [{"preset": "remux-mkv"}],
        "deliver": {"url": "s3://bench/", "conflict": "number"},
    }
    job = str(running.client.post("/api/jobs", json=wish).raise_for_status().json()["id"])
    wait_until(lambda: running.job(job)["sources"][0]["status"] != "fetching", 0.05, LONGEST)
    fetched = time.perf_counter() - began
    ended = wait_until(lambda: (found := running.job(job))["finished_at"] and found, 0.05, LONGEST)
    assert ended["status"] == "completed", ended
    done = wait_until(lambda: (found := running.job(job))["deliveries"]["delivered"] and found, 0.05, LONGEST)
    [variation] = done["sources"][0]["variations"]
    at, after = (datetime.fromisoformat(one) for one in (done["finished_at"], variation["delivery"]["delivered_at"]))
    running.client.delete(f"/api/jobs/{job}").raise_for_status()
    return fetched, (after - at).total_seconds()


@contextmanager
def _bucket(folder: Path) -> Iterator[str]:
    """Yields the address of rclone's S3 server, which keeps its objects in a folder."""
    (folder / "s3" / "bench").mkdir(parents=True)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    serve = [RCLONE, "serve", "s3", str(folder / "s3"), "--addr", f"127.0.0.1:{port}", "--config", ""]
    with subprocess.Popen([*serve, "--auth-key", f"{KEY},{SECRET}"], stderr=subprocess.DEVNULL) as server:
        wait_until(lambda: _listens(port), 0.05)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _credentials(folder: Path) -> Path:
    path = folder / "keys"
    path.write_text(f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    return path


def _remote(endpoint: str) -> str:
    told = {"provider": "Rclone", "endpoint": f'"{endpoint}"', "access_key_id": KEY, "secret_access_key": SECRET}
    return ",".join(f"{name}={value}" for name, value in told.items())
