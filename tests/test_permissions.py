"""A state dir that others may write is not trusted: it is refused in words, and what they say to do is enough."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PATIENCE, Daemon

from daemon.cli import doctor, work_place
from daemon.errors import StartupError
from daemon.paths import Paths
from daemon.permissions import weakness

STRANGER = 12345


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """As a daemon leaves it."""
    paths = Paths(tmp_path / "above" / "state's own")
    paths.prepare()
    for file in (paths.token, paths.database, paths.webhook_secret):
        file.touch(mode=0o600)
    return paths.state


def told(state_dir: Path) -> str:
    """The command that the refusal tells."""
    weak = weakness(Paths(state_dir))
    assert weak
    command = re.search("`(.+?)`", weak.advice)
    assert command
    return command[1]


def test_a_state_dir_that_is_ours_alone_is_trusted(state_dir: Path, tmp_path: Path) -> None:
    assert weakness(Paths(state_dir)) is None
    assert weakness(Paths(tmp_path / "not" / "there" / "yet")) is None
    assert doctor.state_dir(state_dir).ok


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o775, 0o1777], ids=oct)
@pytest.mark.parametrize(
    "place", ["", "token", "ffspool.db", "ffspool.db-wal", "webhook-secret", "spool", "spool/jobs", "spool/incoming"]
)
def test_what_others_may_write_is_refused_until_it_is_taken_from_them(state_dir: Path, place: str, mode: int) -> None:
    path = state_dir / place
    if place.endswith("-wal"):
        path.touch()
    path.chmod(mode)
    check = doctor.state_dir(state_dir)
    assert not check.ok
    assert check.found.startswith(f"{path} may be written by others (mode {mode:04o})")
    assert path.stat().st_mode & 0o7777 == mode
    subprocess.run(told(state_dir), shell=True, check=True)
    assert weakness(Paths(state_dir)) is None


def test_all_that_others_may_write_is_named_in_one_command(state_dir: Path) -> None:
    for path in (state_dir, *state_dir.iterdir(), state_dir / "spool" / "uploads"):
        path.chmod(path.stat().st_mode | 0o020)  # as a umask of 002 leaves them
    subprocess.run(told(state_dir), shell=True, check=True)
    assert weakness(Paths(state_dir)) is None


def test_a_folder_above_that_anybody_may_write_is_refused_unless_it_is_sticky(state_dir: Path) -> None:
    above = state_dir.parent
    for fine in (0o775, 0o1777, 0o755):  # what a group may do is the group's admin's to know
        above.chmod(fine)
        assert weakness(Paths(state_dir)) is None
    above.chmod(0o777)
    weak = weakness(Paths(state_dir / "not there yet"))
    assert weak
    assert weak.found.startswith(f"{above}, above the state dir, may be written by anybody (mode 0777)")
    subprocess.run(told(state_dir), shell=True, check=True)
    assert weakness(Paths(state_dir)) is None


@pytest.mark.parametrize("place", ["", "token", "ffspool.db", "spool/jobs"])
def test_what_belongs_to_somebody_else_is_refused(state_dir: Path, place: str) -> None:
    path = state_dir / place
    if os.geteuid() == 0:
        os.chown(path, STRANGER, -1)
        user, owner = None, str(STRANGER)
    else:
        user, owner = STRANGER, path.owner()
    weak = weakness(Paths(state_dir), user)
    assert weak
    assert f"belongs to {owner}" in weak.found
    assert "chown" in weak.advice


def test_a_file_in_its_place_is_no_fault_of_its_owner(tmp_path: Path) -> None:
    (tmp_path / "state").touch(mode=0o600)
    assert weakness(Paths(tmp_path / "state")) is None
    assert not doctor.state_dir(tmp_path / "state").ok


def test_a_link_is_judged_by_its_owner(state_dir: Path, tmp_path: Path) -> None:
    (state_dir / "webhook-secret").unlink()
    (state_dir / "webhook-secret").symlink_to(tmp_path / "elsewhere")
    assert weakness(Paths(state_dir)) is None


def test_serve_refuses_what_others_may_write_and_changes_nothing(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon()
    daemon.stop()
    token = daemon.state_dir / "token"
    token.write_text("brought by somebody else\n")
    daemon.state_dir.chmod(0o777)
    daemon.launch()
    assert daemon.process.wait(PATIENCE) == 1
    assert f"What to do: once you trust what is in it `chmod go-w {daemon.state_dir}`" in daemon.log()
    assert daemon.state_dir.stat().st_mode & 0o777 == 0o777
    daemon.state_dir.chmod(0o700)
    daemon.start()


@pytest.mark.parametrize("is_link", [True, False])
def test_a_run_works_in_no_folder_that_somebody_else_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    """Who else may write to the output folder is always a moment faster."""

    def beaten(work: Path) -> None:
        if is_link:
            work.symlink_to(tmp_path)
        else:
            work.mkdir()

    monkeypatch.setattr(work_place, "_clear_leftovers", beaten)
    words = "is there already, whoever made it could bring files of theirs"
    with pytest.raises(StartupError, match=words), work_place.working_in(tmp_path / "out"):
        pytest.fail("it works there")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".ffspool"]
