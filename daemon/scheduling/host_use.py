"""Looks at what else the host is used for: how many cores other programs keep busy, and which of some run."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress

import psutil

SMOOTHED_OVER = 30.0  # seconds


class HostUse:
    """Compares the CPU time of the host with that of this process and all below it, between one look and the next."""

    def __init__(self) -> None:
        self._us = psutil.Process()
        self._last: tuple[float, float] | None = None  # when it was looked at, and what others had used
        self._busy = 0.0

    def busy_cores(self) -> float:
        """Returns how many cores others kept busy of late. May be called on any thread, by one at a time."""
        now, used = time.monotonic(), self._others()
        if self._last:
            passed = now - self._last[0]
            weight = min(1.0, passed / SMOOTHED_OVER)
            self._busy += weight * (max(0.0, used - self._last[1]) / passed - self._busy)
        self._last = now, used
        return self._busy

    def first_running(self, names: Collection[str]) -> str | None:
        """Returns the first of these programs that runs and that we did not start; None: none of them does."""
        wanted = {name[:15] for name in names}  # what the kernel keeps of a name
        ours = {process.pid for process in self._family()}
        for process in psutil.process_iter(["name", "status"]):
            name, ended = process.info["name"] or "", process.info["status"] == psutil.STATUS_ZOMBIE
            if name[:15] in wanted and process.pid not in ours and not ended:
                return str(name)
        return None

    def _others(self) -> float:
        times = psutil.cpu_times()
        return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice - sum(map(_used, self._family()))

    def _family(self) -> list[psutil.Process]:
        return [self._us, *self._us.children(recursive=True)]


def _used(process: psutil.Process) -> float:
    """CPU seconds of it and of children that it has waited for."""
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0
