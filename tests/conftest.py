"""What the tests stand on: real media, a real encoder, and a real daemon in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import forked
import httpx
import imageio_ffmpeg
import loop_guard
import psutil
import pytest
from combinations import COMBINATIONS
from forked import Forked, template
from harmful import HARMFUL
from specimens import SPECIMENS, make

from daemon.process.identity import TOKEN_VARIABLE


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-preset", action="store_true", help="make outputs by every preset, not by cheap ones")
    parser.addoption("--presets", default="", help="with --every-preset: these only, with commas between")
    parser.addoption("--boot", action="store_true", help="boot a systemd with the unit in it, as root")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of what became of every file, when all of it was asked for."""
    if not config.getoption("--every-preset"):
        return
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    rows = sorted(value for report in reports for name, value in report.user_properties if name == "row")
    for file, preset, verdict in rows:
        terminalreporter.write_line(f"{file:36} {preset:16} {verdict}")


pytest_plugins = ["surroundings", "bucket_scene", "browser", "judged", "nothing_blocks", "film_house"]

EMPTY = 1_000_000  # bytes: more than the database of a daemon that has done little
PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}  # clients that need not read all authorities first
SELDOM = 0.25  # seconds between two looks at what takes a while
PATIENCE = 120.0  # seconds after which a condition that should come true is taken for never


def wait_until(
    condition: Callable[[], Any], what: str = "the condition", seconds: float = PATIENCE, every: float = 0.01
) -> Any:
    """The first true value of `condition`; fails the test when there is none in time."""
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        if waited > seconds:
            pytest.fail(f"{what} did not come true within {seconds:.0f} s")
        time.sleep(max(every, min(waited / 10, SELDOM)))  # to ask costs more than most of what is waited for
    return value


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


@pytest.fixture(scope="session")
def media(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the specimen of that name, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("media")
    known = {specimen.name: specimen for specimen in (*SPECIMENS, *COMBINATIONS, *HARMFUL)}
    return cache(lambda name: make(known[name], ffmpeg, folder))


@pytest.fixture
def ffmpeg_without_vmaf(ffmpeg: str, tmp_path: Path) -> str:
    """An encoder that lacks the filter which compares by VMAF, as some builds do."""
    wrapper = tmp_path / "ffmpeg-without-vmaf"
    older = (
        'for word do shift; case "$word" in *libvmaf=*) word="[0:v]nothing=a=1[s2]" ;; esac; set -- "$@" "$word"; done'
    )
    wrapper.write_text(f'#!/bin/sh\n{older}\nexec {ffmpeg} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


@pytest.fixture(scope="session")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of picture and sound, quick to encode."""
    return make_clip(ffmpeg, tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2)


@pytest.fixture(scope="session")
def long_clip(ffmpeg: str, clip: Path) -> Path:
    """Five minutes, which no video preset gets through while a test looks at it."""
    path = clip.with_name("long.mp4")
    loop = [ffmpeg, "-v", "error", "-stream_loop", "149", "-i", str(clip), "-c", "copy", "-y", str(path)]
    subprocess.run(loop, check=True)
    return path


@pytest.fixture(scope="session")
def small_film(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 seconds, small, that cuts every two seconds, where encoders put key frames."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    picture = "testsrc2=size=320x180:rate=25:duration=24,negate=enable='lt(mod(t,4),2)'"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([*command, "-y", str(path)], check=True)
    return path


def make_clip(ffmpeg: str, path: Path, *, seconds: float, size: str = "640x360") -> Path:
    picture, sound = f"testsrc2=size={size}:rate=25:duration={seconds}", f"sine=frequency=440:duration={seconds}"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-y", str(path)]
    subprocess.run(command, check=True)
    return path


Media = Callable[[str], Path]


def stored(daemon: Daemon) -> int:
    """Bytes that count towards what may be stored, but for uploads that lack some of theirs."""
    disk = daemon.client.get("/api/stats").json()["disk"]
    return sum(disk[f"{kind}_bytes"] for kind in ("sources", "outputs", "uploads", "database"))


class Daemon:
    """`ffspool serve` as a process, and a client that has its token."""

    prefix: tuple[str, ...] = ()  # a command it is started by
    process: subprocess.Popen[bytes] | Forked

    def __init__(self, state_dir: Path, *flags: str, **environment: str) -> None:
        self.state_dir = state_dir
        self._flags = flags
        self.env = {**os.environ, "FFSPOOL_STATE_DIR": str(state_dir), **environment}
        self.start()

    def start(self) -> None:
        self.launch()
        wait_until(self._address, "the daemon's start")
        self.connect()

    def connect(self) -> None:
        """Finds the address and the token of a daemon that listens."""
        self.url = (self.state_dir / "address").read_text().strip()
        self.token = (self.state_dir / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {self.token}"}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, **PLAIN)

    def launch(self) -> None:
        """Starts the process, in the folder beside its state dir."""
        arguments = ["serve", "--port", "0", *self._flags]
        home = self.state_dir.parent
        with (home / "daemon.log").open("ab") as log:
            if self.prefix or "LD_PRELOAD" in self.env:
                command = [*self.prefix, sys.executable, loop_guard.__file__, *arguments]
                self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.env, cwd=home)
            else:
                self.process = template().daemon(arguments, self.env, home, log.fileno())

    def _address(self) -> str | None:
        if self.process.poll() is not None:
            pytest.fail(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
        address = self.state_dir / "address"
        return address.read_text().strip() if address.exists() else None

    def log(self) -> str:
        return (self.state_dir.parent / "daemon.log").read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the daemon and returns its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        (self.state_dir / "address").unlink(missing_ok=True)  # as a killed daemon leaves it
        return code

    # What tests ask for again and again

    def submit(self, *files: Path, presets: list[str] | None = None, spec: dict[str, Any] | None = None) -> Any:
        """Makes a job over HTTP and returns it."""
        data: dict[str, Any] = {"spec": json.dumps(spec)} if spec else {"preset": presets or ["h264-480p"]}
        opened = [path.open("rb") for path in files]
        try:
            answer = self.client.post(
                "/api/jobs", data=data, files=[("files", (p.name, f)) for p, f in zip(files, opened, strict=True)]
            )
        finally:
            for file in opened:
                file.close()
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, job: str) -> Any:
        answer = self.client.get(f"/api/jobs/{job}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_for(self, job: str, *statuses: str) -> Any:
        """The job, once it has one of these statuses (any ended one by default)."""
        wanted = statuses or ("completed", "failed", "cancelled")
        return wait_until(lambda: (view := self.job(job))["status"] in wanted and view, f"{job} to be {wanted}")

    def encoders(self) -> list[psutil.Process]:
        """The encoders of this daemon that live, zombies not counted."""
        return encoders(psutil.Process(self.process.pid))

    def wait_for_encoder(self) -> psutil.Process:
        """The first encoder, once it runs and has written something."""
        return wait_until(lambda: next(iter(self.encoders()), None), "an encoder")

    def prober(self) -> psutil.Process:
        """The process that reads media for it."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if {"daemon.media.probe_server", forked.__file__} & {*child.cmdline()})

    def parts(self) -> list[Path]:
        return [path for path in (self.state_dir / "spool").rglob("*") if path.suffix in {".part", ".piece"}]


def told(daemon: Daemon, statement: str) -> None:
    """Changes the database of a daemon that is gone."""
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database, database:
        assert database.execute(statement).rowcount > 0


def encoders(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children(recursive=True) if is_encoder(child)]


def is_encoder(process: psutil.Process) -> bool:
    try:
        return TOKEN_VARIABLE in process.environ() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def slowed(ffmpeg: str, folder: Path, *, rate: float, burst: float) -> dict[str, str]:
    """Settings of a daemon whose encoder takes so many seconds of a film for H.264 at once, and the rest at so many
    times real time."""
    wrapper = folder / "ffmpeg"
    options = f"-readrate {rate} -readrate_initial_burst {burst}"
    each = f'[ "$word" = -i ] && set -- "$@" {options}; set -- "$@" "$word"'
    words = f'case "$*" in *libx264*) for word do shift; {each}; done ;; esac'
    wrapper.write_text(f'#!/bin/sh\n{words}\nexec {ffmpeg} "$@"\n')
    wrapper.chmod(0o755)
    return wrapped(wrapper, ffmpeg)


def wrapped(wrapper: Path, ffmpeg: str) -> dict[str, str]:
    """Settings of a daemon whose encoder is a script that becomes that one, within the sandbox."""
    reads = (wrapper, Path(ffmpeg).parent, Path("/bin/sh"))
    return {"FFSPOOL_FFMPEG": str(wrapper), "FFSPOOL_SANDBOX_READ": os.pathsep.join(map(str, reads))}


@pytest.fixture(scope="session")
def unhurried(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a test only looks at while it is encoded, or ends, need not keep all cores busy meanwhile."""
    return slowed(ffmpeg, tmp_path_factory.mktemp("unhurried"), rate=1, burst=10)


@pytest.fixture
def start_daemon(tmp_path: Path, unhurried: dict[str, str]) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons with flags of the test's choosing; they end with it."""
    started: list[Daemon] = []

    def start(*flags: str, name: str = "state", **environment: str) -> Daemon:
        if "--ffmpeg" not in flags and "FFSPOOL_FFMPEG" not in environment:
            environment = {**unhurried, **environment}
        daemon = Daemon(tmp_path / name, *flags, **environment)
        started.append(daemon)
        return daemon

    yield start
    for daemon in started:
        daemon.stop()


@pytest.fixture
def daemon(start_daemon: Callable[..., Daemon]) -> Daemon:
    return start_daemon()


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory, unhurried: dict[str, str]) -> Iterator[Daemon]:
    """One for the tests of a file that need nothing special of it and leave nothing running."""
    daemon = Daemon(tmp_path_factory.mktemp("shared") / "state", **unhurried)
    yield daemon
    daemon.stop()
