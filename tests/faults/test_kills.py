"""SIGKILL to the daemon at every moment: at each fsync, and at random ones that are likely to hurt."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from surroundings import need_tracing

from faults.ledger import Ledger
from faults.load import Clips, Load
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim, strace

Attack = Callable[..., tuple[Victim, Promises]]

AT_ONCE = 0.004  # seconds after an answer in which what it promised must not hang on anything yet to be done
LONGEST = 6.0  # seconds of load before one kill


class Scene:
    """A daemon under load. Each of its `moments` returns when that is just passing."""

    def __init__(self, victim: Victim, ledger: Ledger, random: Random) -> None:
        self._jobs = victim.state_dir / "spool" / "jobs"
        self._ledger = ledger
        self._random = random
        self.moments = (
            self.after_a_submit, self.in_a_cancel, self.in_a_publication, self.after_a_completion, self.whenever,
        )  # fmt: skip

    def after_a_submit(self) -> None:
        self._ledger.wait_for("submitted", LONGEST)
        time.sleep(self._random.uniform(0, AT_ONCE))

    def in_a_cancel(self) -> None:
        self._ledger.wait_for("cancelling", LONGEST)
        time.sleep(self._random.uniform(0, 0.1))

    def in_a_publication(self) -> None:
        """When a file just got its final name: its row does not know yet."""
        before, deadline = self._outputs(), time.monotonic() + LONGEST
        while not self._outputs() - before and time.monotonic() < deadline:
            time.sleep(0.0005)

    def after_a_completion(self) -> None:
        self._ledger.wait_for("completed", LONGEST)
        time.sleep(self._random.uniform(0, AT_ONCE))

    def whenever(self) -> None:
        time.sleep(self._random.uniform(0, 2))

    def _outputs(self) -> set[Path]:
        return set(self._jobs.glob("*/outputs/*"))


@pytest.mark.rounds([("a", 2)], [(f"round {number}", 8) for number in range(30)])
def test_promises_hold_after_kills_at_random_moments(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: tuple[str, int]
) -> None:
    """So many in one round: the queue grows old with them."""
    victim, promises = attack()
    name, kills = round
    random = Random(name)
    scene = Scene(victim, ledger, random)
    assert victim.starts(), victim.log()
    for number in range(kills):
        with Load(victim.url, victim.token, ledger, clips, f"{name}/{number}"):
            random.choice(scene.moments)()
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


SWEPT = [*(("fdatasync", n) for n in range(1, 81)), *(("fsync", n) for n in range(1, 31))]
A_FEW = [pytest.param(("fdatasync", 24), marks=pytest.mark.thorough), ("fsync", 6)]


@pytest.mark.rounds(A_FEW, SWEPT)
def test_promises_hold_after_a_kill_at_every_fsync(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: tuple[str, int]
) -> None:
    """The nth one of each thread, under load; then the nth one of the recovery from that."""
    need_tracing()
    victim, promises = attack()
    call, number = round
    if victim.starts(*strace(call, "signal=KILL", str(number))):
        with Load(victim.url, victim.token, ledger, clips, str(round)):
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
