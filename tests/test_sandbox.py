"""Encoders and readers of media reach their source and their work folder, and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from conftest import Daemon, wait_until

from daemon.encode.sandbox_trial import choose, write_silence
from daemon.media.prober import Prober
from daemon.models import Sandbox
from daemon.process import privileges, sandbox
from daemon.process.launcher import Limits, Walls, spawn, spawn_trial

ATTACKER = Path(__file__).with_name("attacker.py")
NONE, TO_READ = f"{0:016x}", f"{1 << privileges.DAC_READ_SEARCH:016x}"  # capabilities
SHUT_IN = sandbox.parts()  # where there is no sandbox, none of this can be tested: let that be loud


class Ended(NamedTuple):
    code: int
    said: str
    complaint: str


class Host:
    """A source with a sibling, and a work folder."""

    def __init__(self, folder: Path, ffmpeg: str) -> None:
        self.ffmpeg = ffmpeg
        self.source, self.sibling, self.work = (folder / name for name in ("source", "sibling", "work"))
        write_silence(self.source)
        write_silence(self.sibling)
        self.work.mkdir()
        self.walls = Walls(source=str(self.source), folders=(str(self.work),))

    def encode(self, source: str, target: str, walls: Walls | None) -> Ended:
        """What the encoder makes of it; both are whatever ffmpeg takes."""
        argv = ["ffmpeg", "-v", "error", "-y", "-i", source, "-c:a", "copy", "-f", "wav", target]
        return asyncio.run(self.run(argv, walls, program=self.ffmpeg))

    async def run(self, argv: list[str], walls: Walls | None, *, program: str) -> Ended:
        child = spawn(argv, program=program, folder=self.work, limits=Limits(), environment={}, walls=walls)
        said = b"".join([chunk async for chunk in child.stdout()])
        complaint = b"".join([chunk async for chunk in child.stderr()])
        return Ended((await child.wait()).code, said.decode(), complaint.decode())

    def leaks(self, walls: Walls | None) -> list[str]:
        return asyncio.run(self._leaks(walls))

    async def _leaks(self, walls: Walls | None) -> list[str]:
        child = spawn_trial(self.sibling, self.work, walls)
        said = b"".join([chunk async for chunk in child.stdout()])
        assert [chunk async for chunk in child.stderr()] == []
        assert (await child.wait()).code == 0
        return said.decode().split("\n")[:-1] if said.strip() else []


@pytest.fixture
def host(tmp_path: Path, ffmpeg: str) -> Host:
    return Host(tmp_path, ffmpeg)


# What is shut


def test_an_encoder_reads_its_source_and_writes_to_its_folder(host: Host) -> None:
    assert host.encode(f"file:{host.source}", "file:part", host.walls) == (0, "", "")
    assert (host.work / "part").stat().st_size > 0


def test_a_file_beside_the_source_is_out_of_reach(host: Host) -> None:
    assert host.encode(f"file:{host.sibling}", "file:part", None).code == 0
    refused = host.encode(f"file:{host.sibling}", "file:part", host.walls)
    assert refused.code != 0
    assert "Permission denied" in refused.complaint


def test_nothing_is_written_outside_the_work_folder(host: Host) -> None:
    outside = host.work.with_name("outside")
    refused = host.encode(f"file:{host.source}", f"file:{outside}", host.walls)
    assert "Permission denied" in refused.complaint
    assert not outside.exists()
    for victim in (host.source, host.sibling):
        before = victim.read_bytes()
        assert host.encode(f"file:{host.source}", f"file:{victim}", host.walls).code != 0
        assert victim.read_bytes() == before


def test_no_socket_is_opened(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        refused = host.encode(f"tcp://127.0.0.1:{listener.getsockname()[1]}", "file:part", host.walls)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "Operation not permitted" in refused.complaint


def test_the_rehearsal_finds_no_leak_with_walls_and_every_leak_without(host: Host) -> None:
    assert host.leaks(Walls(folders=(str(host.work),))) == []
    host.sibling.chmod(0o600)
    without = host.leaks(None)
    assert len(without) >= (16 if os.geteuid() == 0 else 14)  # of 18: two are calls of new kernels, two want privileges


def test_a_symlink_put_in_the_sources_place_is_not_followed(host: Host) -> None:
    host.source.unlink()
    host.source.symlink_to(host.sibling)
    refused = host.encode(f"file:{host.source}", "file:part", host.walls)
    assert (refused.code, refused.complaint) == (
        127,
        "the source cannot be opened: Too many levels of symbolic links\n",
    )


def test_a_symlink_in_a_folder_above_the_source_is_not_followed(host: Host, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    walls = Walls(source=str(tmp_path / "link" / "source"), folders=(str(host.work),))
    assert host.encode(f"file:{host.source}", "file:part", walls).code == 127


def feats(host: Host, walls: Walls | None, victim: int) -> set[str]:
    """What a hostile program in the encoder's place can do to a process and a file of the same user."""
    argv = [sys.executable, "-I", str(ATTACKER), str(victim), str(host.sibling)]
    ended = asyncio.run(host.run(argv, walls, program=sys.executable))
    assert (ended.code, ended.complaint) == (0, "")
    return set(ended.said.splitlines())


def test_an_encoder_that_was_taken_over_reaches_nothing_and_nobody(host: Host) -> None:
    """The hostile program is Python, so it may read and execute that."""
    python = (os.path.realpath(sys.executable), sys.base_prefix, sys.prefix, str(ATTACKER.parent))
    walls = Walls(programs=python, source=str(host.source), folders=(str(host.work),))
    with subprocess.Popen(["sleep", "1000"]) as victim:
        try:
            assert feats(host, walls, victim.pid) == set()
            unguarded = feats(host, None, victim.pid)
        finally:
            victim.kill()
    assert unguarded >= {"prlimit64 of another", "setpriority of another", "sched_setaffinity of another", "kill"}
    assert unguarded >= {"ioprio_set of another", "F_SETOWN", "PR_SET_PDEATHSIG", "fork", "vfork", "shared memory"}
    assert unguarded >= {"inotify", "truncate", "socketpair"}
    assert "a sparse file" not in unguarded  # which the limit of a file's size forbids as well


READER = "import sys; from daemon.process import sandbox; sandbox.confine(source={!r}); print(sandbox.leaks({!r}))"


def test_a_reader_of_media_reaches_its_file_alone(host: Host) -> None:
    code = READER.format(str(host.source), str(host.sibling))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# What a daemon does with it


def told(daemon: Daemon) -> list[Sandbox]:
    """What the daemon says in its two places."""
    pages = [daemon.client.get(page).json()["sandbox"] for page in ("/readyz", "/api/stats")]
    return [Sandbox(**page) for page in pages]


def test_the_sandbox_is_told_everywhere(daemon: Daemon, clip: Path) -> None:
    assert told(daemon) == [Sandbox(active=True, by=SHUT_IN)] * 2
    assert f"sandboxed by {SHUT_IN}" in daemon.log()
    job = daemon.submit(clip, presets=["mp3"])
    [variation] = daemon.wait_for(job["id"])["sources"][0]["variations"]
    assert (variation["status"], variation["sandbox"]) == ("completed", SHUT_IN)
    log = daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/log").text
    assert f"# sandbox: {SHUT_IN}\n" in log


def test_an_encoder_lives_under_limits_and_without_privileges(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip)
    encoder = daemon.wait_for_encoder()
    wait_until(daemon.parts, "a partial file")
    status = read_status(Path(f"/proc/{encoder.pid}/status").read_text())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {status["CapPrm"], status["CapEff"], status["CapInh"], status["CapAmb"]} <= {NONE, TO_READ}
    assert status["CapBnd"] == NONE or os.geteuid() != 0
    limits, wanted = limits_of(encoder.pid), Limits()
    assert limits["Max cpu time"] == wanted.by_name()["RLIMIT_CPU"]
    assert limits["Max data size"] == wanted.by_name()["RLIMIT_DATA"]
    assert limits["Max address space"] == wanted.by_name()["RLIMIT_AS"]
    assert limits["Max open files"] == wanted.by_name()["RLIMIT_NOFILE"]
    assert limits["Max core file size"] == (0, 0)
    assert limits["Max file size"][1] < psutil.disk_usage("/").total + 2**31
    assert limits["Max file size"][1] < 2**40
    daemon.client.post(f"/api/jobs/{job['id']}/cancel")


def read_status(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines())


def limits_of(pid: int) -> dict[str, tuple[int, ...]]:
    """Soft and hard, of those that are not infinite."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    found = (re.fullmatch(r"(Max .*?)  +(\d+) +(\d+) .*", line) for line in lines)
    return {match[1]: (int(match[2]), int(match[3])) for match in found if match}


@pytest.mark.skipif(os.geteuid() != 0, reason="it needs to be root")
def test_of_a_daemon_that_is_root_each_encoder_is_a_user_of_its_own(daemon: Daemon, long_clip: Path) -> None:
    jobs = [daemon.submit(long_clip)["id"] for _ in range(2)]
    pids = wait_until(lambda: len(found := daemon.encoders()) == 2 and [one.pid for one in found], "two encoders")
    wait_until(lambda: len(daemon.parts()) == 2, "partial files")
    users = [psutil.Process(pid).uids() for pid in pids]
    assert len({user.real for user in users}) == 2
    assert all(user.real == user.effective == user.saved >= privileges.FIRST_USER for user in users)
    threads = [limits_of(pid)["Max processes"] for pid in pids]
    assert set(threads) == {(privileges.max_threads(),) * 2}
    for job in jobs:
        daemon.client.post(f"/api/jobs/{job}/cancel")


def test_what_an_encoder_made_belongs_to_the_daemon(daemon: Daemon, clip: Path) -> None:
    [variation] = daemon.wait_for(daemon.submit(clip, presets=["hls"])["id"])["sources"][0]["variations"]
    assert variation["status"] == "completed"
    made = [path for path in (daemon.state_dir / "spool").rglob("outputs/**/*") if path.is_file()]
    assert len(made) > 3
    assert {path.stat().st_uid for path in made} == {os.geteuid()}


STATUS = (
    "from daemon.process import sandbox; told = open('/proc/self/status'); "
    "sandbox.confine(source={!r}); print(told.read())"
)


def test_no_capability_is_left_where_the_source_is_for_all_to_read() -> None:
    done = subprocess.run([sys.executable, "-c", STATUS.format("/etc/passwd")], capture_output=True, text=True)
    status = read_status(done.stdout.strip())
    assert {status[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {NONE}


def test_a_source_that_only_its_owner_may_read_is_read_all_the_same(host: Host) -> None:
    host.source.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(host.source, 12345, 12345)
    assert host.encode(f"file:{host.source}", "file:part", host.walls) == (0, "", "")


def test_switched_off_it_says_so_everywhere(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--sandbox", "off")
    for verdict in told(daemon):
        assert not verdict.active
        assert "switched off" in str(verdict.reason)
    assert "NOT sandboxed" in daemon.log()
    [variation] = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["sources"][0]["variations"]
    assert (variation["status"], variation["sandbox"]) == ("completed", "none")


@pytest.fixture
def hidden(tmp_path: Path, ffmpeg: str) -> Path:
    """An encoder that needs a file of its own, which no sandbox knows of."""
    inner = tmp_path / "lib" / "ffmpeg"
    inner.parent.mkdir()
    shutil.copy(ffmpeg, inner)
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\nexec {inner} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def test_where_it_does_not_hold_auto_goes_on_and_says_so(
    start_daemon: Callable[..., Daemon], hidden: Path, clip: Path
) -> None:
    daemon = start_daemon("--ffmpeg", str(hidden))
    for verdict in told(daemon):
        assert (verdict.active, verdict.by) == (False, "none")
        assert "the encoder does not work in it" in str(verdict.reason)
    assert "NOT sandboxed" in daemon.log()
    [variation] = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["sources"][0]["variations"]
    assert (variation["status"], variation["sandbox"]) == ("completed", "none")


def test_where_it_does_not_hold_require_refuses_to_start(tmp_path: Path, hidden: Path) -> None:
    command = [sys.executable, "-m", "daemon.cli", "serve", "--port", "0", "--ffmpeg", str(hidden)]
    command += ["--state-dir", str(tmp_path / "state"), "--sandbox", "require"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert "the sandbox is required, but the encoder does not work in it" in refused.stderr


def test_what_an_encoder_needs_beside_itself_can_be_named(
    start_daemon: Callable[..., Daemon], hidden: Path, clip: Path
) -> None:
    shell = Path(os.path.realpath("/bin/sh"))
    paths = os.pathsep.join([str(hidden.parent / "lib"), str(shell)])
    daemon = start_daemon("--ffmpeg", str(hidden), "--sandbox", "require", FFSPOOL_SANDBOX_READ=paths)
    [variation] = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["sources"][0]["variations"]
    assert (variation["status"], variation["sandbox"]) == ("completed", SHUT_IN)


def test_a_rehearsal_leaves_nothing_behind(tmp_path: Path, ffmpeg: str) -> None:
    async def rehearse() -> Sandbox:
        async with AsyncExitStack() as stack:
            prober = Prober(sandboxed=True)
            stack.push_async_callback(prober.close)
            return await choose("require", ffmpeg, (), tmp_path, prober)

    before = psutil.Process().children()
    assert asyncio.run(rehearse()) == Sandbox(active=True, by=SHUT_IN)
    assert list(tmp_path.iterdir()) == []
    assert psutil.Process().children() == before
