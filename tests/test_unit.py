"""The systemd unit: valid, hardened, and giving the daemon the time it needs to stop."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from daemon.server import REQUEST_GRACE
from daemon.settings import Settings

UNIT = Path(__file__).resolve().parents[1] / "systemd" / "ffspool.service"

analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="there is no systemd-analyze: apt-get install systemd"
)


def service() -> configparser.SectionProxy:
    # Of a name that is given more than once, the last value is kept.
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


@analyze
def test_the_unit_is_valid(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(service()["ExecStart"], "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@analyze
def test_the_unit_is_hardened() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(UNIT)]  # in tenths
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_systemd_waits_longer_than_the_escalation_takes() -> None:
    grace = Settings(state_dir=Path()).grace
    assert int(service()["TimeoutStopSec"]) > REQUEST_GRACE + 2 * grace + 5


def test_webhooks_are_let_out() -> None:
    """`make boot` delivers one."""
    assert "IPAddressDeny" not in service()


def test_the_daemon_alone_is_told_to_stop_and_proves_that_it_lives() -> None:
    unit = service()
    assert (unit["Type"], unit["KillMode"]) == ("notify", "mixed")
    assert int(unit["WatchdogSec"]) > 0


def test_one_encoder_out_of_memory_does_not_end_the_daemon() -> None:
    assert service()["OOMPolicy"] == "continue"


def test_the_sandbox_of_the_encoders_may_be_made_in_the_units_own() -> None:
    """`make boot` shows that it holds."""
    unit = service()
    needed = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"}
    assert needed <= {*unit["SystemCallFilter"].split()}
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == ""
