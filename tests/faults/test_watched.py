"""A folder of films outlives kills at whatever moment: each is replaced, or its result delivered, once and whole."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import wait_until
from mirrored import shared
from test_folders import QUICK, toml

from faults.promises import Promises
from faults.tally import Tally
from faults.test_deliveries import TINY, all_of
from faults.test_replacements import filled, hold, missing, replaced, settled, watching
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]

FEW, MANY = [(1, 5, 3)], [(2, 50, 50), (3, 50, 50)]  # a seed, films, and kills
LONG = 600.0  # seconds, for what is left of so many films on a machine that others use


@pytest.mark.thorough
@pytest.mark.rounds(FEW, MANY)
def test_each_film_of_a_library_is_replaced_once(
    attack: Attack, tally: Tally, tmp_path: Path, original: bytes, round: tuple[int, int, int]
) -> None:
    seed, films, kills = round
    names = called(films)
    library = filled(tmp_path / "library", original, names)
    victim = watching(attack, library)
    for _ in killed(victim, tally, seed, kills):
        assert not missing(library, original, names)
    assert victim.starts(), victim.log()
    wait_until(lambda: settled(victim, films), "every film's end", seconds=LONG)
    hold(tally, library, original, names, all_replaced=True)


@pytest.mark.thorough
@pytest.mark.rounds(FEW, MANY)
def test_each_film_of_an_inbox_is_delivered_once(
    attack: Attack, tally: Tally, tmp_path: Path, original: bytes, round: tuple[int, int, int]
) -> None:
    seed, films, kills = round
    names = called(films)
    library, made = filled(tmp_path / "library", original, names), tmp_path / "made"
    made.mkdir()
    victim = delivering(attack, library, made)
    for _ in killed(victim, tally, seed, kills):
        assert [(library / "films" / name).read_bytes() == original for name in names] == [True] * films
    assert victim.starts(), victim.log()
    whole = wait_until(lambda: (found := all_of(victim)) and len(found) >= films and found, "all results", seconds=LONG)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made.iterdir()}
    as_told = {Path(to).name: sha256 for to, sha256 in whole.items()}
    once = set(found) == {Path(name).with_suffix(".mp4").name for name in names}
    tally.case(10, violated=found != as_told or not once)
    assert (found, once) == (as_told, True)


@pytest.mark.thorough
@pytest.mark.rounds([(1, 8, 4)], [(seed, 20, 8) for seed in range(4)])
def test_each_film_of_a_share_that_goes_away_is_there_or_replaced_and_kept(
    attack: Attack, tally: Tally, tmp_path: Path, original: bytes, round: tuple[int, int, int]
) -> None:
    seed, films, deaths = round
    chance, names, share = random.Random(seed), called(films), tmp_path / "library"
    behind = filled(tmp_path / "behind", original, names)
    share.mkdir()
    with shared(behind, share) as server:
        victim = watching(attack, share)
        assert victim.starts(), victim.log()
        for _ in range(deaths):
            time.sleep(chance.uniform(0, 1.5))
            server.die()
            tally.attack("shares that go away in a replacement")
            time.sleep(chance.uniform(0, 0.5))
            server.unmount()
            assert not missing(behind, original, names)
            time.sleep(chance.uniform(0, 0.5))
            server.come_back()
        wait_until(lambda: replaced(victim, films), "every film's end", seconds=LONG)
        victim.end()
        hold(tally, behind, original, names, all_replaced=True)


def called(films: int) -> tuple[str, ...]:
    return tuple(f"{number}.{'avi' if number % 3 else 'mkv'}" for number in range(films))


def killed(victim: Victim, tally: Tally, seed: int, kills: int) -> Iterator[None]:
    """Kills it so often, wherever it is: half of the times while it starts, perhaps, and else while it works."""
    chance = random.Random(seed)
    for _ in range(kills):
        if chance.random() < 0.5:
            victim.launch_and_kill(chance.uniform(0.3, 3))
        else:
            assert victim.starts(), victim.log()
            time.sleep(chance.uniform(0, 3))
            victim.kill()
        tally.attack("kills while a folder is watched")
        yield


def delivering(attack: Attack, library: Path, made: Path) -> Victim:
    wish = {"folder": str(made), "name": "{stem}.{ext}", "conflict": "number"}
    table = {"name": "library", "path": str(library), "recursive": True, "variations": [TINY], "deliver": wish, **QUICK}
    config = library.parent / "ffspool.toml"
    config.write_text("\n".join(["[[folders]]", *(f"{name} = {toml(value)}" for name, value in table.items())]))
    roots = ("--source-root", str(library), "--output-root", str(made), "--delivery-backoff", "0.1")
    victim, _ = attack(*roots, FFSPOOL_CONFIG=str(config))
    return victim
