"""The unit in a real systemd, booted in namespaces of its own: `make boot`, as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_until

CHECKOUT = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).with_name("container.sh")
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup")
FFSPOOL = "/opt/ffspool/bin/ffspool"
STATE = ("--state-dir", "/var/lib/ffspool")
UNIT_CGROUP = "/sys/fs/cgroup/system.slice/ffspool.service/cgroup.procs"
CLIP = "/srv/clip.mp4"
OUTSIDE = "10.99.0.1"  # an address of the container that is not loopback
RECEIVER = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer

class Take(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        print("POST", body, file=open("/run/came", "a"), flush=True)
        self.send_response(204)
        self.end_headers()

    def do_GET(self):
        print("GET", self.path, file=open("/run/came", "a"), flush=True)
        self.send_error(404)

HTTPServer(("{OUTSIDE}", 8000), Take).serve_forever()
"""
NO_CAPABILITIES = "0" * 16


def obstacle(wanted: bool) -> str | None:
    """Why systemd cannot be booted here; None when it can."""
    if not wanted:
        return "it boots a systemd, as root: run `make boot`"
    missing = [name for name in ("unshare", "nsenter", "/lib/systemd/systemd") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        return f"it needs {missing[0]}" if missing else "it needs to be root"
    if not os.access(hierarchy(), os.W_OK):
        return "there is no writable cgroup2 hierarchy"
    tried = subprocess.run(["unshare", *NAMESPACES, "--fork", "true"], capture_output=True, text=True)
    return f"namespaces cannot be made: {tried.stderr.strip()}" if tried.returncode else None


def hierarchy() -> Path:
    """Where this process's cgroup of version 2 is."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((mount[1] for mount in mounts if mount[2] == "cgroup2"), "/nowhere")
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), "/")
    return Path(root) / own.lstrip("/")


class Container:
    """A booted systemd with ffspool in it, as docs/service.md installs it."""

    def __init__(self, scratch: Path) -> None:
        self._log = scratch.with_name("boot.log")
        self.cgroup = hierarchy() / f"ffspool-boot-{os.getpid()}"
        self.cgroup.mkdir()
        inside = ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", str(SCRIPT)]
        entering = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(self.cgroup)]
        arguments = [str(CHECKOUT), sys.base_prefix, str(scratch)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*entering, *inside, *arguments], stdout=log, stderr=log)
        self.init = wait_until(self._init, "the container's first process")

    def _init(self) -> str | None:
        if self.process.poll() is not None:
            pytest.fail(f"the container has ended:\n{self._log.read_text()}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0] if children else None

    def close(self) -> None:
        """Ends it with everything in it."""
        self.process.kill()
        self.process.wait()
        wait_until(lambda: "populated 0" in (self.cgroup / "cgroup.events").read_text(), "the container to be empty")
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            Path(folder).rmdir()

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(self._inside(*command), capture_output=True, text=True)
        assert not check or done.returncode == 0, (
            f"{command}: {done.stdout}{done.stderr}\n{self.journal()}\n{self._log.read_text()}"
        )
        return done.stdout

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", "--target", self.init, *NAMESPACES, "env", "-i", f"PATH={os.environ['PATH']}", *command]

    def journal(self) -> str:
        """What the daemon and systemd say of it."""
        return self.run("journalctl", "--no-pager", "--unit=ffspool", "--output=cat", check=False)

    def is_up(self) -> bool:
        if not self._init() or Path(f"/proc/{self.init}/comm").read_text() != "systemd\n":
            return False
        return self.run("systemctl", "is-system-running", check=False).strip() in {"running", "degraded"}

    def is_ready_after(self, pid: str) -> bool:
        """Whether the daemon that followed the one with this `pid` has told that it is ready."""
        return self.told("ActiveState") == "active" and self.told("MainPID") not in {pid, "0"}

    def put(self, file: Path, path: str) -> None:
        with file.open("rb") as opened:
            subprocess.run(self._inside("sh", "-c", f"cat > {path}"), stdin=opened, check=True)

    def configure(self, **settings: str) -> None:
        """Changes the unit by a drop-in."""
        lines = "\n".join(f"{name}={value}" for name, value in settings.items())
        path = "/etc/systemd/system/ffspool.service.d/test.conf"
        self.run("sh", "-c", f'printf "%s\\n" "$0" > {path}', f"[Service]\n{lines}")
        self.run("systemctl", "daemon-reload")

    def told(self, name: str) -> str:
        return self.run("systemctl", "show", "--property", name, "--value", "ffspool").strip()

    def processes(self) -> list[str]:
        """Those in the unit's cgroup."""
        return self.run("sh", "-c", f"cat {UNIT_CGROUP} 2>/dev/null || true").split()

    def command_of(self, pid: str) -> str:
        return self.run("sh", "-c", f"tr '\\0' ' ' < /proc/{pid}/cmdline || true").strip()

    def status_of(self, pid: str) -> dict[str, str]:
        lines = self.run("cat", f"/proc/{pid}/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def encoders(self) -> list[str]:
        return [pid for pid in self.processes() if self.command_of(pid).startswith("ffmpeg ")]

    def ffspool(self, *arguments: str) -> Any:
        return json.loads(self.run(FFSPOOL, *arguments, *STATE, "--json"))

    def submit(self) -> str:
        """Makes a job that takes minutes."""
        return str(self.ffspool("submit", CLIP, "-p", "h264-1080p")["id"])

    def attempts(self, job: str) -> int:
        return int(self.ffspool("show", job)["sources"][0]["variations"][0]["attempts"])


@pytest.fixture(scope="module")
def booted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, long_clip: Path
) -> Iterator[Container]:
    if reason := obstacle(request.config.getoption("--boot")):
        pytest.skip(reason)
    scratch = tmp_path_factory.mktemp("boot") / "scratch"
    scratch.mkdir()
    container = Container(scratch)
    try:
        wait_until(container.is_up, "systemd to have booted")
        container.put(long_clip, CLIP)
        yield container
    finally:
        container.close()


@pytest.fixture
def container(booted: Container) -> Iterator[Container]:
    """With the service started; without jobs when the test has ended."""
    booted.run("systemctl", "start", "ffspool")
    yield booted
    booted.run("systemctl", "reset-failed", "ffspool")
    booted.run("systemctl", "start", "ffspool")
    booted.ffspool("rm", "--all", "--yes")


def test_it_is_ready_when_systemctl_start_returns(container: Container) -> None:
    assert container.told("ActiveState") == "active"
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/readyz').read().decode())"
    ready = json.loads(container.run("/opt/ffspool/bin/python", "-c", ask))
    assert ready["status"] == "ready"


def test_the_sandbox_of_the_encoders_holds_in_the_units_own(container: Container) -> None:
    """What the unit takes away must leave what the sandbox is made with."""
    assert "encoders and the reading of media are sandboxed by landlock" in container.journal()
    job = container.submit()
    [encoder] = wait_until(container.encoders, "an encoder")
    assert container.status_of(encoder)["NoNewPrivs"] == "1"
    [variation] = container.ffspool("show", job)["sources"][0]["variations"]
    assert variation["status"] == "processing"


def test_the_daemon_has_no_power_over_the_host(container: Container) -> None:
    status = container.status_of(container.told("MainPID"))
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {NO_CAPABILITIES}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split()[0] != "0"


def test_a_webhook_gets_out_and_nothing_else_does(container: Container) -> None:
    container.run("ip", "address", "replace", f"{OUTSIDE}/32", "dev", "lo")
    container.run("systemd-run", "--quiet", "--unit=receiver", "/opt/ffspool/bin/python", "-c", RECEIVER)
    container.configure(Environment="FFSPOOL_WEBHOOK_ALLOW_PRIVATE=true")
    container.run("systemctl", "restart", "ffspool")
    url = f"http://{OUTSIDE}:8000/hook"
    job = container.ffspool("submit", CLIP, "-p", "mp3", "--webhook", url)["id"]
    came = wait_until(lambda: container.run("cat", "/run/came", check=False), "the webhook")
    container.configure()
    container.run("systemctl", "restart", "ffspool")
    [(method, message)] = [line.split(" ", 1) for line in came.splitlines()]
    assert (method, json.loads(message)["data"]["id"]) == ("POST", job)
    assert container.run("cat", "/run/came") == came


def test_what_is_logged_of_a_job_is_found_by_it_in_the_journal(container: Container) -> None:
    job = container.submit()
    wait_until(container.encoders, "an encoder")
    container.run(FFSPOOL, "cancel", job, *STATE)
    told = wait_until(lambda: "ended" in (words := container.run(FFSPOOL, "logs", job, *STATE)) and words, "its end")
    assert ["job accepted" in told, "job started" in told, "job ended cancelled" in told] == [True] * 3


def test_a_killed_daemon_leaves_no_encoder_and_its_work_goes_on(container: Container) -> None:
    job = container.submit()
    [encoder] = wait_until(container.encoders, "an encoder")
    before = container.told("MainPID")
    container.run("kill", "-KILL", before)
    wait_until(lambda: not container.command_of(encoder), "the encoder to be gone")
    wait_until(lambda: container.is_ready_after(before), "systemd to have restarted the daemon")
    wait_until(lambda: container.attempts(job) == 2 and container.encoders(), "the job to go on")


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(container: Container) -> None:
    container.configure(WatchdogSec="2", TimeoutAbortSec="2")
    container.run("systemctl", "restart", "ffspool")
    job = container.submit()
    [encoder] = wait_until(container.encoders, "an encoder")
    before = container.told("MainPID")
    container.run("kill", "-STOP", before)
    wait_until(lambda: container.is_ready_after(before), "the watchdog to have restarted the daemon")
    assert "Watchdog timeout" in container.journal()
    assert not container.command_of(encoder)
    wait_until(lambda: container.attempts(job) == 2 and container.encoders(), "the job to go on")
    container.configure()


def test_stop_ends_gently_within_the_timeout_and_start_goes_on(container: Container) -> None:
    job = container.submit()
    wait_until(container.encoders, "an encoder")
    container.run("systemctl", "stop", "ffspool")
    assert container.told("Result") == "success", "with a timeout it would say so"
    assert container.told("ExecMainStatus") == "0"
    assert not container.processes()
    container.run("systemctl", "start", "ffspool")
    wait_until(lambda: container.attempts(job) == 2 and container.encoders(), "the job to go on")
