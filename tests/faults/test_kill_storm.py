"""A storm: the daemon is killed again and again, a moment after it came up, and what is not cancelled comes out."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from faults.ledger import Ledger
from faults.load import Clips
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]

KILLS = 20
NOTHING_LEFT = [[{"preset": "h264-capped"}]]  # of its passes, to go on with: each death is held against it alone
WISHES: list[list[dict[str, Any]]] = [
    [{"preset": "h264-480p"}, {"preset": "hevc-1080p", "speed": "veryfast"}],
    [{"preset": "h264-capped"}],  # passes that begin again
    [{"preset": "refresh", "count": 2, "seed": "storm"}, {"preset": "mp3"}],
    [{"preset": "webm-720p", "speed": "ultrafast"}, {"preset": "gif"}],
    [{"preset": "h264-480p", "target_vmaf": 90}],
]


@pytest.mark.thorough
@pytest.mark.parametrize("wishes", [[*WISHES, *WISHES], NOTHING_LEFT], ids=["many", "one"])
def test_a_storm_of_kills_fails_no_job(
    attack: Attack,
    ledger: Ledger,
    clips: Clips,
    tally: Tally,
    paced: dict[str, str],
    wishes: list[list[dict[str, Any]]],
) -> None:
    victim, promises = attack(FFSPOOL_RESUME_FROM="0", **paced)
    random = Random("storm")
    assert victim.starts(), victim.log()
    for variations in wishes:
        wish = ledger.wish(variations, long=True)
        ledger.acknowledge(wish, victim.submit(clips.long, spec={"name": wish.name, "variations": variations}))
    for number in range(KILLS):
        time.sleep(random.uniform(0.1, 2))
        if number % 3 == 2 and len(wishes) > 1:
            cancel_one(victim, ledger, random)
        victim.kill()
        tally.attack("kills in a storm")
        promises.when_dead()
        assert victim.starts(), victim.log()
    promises.when_settled()
    ended = [
        variation
        for job in ledger.jobs
        for source in victim.job(job)["sources"]
        for variation in source["variations"]
        if variation["status"] not in {"completed", "cancelled"}
    ]
    assert ended == []


def cancel_one(victim: Victim, ledger: Ledger, random: Random) -> None:
    job = random.choice(list(ledger.jobs.values()))
    variation = random.choice(job.variations)
    answer = victim.client.post(f"/api/jobs/{job.id}/variations/{variation}/cancel")
    if answer.status_code == 200 and answer.json()["status"] == "cancelled":
        job.cancelled.add(variation)
