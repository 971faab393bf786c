"""Fixtures of the attacks, and the summary: one line per promise."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import make_clip, wrapped
from surroundings import ALL_FAULTS, need_tracing
from test_replacing import make_film

from faults.ledger import Ledger
from faults.load import Clips
from faults.promises import PROMISES, Promises
from faults.tally import VARIABLE, Tally, total
from faults.victim import Victim

PACE = 8  # times as fast as it is played a source is read: else a film so short would be made in a moment
SLOWLY = f"""#!/bin/sh
case "$*" in *.pieces*) ;; *) first=-i ;; esac
for word do
    shift
    [ "$word" != "$first" ] || {{ first=; set -- "$@" -readrate {PACE}; }}
    set -- "$@" "$word"
done
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-faults", action="store_true", help="every attack, not the short selection of `make test`")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `rounds(short, every)` runs for each of these values of its argument `round`."""
    if marker := metafunc.definition.get_closest_marker("rounds"):
        short, every = marker.args
        everything = metafunc.config.getoption("--all-faults", default=False)
        metafunc.parametrize("round", every if everything else short)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rounds(short, every): values of `round` in the short selection, and in all")
    if config.getoption("--all-faults"):
        os.environ[ALL_FAULTS] = "1"  # for the processes that tests are spread over, too
    if VARIABLE not in os.environ:  # not yet set by the process that spreads the tests
        descriptor, os.environ[VARIABLE] = tempfile.mkstemp(prefix="ffspool-faults-")
        os.close(descriptor)
        config.add_cleanup(Path(os.environ[VARIABLE]).unlink)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    totals = total(Path(os.environ[VARIABLE]))
    if totals["cases"]:
        terminalreporter.section("promises")
        for number, words in PROMISES.items():
            cases, violations = totals["cases"][str(number)], totals["violations"][str(number)]
            terminalreporter.write_line(f"{number}. {words}: {cases} cases tried, {violations} violations")
        attacks = ", ".join(f"{count} {kind}" for kind, count in sorted(totals["attacks"].items()))
        terminalreporter.write_line(f"after {attacks}")


@pytest.fixture
def strace_is_there() -> None:
    need_tracing()


@pytest.fixture(scope="session")
def clips(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("clips")
    return Clips(
        short=make_clip(ffmpeg, folder / "short.mp4", seconds=0.5, size="64x64"),
        long=make_clip(ffmpeg, folder / "long.mp4", seconds=20, size="64x64"),
    )


@pytest.fixture(scope="session")
def original(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A film of a library that is to be shrunk."""
    return make_film(ffmpeg, tmp_path_factory.mktemp("original"), seconds=0.5).read_bytes()


@pytest.fixture(scope="session")
def paced(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of a daemon whose encoder takes its time, but for copies of what was encoded before."""
    path = tmp_path_factory.mktemp("paced") / "ffmpeg"
    path.write_text(f'{SLOWLY}exec {ffmpeg} "$@"\n')
    path.chmod(0o755)
    return wrapped(path, ffmpeg)


@pytest.fixture
def tally() -> Iterator[Tally]:
    tally = Tally()
    yield tally
    tally.close()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def attack(
    tmp_path: Path, ledger: Ledger, tally: Tally, ffmpeg: str
) -> Iterator[Callable[..., tuple[Victim, Promises]]]:
    """Makes a daemon that is yet to be started and hurt, and who holds it to its promises."""
    victims: list[Victim] = []

    def make(*flags: str, **environment: str) -> tuple[Victim, Promises]:
        victim = Victim(tmp_path / f"home{len(victims)}", *flags, **environment)
        victims.append(victim)
        return victim, Promises(victim, ledger, tally, ffmpeg)

    yield make
    for victim in victims:
        victim.end()
