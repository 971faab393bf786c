"""A host that misbehaves: too few descriptors, a clock that jumps, children that are killed or stopped from outside."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest
from surroundings import need

from faults.ledger import Ledger
from faults.load import Clips, Load, load_seconds
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim, below

Attack = Callable[..., tuple[Victim, Promises]]

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), Path("/nowhere"))
TEN_DAYS = str(10 * 86400)


@pytest.mark.thorough
@pytest.mark.rounds([40], [32, 36, 40, 48, 64])
def test_promises_hold_with_few_file_descriptors(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: int
) -> None:
    need("prlimit", "util-linux")
    victim, promises = attack()
    if not victim.starts("prlimit", f"--nofile={round}:4096"):
        assert "Traceback" not in victim.log(), victim.log()
        return
    tally.attack("daemons short of descriptors")
    with Load(victim.url, victim.token, ledger, clips, str(round), clients=10):
        time.sleep(load_seconds())
    victim.stop()  # a folder that could not be opened could not be removed: the next start sees to that
    assert victim.starts(), victim.log()
    promises.when_settled()


@pytest.mark.thorough
@pytest.mark.rounds(["+1d"], ["+1d", "-1d", "+1d -1d", "-1d +1d"])
def test_promises_hold_when_the_clock_jumps(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, tmp_path: Path, round: str
) -> None:
    """Retries wait, uploads and webhooks have their times, encodes are watched: none may wait for a day."""
    need("faketime", "faketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    victim, promises = attack(
        "--retention", TEN_DAYS, "--upload-expiry", TEN_DAYS, "--sweep-every", "0.5",
        LD_PRELOAD=str(LIBRARY), FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )  # fmt: skip
    promises.aged = True
    assert victim.starts(), victim.log()
    with Load(victim.url, victim.token, ledger, clips, round):
        for jump in round.split():
            time.sleep(load_seconds() / 2)
            wound(victim, Random(round), signal.SIGKILL)  # what it did is tried again, and waits for that
            clock.write_text(jump)
            tally.attack("jumps of the clock")
        time.sleep(load_seconds())
    promises.when_settled()
    victim.kill()
    promises.when_dead()


@pytest.mark.rounds(["a"], ["a", "b", "c", "d", "e"])
def test_promises_hold_when_children_are_killed_and_stopped(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: str
) -> None:
    victim, promises = attack("--hung-after", "2")
    random = Random(round)
    assert victim.starts(), victim.log()
    with Load(victim.url, victim.token, ledger, clips, round):
        for _ in range(40):
            time.sleep(random.uniform(0, 0.2))
            if wound(victim, random, random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])):
                tally.attack("children killed or stopped")
    promises.when_settled()


def wound(victim: Victim, random: Random, number: signal.Signals) -> bool:
    """Signals one of the daemon's children, whatever it is for. False: it has none now."""
    children = [process for process in below(victim.home) if process.pid != victim.process.pid]
    if children:
        with suppress(ProcessLookupError, psutil.Error):
            os.kill(random.choice(children).pid, number)
    return bool(children)


@pytest.mark.rounds([0.15, 0.4], [step / 25 for step in range(30)])
def test_a_stop_in_the_midst_of_the_start_leaves_nothing_behind(attack: Attack, tally: Tally, round: float) -> None:
    victim, promises = attack()
    for _ in range(2):  # a first start, and one with a database
        victim.launch()
        time.sleep(round)
        victim.process.terminate()
        code = victim.process.wait(30)
        tally.attack("stops in the midst of a start")
        assert code in {0, -signal.SIGTERM}, victim.log()
        assert "Traceback" not in victim.log()
        promises.when_dead()
        assert not (victim.state_dir / "address").exists() or code != 0
    assert victim.starts(), victim.log()
    assert victim.stop() == 0
