"""Learns how fast machines are: how many CPU seconds of the daemon's host one of theirs is worth."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import msgspec

from daemon.paths import write_private

log = logging.getLogger(__name__)

TRUST = 0.1  # in the newest encode, less than what a preset's cost is learnt by, which is learnt by the same encodes
WILD = 4.0  # times faster or slower than was thought: no single encode moves it further
FILE = "paces.json"
LEAST_SECONDS = 1.0  # of CPU time, of what tells anything


class Paces:
    """Keeps what was learnt in a file of `folder`. What is lost with that is learnt again."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._known: dict[str, float] = {}
        self._writing = threading.Lock()  # tasks end at once
        try:
            self._known = msgspec.json.decode(self._file.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.DecodeError) as error:
            log.debug("nothing is known of how fast machines are: %s", error)

    def of(self, machine: str) -> float:
        """Returns the CPU seconds of the daemon's host that one of the machine's is worth; 1.0 before it made any."""
        return self._known.get(machine, 1.0)

    def learn(self, machine: str, foreseen: float, taken: float) -> bool:
        """Learns from a task that took so many CPU seconds there and was foreseen to take others on the daemon's host.

        Tells whether there is something new to `keep`.
        """
        if foreseen <= 0 or taken < LEAST_SECONDS:
            return False
        off = min(max(foreseen / (taken * self.of(machine)), 1 / WILD), WILD)
        self._known[machine] = self.of(machine) * (1 + TRUST * (off - 1))
        return True

    def keep(self) -> None:
        """Writes down what was learnt, where it can be. Any thread may call it; it may block for a moment."""
        try:
            with self._writing:
                write_private(self._file, msgspec.json.encode(self._known).decode())
        except OSError as error:
            log.warning("how fast machines are cannot be kept: %s", error)
