"""A result that may never have had its name is told as not delivered, and nothing goes for it, until it was seen."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import forked
from conftest import Daemon, wait_until
from test_folders import Start, inbox, jobs, page, told, watching

__all__ = ["inbox"]

UNSEEN = "film.mp3 was about to get its name when ffspool was ended, and is not there"


def test_what_nobody_saw_in_its_place_is_kept_told_and_brought_once_more_when_asked(
    start_daemon: Start, inbox: Path, clip: Path, tmp_path: Path
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    result = tmp_path / "library" / "film.mp3"
    wish = {"folder": str(result.parent), "name": "{stem}.{ext}", "keep": False}
    daemon = watching(start_daemon, inbox, on_success="delete", deliver=wish)
    dies_before_it_is_recorded(daemon, result)
    result.unlink()
    daemon.start()
    job = wait_until(lambda: (found := jobs(daemon)[0])["deliveries"]["failed"] and found, "what is told of it")
    [delivery] = deliveries(daemon, job["id"])
    assert (delivery["status"], delivery["dropped"], delivery["attempts"]) == ("failed", False, 2)
    assert delivery["error"].startswith(UNSEEN)
    assert "a retry brings it once more" in delivery["error"]
    shown = forked.run(["show", job["id"]], daemon.env).stdout
    assert f"not delivered: {UNSEEN}" in " ".join(shown.split())
    assert f"`ffspool retry {job['id']}` delivers what did not arrive" in " ".join(shown.split())
    [verdict] = page(daemon, limit=9)["items"]
    assert (verdict["verdict"], UNSEEN in verdict["error"]) == ("not delivered", True)
    assert (inbox / "film.mp4").exists()
    assert len(list((daemon.state_dir / "spool" / "jobs" / job["id"] / "outputs").iterdir())) == 1
    told(daemon, "retry")
    wait_until(lambda: not (inbox / "film.mp4").exists(), "its source to go")
    assert (result.exists(), deliveries(daemon, job["id"])[0]["dropped"]) == (True, True)


def dies_before_it_is_recorded(daemon: Daemon, result: Path) -> None:
    """Has the daemon be killed once the result has its name, and before its row says so."""
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db", isolation_level=None)) as database:
        database.execute(
            "CREATE TRIGGER in_the_way BEFORE UPDATE OF reached ON deliveries WHEN new.status = 'delivered'"
            " BEGIN SELECT RAISE(ABORT, 'not yet'); END"
        )
        wait_until(lambda: result.exists() and "cannot be recorded" in daemon.log(), "the result")
        daemon.stop(signal.SIGKILL)
        database.execute("DROP TRIGGER in_the_way")


def deliveries(daemon: Daemon, job: str) -> list[Any]:
    return [one["delivery"] for source in daemon.job(job)["sources"] for one in source["variations"]]
