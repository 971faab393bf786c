"""A backup is whole, may be taken at any time, and is restored beside a newer spool without losing what is there."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import forked
import pytest
from conftest import Daemon, wait_until
from surroundings import thorough

from daemon.scheduling.sources import UPLOAD_GONE


def back_up(daemon: Daemon, file: Path) -> subprocess.CompletedProcess[str]:
    return forked.run(["backup", str(file)], daemon.env)


def restore(daemon: Daemon, backup: Path) -> None:
    """As docs/service.md says."""
    for path in daemon.state_dir.glob("ffspool.db*"):
        path.unlink()
    shutil.copyfile(backup, daemon.state_dir / "ffspool.db")


def jobs_in(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as database:
        return {row[0] for row in database.execute("SELECT id FROM jobs")}


@pytest.mark.parametrize("state", ["running", "stopped", "killed"])
def test_a_backup_holds_every_job_acknowledged_before_it(
    daemon: Daemon, clip: Path, tmp_path: Path, state: str
) -> None:
    job = daemon.submit(clip, presets=["mp3"])["id"]
    if state != "running":
        daemon.stop(signal.SIGKILL if state == "killed" else signal.SIGTERM)
    made = back_up(daemon, tmp_path / "backup")
    assert (made.returncode, made.stderr) == (0, "")
    assert jobs_in(tmp_path / "backup") == {job}
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.glob("*backup*")) == ["backup"], "one file, and no draft"


def test_a_backup_overwrites_nothing(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("precious")
    refused = back_up(daemon, tmp_path / "backup")
    assert refused.returncode == 1
    words = f"{tmp_path / 'backup'} is there already, and a backup replaces nothing: name another file, or remove it"
    assert (words in refused.stderr, "Errno" in refused.stderr) == (True, False)
    assert (tmp_path / "backup").read_text() == "precious"
    elsewhere = forked.run(["backup", str(tmp_path / "other")], {**daemon.env, "FFSPOOL_URL": "http://box2:8080"})
    assert ("is of a database on this host" in elsewhere.stderr, (tmp_path / "other").exists()) == (True, False)


def test_a_backup_into_no_folder_says_that_this_is_missing(daemon: Daemon, tmp_path: Path) -> None:
    refused = back_up(daemon, tmp_path / "none" / "backup")
    words = f"there is no folder {tmp_path / 'none'}: make it, or mount what it is on, or name another file"
    assert (refused.returncode, words in " ".join(refused.stderr.split())) == (1, True)


def test_a_backup_of_nothing_or_of_ruins_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    daemon.stop()
    database = daemon.state_dir / "ffspool.db"
    database.write_bytes(database.read_bytes()[:4096] + os.urandom(database.stat().st_size - 4096))
    assert "cannot be copied" in back_up(daemon, tmp_path / "backup").stderr
    database.unlink()
    refused = back_up(daemon, tmp_path / "backup")
    assert (refused.returncode, "cannot be copied" in refused.stderr) == (1, True)
    assert not list(tmp_path.glob("*backup*"))
    assert not database.exists()


def test_a_restored_backup_goes_on_where_it_was(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": "first"})["id"]
    done = daemon.wait_for(job)
    back_up(daemon, tmp_path / "backup")
    daemon.stop()
    restore(daemon, tmp_path / "backup")
    daemon.start()
    assert daemon.job(job) == done
    assert daemon.client.get(f"/api/jobs/{job}/download").status_code == 200
    assert daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["status"] == "completed"


def test_a_database_restored_without_its_spool_says_what_is_lost_and_what_helps(
    start_daemon: Callable[..., Daemon], clip: Path, tmp_path: Path
) -> None:
    """As on another host: no output is offered, and neither an upload that is gone nor what was not delivered is to be
    tried again."""
    (library := tmp_path / "library").mkdir()
    (library / "clip.mp3").touch()
    daemon = start_daemon(f"--output-root={library}", "--log-level", "debug")
    taken = {"variations": [{"preset": "mp3"}], "deliver": {"folder": str(library), "name": "{stem}.{ext}"}}
    brought = daemon.submit(clip, spec=taken)["id"]
    wait_until(lambda: (seen := daemon.job(brought)["deliveries"]) and seen["failed"], "it not to be delivered")
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3", "h264-480p"])["id"])["id"]
    daemon.client.post("/api/queue/pause")
    waiting = daemon.submit(clip, presets=["mp3"])["id"]
    daemon.client.post(f"/api/jobs/{waiting}/cancel")
    in_vain = daemon.submit(clip, presets=["mp3", "m4a"])["id"]
    back_up(daemon, tmp_path / "backup")
    daemon.stop()
    restore(daemon, tmp_path / "backup")
    shutil.rmtree(daemon.state_dir / "spool")
    daemon.start()
    found = wait_until(lambda: (seen := daemon.job(job))["lost_variations"] == 2 and seen, "both to be missed")
    assert [one["lost"] for one in found["sources"][0]["variations"]] == [True, True]
    assert found["advice"] == [
        "the files of 2 variations are lost, as told above: to have them again, submit a new job"
    ]
    assert daemon.client.get(f"/api/jobs/{job}/download").status_code == 410
    assert "completed, 2 lost" in forked.run(["ls"], daemon.env).stdout
    shown = forked.run(["show", job], daemon.env).stdout
    assert ("removed from the disk" in shown, "submit a new job" in shown, "download" in shown) == (True, True, False)
    wait_until(lambda: daemon.job(brought)["lost_variations"], "that to be missed, too")
    asked = [forked.run(["doctor", "--ffmpeg", "/bin/false"], daemon.env).stdout]
    asked.append(forked.run(["doctor", "--ffmpeg", "/bin/false"], elsewhere(daemon, tmp_path)).stdout)
    assert "delivers what did not arrive" not in forked.run(["show", brought], daemon.env).stdout
    refused = forked.run(["retry", brought], daemon.env)
    assert (
        refused.returncode,
        f"was not delivered of {brought} (clip.mp4) is gone" in " ".join(refused.stderr.split()),
    ) == (
        4,
        True,
    )
    restarted = daemon.log()
    assert ("3 outputs of 2 jobs are gone from the disk" in restarted, f"job={job}" in restarted) == (True, True)
    assert "1 job waits for uploaded files that are gone" in restarted
    assert "nothing is to be done" not in restarted
    daemon.client.post("/api/queue/resume")
    failed = daemon.wait_for(in_vain)["sources"][0]["variations"]
    assert {one["error"].removeprefix("clip.mp4: ") for one in failed} == {UPLOAD_GONE}
    shown = " ".join(forked.run(["show", waiting], daemon.env).stdout.split())
    assert ("ffspool retry" in shown, f"clip.mp4: {UPLOAD_GONE}" in shown) == (False, True)
    assert "1 file is gone from the disk: submit a new job" in shown
    refused = forked.run(["retry", waiting], daemon.env)
    assert (refused.returncode, "clip.mp4 is gone from the disk" in " ".join(refused.stderr.split())) == (4, True)
    daemon.stop()
    asked.append(forked.run(["doctor", "--ffmpeg", "/bin/false"], daemon.env).stdout)
    words = "PROBLEM outputs the files of 3 completed variations are gone from the disk"
    assert [words in " ".join(told.split()) for told in asked] == [True, True, True]


def elsewhere(daemon: Daemon, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who reaches the daemon from another host."""
    mine = {"FFSPOOL_STATE_DIR": str(tmp_path / "mine"), "FFSPOOL_URL": daemon.url, "FFSPOOL_TOKEN": daemon.token}
    return {**daemon.env, **mine}


def test_files_of_jobs_newer_than_a_restored_backup_are_set_aside_and_not_deleted(
    start_daemon: Callable[..., Daemon], clip: Path, tmp_path: Path
) -> None:
    daemon = start_daemon("--sweep-every", "0.2")
    kept = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    back_up(daemon, tmp_path / "backup")
    newer = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    jobs, aside = daemon.state_dir / "spool" / "jobs", daemon.state_dir / "spool" / "set-aside"
    files = {path.relative_to(jobs): path.read_bytes() for path in (jobs / newer).rglob("*") if path.is_file()}
    for _ in range(2):  # again: what was set aside stays when the next, plain start sweeps
        daemon.stop()
        if not aside.exists():
            restore(daemon, tmp_path / "backup")
        daemon.start()
        assert [path.name for path in jobs.iterdir()] == [kept]
        [place] = aside.iterdir()
        assert {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()} == files
    assert daemon.client.get(f"/api/jobs/{newer}").status_code == 404
    assert f"their files are in its set-aside/{place.name} now: take from there what you want" in daemon.log()


@pytest.mark.parametrize("copied", ["by hand", thorough("from elsewhere")])
def test_a_database_that_is_not_the_spools_newest_deletes_nothing(
    start_daemon: Callable[..., Daemon], clip: Path, tmp_path: Path, copied: str
) -> None:
    daemon = start_daemon()
    if copied == "from elsewhere":
        start_daemon(name="other").stop()
    daemon.stop()
    shutil.copyfile(
        daemon.state_dir.with_name("other" if copied == "from elsewhere" else "state") / "ffspool.db", tmp_path / "copy"
    )
    daemon.start()
    newer = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    daemon.stop()
    restore(daemon, tmp_path / "copy")
    daemon.start()
    assert list((daemon.state_dir / "spool" / "set-aside").glob(f"*/{newer}/outputs/*.mp3"))


def test_event_ids_go_on_growing_after_a_restore(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    back_up(daemon, tmp_path / "backup")
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    last = newest_event(daemon.state_dir / "ffspool.db")
    daemon.stop()
    restore(daemon, tmp_path / "backup")
    daemon.start()
    with daemon.client.stream("GET", "/api/events", headers={"Last-Event-ID": str(last)}) as answer:
        lines = answer.iter_lines()
        assert "event: reset" in [next(lines) for _ in range(4)], "what it knows is not so any more"
        daemon.submit(clip, presets=["mp3"])
        first = next(line for line in lines if line.startswith("id: "))
        assert int(first.removeprefix("id: ")) > last


def newest_event(database: Path) -> int:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT max(id) FROM events").fetchone()[0])


def test_an_interrupted_restore_is_finished_by_the_next_start(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    back_up(daemon, tmp_path / "backup")
    newer = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    daemon.stop()
    restore(daemon, tmp_path / "backup")
    aside = daemon.state_dir / "spool" / "set-aside"
    daemon.launch()
    wait_until(lambda: list(aside.glob(f"*/{newer}")), "the job to be set aside")
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert list(aside.glob(f"*/{newer}/outputs/*.mp3"))
