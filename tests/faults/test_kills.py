"""SIGKILL to the daemon at every moment: at each fsync, and at random ones that are likely to hurt."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import pytest

from faults.conftest import need
from faults.ledger import Ledger
from faults.load import Clips, Load
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim, strace

Attack = Callable[..., tuple[Victim, Promises]]

KILLS = 8  # in one round of random ones: the queue grows old with them
AT_ONCE = 0.004  # seconds after an answer in which what it promised must not hang on anything yet to be done
LONGEST = 6.0  # seconds of load before one kill


def loaded(victim: Victim, ledger: Ledger, clips: Clips, seed: str) -> Load:
    return Load(victim.url, victim.token, ledger, clips, seed)


# Moments


def after_a_submit(victim: Victim, ledger: Ledger, random: Random) -> None:
    ledger.wait_for("submitted", LONGEST)
    time.sleep(random.uniform(0, AT_ONCE))


def in_a_cancel(victim: Victim, ledger: Ledger, random: Random) -> None:
    ledger.wait_for("cancelling", LONGEST)
    time.sleep(random.uniform(0, 0.1))


def in_a_publication(victim: Victim, ledger: Ledger, random: Random) -> None:
    """When a file just got its final name: its row does not know yet."""
    outputs = lambda: set((victim.state_dir / "spool" / "jobs").glob("*/outputs/*"))  # noqa: E731
    before, deadline = outputs(), time.monotonic() + LONGEST
    while not outputs() - before and time.monotonic() < deadline:
        time.sleep(0.0005)


def whenever(victim: Victim, ledger: Ledger, random: Random) -> None:
    time.sleep(random.uniform(0, 2))


MOMENTS = (after_a_submit, in_a_cancel, in_a_publication, whenever)


@pytest.mark.rounds(["a"], [f"round {number}" for number in range(45)])
def test_promises_hold_after_kills_at_random_moments(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: str
) -> None:
    victim, promises = attack()
    random = Random(round)
    assert victim.starts(), victim.log()
    for number in range(KILLS):
        with loaded(victim, ledger, clips, f"{round}/{number}"):
            random.choice(MOMENTS)(victim, ledger, random)
            victim.kill()
        tally.attack("kills")
        promises.when_dead()
        while random.random() < 0.35:  # again, while it recovers
            victim.launch_and_kill(random.uniform(0.2, 1.2))
            tally.attack("kills")
            promises.when_dead()
        assert victim.starts(), victim.log()
        promises.when_alive()
    promises.when_settled()


SWEPT = [*(("fdatasync", n) for n in range(1, 121)), *(("fsync", n) for n in range(1, 41))]
A_FEW = [("fdatasync", 3), ("fdatasync", 24), ("fsync", 6)]


@pytest.mark.rounds(A_FEW, SWEPT)
def test_promises_hold_after_a_kill_at_every_fsync(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: tuple[str, int]
) -> None:
    """The nth one of each thread, under load; then the nth one of the recovery from that."""
    need("strace", "strace")
    victim, promises = attack()
    call, number = round
    if victim.starts(*strace(call, "signal=KILL", str(number))):
        with loaded(victim, ledger, clips, str(round)):
            assert victim.dies(LONGEST * 10), "it never came so far"
    tally.attack("kills at an fsync")
    promises.when_dead()
    if victim.starts(*strace(call, "signal=KILL", str(1 + number % 12))):
        victim.kill()
    tally.attack("kills at an fsync")
    promises.when_dead()
    assert victim.starts(), victim.log()
    promises.when_alive()
    promises.when_settled()
