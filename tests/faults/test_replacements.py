"""Each film is there, or a smaller one in its place and it in the trash, at whatever call the daemon dies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import wait_until
from surroundings import need_tracing
from test_replacing import configured

from faults.promises import Promises
from faults.tally import Tally
from faults.test_storage import mounted
from faults.victim import Victim, strace

Attack = Callable[..., tuple[Victim, Promises]]

FILMS = ("one.mkv", "two.mkv", "three.avi")
KILL = "signal=KILL"
KILLS = [*(("renameat2", KILL, str(n)) for n in range(1, 5)), *(("fsync", KILL, str(n)) for n in range(1, 13)),
         *(("linkat", KILL, str(n)) for n in (1, 2)), *(("fchmod", KILL, str(n)) for n in (1, 2)),
         *(("unlinkat", KILL, str(n)) for n in (1, 2)), ("mkdirat", KILL, "1")]  # fmt: skip
REFUSALS = [
    (call, f"error={error}", span)
    for call, error, span in product(
        ("fsync", "renameat2", "linkat", "copy_file_range"), ("EIO", "ENOSPC"), ("1", "2", "1+2", "2..4")
    )
]


@pytest.mark.rounds([KILLS[1]], [*KILLS, *REFUSALS])
def test_each_film_is_there_or_replaced_and_kept(
    attack: Attack, tally: Tally, tmp_path: Path, original: bytes, round: tuple[str, str, str]
) -> None:
    need_tracing()
    library = filled(tmp_path / "library", original, FILMS)
    victim = watching(attack, library)
    if victim.starts(*strace(*round)):
        with suppress(httpx.HTTPError):  # it dies meanwhile
            wait_until(lambda: victim.died or settled(victim, len(FILMS)) or refuses(victim), "the end of all of it")
    tally.attack("kills in a replacement" if round[1] == KILL else "refusals in a replacement")
    if not victim.died:
        victim.kill()
    assert not missing(library, original, FILMS)
    assert victim.starts(), victim.log()
    wait_until(lambda: settled(victim, len(FILMS)), "every film's end")
    hold(tally, library, original, FILMS, all_replaced=round[1] == KILL)


@pytest.mark.thorough
def test_each_film_of_a_disk_that_is_full_is_replaced_once_there_is_room(
    attack: Attack, tally: Tally, tmp_path: Path, original: bytes
) -> None:
    library, pages = tmp_path / "library", len(FILMS) * (len(original) // 4096 + 1) + 1
    with mounted(library, "-t", "tmpfs", "-o", f"size={4 * pages}k", "tmpfs"):
        filled(library, original, FILMS)
        victim = watching(attack, library)
        assert victim.starts(), victim.log()
        wait_until(lambda: refuses(victim), "the disk to refuse")
        assert "there is no room for it" in victim.log()
        tally.attack("full disks in a replacement")
        assert sorted(path.read_bytes() == original for path in (library / "films").iterdir()) == [True] * len(FILMS)
        subprocess.run(["mount", "-o", "remount,size=64m", str(library)], check=True)
        wait_until(lambda: replaced(victim, len(FILMS)), "every film's end")
        hold(tally, library, original, FILMS, all_replaced=True)
        victim.end()


def replaced(victim: Victim, films: int) -> bool:
    [folder] = victim.client.get("/api/folders").json()["items"]
    return bool(folder["replaced"] == films)


def filled(library: Path, original: bytes, names: tuple[str, ...]) -> Path:
    (library / "films").mkdir(parents=True)
    for number, name in enumerate(names):
        (library / "films" / name).write_bytes(original)
        os.utime(library / "films" / name, ns=(10**18 + number * 10**9, 10**18 + number * 10**9))
    return library


def watching(attack: Attack, library: Path) -> Victim:
    config = configured(library)
    victim, _ = attack("--source-root", str(library), "--delivery-backoff", "0.1", FFSPOOL_CONFIG=str(config))
    return victim


def settled(victim: Victim, films: int) -> bool:
    """Whether each of the films has its verdict, that none is on its way to."""
    assert victim.client
    items: Any = victim.client.get("/api/folders/library/history").json()["items"]
    return sum(one["verdict"] in {"replaced", "not replaced", "failed"} for one in items) == films


def refuses(victim: Victim) -> bool:
    """Whether the disk goes on refusing, as one that refuses each second rename does."""
    return victim.log().count("is tried again") > 3 * len(FILMS)


def missing(library: Path, original: bytes, names: tuple[str, ...]) -> list[str]:
    """The films that are neither in their place nor in the trash."""
    aside = sorted(path.name for path in library.glob(".trash/*") if path.read_bytes() == original)
    return [
        name
        for name in names
        if not any(one.startswith(Path(name).stem + ".") for one in aside)
        and (not (library / "films" / name).exists() or (library / "films" / name).read_bytes() != original)
    ]


def hold(tally: Tally, library: Path, original: bytes, names: tuple[str, ...], *, all_replaced: bool) -> None:
    """Of each film, exactly one of the two is in its place: itself, or what is smaller, and then it is in the trash."""
    found = {path.name: path.read_bytes() for path in (library / "films").iterdir()}
    aside = {path.name.split(".")[0] for path in library.glob(".trash/*") if path.read_bytes() == original}
    broken = []
    for name in names:
        stem, replaced = Path(name).stem, found.get(Path(name).with_suffix(".mkv").name)
        kept = found.pop(name, None) == original
        stands = replaced is not None and replaced != original and 1000 < len(replaced) < 0.9 * len(original)
        found.pop(Path(name).with_suffix(".mkv").name, None)
        if (kept, stands, stem in aside) not in {(True, False, False), (False, True, True)} or (kept and all_replaced):
            broken.append((name, kept, stands, stem in aside))
    tally.case(10, violated=bool(broken or found))
    assert (broken, found) == ([], {})
