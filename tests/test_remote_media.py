"""A machine makes of all kinds of files what the daemon's host would, or refuses them in the same words."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from combinations import COMBINATIONS
from conftest import Daemon
from harmful import HARMFUL
from specimens import SPECIMENS
from test_cluster import MACHINE, Cluster, cluster, of
from test_outputs import CHOSEN, SMALL

__all__ = ["cluster"]

KNOWN = {one.name for one in (*SPECIMENS, *COMBINATIONS, *HARMFUL)}
PARTS = 4  # none of which takes minutes
# No ladders: what bounds their rates has x264 come to other bytes by chance.
TURNS = [
    {"preset": "mp3"},
    {"preset": "poster"},
    {"preset": "gif"},
    {"preset": "remux-mp4"},  # Matroska has a random id in each file
    {"preset": "thumbnail-sheet"},
    {"preset": "hevc-1080p", **SMALL},
]


def made(daemon: Daemon, file: Path, turn: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    """State, bytes and words of each output."""
    job = daemon.wait_for(daemon.submit(file, spec={"variations": [{"preset": "h264-480p", **SMALL}, turn]})["id"])
    return [(one["status"], one.get("sha256"), one["error"]) for one in of(job)]


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(PARTS))
def test_files_of_all_kinds_come_to_the_same_bytes(
    cluster: Cluster, start_daemon: Callable[..., Daemon], media: Callable[[str], Path], part: int
) -> None:
    """Each has one core: of more, encoders get what they were learnt to need, and come to other bytes by that."""
    here, core = start_daemon(name="alone", FFSPOOL_RESUME_FROM="0"), min(os.sched_getaffinity(0))
    os.sched_setaffinity(here.process.pid, {core})
    turns = dict(islice(zip(sorted(CHOSEN & KNOWN), cycle(TURNS), strict=False), part, None, PARTS))
    with cluster.machine(MACHINE, prefix=("taskset", "--cpu-list", f"{core}")):
        found = {
            name: [made(daemon, media(name), turn) for daemon in (here, cluster.daemon)] for name, turn in turns.items()
        }
    assert {name: (one, other) for name, (one, other) in found.items() if one != other} == {}
