"""SIGKILL to machines, to what coordinates them and to the daemon, under load: what is asked for comes out, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import forked
import psutil
import pytest
from conftest import PATIENCE, make_clip, wait_until
from test_cluster import coordinator_of, free_ports, whole

from daemon.states import ENDED
from faults.ledger import Ledger
from faults.likeness import differences
from faults.load import Clips, Load
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]

LEASE = 60.0  # seconds after which no encoder works for a daemon that is gone
NAMES = ("box2", "box3")
FILM, KILLS, FURTHER = 160, 8, 20  # seconds of it; how often; percent that are encoded before one at most
LONGEST = 600.0  # seconds that these may take, on a busy machine
AGAIN = 0.5  # seconds after which whoever ended is started anew, as by systemd


class Machines:
    """Work for a daemon: each is started anew whenever it ended."""

    def __init__(self, victim: Victim, folder: Path, environment: dict[str, str]) -> None:
        self._victim = victim
        self._folder = folder
        self._environment = {**os.environ, **environment, "FFSPOOL_GRACE": "0.5"}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()
        self._tending = threading.Thread(target=self._tend)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for name in NAMES:
            made = forked.run(["cluster", "invite", name], self._victim.env)
            assert made.returncode == 0, made.stderr
            (self._folder / f"{name}.invite").write_text(made.stdout)
            self._victim.homes.append(self._folder / name)
        self._tending.start()
        try:
            yield
        finally:
            self._over.set()
            self._tending.join()
            for process in self._processes.values():
                process.terminate()
                process.wait(PATIENCE)

    def _tend(self) -> None:
        while not self._over.wait(AGAIN):
            for name in NAMES:
                if name not in self._processes or self._processes[name].poll() is not None:
                    self._processes[name] = self._started(name)

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        words = ["worker", str(self._folder / f"{name}.invite"), "--work", str(self._folder / name), "--slots", "2"]
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "daemon.cli", *words]
            return subprocess.Popen(command, stdout=log, stderr=log, env=self._environment, cwd=self._folder)

    def here(self) -> int:
        """How many work."""
        found = self._victim.client.get("/api/machines").json()["items"]
        return sum(one["state"] == "working" for one in found)

    def kill(self, name: str) -> None:
        """One of them, or the daemon, or what coordinates them."""
        if name == "daemon":
            self._victim.kill()
        elif name == "coordinator":
            with suppress(ValueError, ProcessLookupError):  # it is being started anew
                os.kill(coordinator_of(self._victim.pid), signal.SIGKILL)
        else:
            self._processes[name].send_signal(signal.SIGKILL)

    def words(self) -> str:
        return "".join((self._folder / f"{name}.log").read_text()[-3000:] for name in NAMES)


def cluster(attack: Attack, paced: dict[str, str], folder: Path) -> tuple[Victim, Promises, Machines]:
    """A daemon with a slot of its own, and machines for it."""
    [port, files] = free_ports(2)
    (folder / "ffspool.toml").write_text(
        f"[cluster]\nlisten = 'tls://127.0.0.1:{port}'\nfiles_port = {files}\nlocal_slots = 1\npiece_seconds = 5\n"
    )
    victim, promises = attack(FFSPOOL_CONFIG=str(folder / "ffspool.toml"), FFSPOOL_RESUME_FROM="0", **paced)
    victim.lease = LEASE
    assert victim.starts(), victim.log()
    return victim, promises, Machines(victim, folder, paced)


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.rounds([("a", 6)], [(f"round {number}", 10) for number in range(10)])
def test_promises_hold_after_kills_of_any_of_a_cluster(
    attack: Attack,
    ledger: Ledger,
    clips: Clips,
    tally: Tally,
    paced: dict[str, str],
    tmp_path: Path,
    round: tuple[str, int],
) -> None:
    victim, promises, machines = cluster(attack, paced, tmp_path)
    name, kills = round
    random = Random(name)
    with machines.at_work():
        for number in range(kills):
            wait_until(machines.here, "a machine to be there")
            with Load(victim.url, victim.token, ledger, clips, f"{name}/{number}"):
                time.sleep(random.uniform(0.5, 3))
                killed = random.choice([*NAMES, "coordinator", "daemon"])
                ledger.stops += 1  # what ran there has another attempt
                machines.kill(killed)
            tally.attack(f"kills of a {'machine' if killed in NAMES else killed}")
            if killed == "daemon":
                promises.when_dead()
                assert victim.starts(), victim.log()
            promises.when_alive()
        promises.when_settled()
    ended = {
        (variation["status"], variation["error"])
        for job in ledger.jobs.values()
        if not job.deleting
        for source in victim.job(job.id)["sources"]
        for variation in source["variations"]
    }
    assert {status for status, _ in ended} <= {"completed", "cancelled"}, (ended, machines.words())


@pytest.mark.thorough
@pytest.mark.timeout(3600)
@pytest.mark.rounds(["a"], [f"round {number}" for number in range(8)])
def test_a_film_that_all_encode_comes_out_alike_whoever_is_killed(
    attack: Attack, ledger: Ledger, tally: Tally, paced: dict[str, str], ffmpeg: str, tmp_path: Path, round: str
) -> None:
    victim, promises, machines = cluster(attack, paced, tmp_path)
    film = make_clip(ffmpeg, tmp_path / "film.mp4", seconds=FILM, size="128x72")
    random, wish = Random(round), ledger.wish([{"preset": "h264-480p"}], long=True)
    with machines.at_work():
        wait_until(machines.here, "a machine to be there")
        job = victim.submit(film, spec={"name": wish.name, "variations": [{"preset": "h264-480p"}]})
        ledger.acknowledge(wish, job)
        for killed in random.sample([*NAMES, "coordinator", "daemon", "encoder"] * 2, KILLS):
            there = min(100.0, far(victim, job) + random.uniform(0, FURTHER))
            wait_until(lambda there=there: far(victim, job) >= there, "some of the film", LONGEST)
            if made(victim, job)["status"] in ENDED:
                break
            ledger.stops += 1
            if killed == "encoder":
                kill_one(victim, random)
            else:
                machines.kill(killed)
            tally.attack(f"kills of a {'machine' if killed in NAMES else killed} amid a film of all")
            if victim.died:
                promises.when_dead()
                assert victim.starts(), victim.log()
        promises.when_settled()
    variation = made(victim, job)
    assert variation["status"] == "completed", (variation["error"], machines.words())
    assert "since its pieces do not fit" not in victim.log()
    path = tmp_path / "made.mp4"
    path.write_bytes(victim.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/download").content)
    assert list(differences(path, whole(ffmpeg, film, tmp_path), ffmpeg)) == []


def made(victim: Victim, job: Any) -> Any:
    [source] = victim.job(job["id"])["sources"]
    return source["variations"][0]


def far(victim: Victim, job: Any) -> float:
    """How far it is, in percent; as far as can be, once it has ended."""
    variation = made(victim, job)
    return 100.0 if variation["status"] in ENDED else variation["progress"] or 0.0


def kill_one(victim: Victim, random: Random) -> None:
    """An encoder, be it here or on a machine."""
    if encoders := victim.encoders():
        with suppress(psutil.NoSuchProcess):
            random.choice(encoders).kill()
