"""What broke it once: hosts, encoders, databases and clients that misbehave."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from conftest import EMPTY, PATIENCE, Daemon, wait_until
from test_cancel_over_http import DEAF_FFMPEG, cancel

from daemon.cli import checks
from daemon.settings import load


@pytest.fixture
def deaf(tmp_path: Path) -> Path:
    """An encoder that listens to nothing but SIGKILL."""
    path = tmp_path / "deaf-ffmpeg"
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    path.write_text(DEAF_FFMPEG.format(python=shutil.which("python3"), ignore=ignore))
    path.chmod(0o755)
    return path


def starts(state: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Starts a daemon that should refuse to."""
    command = [sys.executable, "-m", "daemon.cli", "serve", "--port", "0", "--state-dir", str(state)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment or None, check=False)


def test_a_cancel_beside_another_cancel_waits_for_the_same_process(
    start_daemon: Callable[..., Daemon], deaf: Path, clip: Path
) -> None:
    daemon = start_daemon("--ffmpeg", str(deaf), "--grace", "1")
    job = daemon.submit(clip)
    variation = job["sources"][0]["variations"][0]["id"]
    wait_until(daemon.parts, "a partial file")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cancel, daemon, job["id"], "variations", variation)
        wait_until(lambda: daemon.client.get("/api/stats") and not first.done(), "the first cancel to begin")
        second = cancel(daemon, job["id"])
        assert second["status"] == "cancelled", "it answered while the encoder lived"
        assert daemon.encoders() == []
        assert first.result()["status"] == "cancelled"
    assert daemon.client.delete(f"/api/jobs/{job['id']}").status_code == 204


def test_an_encoder_behind_a_wrapper_is_ended_with_it(
    start_daemon: Callable[..., Daemon], deaf: Path, tmp_path: Path, clip: Path
) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\n{deaf} "$@"\nexit 0\n')
    wrapper.chmod(0o755)
    daemon = start_daemon("--ffmpeg", str(wrapper), "--grace", "0.3")
    job = daemon.submit(clip)
    wait_until(daemon.parts, "a partial file")
    assert len(daemon.encoders()) == 2
    assert cancel(daemon, job["id"])["status"] == "cancelled"
    assert daemon.encoders() == []


def test_a_relative_state_dir_means_the_same_from_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"state_dir": "state"}, {}).state_dir == tmp_path / "state"


@pytest.mark.parametrize("content", [None, b""], ids=["gone", "empty"])
def test_a_spool_is_never_swept_against_a_new_database(daemon: Daemon, clip: Path, content: bytes | None) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    daemon.stop()
    for path in daemon.state_dir.glob("ffspool.db*"):
        path.unlink()
    if content is not None:
        (daemon.state_dir / "ffspool.db").write_bytes(content)
    refused = starts(daemon.state_dir)
    assert refused.returncode == 1
    assert "its spool is of one" in refused.stderr
    assert list((daemon.state_dir / "spool").rglob("*.mp3"))


def test_a_spool_that_is_empty_is_of_its_database_all_the_same(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    """Jobs whose files are read where they are leave nothing in it while they wait."""
    daemon = start_daemon("--source-root", str(clip.parent))
    daemon.client.post("/api/queue/pause")
    wish = {"sources": [{"path": str(clip)}], "variations": [{"preset": "mp3"}]}
    assert daemon.client.post("/api/jobs", json=wish).status_code == 202
    daemon.stop(signal.SIGKILL)
    for path in daemon.state_dir.glob("ffspool.db*"):
        path.unlink()
    assert "its spool is of one" in starts(daemon.state_dir).stderr
    assert not checks.database(daemon.state_dir).ok


def test_what_a_daemon_keeps_is_nobody_elses_wherever_its_state_dir_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    daemon = Daemon(state)
    try:
        open_to_others = [path.name for path in state.iterdir() if path.stat().st_mode & 0o077]
        assert not open_to_others
    finally:
        daemon.stop()


def test_a_form_that_cannot_fit_is_refused_before_it_is_sent(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon("--max-stored-bytes", str(EMPTY + 100_000))
    host, port = daemon.url.removeprefix("http://").split(":")
    head = (
        f"POST /api/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {daemon.token}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 429 ")


def test_a_database_damaged_inside_is_a_refusal_and_not_a_hang(daemon: Daemon, clip: Path) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    daemon.stop()
    path = daemon.state_dir / "ffspool.db"
    data = bytearray(path.read_bytes())
    data[3 * 4096 :] = b"\xa5" * (len(data) - 3 * 4096)
    path.write_bytes(data)
    refused = starts(daemon.state_dir)
    assert refused.returncode == 1
    assert "database" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_database_damaged_at_work_ends_the_daemon_and_is_refused_then(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    path = daemon.state_dir / "ffspool.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE queue SET state = state")  # a write from outside: the daemon drops what it has cached
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
    answer = daemon.client.get(f"/api/jobs/{job}")
    assert (answer.status_code, answer.json()["code"]) == (503, "damaged")
    assert daemon.process.wait(PATIENCE) == 1
    assert "is damaged" in daemon.log()
    refused = starts(daemon.state_dir)
    assert refused.returncode == 1
    assert "Put a backup in its place" in refused.stderr


def test_a_suspected_database_that_is_sound_is_used(daemon: Daemon) -> None:
    daemon.stop()
    suspicion = daemon.state_dir / "ffspool.db.suspect"
    suspicion.touch()
    daemon.start()
    assert not suspicion.exists()


def test_a_disk_that_takes_nothing_does_not_hold_up_a_stop(
    start_daemon: Callable[..., Daemon], long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    job = daemon.submit(long_clip)["id"]
    daemon.wait_for_encoder()
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    daemon.stop()
    daemon.start()
    variation = daemon.wait_for(job, "processing")["sources"][0]["variations"][0]
    assert variation["error"] is None


def test_times_that_cannot_be_told_are_refused(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    for time in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"):
        assert daemon.client.patch(f"/api/jobs/{job}", json={"expires_at": time}).status_code == 422
    assert daemon.client.get("/api/jobs").status_code == 200
    refused = starts(daemon.state_dir.with_name("other"), FFSPOOL_RETENTION="1e12", HOME="/")
    assert refused.returncode != 0
    assert "retention" in refused.stderr


def test_deep_nesting_and_nul_characters_are_the_clients_fault(daemon: Daemon) -> None:
    deep = b'{"sources": [{"path": "/x"}], "variations": [{"preset": "mp3"}], "metadata": ' + b'{"a":' * 100_000
    kind = {"Content-Type": "application/json"}
    assert daemon.client.post("/api/jobs", content=deep + b"1" + b"}" * 100_001, headers=kind).status_code == 422
    nul = {"sources": [{"path": "/x\0"}], "variations": [{"preset": "mp3"}]}
    assert daemon.client.post("/api/jobs", json=nul).status_code == 422


def test_a_misspelt_filter_deletes_nothing(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    answer = daemon.client.delete("/api/jobs", params={"stauts": "failed"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert daemon.job(job)["status"] == "completed"


def test_an_id_from_another_database_is_told_to_start_anew(daemon: Daemon) -> None:
    with daemon.client.stream("GET", "/api/events", headers={"Last-Event-ID": "999999"}) as answer:
        lines = answer.iter_lines()
        assert "event: reset" in [next(lines) for _ in range(4)]


def test_a_lost_output_does_not_break_the_zip_of_the_others(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3", "m4a"])["id"])["id"]
    next((daemon.state_dir / "spool").rglob("outputs/*.mp3")).unlink()
    assert daemon.client.get(f"/api/jobs/{job}/download").status_code == 200


def test_who_a_client_is_is_not_for_the_client_to_say(daemon: Daemon) -> None:
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as guesser:
        answers = [
            guesser.post("/api/login", json={"password": "x"}, headers={"X-Forwarded-For": f"10.0.0.{number}"})
            for number in range(6)
        ]
    assert answers[-1].status_code == 429


def test_many_fields_are_refused_before_they_fill_the_memory(daemon: Daemon) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="preset"\r\n\r\n' + b"x" * 1_000_000 + b"\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = daemon.client.post("/api/jobs", content=part * 20 + b"--b--\r\n", headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_an_encoder_that_is_replaced_meanwhile_fails_nothing_for_good(
    start_daemon: Callable[..., Daemon], ffmpeg: str, tmp_path: Path, clip: Path
) -> None:
    encoder = tmp_path / "encoder"
    encoder.symlink_to(ffmpeg)
    daemon = start_daemon("--ffmpeg", str(encoder), FFSPOOL_RETRY_DELAY="0.5")
    encoder.unlink()
    job = daemon.submit(clip, presets=["mp3"])["id"]
    wait_until(lambda: daemon.job(job)["sources"][0]["variations"][0]["attempts"] == 1, "the first try")
    encoder.symlink_to(ffmpeg)
    done = daemon.wait_for(job)
    assert done["status"] == "completed"
    assert str(tmp_path) not in str(done)


def test_the_token_goes_to_nobody_who_took_a_dead_daemons_port(daemon: Daemon) -> None:
    address = daemon.state_dir / "address"
    left = address.read_text()
    daemon.stop(signal.SIGKILL)
    address.write_text(left)
    host, port = left.strip().removeprefix("http://").split(":")
    with socket.create_server((host, int(port))) as stranger:
        stranger.setblocking(False)
        asked = subprocess.run(
            [sys.executable, "-m", "daemon.cli", "ls"], env=daemon.env, capture_output=True, check=False
        )
        assert asked.returncode == 3
        with pytest.raises(BlockingIOError):
            stranger.accept()


@pytest.mark.thorough
def test_a_second_signal_does_not_cut_the_shutdown_short(
    start_daemon: Callable[..., Daemon], deaf: Path, clip: Path
) -> None:
    daemon = start_daemon("--ffmpeg", str(deaf), "--grace", "0.5")
    job = daemon.submit(clip)["id"]
    wait_until(daemon.parts, "a partial file")
    daemon.process.send_signal(signal.SIGINT)
    wait_until(lambda: not _answers(daemon), "the daemon to stop listening")
    assert daemon.stop(signal.SIGTERM) == 0
    daemon.start()
    assert daemon.job(job)["sources"][0]["variations"][0]["error"] is None


def _answers(daemon: Daemon) -> bool:
    try:
        return daemon.client.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/json"])
def test_a_stop_answers_a_body_under_way_with_a_problem(daemon: Daemon, kind: str) -> None:
    host, port = daemon.url.removeprefix("http://").split(":")
    head = f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token}\r\n"
    head += f"Content-Type: {kind}\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # the body is being read
        connection.sendall(b"--b\r\nContent-Disposition: form-data; name=")
        assert daemon.stop() == 0
        told = b"".join(iter(lambda: connection.recv(65536), b""))
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"application/problem+json" in told
    assert b'"code":"unavailable"' in told


def test_what_cannot_be_planned_fails_alone(daemon: Daemon, clip: Path) -> None:
    """Whoever plans for all must not be ended by what stands of one source, as if a file had forged it."""
    daemon.client.post("/api/queue/pause")
    first, second = (daemon.submit(clip, presets=[preset])["id"] for preset in ("h264-480p", "mp3"))
    picture = {"index": 0, "codec": "h264", "width": 64, "height": 36, "coded_width": 64, "coded_height": 36}
    forged = {"format": "mov", "duration_seconds": 1e308, "audio": [], "subtitles": []}
    media = json.dumps({**forged, "video": {**picture, "frame_rate": 1e308}})
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database, database:
        database.execute("UPDATE sources SET media = ? WHERE job = (SELECT seq FROM jobs WHERE id = ?)", (media, first))
    daemon.client.post("/api/queue/resume")
    assert daemon.wait_for(second)["status"] == "completed"
    assert daemon.wait_for(first)["status"] == "failed"


def test_a_row_that_cannot_be_read_does_not_end_who_plans(daemon: Daemon, clip: Path) -> None:
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, presets=["mp3"])["id"]
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database, database:
        database.execute("UPDATE variations SET parameters = '{'")
    daemon.client.post("/api/queue/resume")
    wait_until(lambda: "by a fault of ffspool" in daemon.log(), "the scheduler to meet it")
    assert daemon.client.delete(f"/api/jobs/{job}").status_code == 204
    assert daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["status"] == "completed"
