"""Tells the time for what lasts, whatever becomes of the host's clock."""

from __future__ import annotations

import time
from collections.abc import Callable


def steady(now: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """Returns a clock of the host's time without jumps ahead: nothing looks old, or tried for long, by one."""
    began, started = now(), clock()
    return lambda: min(now(), began + clock() - started)
