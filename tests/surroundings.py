"""What the tests find around them: signals that whoever started them ignores, programs, media from outside."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import pytest

from daemon.host import cores

IGNORED = [
    int(number)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
    if signal.getsignal(number) is signal.SIG_IGN
]
ALL_FAULTS = "TRY_ALL_FAULTS"  # not one that begins as settings do
STRICT = {"CI", ALL_FAULTS}  # where one of these is set, what cannot be tried fails
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "media"
OUTSIDE = Path(os.environ.get("MEDIA") or BESIDE).resolve()  # a folder of anybody's files
FILES = sorted(path for path in OUTSIDE.iterdir() if path.suffix != ".json") if OUTSIDE.is_dir() else []

MARKERS = {
    "thorough": "not in the selection of `make test`, which holds the same promise by another case",
    "outside": "needs files that are no part of the project: `make test-media`",
}
SELECTION = "not thorough"  # how `make test` chooses


# Else what is started here a thousand times compiles itself each time: a fifth of a daemon's start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Drops the signals that are ignored instead: so they do as little to us, but are as usual in what we start.

    A script's background (`make test &`) ignores SIGINT, and `nohup` SIGHUP; children would inherit that.
    """
    for name, words in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {words}")
    for number in getattr(config, "workerinput", {}).get("ignored", IGNORED):
        signal.signal(number, lambda *_: None)


def pytest_configure_node(node: Any) -> None:
    """Tells a process that tests are spread over what is ignored: it was started with all signals as usual."""
    node.workerinput["ignored"] = IGNORED


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: a test waits for what it started about as long as it computes."""
    return cores() + 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs files from outside is no part of the selection."""
    for item in items:
        if item.get_closest_marker("outside"):
            item.add_marker("thorough")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Who judged how many outputs; what more would be tried, and what it takes."""
    _tell_who_judged(terminalreporter)
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if not FILES:
        reasons["MEDIA=FOLDER make test-media: files from outside, any folder of them"] = 0
    if config.option.markexpr == SELECTION:
        reasons["make test-all: everything, where this was a selection"] = 0
    if reasons:
        terminalreporter.section("what more can be tried")
    for reason, tests in sorted(reasons.items()):
        terminalreporter.write_line(f"{reason} ({tests} skipped)" if tests else reason)


def _tell_who_judged(terminalreporter: pytest.TerminalReporter) -> None:
    passed = terminalreporter.stats.get("passed", ())
    told = [value for report in passed for name, value in report.user_properties if name == "judged"]
    if told:
        terminalreporter.section("outputs judged by others")
    for judge, outputs in sorted(told):
        terminalreporter.write_line(f"{judge}: {outputs}")


def thorough(*values: Any) -> Any:
    """The parameters of a case that the selection of `make test` leaves out."""
    return pytest.param(*values, marks=pytest.mark.thorough)


def crossed(ones: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Returns each with each. The selection of `make test` has every one of both in some pair, and no more."""
    step = min(len(ones), len(others))
    pairs = product(enumerate(ones), enumerate(others))
    return [
        pytest.param(one, other) if (row - column) % step == 0 else thorough(one, other)
        for (row, one), (column, other) in pairs
    ]


def given(name: str) -> Path:
    """That file from outside. Skips the test where it is missing."""
    path = OUTSIDE / name
    if not path.exists():
        pytest.skip("the files from outside are others than those this test knows by name")
    return path


def need(program: str, package: str) -> str:
    """Where the program, or library, is. Skips the test where it is missing, but fails where all has to be tried."""
    found = _library(program) if ".so." in program else shutil.which(program)
    if found is None:
        lacking(f"there is no {program}: apt-get install {package}")
    return found


def _library(name: str) -> str | None:
    try:
        return ctypes.CDLL(name)._name
    except OSError:
        return None


def need_mounts() -> None:
    """Skips the test where no file system can be mounted."""
    if os.geteuid() != 0 or not _works("unshare", "--mount", "true"):
        pytest.skip("mounting a file system takes root with all its capabilities")


def need_tracing() -> None:
    """Skips the test where system calls cannot be made to fail."""
    if not _works(need("strace", "strace"), "-qq", "-e", "trace=none", "true"):
        lacking("strace may trace nothing here: it takes CAP_SYS_PTRACE")


def _works(*command: str) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def lacking(reason: str) -> NoReturn:
    """Skips the test, but fails it where everything has to be tried."""
    (pytest.fail if STRICT & os.environ.keys() else pytest.skip)(reason)
