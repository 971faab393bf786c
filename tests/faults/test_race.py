"""Many clients race by every verb beside encodes: nothing breaks, and nobody waits."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from surroundings import thorough

from faults.ledger import Ledger
from faults.load import Clips
from faults.promises import Promises
from faults.race import CLIENTS, GRACE, Race, table
from faults.tally import Tally
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]


@pytest.mark.rounds([thorough(2.0)], [60.0])
def test_promises_hold_while_clients_race_by_every_verb(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: float, pytestconfig: pytest.Config
) -> None:
    victim, promises = attack("--grace", str(GRACE))
    assert victim.starts(), victim.log()
    with Race(victim.url, victim.token, ledger, clips, "race", pid=victim.pid) as race:
        time.sleep(round)
    print(table(race.by_route()))
    for _ in race.answers:
        tally.attack(f"answers to {CLIENTS} racing clients")
    assert [answer for answer in race.answers if answer.status >= 500] == []
    promises.when_settled()
    promises.when_all_was_watched()
    if pytestconfig.getoption("--all-faults"):
        assert race.late() == []
