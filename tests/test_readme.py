"""What the README shows is what happens: its commands are run as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import Daemon
from test_main_path import seconds

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
PROMISES = (Path(__file__).resolve().parents[1] / "docs" / "promises.md").read_text()


def blocks(heading: str) -> list[str]:
    """The shell blocks below a heading, line continuations joined."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [block.replace("\\\n", " ") for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


def named(command: str) -> str:
    """What a line of a script sets."""
    return command.partition("=$(")[0] if "=$(" in command else ""


def test_the_curl_commands_lead_from_files_to_a_zip(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mov"):
        (tmp_path / name).write_bytes(clip.read_bytes())
    script = blocks("Over HTTP")[0].replace("http://127.0.0.1:8080", daemon.url)
    script = script.replace("~/.local/state/ffspool", str(daemon.state_dir))
    setup, commands = script.split("\n\n", 1)
    made: list[str] = []
    for command in re.findall(r"^(?:JOB=\$\()?curl.*", commands, re.MULTILINE):
        if made and "download" in command:
            assert daemon.wait_for(made[0])["status"] == "completed"
        done = subprocess.run(
            ["bash", "-ec", f'{setup}\n{command}\n[ -z "{named(command)}" ] || echo "$JOB"'],
            cwd=tmp_path,
            env={**os.environ, "JOB": made[0] if made else ""},
            capture_output=True,
            check=True,
        )
        if named(command):
            made.append(done.stdout.decode().strip())
        elif " -F " in command:
            made.append(json.loads(done.stdout)["id"])
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
        assert sorted(archive.namelist()) == sorted(
            ["a/a_h264-720p.mp4", "a/a_mp3.mp3", "b/b_h264-720p.mp4", "b/b_mp3.mp3", "manifest.json"]
        )
    for file in (tmp_path / "unpacked").rglob("*.mp[34]"):
        assert seconds(file) == pytest.approx(seconds(clip), abs=0.1)
    assert daemon.client.get(f"/api/jobs/{made[0]}").status_code == 404, "the last command deletes the job"


def shown(page: str) -> list[list[str]]:
    """Every `ffspool …` in a page's shell blocks, in words."""
    found = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    lines = "".join(found).replace("\\\n", " ").replace(" &\n", "\n").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("ffspool")]


def test_the_command_line_is_shown() -> None:
    assert len(shown(README)) >= 10


def test_a_batch_is_run_without_a_daemon_as_shown(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    [line] = [line for line in blocks("On the command line")[0].splitlines() if "refresh:count=5" in line]
    subprocess.run([sys.executable, "-m", "daemon.cli", *shlex.split(line)[1:]], cwd=tmp_path, check=True)
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == [
        "clip_h264-1080p.mp4",
        *(f"clip_refresh-0{number}.mp4" for number in range(1, 6)),
    ]


def test_every_word_that_a_shell_fills_in_is_set_before() -> None:
    script = "\n".join(blocks("Over HTTP"))
    for name in set(re.findall(r"\$([A-Z]+)", script)):
        assert script.index(f"{name}=") < re.search(rf"\${name}\b", script).start(), name  # type: ignore[union-attr]
    assert all("--fail" in line for line in script.splitlines() if line.startswith("curl") and " -o " in line)


def test_every_promise_is_held_by_a_test() -> None:
    assert len(re.findall(r"^\| \d \|.*`test_", PROMISES, re.MULTILINE)) == 9


def test_the_line_that_make_prints_makes_ffspool_a_command_of_the_shell(tmp_path: Path) -> None:
    checkout = Path(__file__).resolve().parents[1]
    printed = subprocess.run(
        ["make", "-s", "path"],
        cwd=checkout,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    line = printed.stdout[printed.stdout.index("export") :]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    script = f"{line}command -v ffspool"
    found = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(checkout / ".venv" / "bin" / "ffspool")
    assert (
        "path"
        in subprocess.run(
            ["make", "-n", "demo", "FILES=x"], cwd=checkout, capture_output=True, text=True, check=True
        ).stdout
    )


def test_how_a_daemon_elsewhere_is_reached_is_told(daemon: Daemon, tmp_path: Path) -> None:
    told = set(re.findall(r"FFSPOOL_[A-Z]+", README))
    assert told == {"FFSPOOL_URL", "FFSPOOL_TOKEN"}
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FFSPOOL_URL": daemon.url, "FFSPOOL_TOKEN": daemon.token}
    subprocess.run([sys.executable, "-m", "daemon.cli", "ls"], cwd=tmp_path, env=env, check=True)
