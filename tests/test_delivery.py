"""What is completed comes to the folder its job asked for: whole, once, and only where it may."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, wait_until

TINY = {"preset": "h264-480p", "speed": "ultrafast", "short_side": 120}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output root."""
    return tmp_path_factory.mktemp("library").resolve()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Daemon]:
    state = tmp_path_factory.mktemp("delivering") / "state"
    daemon = Daemon(state, "--output-root", str(library), "--delivery-backoff", "0.1")
    yield daemon
    daemon.stop()


def delivered(daemon: Daemon, job: str) -> list[Any]:
    """The deliveries of a job, once none of them is left to be made."""

    def settled() -> Any:
        view = daemon.job(job)
        counts = view["deliveries"]
        return view if view["status"] == "completed" and counts and not counts["pending"] else None

    view = wait_until(settled, "every delivery to be settled")
    return [variation["delivery"] for source in view["sources"] for variation in source["variations"]]


def test_an_output_is_delivered_as_it_was_made(daemon: Daemon, library: Path, clip: Path) -> None:
    wish = {"folder": str(library / "films" / "new"), "name": "{stem} {height}.{ext}", "mode": "0664"}
    job = daemon.submit(clip, spec={"variations": [TINY], "deliver": wish})
    [variation] = job["sources"][0]["variations"]
    assert variation["delivery"] == {
        "status": "pending", "to": "films/new", "delivered_at": None, "kept": False, "attempts": 0, "error": None,
    }  # fmt: skip
    [told] = delivered(daemon, job["id"])
    assert (told["status"], told["to"], told["error"]) == ("delivered", "films/new/clip 360.mp4", None)
    assert told["delivered_at"] is not None
    file = library / told["to"]
    sha256 = daemon.job(job["id"])["sources"][0]["variations"][0]["sha256"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o664, 0o775]
