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

import click
import pytest
from conftest import Daemon
from test_main_path import seconds

from daemon.cli import main
from daemon.settings import Settings

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def blocks(heading: str) -> list[str]:
    """The shell blocks below a heading, line continuations joined."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [block.replace("\\\n", " ") for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


def test_the_curl_commands_lead_from_files_to_a_zip(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mov"):
        (tmp_path / name).write_bytes(clip.read_bytes())
    script = blocks("Over HTTP")[0].replace("http://127.0.0.1:8080", daemon.url)
    script = script.replace("~/.local/state/ffspool", str(daemon.state_dir))
    setup, commands = script.split("\n\n", 1)
    made: list[str] = []
    for command in re.findall(r"^curl.*", commands, re.MULTILINE):
        if made and "download" in command:
            assert daemon.wait_for(made[0])["status"] == "completed"
        done = subprocess.run(
            ["bash", "-ec", f"{setup}\n{command}"],
            cwd=tmp_path,
            env={**os.environ, "JOB": made[0] if made else ""},
            capture_output=True,
            check=True,
        )
        if " -F " in command:
            made.append(json.loads(done.stdout)["id"])
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
        assert sorted(archive.namelist()) == sorted(
            ["a/a_h264-720p.mp4", "a/a_mp3.mp3", "b/b_h264-720p.mp4", "b/b_mp3.mp3", "manifest.json"]
        )
    for file in (tmp_path / "unpacked").rglob("*.mp[34]"):
        assert seconds(file) == pytest.approx(seconds(clip), abs=0.1)
    assert daemon.client.get(f"/api/jobs/{made[0]}").status_code == 404, "the last command deletes the job"


def test_the_command_line_is_one_the_commands_take() -> None:
    """Every `ffspool …` shown names a command that exists and options it has."""
    shown = [
        shlex.split(line, comments=True)[1:]
        for block in blocks("On the command line")
        for line in block.replace(" &\n", "\n").splitlines()
        if line.startswith("ffspool")
    ]
    assert len(shown) >= 10
    for name, *arguments in shown:
        command = main.main.commands[name]
        placed = ["README.md" if argument.startswith("*") else argument for argument in arguments]
        command.make_parser(click.Context(command)).parse_args(placed)


def test_a_batch_is_run_without_a_daemon_as_shown(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    [line] = [line for line in blocks("On the command line")[0].splitlines() if "refresh:count=5" in line]
    subprocess.run([sys.executable, "-m", "daemon.cli", *shlex.split(line)[1:]], cwd=tmp_path, check=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "clip_h264-1080p.mp4",
        *(f"clip_refresh-0{number}.mp4" for number in range(1, 6)),
    ]


def test_the_settings_named_exist() -> None:
    table = README.split("## Settings\n")[1].split("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named
    assert named <= set(Settings.__struct_fields__)


def test_every_promise_names_tests_that_are_there() -> None:
    promises = README.split("## Promises\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(test_\w+)`", promises))
    tests = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []
    assert len(re.findall(r"^\| \d \|.*`test_", promises, re.MULTILINE)) == 9
