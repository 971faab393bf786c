"""Tells of this host which boot of it this is, and how many cores we may use."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """Names the boot, as the kernel does: numbers of processes and devices mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def cores() -> int:
    """Counts the cores that this process, and whatever it starts, may run on."""
    return len(os.sched_getaffinity(0))
