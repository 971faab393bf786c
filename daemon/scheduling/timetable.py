"""Says whether the queue may run now, by the hours and the idleness of the host that its schedule asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from daemon.config_tables import Schedule, WhileIdle
from daemon.scheduling.host_use import HostUse
from daemon.states import QueueState
from daemon.windows import Hours

OUTSIDE = {"drain": QueueState.DRAINING, "pause": QueueState.PAUSED}
LOOK_EVERY = 5.0  # seconds, while the host has to be idle, and at most, since clocks are set


class Verdict(NamedTuple):
    """A verdict holds until the next look, which is due after `patience` seconds.

    It says what the queue does, and `because` of what it does not run; None: it does. The hours open or close next at
    `changes_at`; None: never.
    """

    state: QueueState
    because: str | None
    changes_at: float | None
    patience: float


class Timetable:
    """Keeps to one schedule. The host is looked at only if that asks for it."""

    def __init__(self, schedule: Schedule, *, now: Callable[[], float]) -> None:
        self._outside = OUTSIDE[schedule.outside]
        self._hours = Hours(schedule.run, schedule.timezone)
        self._idle = schedule.while_idle or WhileIdle()
        self._use = HostUse() if schedule.while_idle else None
        self._now = now

    async def look(self) -> Verdict:
        """Returns what holds now."""
        now = self._now()
        changes_at = self._hours.next_change(now)
        patience = min(LOOK_EVERY, changes_at - now) if changes_at else LOOK_EVERY
        because = None if self._hours.is_open(now) else "outside the hours of its schedule"
        if not because and self._use:
            because = await asyncio.to_thread(self._busy, self._use)
        return Verdict(self._outside if because else QueueState.RUNNING, because, changes_at, patience)

    def _busy(self, use: HostUse) -> str | None:
        cores = use.busy_cores()
        if name := use.first_running(self._idle.no_user_process):
            return f"{name} runs on this host"
        if self._idle.load_below is not None and cores >= self._idle.load_below:
            return f"other programs keep {cores:.1f} cores busy"
        return None
