"""`ffspool run -o` to cards and shares: the work is done on a local disk, and what is made is copied."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import pytest
from conftest import make_clip
from surroundings import need_mounts, thorough
from test_cli import names

from daemon.cli import work_place
from daemon.database.file import prepare, target
from daemon.errors import StartupError, Unavailable
from daemon.paths import Paths
from daemon.proof.publish import seal

# As a card does, it refuses whatever links below a folder; and as rclone's, locks on it.
CARD = """
import errno, fcntl, os, sys
card, rest = sys.argv[1], sys.argv[2:]
def refusing(call, code):
    def refused(*arguments, **named):
        places = [os.readlink(f"/proc/self/fd/{a}") if isinstance(a, int) else os.fspath(a) for a in arguments[:2]]
        if any(str(place).startswith(card) for place in places):
            raise OSError(code, os.strerror(code))
        return call(*arguments, **named)
    return refused
os.symlink, os.link = refusing(os.symlink, errno.EPERM), refusing(os.link, errno.EPERM)
flock = fcntl.flock
def locked(descriptor, how):
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if os.readlink(f"/proc/self/fd/{number}").startswith(card):
        raise OSError(errno.ENOSYS, "Function not implemented")
    return flock(descriptor, how)
fcntl.flock = locked
sys.argv = ["ffspool", *rest]
from daemon.cli.main import main
main()
"""
MEMORY = Path("/dev/shm")


def to_card(card: Path, *arguments: str | Path, work: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CARD, str(card), *map(str, arguments), "-o", str(card)]
    env = {**os.environ, "TMPDIR": str(work)}
    return subprocess.run(command, capture_output=True, text=True, env=env)


def other_device(tmp_path: Path) -> Path:
    """A folder that a rename from the test's own does not reach, where there is one."""
    return MEMORY if MEMORY.exists() and MEMORY.stat().st_dev != tmp_path.stat().st_dev else tmp_path


@pytest.mark.parametrize("flags", [thorough(()), ("--overwrite",)])
def test_a_card_without_links_and_locks_gets_its_outputs(ffmpeg: str, tmp_path: Path, flags: tuple[str, ...]) -> None:
    clip, card, work = make_clip(ffmpeg, tmp_path / "clip.mp4", seconds=1), tmp_path / "card", other_device(tmp_path)
    before = names(work)
    wanted = ("-p", "mp3", "-p", "sprite-sheet", *flags)
    done = to_card(card, "run", clip, *wanted, work=work)
    assert done.returncode == 0, done.stdout + done.stderr
    assert names(card) == ["clip_mp3.mp3", "clip_sprite-sheet"]
    assert names(work) == before, "something was left where the work was done"


def test_what_comes_out_otherwise_than_it_was_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (work := other_device(tmp_path)) == tmp_path:
        pytest.skip("there is no second file system to write to")
    output = work / f"ffspool-test-{os.getpid()}.mp3"
    output.write_bytes(b"sound" * 1000)
    try:
        sealed = seal(output)[1]
        monkeypatch.setattr(shutil, "copyfile", lambda _, part: part.write_bytes(b"sound"))
        with pytest.raises(Unavailable, match="is not what was made"):
            work_place.brought(output, tmp_path, sealed)
        assert output.exists()
    finally:
        output.unlink()
    assert names(tmp_path) == []


def test_what_a_newer_ffspool_left_is_removed_only_if_that_is_asked(tmp_path: Path) -> None:
    with work_place.working_in(tmp_path) as work:
        paths = Paths(work)
        paths.prepare()
        prepare(paths.database)
        with closing(sqlite3.connect(paths.database)) as database:
            database.execute(f"PRAGMA user_version = {target() + 1}")
        piece = paths.piece("job", "film", 1)
        piece.parent.mkdir(parents=True)
        piece.write_bytes(b"of a film")
    with pytest.raises(StartupError, match="left by a newer ffspool"), work_place.working_in(tmp_path):
        pass
    assert piece.exists()
    with work_place.working_in(tmp_path, fresh=True):
        assert not piece.exists()


def test_a_folder_on_a_disk_that_is_full_is_not_worked_beside(tmp_path: Path) -> None:
    """What an interrupted run left there would be begun anew elsewhere, and could not be brought."""
    need_mounts()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        with suppress(OSError), (tmp_path / "film").open("wb", buffering=0) as film:
            while film.write(bytes(4096)):
                pass
        with pytest.raises(StartupError, match="No space left on device"):
            work_place.base_of(tmp_path)
        (tmp_path / "film").unlink()
        assert work_place.base_of(tmp_path) == tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(("kind", "local"), [("fuse.sshfs", True), ("nfs4", True), ("exfat", True), ("ext4", False)])
def test_work_is_not_done_on_shares_and_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, local: bool
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 {os.major(device)}:{os.minor(device)} / / rw,noatime master:1 - {kind} /dev/root rw\n")
    monkeypatch.setattr(work_place, "MOUNTS", mounts)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert (work_place.base_of(tmp_path) != tmp_path) == local
