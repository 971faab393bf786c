"""Daemon, encoder or both are killed at random in the middle of encodes; what is made is what would have been made."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
from conftest import Daemon, wait_until
from imageio_ffmpeg import get_ffmpeg_exe
from specimens import make

from daemon.proof import output_folder
from daemon.recipes.streaming_manifests import MASTERS
from daemon.states import ENDED
from faults.films import SOURCES, Order, batches
from faults.ledger import Ledger
from faults.likeness import differences
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]
Undisturbed = Callable[[Order], list[Path]]

KILLED = ["the daemon", "both", "the encoder"]  # for each order of a batch, in any order, with the next two
ASKED, ENCODER_ASKED = "the daemon, asked to stop", "the encoder, asked to end"
INTERRUPTED = [*KILLED, ASKED, ENCODER_ASKED]
A_FEW = (Order("hierarchy.mp4", ("x264",)),)
FURTHER = 40  # percent of a film at most that are encoded before a kill
LONGEST = 600.0  # seconds that an encode may take, on a busy machine
WHOLE = "86400"  # CPU seconds that no film here takes


@pytest.fixture(scope="module")
def source(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder, known = tmp_path_factory.mktemp("films"), {source.name: source for source in SOURCES}
    return cache(lambda name: make(known[name], ffmpeg, folder))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, source: Callable[[str], Path]) -> Iterator[Undisturbed]:
    """Makes films whole, by a daemon that nobody hurts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    daemon = Daemon(folder / "state", FFSPOOL_RESUME_FROM=WHOLE)
    yield lambda order: made(daemon, submitted(daemon, source(order.source), order), folder)
    daemon.stop()


def submitted(daemon: Daemon, film: Path, order: Order, name: str | None = None) -> Any:
    return daemon.submit(film, spec={"name": name, "variations": order.variations})


def made(daemon: Daemon, job: Any, folder: Path) -> list[Path]:
    """The files that a job came to, in the order of its variations."""
    wait_until(lambda: daemon.job(job["id"])["status"] in ENDED, "the end of a job", LONGEST)
    return [fetched(daemon, job["id"], one, folder) for one in variations(daemon.job(job["id"]))]


def variations(job: Any) -> Any:
    [source] = job["sources"]
    return source["variations"]


def fetched(daemon: Daemon, job: str, variation: Any, folder: Path) -> Path:
    assert variation["status"] == "completed", variation["error"]
    path = folder / variation["id"]
    path.write_bytes(daemon.client.get(f"/api/jobs/{job}/variations/{variation['id']}/download").content)
    return film_of(path) if variation["folder"] else path


def film_of(ladder: Path) -> Path:
    """Its best size and all its sounds in one file, from the zip that it is downloaded as."""
    laid_out, made = ladder.with_suffix(".folder"), ladder.with_suffix(".mp4")
    output_folder.unpack(ladder, laid_out, None)
    container = next(container for container, master in MASTERS.items() if (laid_out / master).exists())
    tracks = list[str]()
    for number, rendition in enumerate(output_folder.listing(laid_out, container).renditions):
        track = laid_out / f"{number}.track"
        output_folder.join(track, (laid_out / name for name in rendition.names))
        tracks += ["-i", str(track)]
    every = (word for number in range(len(tracks) // 2) for word in ("-map", str(number)))
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *tracks, *every, "-c", "copy", str(made)], check=True)
    return made


@pytest.mark.rounds([A_FEW], batches())
def test_films_come_out_alike_however_often_they_were_interrupted(
    attack: Attack,
    ledger: Ledger,
    tally: Tally,
    source: Callable[[str], Path],
    paced: dict[str, str],
    undisturbed: Undisturbed,
    ffmpeg: str,
    tmp_path: Path,
    round: tuple[Order, ...],
) -> None:
    victim, promises = attack(FFSPOOL_RESUME_FROM="0", FFSPOOL_SLOTS="4", **paced)
    assert victim.starts(), victim.log()
    jobs = {order: accepted(victim, ledger, source(order.source), order) for order in round}
    random = Random(str(round))
    for target in random.sample(INTERRUPTED * len(round), len(INTERRUPTED) * len(round)):
        if not strike(victim, jobs.values(), target, random):
            break  # all has ended
        tally.attack(f"ends of {target} amid encodes")
        if victim.died:
            promises.when_dead()
            assert victim.starts(), victim.log()
    promises.when_settled()
    assert "since its pieces do not fit" not in victim.log()
    for order, job in jobs.items():
        for _ in filter(itemgetter("resumed_seconds"), variations(victim.job(job["id"]))):
            tally.attack("films gone on with")
        pairs = zip(order.kinds, made(victim, job, tmp_path), undisturbed(order), strict=True)
        found = {kind: list(differences(one, other, ffmpeg)) for kind, one, other in pairs}
        assert not any(found.values()), (order.source, found)


def accepted(victim: Victim, ledger: Ledger, film: Path, order: Order) -> Any:
    wish = ledger.wish(order.variations, long=True)
    job = submitted(victim, film, order, wish.name)
    ledger.acknowledge(wish, job)
    return job


def strike(victim: Victim, jobs: Iterable[Any], target: str, random: Random) -> bool:
    """Ends it once an encode got on by some of its way. False: there is nothing left to be encoded."""
    wait_until(lambda: victim.encoders() or settled(victim), "an encode", LONGEST)
    there = furthest(victim, jobs) + random.uniform(0, FURTHER)
    wait_until(lambda: furthest(victim, jobs) >= there or not victim.encoders(), "some of an encode", LONGEST)
    encoders = victim.encoders()
    if not encoders:
        return not settled(victim)
    if target in {"the encoder", ENCODER_ASKED}:
        encoders = [random.choice(encoders)]
    for encoder in encoders if target in {"both", "the encoder", ENCODER_ASKED} else []:
        with suppress(psutil.NoSuchProcess):
            encoder.send_signal(signal.SIGTERM if target == ENCODER_ASKED else signal.SIGKILL)
    if target == ASKED:
        victim.stop()
    elif target in {"the daemon", "both"}:
        victim.kill()
    return True


def furthest(victim: Victim, jobs: Iterable[Any]) -> float:
    """How much of that variation is encoded, in percent, of which most is."""
    every = [one for job in jobs for one in variations(victim.job(job["id"])) if one["status"] == "processing"]
    return max((one["progress"] or 0.0 for one in every), default=0.0)


def settled(victim: Victim) -> bool:
    jobs = victim.client.get("/api/stats").json()["jobs"]
    return not jobs["queued"] + jobs["processing"]
