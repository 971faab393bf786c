"""How often each promise was tried and found broken, over all tests and all their processes."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

VARIABLE = "FAULTS_TALLY"  # names the file that all processes of one run append to


class Tally:
    """One test's counts; `close` adds them to the run's."""

    def __init__(self) -> None:
        self._cases: Counter[int] = Counter()
        self._violations: Counter[int] = Counter()
        self._attacks: Counter[str] = Counter()

    def case(self, promise: int, *, violated: bool) -> None:
        self._cases[promise] += 1
        self._violations[promise] += violated

    def attack(self, kind: str) -> None:
        self._attacks[kind] += 1

    def close(self) -> None:
        line = {"cases": self._cases, "violations": self._violations, "attacks": self._attacks}
        with Path(os.environ[VARIABLE]).open("a") as file:  # one short line: appended whole, or not at all
            file.write(json.dumps(line) + "\n")


def total(path: Path) -> dict[str, Counter[str]]:
    """What all tests of the run counted."""
    totals: dict[str, Counter[str]] = {"cases": Counter(), "violations": Counter(), "attacks": Counter()}
    for line in path.read_text().splitlines():
        for name, counts in json.loads(line).items():
            totals[name].update(counts)
    return totals
