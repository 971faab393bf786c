"""What it takes to scan a watched folder in which many files lie, the first time and again."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.daemons import Daemon, cpu_seconds, daemon, wait_until

FOLDERS, FILES = 100, 1000  # in each


def watching() -> None:
    """Nothing is taken meanwhile: that is what encodes wait for, and no scan."""
    with tempfile.TemporaryDirectory() as folder:
        films = Path(folder) / "films"
        for number in range(FOLDERS):
            (films / f"{number:03}").mkdir(parents=True)
            for file in range(FILES):
                (films / f"{number:03}" / f"film {file:03}.mkv").write_bytes(b"x")
        config = Path(folder) / "ffspool.toml"
        config.write_text(
            f"source_roots = [{json.dumps(str(films))}]\n[[folders]]\nname = 'films'\npath = {json.dumps(str(films))}\n"
            "recursive = true\nscan_every = 86400\nstable_seconds = 86400\nvariations = [{ preset = 'mp3' }]\n"
        )
        with daemon(Path(folder), FFSPOOL_CONFIG=str(config)) as running:  # paused, so that the next begins at rest
            running.client.post("/api/folders/films/pause").raise_for_status()
        with daemon(Path(folder), FFSPOOL_CONFIG=str(config)) as running:
            running.settle()
            for what in ("first", "second", "third"):
                _scan(running, what)


def _scan(running: Daemon, what: str) -> None:
    before, family = _shown(running)["scanned_at"], running.family()
    began, spent = time.monotonic(), cpu_seconds(family)
    running.client.post("/api/folders/films/scan").raise_for_status()
    wait_until(lambda: _shown(running)["scanned_at"] != before)
    took, cpu = time.monotonic() - began, cpu_seconds(family) - spent
    memory, found = running.process.memory_info().rss / 2**20, _shown(running)["found"]
    print(
        f"{what} scan of {found} files in {FOLDERS} folders: {took:.1f} s, {found / took:.0f} look-ups a second, "
        f"{cpu:.1f} s of CPU; the daemon then holds {memory:.0f} MiB"
    )


def _shown(running: Daemon) -> Any:
    [folder] = running.client.get("/api/folders").raise_for_status().json()["items"]
    return folder
