"""`ffspool doctor`: finds what is sound sound, what is ill ill, says what to do, and changes nothing."""

from __future__ import annotations

import os
import platform
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from conftest import Daemon
from test_cli import ffspool, no_environment, printed

from daemon.cli import checks
from daemon.database.file import prepare
from daemon.presets.library import Library

NO_ENCODER = ("--ffmpeg", "/bin/false")  # with which no preset is tried, for seconds


def found(state_dir: Path, *flags: str) -> dict[str, Any]:
    told = ffspool("doctor", *flags, "--json", env=no_environment(state_dir))
    checks = {check["name"]: check for check in msgspec.json.decode(told.stdout)["checks"]}
    assert told.returncode == (0 if all(check["ok"] for check in checks.values()) else 1)
    return checks


def test_a_sound_host_is_found_sound_and_every_preset_is_tried(tmp_path: Path) -> None:
    sound = printed("doctor", env=no_environment(tmp_path / "state"))
    assert sound["ok"]
    encoding = sum(preset.kind != "remux" for preset in Library())
    [presets] = [check["found"] for check in sound["checks"] if check["name"] == "presets"]
    assert presets == f"all {encoding} that encode work here"
    assert list(tmp_path.iterdir()) == []


def test_who_has_the_port_is_told_by_doctor_and_by_a_start_that_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        env = no_environment(tmp_path / "state") | {"FFSPOOL_PORT": port}
        asked, started = ffspool("doctor", *NO_ENCODER, "--json", env=env), ffspool("serve", env=env)
    [told] = [check["found"] for check in msgspec.json.decode(asked.stdout)["checks"] if check["name"] == "port"]
    assert told == (
        f"cannot listen on 127.0.0.1 port {port}: {psutil.Process().name()} (pid {os.getpid()}) has it. "
        "Stop that, or take another with --port (0 takes a free one)"
    )
    assert (started.returncode, told in started.stderr) == (1, True), started.stderr


def test_which_process_the_daemon_is_is_told(shared_daemon: Daemon) -> None:
    pid = (shared_daemon.state_dir / "lock").read_text()
    words = " ".join(ffspool("doctor", *NO_ENCODER, env=shared_daemon.env).stdout.split())
    assert f"ready (pid {pid}, which `kill` stops)" in words


def test_which_host_was_looked_at_is_told_and_what_a_daemon_elsewhere_says(
    shared_daemon: Daemon, tmp_path: Path
) -> None:
    daemon = shared_daemon
    mine = {"FFSPOOL_STATE_DIR": str(tmp_path / "mine"), "FFSPOOL_URL": daemon.url, "FFSPOOL_TOKEN": daemon.token}
    here = " ".join(ffspool("doctor", *NO_ENCODER, env=daemon.env).stdout.split())
    assert f"ok host {platform.node()}, with the state dir {daemon.state_dir} ok python" in here
    daemon.client.post("/api/queue/pause")
    there = " ".join(ffspool("doctor", *NO_ENCODER, env={**daemon.env, **mine}).stdout.split())
    daemon.client.post("/api/queue/resume")
    assert f"ok host {platform.node()}, with the state dir {tmp_path / 'mine'}, and not that of {daemon.url}" in there
    assert f"ok daemon ready at {daemon.url}: ffmpeg version" in there
    assert "ok queue The queue is paused: `ffspool resume --queue` lets it go on." in there
    assert "are free where the daemon is ok outputs no file" in there
    wrong = ffspool("doctor", *NO_ENCODER, env={**daemon.env, **mine, "FFSPOOL_TOKEN": "wrong"})
    assert "PROBLEM daemon the daemon does not take this token" in " ".join(wrong.stdout.split())


def test_a_package_of_the_same_name_is_told_of(tmp_path: Path) -> None:
    beside = tmp_path / "python_daemon-3.1.2.dist-info"
    beside.mkdir()
    (beside / "METADATA").write_text("Metadata-Version: 2.1\nName: python-daemon\nVersion: 3.1.2\n")
    told = ffspool(
        "doctor", *NO_ENCODER, "--json", env=no_environment(tmp_path / "state") | {"PYTHONPATH": str(tmp_path)}
    )
    [package] = [check for check in msgspec.json.decode(told.stdout)["checks"] if check["name"] == "package"]
    assert not package["ok"]
    assert "python-daemon 3.1.2" in package["found"]


def test_an_encoder_that_does_not_run_is_found(tmp_path: Path) -> None:
    ill = ffspool("doctor", "--ffmpeg", "/bin/false", env=no_environment(tmp_path))
    assert ill.returncode == 1
    assert "/bin/false" in ill.stdout
    assert "name a working ffmpeg" in ill.stdout


def test_an_encoder_that_lacks_an_option_is_found_before_anything_is_tried(tmp_path: Path, ffmpeg: str) -> None:
    old = tmp_path / "ffmpeg"
    old.write_text(
        f'#!/bin/sh\ncase "$*" in *enc_time_base*) echo "Error parsing enc_time_base: demux" >&2; exit 1;; esac\n'
        f'exec {ffmpeg} "$@"\n'
    )
    old.chmod(0o755)
    checks = found(tmp_path / "state", "--ffmpeg", str(old))
    assert checks["options"]["found"] == "Error parsing enc_time_base: demux"
    assert "FFmpeg 6.1" in checks["options"]["advice"]
    assert "presets" not in checks


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "ffspool.db"
    prepare(path)
    return path


def test_a_sound_database_is_found_sound_and_left_as_it_is(database: Path) -> None:
    before = database.read_bytes()
    assert checks.database(database.parent).found.startswith("sound, schema ")
    assert [path.name for path in database.parent.iterdir()] == ["ffspool.db"]
    assert database.read_bytes() == before


def test_a_damaged_database_is_found(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096 * 2 : 4096 * 4] = os.urandom(4096 * 2)
    database.write_bytes(content)
    check = checks.database(database.parent)
    assert not check.ok
    assert "Put a backup in its place" in check.found


def test_a_database_of_a_newer_ffspool_is_found(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    check = checks.database(database.parent)
    assert not check.ok
    assert "schema 999" in check.found


def test_a_clock_behind_the_files_is_found(database: Path) -> None:
    assert checks.clock(database.parent).ok
    os.utime(database, (time.time() + 3600,) * 2)
    check = checks.clock(database.parent)
    assert not check.ok
    assert "timedatectl" in str(check.advice)
