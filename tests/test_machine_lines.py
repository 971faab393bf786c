"""Lines between a daemon and its machines that break: each in a network namespace of its own, on one bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from conftest import PATIENCE, PLAIN, Daemon, wait_until
from surroundings import lacking
from test_cluster import Cluster, at_work, listening, of, processes_below, runs

HERE = "10.77.0.1"
LEASE = 60.0  # seconds after which no encoder works for a daemon that cannot be reached
NAMES = ("box2", "box3")
LONG = 60.0 + PATIENCE  # seconds until a machine that says nothing is taken to be away, and what follows


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Lines:
    """Namespaces of a daemon and two machines, each with a line to the daemon's."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._hub = self._namespace("daemon")
        ip("-n", self._hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._hub, "addr", "add", f"{HERE}/24", "dev", "bridge")
        ip("-n", self._hub, "link", "set", "bridge", "up")
        for number, name in enumerate(NAMES):
            there = self._namespace(name)
            ip("-n", self._hub, "link", "add", name, "type", "veth", "peer", "name", "line", "netns", there)
            ip("-n", self._hub, "link", "set", name, "master", "bridge")
            ip("-n", there, "addr", "add", f"10.77.0.{10 + number}/24", "dev", "line")
            ip("-n", there, "link", "set", "line", "up")
            self.mend(name)

    def _namespace(self, name: str) -> str:
        whole = self.called(name)
        ip("netns", "add", whole)
        self._stack.callback(ip, "netns", "delete", whole)
        ip("-n", whole, "link", "set", "lo", "up")
        return whole

    def called(self, name: str) -> str:
        return f"ffspool-{os.getpid()}-{name}"

    def within(self, name: str) -> tuple[str, ...]:
        """What a command is begun with so that it runs there."""
        return ("ip", "netns", "exec", self.called(name))

    def cut(self, name: str) -> None:
        ip("-n", self._hub, "link", "set", name, "down")

    def mend(self, name: str) -> None:
        ip("-n", self._hub, "link", "set", name, "up")


@pytest.fixture
def lines() -> Iterator[Lines]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        lacking("network namespaces take root and ip: apt-get install iproute2")
    with ExitStack() as stack:
        try:
            made = Lines(stack)
        except subprocess.CalledProcessError as error:
            lacking(f"no network namespace can be made here: {error.stderr.decode().strip()}")
        yield made


class Within(Daemon):
    """A daemon in a namespace, which is spoken with through a socket of the file system."""

    def connect(self) -> None:
        self.url = (self.state_dir / "address").read_text().strip()
        self.token = (self.state_dir / "token").read_text().strip()
        transport = httpx.HTTPTransport(uds=self.url.removeprefix("unix:"))
        headers = {"Authorization": f"Bearer {self.token}"}
        self.client = httpx.Client(
            base_url="http://localhost", transport=transport, headers=headers, timeout=PATIENCE, **PLAIN
        )


@pytest.fixture
def cluster(lines: Lines, unhurried: dict[str, str]) -> Iterator[Cluster]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ffspool-")))  # a socket's path has to be short

        def start(*flags: str, **environment: str) -> Daemon:
            Within.prefix = lines.within("daemon")
            daemon = Within(folder / "state", *flags, "--unix-socket", str(folder / "s"), **unhurried, **environment)
            stack.callback(daemon.stop)
            return daemon

        yield Cluster(start, folder, unhurried, host=HERE)


@pytest.mark.thorough
def test_a_line_that_breaks_for_seconds_costs_nothing(lines: Lines, cluster: Cluster, long_clip: Path) -> None:
    """Nor has anybody to dial the machine, which takes no connection but from its own host."""
    with cluster.machine("box2", prefix=lines.within("box2")) as process:
        assert {host for host, _ in listening(process.pid)} <= {"127.0.0.1"}
        job = cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"]
        at_work(cluster, job)
        [encoder] = processes_below(process.pid)
        lines.cut("box2")
        time.sleep(5)
        before = of(cluster.daemon.job(job))[0]["progress"]
        lines.mend("box2")
        wait_until(lambda: of(cluster.daemon.job(job))[0]["progress"] > before, "news of it")
        assert runs(encoder)
        assert of(cluster.daemon.job(job))[0]["attempts"] == 1
        receipt = cluster.daemon.client.post(f"/api/jobs/{job}/cancel").json()
        assert (receipt["status"], receipt["stopped"][0]["stage"]) == ("cancelled", "quit")
        assert not runs(encoder)


@pytest.mark.thorough
@pytest.mark.timeout(400)
def test_a_machine_that_is_cut_off_for_good_ends_by_itself_and_another_goes_on(
    lines: Lines, cluster: Cluster, long_clip: Path
) -> None:
    with cluster.machine("box2", prefix=lines.within("box2")) as process:
        job = cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"]
        at_work(cluster, job)
        [encoder] = processes_below(process.pid)
        with cluster.machine("box3", prefix=lines.within("box3")):
            lines.cut("box2")
            wait_until(lambda: not runs(encoder), "its encoder to end", LEASE)
            wait_until(lambda: of(cluster.daemon.job(job))[0]["attempts"] == 2, "it to be missed", LONG)
            at_work(cluster, job)
            [made] = of(cluster.daemon.job(job))
            assert (made["error"], cluster.standing("box2")["state"]) == (None, "away")
            assert process.wait(PATIENCE) == 1
            lines.mend("box2")
            with cluster.machine("box2", prefix=lines.within("box2")):
                assert cluster.standing("box2")["state"] == "working"
            cluster.daemon.client.post(f"/api/jobs/{job}/cancel")
