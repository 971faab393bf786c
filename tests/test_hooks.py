"""After a delivery the operator's commands are run: as the config says, told by stdin, and again where they failed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, wait_until

from daemon.config_tables import Hook, hooks
from daemon.database.store import Store
from daemon.delivery.hooks import Hooks
from daemon.errors import StartupError
from daemon.paths import Paths

Start = Callable[..., Daemon]


def configured(folder: Path, text: str) -> dict[str, str]:
    """The environment of a daemon with that `ffspool.toml`."""
    file = folder / "ffspool.toml"
    file.write_text(text)
    return {"FFSPOOL_CONFIG": str(file)}


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def runs(daemon: Daemon) -> Any:
    return daemon.client.get("/api/hooks/runs").json()["items"]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


def test_a_hook_is_told_what_was_delivered_and_where(
    start_daemon: Start, tmp_path: Path, library: Path, clip: Path
) -> None:
    told = tmp_path / "told"
    words = "; rm -rf $HOME `id`"  # which no shell sees
    command = [str(script(tmp_path / "tell", f'cat > {told}; echo "$1"')), words]
    config = f"[[hooks]]\nname = 'tell'\ncommand = {json.dumps(command)}\n"
    daemon = start_daemon("--output-root", str(library), **configured(tmp_path, config))
    spec = {"variations": [{"preset": "mp3"}], "deliver": {"folder": "sounds"}}
    job = daemon.submit(clip, spec=spec)["id"]
    [run] = wait_until(lambda: [run for run in runs(daemon) if run["status"] == "done"], "the hook")
    assert (run["hook"], run["job"], run["attempts"], run["exit_code"], run["said"]) == ("tell", job, 1, 0, words)
    said = json.loads(told.read_text())
    assert (said["type"], said["job"], said["to"]) == ("variation.delivered", job, "sounds/clip_mp3.mp3")
    assert Path(said["path"]).stat().st_size == said["bytes"]
    assert str(library) not in daemon.client.get("/api/hooks/runs").text


def test_a_hook_that_fails_is_run_again_one_that_hangs_is_ended_and_what_is_left_behind_goes_on(
    start_daemon: Start, tmp_path: Path, library: Path, clip: Path
) -> None:
    fails = script(tmp_path / "fails", f"[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; echo no >&2; exit 3; }}")
    hangs = script(tmp_path / "hangs", "sleep 1000")
    leaves = script(tmp_path / "leaves", f"sleep 1000 & echo $! > {tmp_path}/left; echo begun")
    config = f"[[hooks]]\ncommand = ['{fails}']\n[[hooks]]\ncommand = ['{hangs}']\ntimeout = 0.2\n"
    gone = script(tmp_path / "gone", "true")
    config += f"[[hooks]]\ncommand = ['{leaves}']\ntimeout = 5\n[[hooks]]\ncommand = ['{gone}']\n"
    flags = ("--output-root", str(library), "--delivery-backoff", "0.01")
    daemon = start_daemon(*flags, **configured(tmp_path, config))
    gone.unlink()
    daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "deliver": {"folder": "sounds"}})
    wait_until(lambda: [bool(run["settled_at"]) for run in runs(daemon)] == [True] * 4, "all to end")
    os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
    ended = {run["hook"]: run for run in runs(daemon)}
    assert (ended["fails"]["status"], ended["fails"]["attempts"]) == ("done", 2)
    assert (ended["hangs"]["status"], ended["hangs"]["said"]) == ("failed", "it was ended after 0.2 s")
    assert ended["gone"]["said"] == "the program of the hook gone cannot be executed: No such file or directory"
    assert (ended["leaves"]["status"], ended["leaves"]["attempts"], ended["leaves"]["said"]) == ("done", 1, "begun")


def test_a_clock_that_is_set_back_keeps_no_hook_waiting(tmp_path: Path) -> None:
    command, now = script(tmp_path / "tell", f"cat > {tmp_path}/told"), 2_000_000_000.0
    of = {"hook": "tell", "job": "x", "variation": "y", "told": "{}", "now": now}

    async def run_after_the_clock_was_set_back() -> None:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        hooks = Hooks(store, [Hook(command=(str(command),))], now=lambda: now - 400 * 24 * 3600)
        await store.write(lambda t: t.run("insert_hook_run", **of))
        running = asyncio.create_task(hooks.run())
        try:
            await asyncio.to_thread(wait_until, (tmp_path / "told").exists, "the hook", seconds=10)
        finally:
            running.cancel()
            await asyncio.wait([running])
            await store.close()

    asyncio.run(run_after_the_clock_was_set_back())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[hooks]]\ncommand = []", "hooks are not valid"),
        ("[[hooks]]\ncommand = 'rm -rf /'", "hooks are not valid"),
        ("[[hooks]]\ncommand = ['notify']", "name the program by its whole path"),
        ("[[hooks]]\ncommand = ['/no/such/program']", "/no/such/program does not exist"),
        ("[[hooks]]\ncommand = ['/bin/true']\nshell = true", "unknown field `shell`"),
        ("[[hooks]]\ncommand = ['/bin/true']\n[[hooks]]\ncommand = ['/usr/bin/true']", "two hooks are called true"),
    ],
)
def test_hooks_that_are_not_valid_are_refused_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    environment = configured(tmp_path, text)
    with pytest.raises(StartupError, match=words) as refused:
        hooks(environment)
    assert "ffspool.toml" in str(refused.value)
