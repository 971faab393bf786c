"""What a daemon's clients were told, kept outside the daemon: whatever happens to it, it is held to this."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any


@dataclass
class Wish:
    """A job somebody asked for. `name` is of this wish alone, so that its jobs can be counted."""

    name: str
    variations: list[dict[str, Any]]
    long: bool  # whether its source takes a while
    upload: str | None = None  # the resumable upload it takes


@dataclass
class Job:
    """What clients know of an acknowledged job. What was sent and not answered leaves the outcome in doubt."""

    id: str
    name: str
    variations: list[str]
    completed: dict[str, tuple[int, str]] = field(default_factory=dict)  # variation: bytes, SHA-256
    cancelled: set[str] = field(default_factory=set)  # variations a receipt said are cancelled
    kept: int | None = None  # completed variations, by the receipt of a cancel of all of it
    retries: int = 0  # sent: from the first on, what was cancelled may be completed
    deleting: bool = False  # sent
    deleted: bool = False  # acknowledged


@dataclass
class Upload:
    offset: int = 0
    taken: bool = False  # a job that takes it, or its deletion, was sent


class Ledger:
    """Written by many threads at once; read when they rest."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.uploads: dict[str, Upload] = {}
        self.wishes: dict[str, Wish] = {}  # not acknowledged (yet)
        self.again: list[Wish] = []  # of them: those whose answer got lost, to be sent once more
        self.events: list[tuple[int, str, str]] = []  # in the order they came
        self.lies: list[tuple[int, str]] = []  # promises that an answer broke
        self.surprises: list[str] = []  # answers that nobody should get
        self.stops = 0  # of the daemon, gentle ones: each may cost a variation an attempt
        self._counts: Counter[str] = Counter()
        self._wishes = 0
        self._changed = threading.Condition()

    def wish(self, variations: list[dict[str, Any]], *, long: bool, upload: str | None = None) -> Wish:
        with self._changed:
            self._wishes += 1
            wish = Wish(f"wish {self._wishes}.", variations, long, upload)  # no name is in another
            self.wishes[wish.name] = wish
        return wish

    def acknowledge(self, wish: Wish, view: dict[str, Any]) -> Job:
        variations = [variation["id"] for source in view["sources"] for variation in source["variations"]]
        job = Job(view["id"], wish.name, variations)
        with self._changed:
            self.jobs[job.id] = job
            del self.wishes[wish.name]
        return job

    def pick(self, random: Random) -> Job | None:
        """One of the jobs that nobody deletes, a recent one rather than an old one."""
        with self._changed:
            there = [job for job in self.jobs.values() if not job.deleting]
        return random.choice(there[-8:]) if there else None

    def happened(self, what: str) -> None:
        with self._changed:
            self._counts[what] += 1
            self._changed.notify_all()

    def wait_for(self, what: str, seconds: float) -> bool:
        """Whether it happened once more within that time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            before = self._counts[what]
            while self._counts[what] == before:
                if not self._changed.wait(deadline - time.monotonic()):
                    return False
        return True

    @property
    def last_event(self) -> int:
        return self.events[-1][0] if self.events else 0
