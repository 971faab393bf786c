"""The verbs on the command line against a real daemon: what each changes, tells and refuses."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from conftest import Daemon, Media, wait_until
from forked import template
from surroundings import thorough
from test_cli import FFSPOOL, no_environment

from daemon.cli.cancelled import told
from daemon.cli.client import Client, NoDaemon, Refused
from daemon.cli.event_stream import OPEN, Event
from daemon.cli.follower import Follower, bars
from daemon.cli.main import main
from daemon.cli.terminal import PACES, console, page
from daemon.cli.watch import _farewell, follow, understood
from daemon.encode.stall import Pace
from daemon.jobs.views import JobView


def ffspool(*arguments: str, env: dict[str, str]) -> Result:
    """A command, run in this process: a new one each time would cost more than the daemon's whole work."""
    return CliRunner().invoke(main, arguments, prog_name="ffspool", env=env)


def printed(*arguments: str, env: dict[str, str]) -> Any:
    """The JSON that a command prints, and nothing else, on stdout."""
    done = ffspool(*arguments, "--json", env=env)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon with one slot for all of these; every test ends its jobs and lets the queue run."""
    daemon = Daemon(tmp_path_factory.mktemp("verbs") / "state", "--slots", "1")
    yield daemon
    daemon.stop()


@pytest.fixture
def job(daemon: Daemon, long_clip: Path) -> Iterator[str]:
    """A job under way."""
    job = daemon.submit(long_clip)["id"]
    daemon.wait_for_encoder()
    yield job
    daemon.client.delete(f"/api/jobs/{job}")


class Printing:
    """A command under way. What it printed so far is in `lines`."""

    def __init__(self, path: Path, *arguments: str, env: dict[str, str]) -> None:
        self._path = path
        with path.open("wb") as file:
            self.process = template().command([*arguments], env, file.fileno(), file.fileno())

    @property
    def lines(self) -> list[str]:
        return self._path.read_text().split("\n")[:-1]

    def wait_for(self, words: str) -> str:
        line: str = wait_until(lambda: next((line for line in self.lines if words in line), None), repr(words))
        return line


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Printing]]:
    started: list[Printing] = []

    def start(*arguments: str, env: dict[str, str]) -> Printing:
        started.append(Printing(tmp_path / f"output-{len(started)}", *arguments, env=env))
        return started[-1]

    yield start
    for printing in started:
        printing.process.kill()
        printing.process.wait()


# Pause, resume, drain


def test_a_job_is_paused_and_resumed_and_show_and_ls_tell_it(daemon: Daemon, job: str) -> None:
    assert printed("pause", job, env=daemon.env) == {
        "id": job, "job": job, "status": "processing", "paused": True, "changed": True, "title": "long.mp4"
    }  # fmt: skip
    again = ffspool("pause", job, env=daemon.env)
    assert again.exit_code == 0
    assert again.stdout == f"{job} (long.mp4) was paused: `ffspool resume {job}` lets it go on\n"
    for command in (["show", job], ["ls"]):
        assert "paused" in ffspool(*command, env=daemon.env).stdout
    assert "nothing waits; 1 job stands paused, until `ffspool resume`" in ffspool("stats", env=daemon.env).stdout
    assert ffspool("resume", job, env=daemon.env).stdout == f"{job} (long.mp4) is paused no more\n"
    assert daemon.job(job)["paused"] is False
    assert printed("resume", job, env=daemon.env)["changed"] is False
    for verb in ("pause", "cancel"):
        ffspool(verb, job, env=daemon.env)
    for command in (["show", job], ["ls"]):
        told = ffspool(*command, env=daemon.env).stdout
        assert ("cancelled" in told, "paused" in told) == (True, False), "what ended is not to go on"


@pytest.mark.parametrize(("paused", "words"), [(True, "1f stays paused: `ffspool resume 1f`"), (False, "1f goes on: ")])
def test_who_stops_watching_is_told_whether_the_job_goes_on(paused: bool, words: str) -> None:
    follower = Follower(console(screen := io.StringIO()))
    follower.is_paused = paused
    with pytest.raises(KeyboardInterrupt), _farewell("1f", follower):
        raise KeyboardInterrupt
    assert screen.getvalue().startswith(words)


def test_who_watches_a_daemon_that_does_not_come_back_is_told_how_to_go_on() -> None:
    follower = Follower(console(screen := io.StringIO()))
    with pytest.raises(NoDaemon), _farewell("1f", follower):
        raise NoDaemon("no daemon answers")
    assert " ".join(screen.getvalue().split()) == (
        "The daemon did not come back within 30 s. Once it is started again 1f goes on, and what is completed stays: "
        "`ffspool watch 1f` follows it again."
    )


def test_what_speaks_no_tls_is_told_as_that(daemon: Daemon) -> None:
    url = daemon.url.replace("http://", "https://")
    done = ffspool("ls", env={**daemon.env, "FFSPOOL_URL": url})
    assert done.exit_code == 3
    assert f"no daemon answers at {url} (what is there speaks no TLS: its URL begins with http://)" in done.stderr


def test_the_queue_is_paused_drained_and_resumed(daemon: Daemon) -> None:
    assert printed("pause", "--queue", env=daemon.env) == {"state": "paused", "changed": True}
    assert "The queue is draining: `ffspool resume --queue`" in ffspool("drain", env=daemon.env).stdout
    assert daemon.client.get("/api/queue").json()["state"] == "draining"
    assert "The queue is draining; nothing waits" in ffspool("stats", env=daemon.env).stdout
    assert ffspool("resume", "--queue", env=daemon.env).stdout == "The queue is running\n"
    assert printed("resume", "--queue", env=daemon.env) == {"state": "running", "changed": False}


def test_where_there_is_no_job_ls_says_how_to_make_one(daemon: Daemon) -> None:
    daemon.client.delete("/api/jobs")
    assert ffspool("ls", env=daemon.env).stderr == "There is no job: `ffspool submit` makes one\n"
    assert ffspool("ls", "--status", "completed", env=daemon.env).stderr == ""


def test_who_waits_is_told_that_the_queue_stands_and_what_lets_it_go_on(daemon: Daemon, clip: Path) -> None:
    ffspool("pause", "--queue", env=daemon.env)
    submitted = ffspool("submit", str(clip), "-p", "mp3", env=daemon.env)
    told = "The queue is paused: `ffspool resume --queue` lets it go on.\n"
    assert submitted.stderr == told
    assert ffspool("ls", env=daemon.env).stderr == told
    assert told in ffspool("show", submitted.stdout.strip(), env=daemon.env).stdout
    ffspool("drain", env=daemon.env)
    assert "The queue is draining" in ffspool("ls", env=daemon.env).stderr
    ffspool("resume", "--queue", env=daemon.env)
    daemon.wait_for(submitted.stdout.strip())
    ffspool("pause", "--queue", env=daemon.env)
    assert ffspool("ls", env=daemon.env).stderr == ""
    assert "The queue" not in ffspool("show", "last", env=daemon.env).stdout
    ffspool("resume", "--queue", env=daemon.env)


@pytest.mark.thorough
def test_watch_tells_that_the_queue_was_paused_meanwhile(
    daemon: Daemon, job: str, start: Callable[..., Printing]
) -> None:
    watching = start("watch", job, env=daemon.env)
    wait_until(lambda: daemon.client.get("/api/stats").json()["events"]["subscribers"], "it to listen")
    ffspool("pause", "--queue", env=daemon.env)
    watching.wait_for("The queue is paused: `ffspool resume --queue`")
    ffspool("resume", "--queue", env=daemon.env)
    daemon.client.post(f"/api/jobs/{job}/cancel")
    assert watching.process.wait() == 1


def test_what_failed_of_a_kind_is_retried(daemon: Daemon, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    job = daemon.submit(broken, presets=["mp3"])["id"]
    daemon.wait_for(job)
    words = ffspool("retry", job, "--because", "encoder", env=daemon.env).stdout
    assert words == f"{job} (broken.mp4) is failed: nothing of it failed for that kind of reason (encoder)\n"
    words = ffspool("retry", "--all", "--because", "unreadable", env=daemon.env).stdout
    assert words == "1 variation waits again, of 1 job\n"
    daemon.wait_for(job)
    advice = "1 file is broken or no media: leave it out, or fetch it anew and submit a new job"
    shown = ffspool("show", job, env=daemon.env).stdout
    assert (advice in shown, "ffspool retry" in shown) == (True, False)
    assert ffspool("retry", job, env=daemon.env).stdout.endswith(f"follows it\n{advice}\n")
    daemon.wait_for(job)
    daemon.client.delete(f"/api/jobs/{job}")


def test_a_job_is_of_all_files_or_there_is_none(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    bad, empty = tmp_path / "bad\nname.mp4", tmp_path / "empty.mp4"
    bad.write_bytes(clip.read_bytes())
    empty.touch()
    before = daemon.client.get("/api/jobs").json()
    files = map(str, (clip, bad, empty, tmp_path / "none.mp4"))
    done = ffspool("submit", *files, "-p", "mp3", "-p", "mp4", env=daemon.env)
    words = " ".join(done.stderr.split())
    assert (done.exit_code, daemon.client.get("/api/jobs").json()) == (2, before)
    assert all(part in words for part in ("'bad\\nname.mp4'", "empty.mp4 is empty", "none.mp4 is not a file"))
    assert "there is no preset 'mp4': `ffspool presets`" in words
    assert "nothing was submitted" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["submit", "ftp://h/a.mp4", "-p", "mp3"], "ftp://… is not fetched: only http:// and https:// are"),
        (["run", "ftp://h/a.mp4", "-p", "mp3", "-o", "o"], "ftp://… is a URL, and only files that are here are taken"),
        (["plan", "https://h/a.mp4", "-p", "mp3"], "are taken: `ffspool submit` has a daemon fetch it"),
        (["submit", "a", "-p", "h264-720p,mp3"], "names several presets: repeat -p, as in -p h264-720p -p mp3"),
        (["submit", "a", "-p", "h264-720p:crf=20,mp3"], "another preset wants a -p of its own, as in -p mp3"),
        (["run", "a", "-p", "mp3", "-p", "h264-720p", "crf=23", "-o", "o"], "did you mean -p h264-720p:crf=23?"),
        (["submit", "-p", "h264-720p:speed=fast", "crf=23"], "did you mean -p h264-720p:speed=fast,crf=23?"),
        (["plan", "a", "-p", "h264-720p:crf:23"], "did you mean crf=23?"),
        (["plan", "a", "-p", "h264-720p:"], "names no parameter behind the colon"),
        (["submit", "a", "-p", "poster", "--to", "/l/p.jpg"], "type --to /l --to-name p.jpg, or /l/p.jpg/"),
        (
            ["submit", "a", "-p", "mp3", "--conflict", "skip"],
            "--conflict says how results are delivered: --to",
        ),
        (
            ["submit", "a", "-p", "mp3", "--drop", "--to-name", "x"],
            "--to-name and --drop say how results are",
        ),
        (["submit", "http:/h/a.mp4", "-p", "mp3"], "there is no file http:/h/a.mp4: did you mean http://h/a.mp4?"),
        (
            ["submit", "www.h.org/a.mp4", "-p", "mp3"],
            "did you mean https://www.h.org/a.mp4?",
        ),
        (["run", "none.mp4", "-p", "mp33", "-o", "o"], "there is no preset 'mp33': did you mean mp3?; none.mp4"),
        (["run", "none.mp4", __file__, "-p", "mp33", "-o", "o"], "did you mean mp3?; none.mp4"),
        (["plan", "none.mp4", "-p", "mp33"], "did you mean mp3?; none.mp4"),
    ],
)
def test_what_is_written_in_another_way_is_told_how(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = ffspool(*arguments, env={**os.environ, "HOME": str(tmp_path)})
    assert (done.exit_code, words in " ".join(done.stderr.split())) == (2, True), done.stderr


@pytest.mark.parametrize("verb", ["retry", "rm"])
def test_where_one_name_means_nothing_none_is_touched(daemon: Daemon, clip: Path, verb: str) -> None:
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, presets=["mp3"])["id"]
    daemon.client.post(f"/api/jobs/{job}/cancel")
    done = ffspool(verb, "last", "lang", env=daemon.env)
    daemon.client.post("/api/queue/resume")
    words = " ".join(done.stderr.split())
    assert (done.stdout, "there is no job lang; nothing was done" in words) == ("", True)
    assert daemon.job(job)["status"] == "cancelled"
    daemon.client.delete(f"/api/jobs/{job}").raise_for_status()


def test_a_url_with_another_path_is_told_as_that(daemon: Daemon) -> None:
    for path in ("/ffspool", "/files"):
        done = ffspool("ls", env={**daemon.env, "FFSPOOL_URL": f"{daemon.url}{path}", "FFSPOOL_TOKEN": daemon.token})
        words = " ".join(done.stderr.split())
        assert (done.exit_code != 0, "look at the path of FFSPOOL_URL" in words) == (True, True), words


def test_what_is_called_last_is_answered_by_its_identifier(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, presets=["mp3"])["id"]
    assert f"{job} is completed" in ffspool("watch", "last", env=daemon.env).stdout
    assert ffspool("rm", "last", env=daemon.env).stdout == f"{job} is deleted\n"


def test_slots_are_told_and_changed(daemon: Daemon) -> None:
    assert ffspool("slots", env=daemon.env).stdout == "1 encode may run at once\n"
    assert ffspool("slots", "3", env=daemon.env).stdout == "3 encodes may run at once\n"
    assert "0 of 3 slots are used" in ffspool("stats", env=daemon.env).stdout
    assert printed("slots", "default", env=daemon.env) == {
        "state": "running",
        "slots": 1,
        "schedule": None,
        "changed": True,
    }
    assert ffspool("slots", "0", env=daemon.env).exit_code == 2


# Fail, retry, edit


def test_a_job_is_failed_by_force_and_tried_again(daemon: Daemon, job: str) -> None:
    failed = ffspool("fail", job, env=daemon.env)
    assert failed.exit_code == 0
    assert f"{job} (long.mp4) is failed: 0 of 1 completed are kept; encoders ended: " in failed.stdout
    assert daemon.job(job)["status"] == "failed"
    assert printed("fail", job, env=daemon.env)["changed"] is False
    # Whichever is true when it answers: with a free slot the job may run already.
    assert re.search(rf"{job} \(long.mp4\) is (queued|processing) again", ffspool("retry", job, env=daemon.env).stdout)
    daemon.wait_for(job, "processing")


def test_a_job_that_is_over_is_not_called_completed_where_a_part_of_it_failed(
    daemon: Daemon, clip: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    job = daemon.wait_for(daemon.submit(broken, clip, presets=["mp3"])["id"])
    mixed, parts = job["id"], job["sources"]
    refused = ffspool("cancel", mixed, env=daemon.env)
    words = "(broken.mp4 and 1 more) is over already: 1 of 2 completed, 1 failed: nothing of it is left to stop"
    assert (refused.exit_code, f"{mixed} {words}" in refused.stderr) == (4, True)
    words = "is over already: 1 of 2 completed, 1 failed: there is nothing to pause"
    assert words in ffspool("pause", mixed, env=daemon.env).stderr
    failed = ffspool("fail", mixed, env=daemon.env).stdout
    assert failed == f"{mixed} (broken.mp4 and 1 more) is over already: 1 of 2 completed are kept\n"
    alone = ffspool("cancel", mixed, "--source", "broken.mp4", env=daemon.env).stderr
    assert f"{parts[0]['id']} (broken.mp4) is failed already: nothing of it is left to stop" in alone


def test_encoders_that_ended_alike_are_told_once() -> None:
    """Variations that shared one process have one end."""
    stops = [{"variation": str(number), "stage": "quit", "seconds": 0.12} for number in range(3)]
    receipt = {
        "id": "1f",
        "title": "clip.mp4",
        "status": "cancelled",
        "changed": True,
        "completed_variations": 1,
        "total_variations": 5,
        "cancel_requested_at": None,
        "cancelled_at": None,
        "bytes_freed": 0,
        "kept": [],
        "stopped": [*stops, {"variation": "4", "stage": "term", "seconds": 2.5}],
    }
    assert "encoders ended: quit in 0.12 s (3 variations), term in 2.50 s; " in told(receipt)
    assert told(receipt).startswith("1f (clip.mp4) is cancelled: 1 of 5 completed are kept")
    later = receipt | {"stopped": [], "bytes_freed": 2_000_000}
    assert told(later).endswith("; what was encoded of films is kept no longer; 2.0 MB freed")
    of_a_part = receipt | {"job": "2a", "kept": [{"variation": "1f", "seconds": 11, "bytes": 5}]}
    assert told(of_a_part).endswith("; 11 s of film are kept for `ffspool retry 2a`")


def test_retry_does_what_it_can_and_tells_what_it_cannot(daemon: Daemon, job: str, clip: Path) -> None:
    assert ffspool("cancel", job, env=daemon.env).exit_code == 0
    [row] = [line for line in ffspool("ls", env=daemon.env).stdout.splitlines() if line.startswith(job)]
    assert "%" not in row
    done = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    tried = ffspool("retry", done, job, "--json", env=daemon.env)
    assert tried.exit_code == 4
    assert [(item["id"], item["changed"]) for item in json.loads(tried.stdout)["items"]] == [(job, True)]
    assert f"{done} (clip.mp4) is completed: there is nothing to try again" in tried.stderr


def test_a_part_is_tried_again_by_its_name(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, broken, presets=["mp3", "m4a"])["id"]
    ffspool("cancel", job, env=daemon.env)
    [first, second] = daemon.job(job)["sources"]
    one = first["variations"][1]
    words = ffspool("retry", job, "--variation", "clip_m4a", env=daemon.env).stdout
    assert words == f"{one['id']} (clip_m4a.m4a) is queued again: `ffspool watch {job}` follows it\n"
    words = ffspool("retry", job, "--source", "broken.mp4", env=daemon.env).stdout
    assert words == f"{second['id']} (broken.mp4) is queued again: `ffspool watch {job}` follows it\n"
    again = ffspool("retry", job, "--source", "broken.mp4", env=daemon.env).stdout
    assert again == f"{second['id']} (broken.mp4) is queued: nothing of it failed or was cancelled\n"
    daemon.client.post("/api/queue/resume")
    daemon.wait_for(job)
    words = ffspool("retry", job, "--variation", "broken_mp3", env=daemon.env).stdout
    assert words.endswith(f"`ffspool watch {job}` follows it\n1 file is broken or no media: leave it out, or fetch it "
                          "anew and submit a new job\n")  # fmt: skip
    daemon.wait_for(job)
    done = ffspool("retry", job, "--variation", "clip_m4a", env=daemon.env)
    words = f"{one['id']} (clip_m4a.m4a) is completed: there is nothing to try again"
    assert (done.exit_code, words in " ".join(done.stderr.split())) == (4, True)
    daemon.client.delete(f"/api/jobs/{job}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["J", "K", "--source", "a"], "--source and --variation are parts of one JOB: name one"),
        (["--all", "--variation", "a"], "--source and --variation are parts of one JOB: name it instead of --all"),
        (["J", "--source", "a", "--variation", "b"], "name either --source or --variation"),
    ],
)
def test_a_part_to_try_again_is_of_one_job(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = ffspool("retry", *arguments, env={**os.environ, "HOME": str(tmp_path)})
    assert (done.exit_code, words in " ".join(done.stderr.split())) == (2, True), done.stderr


def test_edit_changes_what_is_given_and_nothing_else(daemon: Daemon, job: str) -> None:
    before = daemon.job(job)
    edited = printed("edit", job, "--priority", "-7", env=daemon.env)
    assert (edited["priority"], edited["name"]) == (-7, before["name"])
    edited = printed("edit", job, "--name", "urgent", "--expires-at", "2099-01-31T18:00:00+01:00", env=daemon.env)
    assert (edited["priority"], edited["name"]) == (-7, "urgent")
    assert ffspool("edit", job, "--name", "", env=daemon.env).stdout == f"{job} has priority -7, no name\n"
    assert ffspool("cancel", job, env=daemon.env).exit_code == 0
    assert daemon.job(job)["expires_at"] == "2099-01-31T17:00:00Z"


# In bulk


def test_all_jobs_in_a_state_are_cancelled_then_deleted(daemon: Daemon, job: str, clip: Path) -> None:
    waiting = [daemon.submit(clip, presets=["mp3"])["id"] for _ in range(2)]
    assert printed("cancel", "--all", "--status", "queued", "--yes", env=daemon.env) == {"matched": 2, "changed": 2}
    assert daemon.job(job)["status"] == "processing"
    removed = ffspool("rm", "--all", "--status", "cancelled", "--yes", env=daemon.env)
    assert (removed.exit_code, removed.stdout) == (0, "2 of 2 jobs are deleted\n")
    assert all(daemon.client.get(f"/api/jobs/{gone}").status_code == 404 for gone in waiting)
    assert daemon.job(job)["status"] == "processing"


def test_jobs_of_which_something_failed_are_hinted_at_and_meant(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no film" * 100)
    ffspool("rm", "--all", "--has", "failed", "--yes", env=daemon.env)
    assert "failures" not in ffspool("ls", "--status", "failed", env=daemon.env).stderr
    partly, whole = (daemon.submit(*files, presets=["mp3"])["id"] for files in ((broken, clip), (clip,)))
    assert [daemon.wait_for(job)["status"] for job in (partly, whole)] == ["completed", "completed"]
    hint = "1 completed job has failures: `ffspool ls --has failed` lists them\n"
    assert ffspool("ls", "--status", "failed", env=daemon.env).stderr == hint
    assert printed("cancel", "--all", "--has", "failed", "--yes", env=daemon.env) == {"matched": 0, "changed": 0}
    removed = ffspool("rm", "--all", "--has", "failed", "--yes", env=daemon.env)
    assert removed.stdout == "1 of 1 job is deleted\n"
    assert daemon.job(whole)["status"] == "completed"


@pytest.mark.parametrize("command", ["cancel", "rm"])
def test_all_jobs_are_touched_only_by_who_says_yes(daemon: Daemon, job: str, command: str) -> None:
    refused = ffspool(command, "--all", env=daemon.env)
    assert refused.exit_code == 2
    assert "add --yes" in refused.stderr
    for answer, code in ((b"n\n", 130), (b"\x04", 130)):
        assert answered(answer, command, "--all", "--status", "processing", env=daemon.env) == code
        assert daemon.job(job)["status"] == "processing"
    assert answered(b"y\n", command, "--all", "--status", "processing", env=daemon.env) == 0
    assert daemon.client.get("/api/jobs?status=processing").json()["items"] == []


def answered(answer: bytes, *arguments: str, env: dict[str, str]) -> int:
    """The exit code of a command that is asked on a terminal what it does there, and told `answer`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(FFSPOOL[0], [*FFSPOOL, *arguments], env)
    shown = b""
    while b"1 job (processing)? [y/N]" not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, answer)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code


def test_rm_tells_in_json_what_is_deleted(daemon: Daemon, job: str) -> None:
    assert printed("rm", job, env=daemon.env) == {"items": [{"id": job, "deleted": True}]}
    gone = ffspool("rm", job, "--json", env=daemon.env)
    assert (gone.exit_code, json.loads(gone.stdout)) == (4, {"items": []})


def test_a_download_into_no_folder_says_that_this_is_missing(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    for part in ([], ["mp3"]):
        done = ffspool("download", job, *part, "-o", str(tmp_path / "none" / "a.zip"), env=daemon.env)
        words = " ".join(done.stderr.split())
        assert (done.exit_code, f"there is no folder {tmp_path / 'none'}" in words) == (2, True), words


# Refusals


@pytest.mark.parametrize("command", ["pause", "resume", "retry", "fail", "edit", "events"])
def test_a_verb_on_what_is_not_there_is_4(daemon: Daemon, command: str) -> None:
    done = ffspool(command, "nothing", *(["--priority", "1"] if command == "edit" else []), env=daemon.env)
    assert done.exit_code == 4
    assert "there is no job nothing" in done.stderr
    assert "`ffspool ls`" in done.stderr


@pytest.mark.parametrize("command", ["pause", "fail", "retry", "cancel"])
def test_a_verb_that_comes_too_late_is_4_and_says_why(daemon: Daemon, clip: Path, command: str) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    done = ffspool(command, job, env=daemon.env)
    assert done.exit_code == 4
    assert "is completed" in done.stderr
    assert f"`ffspool show {job}` tells how it stands" in " ".join(done.stderr.split())


def test_a_part_that_is_not_there_is_looked_for_in_its_job(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3", "m4a"])["id"])["id"]
    for part in ("nothing", "0" * 16):
        words = " ".join(ffspool("log", "last", part, env=daemon.env).stderr.split())
        assert words.endswith(f"`ffspool show {job}` tells what it has"), words
    assert f"as `ffspool show {job}` lists them" in " ".join(ffspool("log", job, env=daemon.env).stderr.split())
    gone = "0" * 16
    assert ffspool("show", gone, env=daemon.env).stderr.endswith("`ffspool ls` tells what there is\n")


USAGE_ERRORS = [
    ["pause"],
    ["pause", "x", "--queue"],
    ["resume"],
    ["cancel"],
    ["cancel", "x", "--all", "--yes"],
    ["cancel", "x", "--status", "queued"],
    ["cancel", "--all", "--source", "x", "--yes"],
    ["rm"],
    ["rm", "x", "--has", "failed"],
    ["rm", "x", "--all", "--yes"],
    ["rm", "--all", "--status", "done", "--yes"],
    ["edit", "x"],
    ["edit", "x", "--priority", "1001"],
    ["edit", "x", "--expires-at", "tomorrow"],
    ["events", "--after", "x"],
    ["completion", "cmd"],
]


def test_what_cannot_be_meant_is_a_usage_error_before_anything_is_asked(tmp_path: Path) -> None:
    env = no_environment(tmp_path)
    assert {" ".join(command): ffspool(*command, env=env).exit_code for command in USAGE_ERRORS} == {
        " ".join(command): 2 for command in USAGE_ERRORS
    }


def test_without_a_daemon_every_verb_says_how_to_start_one(tmp_path: Path) -> None:
    env = no_environment(tmp_path)
    for command in (["pause", "--queue"], ["drain"], ["retry", "x"], ["rm", "--all", "--yes"], ["stats"], ["events"]):
        done = ffspool(*command, env=env)
        assert done.exit_code == 3
        assert "ffspool serve" in done.stderr


# Looking on


def test_stats_are_those_of_the_daemon(daemon: Daemon) -> None:
    told, asked = printed("stats", env=daemon.env), daemon.client.get("/api/stats").json()
    assert told.keys() == asked.keys()
    assert told["jobs"] == asked["jobs"]
    rows = [line.split() for line in ffspool("stats", env=daemon.env).stdout.splitlines()]
    for state, jobs in asked["jobs"].items():
        assert [state, str(jobs), str(asked["variations"][state])] in rows


def test_events_are_one_line_of_json_each_and_end_with_the_job(
    daemon: Daemon, job: str, start: Callable[..., Printing]
) -> None:
    listening = start("events", job, "--after", "0", env=daemon.env)
    listening.wait_for('"type":"progress"')
    name = "two\u2028lines\x85of [bold]one[/bold] name"
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db", timeout=30)) as database, database:
        database.execute("UPDATE jobs SET name = ? WHERE id = ?", (name, job))  # as an older daemon took it
    assert ffspool("edit", job, "--priority", "1", env=daemon.env).exit_code == 0
    assert ffspool("rm", job, env=daemon.env).exit_code == 0
    assert listening.process.wait() == 0
    told = [json.loads(line) for line in listening.lines]
    assert name in [event["data"].get("name") for event in told if event["type"] == "job"]
    assert told[-1]["type"] == "deleted"
    ids = [event["id"] for event in told if event["type"] != "progress"]
    assert ids == sorted(set(ids))
    assert {event["data"].get("job", event["data"]["id"]) for event in told} == {job}


def test_interrupting_events_is_130(daemon: Daemon, job: str, start: Callable[..., Printing]) -> None:
    listening = start("events", env=daemon.env)
    listening.wait_for(job)
    listening.process.send_signal(signal.SIGINT)
    assert listening.process.wait() == 130


def test_watch_and_events_go_on_over_a_crash_of_the_daemon(
    start_daemon: Callable[..., Daemon], start: Callable[..., Printing], long_clip: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    daemon = start_daemon("--port", port)
    job = daemon.submit(long_clip)["id"]
    listening = start("events", "--after", "0", env=daemon.env)
    listening.wait_for('"status":"processing"')
    watching = start("watch", job, env=daemon.env)
    wait_until(lambda: daemon.client.get("/api/stats").json()["events"]["subscribers"] == 2, "both to listen")
    daemon.stop(signal.SIGKILL)
    for printing in (listening, watching):
        printing.wait_for("waiting for it to come back")
    daemon.start()
    assert ffspool("cancel", job, env=daemon.env).exit_code == 0
    assert watching.process.wait() == 1
    watching.wait_for(f"{job} is cancelled: 0 of 1 completed, 1 cancelled")
    listening.wait_for('"status":"cancelled"')
    told = [json.loads(line) for line in listening.lines if line.startswith("{")]
    ids = [event["id"] for event in told if event["id"] is not None]
    assert ids == list(range(1, len(ids) + 1)), "an event was lost or told twice"


def test_watch_tells_that_the_job_and_that_the_queue_is_paused(
    daemon: Daemon, job: str, start: Callable[..., Printing]
) -> None:
    daemon.client.post("/api/queue/pause")
    watching = start("watch", job, env=daemon.env)
    watching.wait_for("The queue is paused: `ffspool resume --queue`")
    daemon.client.post("/api/queue/resume")
    daemon.client.post(f"/api/jobs/{job}/pause")
    watching.wait_for(f"Paused: `ffspool resume {job}` lets it go on.")
    daemon.client.post(f"/api/jobs/{job}/resume")
    watching.wait_for("Paused no more.")
    daemon.client.post(f"/api/jobs/{job}/cancel")
    assert watching.process.wait() == 1


def test_of_a_newborn_job_that_is_told_too_which_ended_before_the_first_look(
    daemon: Daemon, clip: Path, media: Media, capsys: pytest.CaptureFixture[str]
) -> None:
    job = daemon.wait_for(daemon.submit(clip, media("no-index.mp4"), presets=["mp3"])["id"])["id"]
    with closing(Client(daemon.url, daemon.token)) as client:
        follow(client, job, console())
        assert "its index (moov) is missing" not in capsys.readouterr().out
        follow(client, job, console(), newborn=True)
    assert "its index (moov) is missing" in capsys.readouterr().out


class Bursting(Client):
    """Tells ten thousand events at once, and the job's end once they are told. Counts how often it is read."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon.url, daemon.token)
        self.told = threading.Event()
        self.reads = 0

    def events(self, job: str | None, after: int | None) -> Iterator[Event]:  # noqa: ARG002
        if self.told.is_set():
            raise Refused(404, "not_found", "the stream is over")
        yield Event(None, OPEN, b"{}")
        yield from (Event(number, "variation", b"{}") for number in range(1, 10_001))
        self.told.set()

    def job(self, job: str) -> Any:
        self.reads += 1
        return {**super().job(job), "status": "cancelled" if self.told.is_set() else "processing"}


def test_a_burst_of_events_is_read_as_one_piece_of_news(daemon: Daemon, job: str) -> None:
    with closing(Bursting(daemon)) as bursting:
        assert follow(bursting, job, console())["status"] == "cancelled"
    assert bursting.reads < 100


def test_show_and_watch_tell_at_what_pace_an_encode_goes(
    daemon: Daemon, job: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, screen = daemon.job(job), console()
    for pace, words in [*PACES.items(), (Pace.SLOW, "no progress for 25 s, but it works")]:
        view = understood(paced(found, pace, words), JobView)
        screen.print(page(view))
        screen.print(bars(view, screen))
        with Follower(screen) as follower:
            follower.show(view)
            follower.show(view)
        shown = capsys.readouterr().out.splitlines()
        assert sum(f"{pace}: {words}" in line for line in shown) == 1
        assert sum(line.startswith(f"{pace:10}  ") and line.endswith(words) for line in shown) == 1
        assert sum(line.split()[3:4] == [pace] for line in shown) == 1


def paced(job: Any, pace: Pace, words: str) -> Any:
    """That job as it is told when its encode goes at that pace; one of an older daemon says no more than that."""
    job["sources"][0]["variations"][0] |= {"pace": pace} | ({"doing": words} if words != PACES[pace] else {})
    return msgspec.json.decode(msgspec.json.encode(job))


# In a shell


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_that_shell(shell: str, tmp_path: Path) -> None:
    done = ffspool("completion", shell, env=no_environment(tmp_path))
    assert done.exit_code == 0
    assert f"_FFSPOOL_COMPLETE={shell}_complete" in done.stdout
    if shell == "bash":
        told = subprocess.run(["bash", "-c", f"{done.stdout}\ncomplete -p ffspool"], capture_output=True, text=True)
        assert "ffspool" in told.stdout, told.stderr


def test_completion_knows_commands_and_presets(tmp_path: Path) -> None:
    assert completed("ffspool re", tmp_path) == ["resume", "retry"]
    assert "h264-720p" in completed("ffspool run a.mp4 -p h264-7", tmp_path)


def completed(line: str, tmp_path: Path) -> list[str]:
    words = str(len(line.split()) - 1)
    env = {
        **no_environment(tmp_path),
        "_FFSPOOL_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": words,
    }
    return [answer.partition(",")[2] for answer in ffspool(env=env).stdout.split()]


SHELLS = {
    "bash": ["bash", "-c", 'eval "$(ffspool completion bash)"; complete -p ffspool'],
    "zsh": [
        "zsh",
        "-fc",
        'autoload -U compinit; compinit -u -D; eval "$(ffspool completion zsh)"; print $_comps[ffspool]',
    ],
    "fish": ["fish", "-c", 'ffspool completion fish | source; complete -C "ffspool run a.mp4 -p h264-7"'],
}


@pytest.mark.parametrize("shell", ["bash", "zsh", thorough("fish")])  # fish takes its time at its first start
def test_the_real_shell_takes_its_completion(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:  # need() would fail in continuous integration, which has one of them
        pytest.skip(f"there is no {shell}: apt-get install {shell}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**no_environment(tmp_path), "PATH": path, "HOME": str(tmp_path)}
    told = subprocess.run(SHELLS[shell], capture_output=True, text=True, env=env)
    assert ("h264-720p" if shell == "fish" else "_ffspool_completion") in told.stdout, told.stderr
