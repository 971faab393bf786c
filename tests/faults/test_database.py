"""A database that is damaged, or that somebody else holds."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from faults.ledger import Ledger
from faults.load import Clips, Load
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]

PAGE = 4096


@pytest.mark.rounds([1], range(40))
def test_a_damaged_page_is_a_refusal_that_says_what_to_do(
    attack: Attack, ledger: Ledger, clips: Clips, tally: Tally, round: int
) -> None:
    victim, promises = attack()
    assert victim.starts()
    with Load(victim.url, victim.token, ledger, clips, str(round)):
        time.sleep(1)
    victim.stop()
    database = victim.state_dir / "ffspool.db"
    damaged = damage(database, Random(round))
    files = spool_of(victim)
    tally.attack("damaged databases")
    started = victim.starts()
    log = victim.log().splitlines()[-1]
    promises.hold(9, not started and victim.process.returncode == 1, f"it works with a damaged database: {log}")
    promises.hold(9, "Put a backup in its place" in log, f"it does not say what to do: {log}")
    promises.hold(9, database.read_bytes() == damaged, "it changed the damaged database")
    promises.hold(9, spool_of(victim) == files, "it changed the spool of a damaged database")
    promises.judge()


def damage(database: Path, random: Random) -> bytes:
    """Overwrites a page that is in use, or the end of it; returns what the file holds then."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("VACUUM")  # a damaged page that nobody uses would be no damage
    content = bytearray(database.read_bytes())
    place = random.randrange(len(content) // PAGE) * PAGE
    content[place : place + PAGE] = random.randbytes(PAGE)
    database.write_bytes(content)
    return bytes(content)


def spool_of(victim: Victim) -> list[str]:
    return sorted(str(path) for path in victim.state_dir.rglob("*"))


@contextmanager
def held(database: Path, lock: str) -> Iterator[None]:
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as other:
        other.execute(f"BEGIN {lock}")
        yield
        other.execute("ROLLBACK")


def test_a_database_that_another_program_holds_is_a_refusal_that_says_so(attack: Attack, tally: Tally) -> None:
    victim, _ = attack()
    assert victim.starts()
    victim.stop()
    database = victim.state_dir / "ffspool.db"
    with closing(sqlite3.connect(database)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE queue SET state = state")
        other.commit()
        tally.attack("locked databases")
        assert not victim.starts()
    assert "is locked by another program" in victim.log()
    assert "Put a backup" not in victim.log(), "a user would do that"
    assert victim.starts(), victim.log()


@pytest.mark.thorough
def test_writes_wait_for_a_lock_and_are_not_lost(attack: Attack, ledger: Ledger, clips: Clips, tally: Tally) -> None:
    """Held for longer than the daemon waits: it answers 503, and works on afterwards."""
    victim, promises = attack()
    assert victim.starts(), victim.log()
    with Load(victim.url, victim.token, ledger, clips, "locked"):
        time.sleep(0.5)
        with held(victim.state_dir / "ffspool.db", "IMMEDIATE"):
            time.sleep(12)
        tally.attack("locked databases")
        time.sleep(1)
    promises.when_settled()
