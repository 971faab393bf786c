"""The log has a line for each job that comes, starts and ends, and each failure and delivery; and no secrets."""

from __future__ import annotations

import ast
import json
import logging
import re
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, Media, wait_until
from test_cli import ffspool
from test_webhooks import OPEN, receiving

from daemon.journal import Journald, TextFormatter, tell

log = logging.getLogger("test")
PACKAGE = Path(__file__).resolve().parents[1] / "daemon"
IDENTIFIER = re.compile(r"\.id\b|\['id'\]|\b(job|identifier|variation)$")


def told(daemon: Daemon) -> dict[str, Any]:
    """The last line of each kind, by its words."""
    lines = [json.loads(line) for line in daemon.log().splitlines() if line.startswith("{")]
    return {line["message"]: line for line in lines}


def test_what_becomes_of_jobs_is_logged_with_what_it_befell(start_daemon: Callable[..., Daemon], media: Media) -> None:
    daemon = start_daemon(*OPEN, "--log-format", "json")
    with receiving() as receiver:
        spec = {
            "variations": [{"preset": "thumbnail-sheet"}, {"preset": "mp3"}],
            "webhook_url": f"{receiver.url}?key=k3y",
        }
        job = daemon.wait_for(daemon.submit(media("no-audio.mp4"), spec=spec)["id"])
        wait_until(lambda: {"job ended completed", "webhook delivered"} <= told(daemon).keys(), "the last lines")
        daemon.client.patch(f"/api/jobs/{job['id']}", json={"name": "renamed"}).raise_for_status()
        lines = told(daemon)
        daemon.submit(media("no-audio.mp4"), presets=["mp3"])
        wait_until(lambda: "job ended failed" in told(daemon), "the end of another")
    assert daemon.log().count("job ended completed") == 1
    [source] = job["sources"]
    assert {line["job"] for words, line in lines.items() if words.startswith(("job", "variation", "web"))} == {
        job["id"]
    }
    failed = lines["variation failed"]
    assert (failed["variation"], failed["source"], failed["preset"]) == (
        source["variations"][1]["id"],
        source["id"],
        "mp3",
    )
    assert (failed["level"], "no sound" in failed["error"]) == ("warning", True)
    ended = lines["job ended completed"]
    assert (ended["completed"], ended["failed"], float(ended["took"]) >= 0) == ("1", "1", True)
    assert (lines["job accepted"]["files"], lines["job accepted"]["variations"]) == ("1", "2")
    assert lines["webhook delivered"]["host"] == "127.0.0.1"
    assert [secret for secret in (daemon.token, "k3y", "no-audio.mp4/") if secret in daemon.log()] == []


def test_an_attempt_that_begins_anew_is_logged(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-1080p"])["id"]
    daemon.wait_for_encoder().kill()
    again = wait_until(lambda: "waits to be encoded again" in daemon.log() and daemon.log(), "another attempt")
    [line] = [line for line in again.splitlines() if "waits to be encoded again" in line][:1]
    assert (f"job={job}" in line, "attempt=1" in line, "error=" in line) == (True, True, True)


def test_what_a_crash_interrupted_is_logged_as_it_is_recovered(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-1080p"])["id"]
    daemon.wait_for_encoder()
    daemon.stop(signal.SIGKILL)
    daemon.start()
    words = "variation was left by an earlier daemon, and waits to be encoded again"
    lines = wait_until(lambda: [line for line in daemon.log().splitlines() if words in line], "the line of it")
    assert (len(lines), f"job={job}" in lines[0], "attempt=1" in lines[0]) == (1, True, True)


def test_a_level_leaves_out_what_is_below_it(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--log-level", "error")
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    daemon.stop()
    assert daemon.log() == ""


def record(**fields: object) -> logging.LogRecord:
    made: list[logging.LogRecord] = []
    keeper = logging.Handler()
    keeper.emit = made.append  # type: ignore[method-assign]
    log.addHandler(keeper)
    tell(log, logging.WARNING, "it\nhappened", **fields)
    log.removeHandler(keeper)
    return made[0]


def test_a_field_makes_no_line_and_no_field_of_its_own() -> None:
    line = TextFormatter(timed=False).format(record(job="j", name='a b"\n\x1b job=x', took=1.23456, none=None))
    assert line == r'WARNING it\x0ahappened job=j name="a b\"\\x0a\\x1b job=x" took=1.235'


def test_the_journal_gets_the_fields_as_its_own() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        Journald(here).emit(record(job="j", error="two\nlines"))
        rest, found = there.recv(65536), {}
    while rest:
        name, _, rest = rest.partition(b"\n")
        [size] = struct.unpack("<Q", rest[:8])
        found[name.decode()], rest = rest[8 : 8 + size].decode(), rest[9 + size :]
    assert found == {
        "MESSAGE": r"it\x0ahappened", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "ffspool",
        "FFSPOOL_JOB": "j", "FFSPOOL_ERROR": "two\nlines",
    }  # fmt: skip


@pytest.mark.parametrize("there", [True, False])
def test_logs_asks_the_journal_for_the_job(shared_daemon: Daemon, clip: Path, tmp_path: Path, there: bool) -> None:
    job = shared_daemon.submit(clip, presets=["mp3"])["id"]
    if there:
        (tmp_path / "journalctl").write_text('#!/bin/sh\necho "$@"\n')
        (tmp_path / "journalctl").chmod(0o755)
    done = ffspool("logs", "last", env={**shared_daemon.env, "PATH": str(tmp_path)})
    assert (done.returncode, f"FFSPOOL_JOB={job}" in done.stdout) == ((0, True) if there else (1, False))
    told = " ".join(done.stderr.split())
    assert "This daemon logs to /" in told
    assert f"`grep {job} /" in told
    assert there or "there is no journalctl" in done.stderr


def test_what_befell_a_job_is_told_in_fields_and_not_among_words() -> None:
    """`ffspool logs JOB` and journald find lines by them."""
    named: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        calls = [one for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Call)]
        for call in (one for one in calls if ast.unparse(one.func).startswith("log.") and one.args):
            words = [ast.unparse(argument) for argument in call.args[1:]]
            named += [f"{path.name}:{call.lineno}: {one}" for one in words if IDENTIFIER.search(one)]
    assert named == []
