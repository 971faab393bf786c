"""Each result is delivered once and whole, at whatever call the daemon dies, and whatever disks refuse."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import wait_until
from surroundings import need_tracing

from faults.load import Clips
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim, strace

Attack = Callable[..., tuple[Victim, Promises]]

JOBS = 3
TINY = {"preset": "h264-480p", "speed": "ultrafast", "short_side": 120}
KILL = "signal=KILL"
KILLS = [*(("renameat2", KILL, str(n)) for n in (1, 2)), *(("fsync", KILL, str(n)) for n in range(1, 9)),
         ("linkat", KILL, "1"), ("mkdirat", KILL, "1"), ("copy_file_range", KILL, "1")]  # fmt: skip
REFUSALS = [
    (call, f"error={error}", span)
    for call, error, span in product(
        ("fsync", "renameat2", "copy_file_range"), ("EIO", "ENOSPC"), ("1+2", "2+3", "1..4")
    )
]


@pytest.mark.rounds([KILLS[1]], [*KILLS, *REFUSALS])
def test_each_result_is_delivered_once(
    attack: Attack, clips: Clips, tally: Tally, tmp_path: Path, round: tuple[str, str, str]
) -> None:
    need_tracing()
    library = tmp_path / "library"
    library.mkdir()
    victim, _ = attack("--output-root", str(library), "--delivery-backoff", "0.1")
    if victim.starts(*strace(*round)):
        with suppress(httpx.HTTPError, ValueError):  # it dies meanwhile
            for number in range(JOBS):
                submit(victim, clips, keep=number != 1)
            wait_until(lambda: victim.died or settled(victim) == JOBS, "the end of all of it")
    tally.attack("kills in a delivery" if round[1] == KILL else "refusals in a delivery")
    if victim.client is not None and round[1] == KILL:
        victim.kill()
    if victim.died:
        assert victim.starts(), victim.log()
    submit(victim, clips, keep=True)  # it may have died before there was anything to be delivered
    whole = wait_until(lambda: all_of(victim), "every delivery")
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in library.glob("films/*")}
    wanted = {Path(to).name: sha256 for to, sha256 in whole.items()}
    tally.case(10, violated=found != wanted)
    assert found == wanted


def submit(victim: Victim, clips: Clips, *, keep: bool) -> None:
    spec = {"variations": [TINY], "deliver": {"folder": "films", "conflict": "number", "keep": keep}}
    files = {"files": ("clip.mp4", clips.short.read_bytes())}
    victim.client.post("/api/jobs", data={"spec": json.dumps(spec)}, files=files)


def settled(victim: Victim) -> int:
    jobs = victim.client.get("/api/jobs").json()["items"]
    return sum(bool(job["deliveries"]) and not job["deliveries"]["pending"] for job in jobs)


def all_of(victim: Victim) -> dict[str, str] | None:
    """The SHA-256 of what is completed, by where it is; None while something is on its way."""
    whole: dict[str, str] = {}
    for listed in victim.client.get("/api/jobs?limit=200").json()["items"]:
        job: Any = victim.job(listed["id"])
        if job["status"] in {"queued", "processing"} or (job["deliveries"] and job["deliveries"]["pending"]):
            return None
        for variation in job["sources"][0]["variations"]:
            if variation["status"] == "completed":
                assert variation["delivery"]["status"] == "delivered", variation
                assert variation["delivery"]["to"] not in whole
                whole[variation["delivery"]["to"]] = variation["sha256"]
    return whole
