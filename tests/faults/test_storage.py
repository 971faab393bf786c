"""Storage that fails, is full or is read-only: what was acknowledged stands, and work goes on when it can."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
from surroundings import need_mounts, need_tracing

from faults.ledger import Ledger
from faults.load import Clips, Load, load_seconds
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim, strace

Attack = Callable[..., tuple[Victim, Promises]]

FSYNC, WRITE, PWRITE, RENAME = "fsync,fdatasync", "write", "pwrite64", "rename,renameat,renameat2"
FILLED = 6.0  # seconds, after which clients have filled a small disk
SPANS = ("5..25", "20+", "30+5", "8+11")  # of the calls that fail, counted in each thread
ERRORS = list(product((FSYNC, WRITE, PWRITE, RENAME), ("EIO", "ENOSPC"), SPANS))
A_FEW = [pytest.param((FSYNC, "EIO", "20+"), marks=pytest.mark.thorough), (PWRITE, "ENOSPC", "8+11")]


@pytest.mark.rounds(A_FEW, ERRORS)
def test_promises_hold_when_storage_fails(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: tuple[str, str, str]
) -> None:
    """Errors while clients are at work, then SIGKILL: what was refused must not come back, nor what was taken go."""
    need_tracing()
    victim, promises = attack()
    calls, error, span = round
    assert victim.starts()
    victim.stop()
    tally.attack("spells of failing storage")
    if victim.starts(*strace(calls, f"error={error}", span)):
        with Load(victim.url, victim.token, ledger, clips, str(round)):
            time.sleep(load_seconds())
            victim.kill()
        tally.attack("kills")
    else:
        assert victim.process.returncode == 1, victim.log()
        assert "Traceback" not in victim.log(), victim.log()
    promises.when_dead()
    assert victim.starts(), victim.log()
    promises.when_alive()
    promises.when_settled()


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    need_mounts()
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *options, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.thorough
@pytest.mark.rounds(["a"], ["a", "b", "c"])
def test_promises_hold_on_a_full_disk(attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: str) -> None:
    victim, promises = attack("--max-disk-use", "1", "--sweep-every", "1")
    with mounted(victim.state_dir, "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"):
        assert victim.starts(), victim.log()
        with Load(victim.url, victim.token, ledger, clips, round):
            time.sleep(FILLED)
        tally.attack("full disks")
        subprocess.run(["mount", "-o", "remount,size=64m", str(victim.state_dir)], check=True)
        promises.when_settled()
        victim.end()


@pytest.mark.thorough
@pytest.mark.rounds(["a"], ["a", "b", "c"])
def test_promises_hold_when_the_spool_turns_read_only(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: str
) -> None:
    victim, promises = attack("--sweep-every", "1")
    assert victim.starts(), victim.log()
    with Load(victim.url, victim.token, ledger, clips, round):
        time.sleep(load_seconds() / 2)
        with read_only(victim.state_dir / "spool"):
            time.sleep(load_seconds())
        time.sleep(load_seconds() / 2)
    tally.attack("spools turned read-only")
    promises.when_alive(swept=False)  # what could not be removed then is swept when it is old, or at a start
    victim.stop()
    ledger.stops += 1
    assert victim.starts(), victim.log()
    promises.when_settled()


def test_a_read_only_state_dir_is_a_refusal_that_says_so(attack: Attack, tally: Tally) -> None:
    victim, _ = attack()
    for _ in range(2):  # a new one, and one with a database
        victim.state_dir.mkdir(exist_ok=True)
        with read_only(victim.state_dir):
            tally.attack("read-only state dirs")
            victim.launch()
            assert victim.process.wait(60) == 1
        assert "Traceback" not in victim.log(), victim.log()
        assert "Read-only file system" in victim.log()
        assert victim.starts(), victim.log()
        victim.stop()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """For everything that is opened below it from now on."""
    # Made read-only beside it, where nobody writes, and put over it then: one that is in use could be busy.
    aside = folder.with_name(f"{folder.name}.read-only")
    aside.mkdir()
    with mounted(aside, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(aside)], check=True)
        with mounted(folder, "--bind", str(aside)):
            yield
    aside.rmdir()
