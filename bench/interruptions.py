"""What a film costs that is killed again and again while it is encoded, and what pieces cost one that is not.

Films in pieces and whole are made in turn within each round, since a shared machine's speed changes from one to the
next.
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from operator import sub
from pathlib import Path
from random import Random
from resource import RUSAGE_CHILDREN, getrusage
from statistics import mean, median
from typing import Any, NamedTuple

from bench.batch import Batch, Took, ffspool
from bench.clips import make_scenes
from bench.daemons import Daemon, cpu_seconds, wait_until
from bench.rounds import ratio, turned

KILLS = 10
SECONDS, LESS = 600, 150  # of the film that is killed, and of one that is hardly long enough to be made in pieces
ROUNDS = 7
IN_PIECES, WHOLE = "0", "86400"  # CPU seconds from which a film is made in pieces
WANTED = {"preset": "h264-480p", "speed": "medium"}
PR_SET_CHILD_SUBREAPER = 36


class Spent(NamedTuple):
    """CPU seconds of encoders; of all children of the daemon, readers of media among them; and of it and these."""

    encoders: float
    children: float
    all: float


def interruptions() -> None:
    """Prints what it costs as ratios."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what a killed daemon leaves is counted here
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _killed(make_scenes(folder / "film.mp4", SECONDS), folder)
        _undisturbed(make_scenes(folder / "less.mp4", LESS), folder)


# Killed


def _killed(film: Path, folder: Path) -> None:
    random = Random("bench")
    moments = [100 * (number + random.random()) / KILLS for number in range(KILLS)]  # percent
    ways: list[list[float]] = [[], moments, []]  # twice undisturbed: a shared machine's speed may change meanwhile
    before, killed, after = (_encoded(film, folder / str(number), way) for number, way in enumerate(ways))
    whole = Spent(*map(mean, zip(before, after, strict=True)))
    ratios = [mine / its for mine, its in zip(killed, whole, strict=True)]
    more = (killed.encoders - whole.encoders) / KILLS
    print(
        f"a film of {SECONDS} s, killed {KILLS} times with its daemon: encoders take {ratios[0]:.3f} of the CPU that "
        f"they take undisturbed ({before.encoders:.0f} s before, {after.encoders:.0f} s after), {more:.2f} s more for "
        f"each kill; with readers of media it is {ratios[1]:.3f}, with the daemon and its {KILLS} more starts "
        f"{ratios[2]:.3f}"
    )


def _encoded(film: Path, folder: Path, moments: Sequence[float]) -> Spent:
    folder.mkdir()
    before, lost, itself = getrusage(RUSAGE_CHILDREN), 0.0, 0.0
    running = _started(film, folder)
    wish = {"sources": [{"path": str(film)}], "variations": [WANTED]}
    job = running.client.post("/api/jobs", json=wish).raise_for_status().json()["id"]
    for moment in moments:
        wait_until(lambda running=running, moment=moment: _progress(running, job) >= moment, 0.05)
        itself += cpu_seconds([running.process])
        running.client.close()
        running.process.kill()
        running.process.wait()
        lost += _of_orphans()
        running = _started(film, folder)
    [variation] = running.ended(job)["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    log = running.client.get(f"/api/jobs/{job}/variations/{variation['id']}/log").raise_for_status().text
    itself += cpu_seconds([running.process])
    running.stop()
    _of_orphans()
    after = getrusage(RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = re.findall(r"^# exit code -?\d+, ([\d.]+) s of CPU$", log, re.MULTILINE)  # of those that came to their end
    return Spent(lost + sum(map(float, told)), spent - itself, spent)


def _started(film: Path, folder: Path) -> Daemon:
    (folder / "state" / "address").unlink(missing_ok=True)  # as a killed daemon leaves it
    settings = {"FFSPOOL_SOURCE_ROOTS": str(film.parent), "FFSPOOL_NICE": "0", "FFSPOOL_RESUME_FROM": IN_PIECES}
    return Daemon(folder, **settings)


def _progress(running: Daemon, job: Any) -> float:
    return float(running.job(job)["progress"] or 0.0)


def _of_orphans() -> float:
    """CPU seconds of the encoders among what is left of a daemon that is gone, once all of it has ended."""
    spent = 0.0
    while (found := _next_ended()) is not None:
        pid, name = found
        usage = os.wait4(pid, 0)[2]
        spent += usage.ru_utime + usage.ru_stime if name.startswith("ffmpeg") else 0.0
    return spent


def _next_ended() -> tuple[int, str] | None:
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return None
    assert ended
    return ended.si_pid, Path(f"/proc/{ended.si_pid}/comm").read_text()


# Not killed


def _undisturbed(film: Path, folder: Path) -> None:
    """Of a film that is hardly long enough for the default to have it made in pieces, which cost a longer one less."""
    batch = Batch("", (film,), (WANTED,))
    ways: dict[str, dict[str, str]] = {"in pieces": {}, "whole": {"FFSPOOL_RESUME_FROM": WHOLE}}
    took: dict[str, list[Took]] = {way: [] for way in ways}
    for number in range(ROUNDS):
        for way in turned(ways, number):
            place = folder / f"{number} {way}"
            place.mkdir()
            took[way].append(ffspool(batch, place, **ways[way]))
            assert _was_joined(place) == (way == "in pieces"), "resume_from is another by now: take another film"
    ours, theirs = took.values()
    wall = ratio((one.wall for one in ours), (one.wall for one in theirs))
    cpu = ratio((one.cpu for one in ours), (one.cpu for one in theirs))
    beside = {user: median(map(sub, _used(ours, user), _used(theirs, user))) for user in ours[0].users}
    print(
        f"a film of {LESS} s that nothing interrupts, by default in pieces: {cpu:.3f} of the CPU that it takes whole "
        f"({median(one.cpu for one in theirs):.0f} s), {wall:.3f} of the time "
        f"({median(one.wall for one in theirs):.0f} s; n={ROUNDS}); more CPU is taken by "
        + ", ".join(f"{user} {seconds:+.2f} s" for user, seconds in beside.items())
    )


def _was_joined(place: Path) -> bool:
    return any(" concat " in log.read_text() for log in place.rglob("*.log"))


def _used(took: Iterable[Took], user: str) -> list[float]:
    return [one.users[user] for one in took]
