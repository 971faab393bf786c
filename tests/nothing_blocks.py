"""A test fails when the event loop of its process, or of a daemon it started, waited for the file system meanwhile."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_guard import REPORT, Guard


def pytest_configure(config: pytest.Config) -> None:
    descriptor, os.environ[REPORT] = tempfile.mkstemp(prefix="loop-guard-")  # each worker's own
    os.close(descriptor)
    report = Path(os.environ[REPORT])
    config.add_cleanup(report.unlink)
    Guard(report).install()


class Findings:
    """What was found since the last look."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._seen = 0

    def new(self) -> list[str]:
        with self._report.open("rb") as file:
            file.seek(self._seen)
            lines = file.read().splitlines()
            self._seen = file.tell()
        return [_told(**json.loads(line)) for line in lines]


def _told(call: str, path: str, stack: list[str]) -> str:
    return "\n  ".join([f"{call} of {path} made the event loop wait:", *stack])


@pytest.fixture(scope="session")
def blocked() -> Findings:
    return Findings(Path(os.environ[REPORT]))


@pytest.fixture(scope="session", autouse=True)
def _nothing_blocks_at_the_end(blocked: Findings) -> Iterator[None]:
    """The daemons of whole files end after the last test of them."""
    yield
    assert blocked.new() == []


@pytest.fixture(autouse=True)
def _nothing_blocks(blocked: Findings) -> Iterator[None]:
    yield
    if found := blocked.new():
        pytest.fail("\n".join(found))
