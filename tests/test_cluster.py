"""Other machines work for a daemon as this host does: same bytes, verbs and promises, whatever becomes of them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import forked
import msgspec
import psutil
import pytest
from conftest import PATIENCE, Daemon, make_clip, wait_until
from engine_conformance import MINE, EngineConformance, long, order, task
from faults.likeness import differences
from stored import local_engine
from surroundings import thorough

from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.invitations import Guests
from daemon.cluster.messages import Charter
from daemon.encode.engine import Engine
from daemon.encode.task import Unfinished
from daemon.process import ffmpeg_binary
from daemon.process.identity import TOKEN_VARIABLE, find_by_token, state

__all__ = ["long"]

MACHINE = "box2"


def free_ports(count: int) -> list[int]:
    """Ports that nobody has just now."""
    found = []
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    for one in held:
        found.append(one.getsockname()[1])
        one.close()
    return found


@contextmanager
def machine(
    invitation: Path, work: Path, *flags: str, prefix: Sequence[str] = (), **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A machine as a process of its own; its words are in a file beside its folder."""
    command = [
        *prefix,
        sys.executable,
        "-m",
        "daemon.cli",
        "worker",
        str(invitation),
        "--work",
        str(work),
        "--slots",
        "2",
    ]
    with work.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen([*command, *flags], stdout=log, stderr=log, env={**os.environ, **environment})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with process:
            process.wait(PATIENCE)


class Remote(EngineConformance):
    """An engine of a machine alone, or of that and this host; what the machine writes is of the same disk."""

    slots_here: int | None = 0
    resized = 2

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.tmp = tmp_path

    def make(self, ffmpeg: str) -> ClusterEngine:
        [port, files] = free_ports(2)
        folder = self.tmp / "cluster"
        charter = Charter(
            listen=f"tls://127.0.0.1:{port}",
            files_port=files,
            folder=str(folder),
            version=version("ffspool"),
            encoder=ffmpeg_binary.digest(ffmpeg),
            require_sandbox=False,
        )
        return ClusterEngine(local_engine(ffmpeg, slots=2), charter, local_slots=self.slots_here, grace=1.0)

    @asynccontextmanager
    async def started(self, ffmpeg: str) -> AsyncIterator[Engine]:
        engine = self.make(ffmpeg)
        await engine.start()
        assert engine.listening
        try:
            async with asyncio.timeout(PATIENCE):
                ports = await engine.listening
            guests = Guests(self.tmp / "cluster")
            invited = guests.invite(MACHINE, version("ffspool"), ["127.0.0.1"], ports.port, ports.files_port)
            (self.tmp / "invitation").write_bytes(msgspec.json.encode(invited))
            came = asyncio.Event()
            engine.on_change = came.set
            flags = ("--sandbox", "off", "--ffmpeg", ffmpeg)
            with machine(self.tmp / "invitation", self.tmp / "machine", *flags):
                async with asyncio.timeout(PATIENCE):
                    await came.wait()
                yield engine
        finally:
            await engine.close()

    def works(self, task: str) -> bool:
        return any(find_by_token(task.__eq__))

    def test_what_survived_its_daemon_is_ended_and_nothing_else(self, ffmpeg: str) -> None:
        """Encoders of machines end with their daemon; that of them nothing is left is nobody's fault."""
        handle = '{"machine": "box2"}'

        async def end() -> frozenset[str]:
            return await self.make(ffmpeg).end_survivors([Unfinished(task=MINE, handle=handle)])

        assert asyncio.run(end()) == {MINE}


@pytest.mark.thorough
class TestOneMachine(Remote):
    pass


@pytest.mark.thorough
class TestBoth(Remote):
    """Which of them has a task is open."""

    slots_here = None
    slots, resized = 4, 5


def test_a_host_that_works_alone_loads_nothing_of_it() -> None:
    words = "import sys, daemon.server; print({'dask', 'distributed', 'cryptography', 'tornado'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True).stdout == "set()\n"


# Behind a daemon


@pytest.mark.parametrize("taken", ["port", "files_port"])
def test_a_port_that_another_has_is_told_in_words_until_it_is_free(
    start_daemon: Callable[..., Daemon], tmp_path: Path, taken: str
) -> None:
    ports = dict(zip(("port", "files_port"), free_ports(2), strict=True))
    config = tmp_path / "ffspool.toml"
    config.write_text(f"[cluster]\nlisten = 'tls://127.0.0.1:{ports['port']}'\nfiles_port = {ports['files_port']}\n")
    with socket.create_server(("127.0.0.1", ports[taken])):
        daemon = start_daemon(FFSPOOL_CONFIG=str(config))
        words = f"cannot listen at 127.0.0.1, port {ports[taken]}: Address already in use"
        wait_until(lambda: words in daemon.log(), "the words")
        assert "Traceback" not in daemon.log()
    wait_until(lambda: listens(ports[taken]), "it to listen")


def test_a_name_to_listen_at_that_leads_nowhere_is_told_in_words(
    start_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    port, files = free_ports(2)
    config = tmp_path / "ffspool.toml"
    config.write_text(f"[cluster]\nlisten = 'tls://nowhere.invalid:{port}'\nfiles_port = {files}\n")
    daemon = start_daemon(FFSPOOL_CONFIG=str(config))
    words = wait_until(lambda: re.search(f"cannot listen at nowhere.invalid, port {port}: (.*)", daemon.log()), "words")
    assert "Unknown error" not in words[1]


def listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


class Cluster:
    """A daemon that has its work done by machines, none of it itself."""

    def __init__(
        self,
        start_daemon: Callable[..., Daemon],
        folder: Path,
        unhurried: dict[str, str],
        *flags: str,
        more: str = "local_slots = 0\npiece_seconds = 3600",
        host: str = "127.0.0.1",
    ) -> None:
        port, files = self.ports = free_ports(2)
        config = folder / "ffspool.toml"
        config.write_text(f"[cluster]\nlisten = 'tls://{host}:{port}'\nfiles_port = {files}\n{more}\n")
        self.folder = folder
        self.environment = unhurried
        self.daemon = start_daemon(*flags, FFSPOOL_CONFIG=str(config), FFSPOOL_RESUME_FROM="0")

    def invite(self, name: str) -> Path:
        made = forked.run(["cluster", "invite", name], self.daemon.env)
        assert (made.returncode, made.stderr) == (0, "")
        (self.folder / f"{name}.invite").write_text(made.stdout)
        return self.folder / f"{name}.invite"

    @contextmanager
    def machine(
        self, name: str, *flags: str, prefix: Sequence[str] = (), state: str = "working"
    ) -> Iterator[subprocess.Popen[bytes]]:
        """One that works, called that; it was invited before if it is the same again."""
        invitation = self.folder / f"{name}.invite"
        if not invitation.exists():
            self.invite(name)
        with machine(invitation, self.folder / name, *flags, prefix=prefix, **self.environment) as process:
            wait_until(lambda: self.standing(name)["state"] == state, f"{name} to come:\n{self.words(name)}")
            yield process

    def standing(self, name: str) -> Any:
        [one] = [one for one in self.daemon.client.get("/api/machines").json()["items"] if one["name"] == name]
        return one

    def words(self, name: str) -> str:
        log = self.folder / f"{name}.log"
        return log.read_text() if log.exists() else ""


@pytest.fixture
def cluster(start_daemon: Callable[..., Daemon], tmp_path: Path, unhurried: dict[str, str]) -> Cluster:
    return Cluster(start_daemon, tmp_path, unhurried)


def at_work(cluster: Cluster, job: str) -> None:
    """Waits until something of the job is encoded."""
    wait_until(lambda: any(v["progress"] for v in of(cluster.daemon.job(job))), "some progress")


def of(job: Any) -> list[Any]:
    return [variation for source in job["sources"] for variation in source["variations"]]


def test_a_machine_makes_what_this_host_would_and_is_cancelled_as_it(
    cluster: Cluster, start_daemon: Callable[..., Daemon], clip: Path, long_clip: Path
) -> None:
    """Films in pieces among them, which are joined here."""
    daemon = start_daemon(name="alone", FFSPOOL_RESUME_FROM="0")
    presets = ["h264-480p", "mp3", "hls"]
    here = daemon.submit(clip, presets=presets)["id"]
    with cluster.machine(MACHINE) as process:
        done = cluster.daemon.wait_for(cluster.daemon.submit(clip, presets=presets)["id"])
        assert done["status"] == "completed", done["error"]
        same = [
            one["sha256"] for one in of(daemon.wait_for(here))
        ]  # but of a ladder: with its rates bounded, never is it
        assert [one["sha256"] for one in of(done)][:2] == same[:2]
        assert {one["machine"] for one in of(done)} == {MACHINE}
        job = cluster.daemon.submit(long_clip, presets=["h264-1080p"])["id"]
        at_work(cluster, job)
        assert cluster.standing(MACHINE)["slots_used"] == 1
        assert {host for host, _ in listening(process.pid)} <= {"127.0.0.1"}, "nobody can dial a machine"
        assert {port for _, port in listening(coordinator_of(cluster.daemon.process.pid))} == set(cluster.ports)
        receipt = cluster.daemon.client.post(f"/api/jobs/{job}/cancel").json()
        assert (receipt["status"], receipt["stopped"][0]["stage"]) == ("cancelled", "quit")
        assert not list(processes_below(process.pid))
    wait_until(lambda: cluster.standing(MACHINE)["state"] == "away", "it to be away")


@pytest.mark.thorough
@pytest.mark.parametrize("killed", ["machine", "coordinator", "daemon"])
def test_what_was_lost_with_a_process_is_made_once_it_is_there_again(cluster: Cluster, long: Path, killed: str) -> None:
    """And counts against nothing; no encoder runs on."""
    with cluster.machine(MACHINE) as process:
        job = cluster.daemon.submit(long, presets=["h264-480p", "mp3"])["id"]
        at_work(cluster, job)
        encoders = list(processes_below(process.pid))
        assert encoders
        victims = {"machine": process.pid, "daemon": cluster.daemon.process.pid}
        if killed == "coordinator":
            victims[killed] = coordinator_of(cluster.daemon.process.pid)
        os.kill(victims[killed], signal.SIGKILL)
        wait_until(lambda: not any(map(runs, encoders)), "the encoders to end")
        process.wait(PATIENCE)
    assert "Traceback" not in cluster.words(MACHINE)
    assert "distributed" not in cluster.daemon.log(), "it is told in words of our own"
    if killed == "daemon":
        cluster.daemon.stop(signal.SIGKILL)
        cluster.daemon.start()
    wait_until(lambda: not any(v["status"] == "processing" for v in of(cluster.daemon.job(job))), "it to be missed")
    with cluster.machine(MACHINE):
        done = cluster.daemon.wait_for(job)
    assert (done["status"], [v["error"] for v in of(done)]) == ("completed", [None, None])
    outputs = list((cluster.daemon.state_dir / "spool" / "jobs" / job / "outputs").iterdir())
    assert len(outputs) == 2, "once each"


@pytest.mark.thorough
def test_what_an_encoder_says_and_how_it_dawdles_is_told_while_it_runs(cluster: Cluster, long_clip: Path) -> None:
    """As if it were here: its log is there before its end, once, and one that stands still is said to."""
    with cluster.machine(MACHINE) as process:
        job = cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"]
        at_work(cluster, job)
        [made] = of(cluster.daemon.job(job))
        log = f"/api/jobs/{job}/variations/{made['id']}/log"
        wait_until(lambda: "Stream #0:0" in cluster.daemon.client.get(log).text, "its log")
        [encoder] = processes_below(process.pid)
        os.kill(encoder, signal.SIGSTOP)
        wait_until(lambda: of(cluster.daemon.job(job))[0].get("doing"), "words for that")
        assert "no progress for" in of(cluster.daemon.job(job))[0]["doing"]
        os.kill(encoder, signal.SIGCONT)
        cluster.daemon.client.post(f"/api/jobs/{job}/cancel")
        words = cluster.daemon.client.get(log).text
        assert (words.count("# sandbox: "), words.count("# exit code ")) == (1, 1)


@pytest.mark.thorough
def test_a_machine_that_was_cut_off_changes_nothing_when_it_is_back(cluster: Cluster, long_clip: Path) -> None:
    """Frozen as a whole, it is cancelled in time; what it sends afterwards is not taken."""
    with cluster.machine(MACHINE) as process:
        job = cluster.daemon.submit(long_clip, presets=["mp3"])["id"]
        at_work(cluster, job)
        process.send_signal(signal.SIGSTOP)
        receipt = cluster.daemon.client.post(f"/api/jobs/{job}/cancel").json()
        assert (receipt["status"], receipt["stopped"][0]["stage"]) == ("cancelled", "stuck")
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: not list(processes_below(process.pid)), "its encoder to be ended")
        assert cluster.daemon.job(job)["status"] == "cancelled"
        assert not list((cluster.daemon.state_dir / "spool" / "jobs" / job).rglob("*.part"))


@pytest.mark.thorough
@pytest.mark.parametrize(("host", "more"), [("[::1]", ""), ("[::]", "addresses = ['::1']")])
def test_machines_come_by_ipv6_too(
    start_daemon: Callable[..., Daemon], unhurried: dict[str, str], tmp_path: Path, clip: Path, host: str, more: str
) -> None:
    cluster = Cluster(start_daemon, tmp_path, unhurried, more=f"local_slots = 0\n{more}", host=host)
    with cluster.machine(MACHINE):
        done = cluster.daemon.wait_for(cluster.daemon.submit(clip, presets=["mp3"])["id"])
    assert (done["status"], of(done)[0]["machine"]) == ("completed", MACHINE)


@pytest.mark.thorough
def test_a_machine_that_is_told_again_and_again_to_leave_does_so_in_words(cluster: Cluster, long_clip: Path) -> None:
    with cluster.machine(MACHINE) as process:
        job = cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"]
        at_work(cluster, job)
        [encoder] = processes_below(process.pid)
        wait_until(lambda: process.send_signal(signal.SIGINT) or process.poll() is not None, "it to end")
        assert not runs(encoder)
        assert "Traceback" not in cluster.words(MACHINE)
        assert cluster.words(MACHINE).count("it ends once what it has made so far is brought home") == 1
        cluster.daemon.client.post(f"/api/jobs/{job}/cancel")


@pytest.mark.thorough
def test_a_machine_that_rests_gets_nothing_and_two_share(cluster: Cluster, clip: Path, long_clip: Path) -> None:
    with cluster.machine(MACHINE), cluster.machine("box3"):
        assert forked.run(["machines", "drain", MACHINE], cluster.daemon.env).returncode == 0
        jobs = [cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"] for _ in range(2)]
        wait_until(lambda: cluster.standing("box3")["slots_used"] == 2, "both to be at one")
        assert (cluster.standing(MACHINE)["state"], cluster.standing(MACHINE)["slots_used"]) == ("draining", 0)
        assert forked.run(["machines", "resume", MACHINE], cluster.daemon.env).returncode == 0
        assert cluster.daemon.wait_for(cluster.daemon.submit(clip, presets=["mp3"])["id"])["status"] == "completed"
        assert cluster.daemon.client.post(f"/api/jobs/{jobs[0]}/pause").status_code == 200
        assert cluster.daemon.job(jobs[0])["paused"]
        for job in jobs:
            cluster.daemon.client.post(f"/api/jobs/{job}/cancel")
        assert "box3" in forked.run(["machines"], cluster.daemon.env).stdout


@pytest.mark.thorough
def test_a_machine_reads_in_place_what_it_sees_as_well(
    start_daemon: Callable[..., Daemon], unhurried: dict[str, str], tmp_path: Path, clip: Path
) -> None:
    """What is there under the same name, and is another file, is fetched."""
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        folder.mkdir()
    shutil.copy(clip, there / "same.mp4")
    (here / "same.mp4").hardlink_to(there / "same.mp4")
    shutil.copy(clip, there / "other.mp4")
    (here / "other.mp4").write_bytes(b"x" * clip.stat().st_size)
    times = (there / "other.mp4").stat()
    os.utime(here / "other.mp4", ns=(times.st_atime_ns, times.st_mtime_ns))
    cluster = Cluster(start_daemon, tmp_path, unhurried, "--source-root", str(there))
    fetched = tmp_path / MACHINE / "sources"
    with cluster.machine(MACHINE, "--map", f"{there}={here}"):
        for name, count in (("same.mp4", 0), ("other.mp4", 1)):
            wish = {"sources": [{"path": str(there / name)}], "variations": [{"preset": "mp3"}]}
            job = cluster.daemon.client.post("/api/jobs", json=wish).json()["id"]
            assert cluster.daemon.wait_for(job)["status"] == "completed"
            assert len(list(fetched.iterdir())) == count, name


@pytest.mark.thorough
def test_who_is_not_invited_any_more_or_is_another_is_refused_in_words(cluster: Cluster, tmp_path: Path) -> None:
    invitation = cluster.invite(MACHINE)
    other = tmp_path / "other-ffmpeg"
    other.write_text(f'#!/bin/sh\nexec "{ffmpeg_binary.locate(None)}" "$@"\n')
    other.chmod(0o755)
    assert "another build" in refused(invitation, cluster, FFSPOOL_FFMPEG=str(other))
    assert "another build" in cluster.standing(MACHINE)["why"]
    assert forked.run(["cluster", "revoke", MACHINE], cluster.daemon.env).returncode == 0
    assert "does not know this invitation" in refused(invitation, cluster)
    assert "is no invitation" in refused(Path(__file__), cluster)


@pytest.fixture(scope="module")
def film(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(ffmpeg, tmp_path_factory.mktemp("film") / "film.mp4", seconds=20, size="320x180")


@pytest.mark.parametrize("killed", ["nobody", thorough("machine"), thorough("daemon"), thorough("encoder")])
def test_one_film_is_encoded_by_all_whatever_becomes_of_them(
    start_daemon: Callable[..., Daemon],
    unhurried: dict[str, str],
    tmp_path: Path,
    film: Path,
    ffmpeg: str,
    killed: str,
) -> None:
    """And comes to what it would have come to."""
    cluster = Cluster(start_daemon, tmp_path, unhurried, more="local_slots = 1\npiece_seconds = 2")
    daemon = cluster.daemon
    with cluster.machine(MACHINE) as process:
        job = daemon.submit(film, presets=["h264-480p"])["id"]
        wait_until(lambda: cluster.standing(MACHINE)["slots_used"] == 2 and children(daemon), "all to be at it")
        if killed == "nobody":
            assert daemon.client.post(f"/api/jobs/{job}/pause").status_code == 200
            assert {state(pid) for pid in (*children(daemon), *processes_below(process.pid))} == {"T"}
            assert daemon.client.post(f"/api/jobs/{job}/resume").status_code == 200
        if killed == "machine":
            process.send_signal(signal.SIGKILL)
        if killed == "encoder":  # one that hangs is not waited for
            os.kill(wait_until(lambda: next(processes_below(process.pid), None), "an encoder there"), signal.SIGSTOP)
        if killed == "daemon":
            wait_until(lambda: (of(daemon.job(job))[0]["progress"] or 0) > 30, "some spans")
            daemon.stop(signal.SIGKILL)
            daemon.start()
        done = daemon.wait_for(job)
    [made] = of(done)
    assert made["status"] == "completed", made["error"]
    assert killed != "nobody" or made["machine"] == MACHINE
    assert killed != "daemon" or made["resumed_seconds"]
    joined = tmp_path / "joined.mp4"
    joined.write_bytes(daemon.client.get(f"/api/jobs/{job}/variations/{made['id']}/download").content)
    assert list(differences(joined, whole(ffmpeg, film, tmp_path), ffmpeg)) == []


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_machine_had_encoded_of_a_film_another_one_goes_on_with(
    cluster: Cluster, ffmpeg: str, tmp_path: Path, number: signal.Signals
) -> None:
    """All of it where it was told to leave, else what had come home by then."""
    daemon, film = cluster.daemon, make_clip(ffmpeg, tmp_path / "film.mp4", seconds=30, size="320x180")
    with cluster.machine(MACHINE) as process:
        job = daemon.submit(film, presets=["h264-480p"])["id"]
        work = daemon.state_dir / "spool" / "jobs" / job / "work"
        if number == signal.SIGTERM:
            wait_until(lambda: (of(daemon.job(job))[0]["progress"] or 0) > 40, "some of it")
        else:
            wait_until(lambda: any(path.stat().st_size for path in work.rglob("*.piece")), "some of it to come home")
        process.send_signal(number)
        process.wait(PATIENCE)
    with cluster.machine("box3"):
        done = daemon.wait_for(job)
    [made] = of(done)
    assert (made["status"], made["error"], made.get("machine")) == ("completed", None, "box3")
    assert made["resumed_seconds"] > 3
    joined = tmp_path / "joined.mp4"
    joined.write_bytes(daemon.client.get(f"/api/jobs/{job}/variations/{made['id']}/download").content)
    assert list(differences(joined, whole(ffmpeg, film, tmp_path), ffmpeg)) == []


def children(daemon: Daemon) -> list[int]:
    return list(processes_below(daemon.process.pid))


def whole(ffmpeg: str, film: Path, folder: Path) -> Path:
    one = task("whole", film, order(folder, "h264-480p"))

    async def encode() -> None:
        engine = local_engine(ffmpeg)
        await engine.start()
        assert (await engine.run(one, lambda _: None)).error is None
        await engine.close()

    asyncio.run(encode())
    return Path(one.orders[0].part)


def refused(invitation: Path, cluster: Cluster, folder: str = "refused", **environment: str) -> str:
    """What a machine is told that is not to work."""
    command = [sys.executable, "-m", "daemon.cli", "worker", str(invitation), "--work", str(cluster.folder / folder)]
    surroundings = {**os.environ, **cluster.environment, **environment}
    found = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=PATIENCE)
    assert found.returncode == 1, found.stderr
    return " ".join(found.stderr.split())


def processes_below(pid: int) -> Iterator[int]:
    """Encoders that a machine has running."""
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # it has ended since
            if TOKEN_VARIABLE in child.environ():
                yield child.pid


def listening(pid: int) -> set[tuple[str, int]]:
    """The addresses at which a process takes connections."""
    lines = psutil.Process(pid).net_connections("tcp")
    return {(line.laddr.ip, line.laddr.port) for line in lines if line.status == psutil.CONN_LISTEN}


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()


def coordinator_of(daemon: int) -> int:
    [one] = [child for child in psutil.Process(daemon).children() if "daemon.cluster.coordinator" in child.cmdline()]
    return one.pid
