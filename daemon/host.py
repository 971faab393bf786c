"""Tells of this host which boot of it this is, how many cores we may use, and how busy it is."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple


@cache
def boot_id() -> str:
    """Names the boot, as the kernel does: numbers of processes and devices mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def cores() -> int:
    """Counts the cores that this process, and whatever it starts, may run on."""
    return len(os.sched_getaffinity(0))


class Load(NamedTuple):
    """Says how busy a host is: what ran or waited to run, on average of the last minute, its cores, and which it is."""

    running: float
    cores: int
    host: str = "this machine"


def load() -> Load:
    return Load(os.getloadavg()[0], cores())
