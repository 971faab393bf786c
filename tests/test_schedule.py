"""The queue runs within the hours of its schedule and while nobody else needs the host, unless somebody has it run."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from browser import Visit
from conftest import Daemon, wait_until
from playwright.sync_api import expect
from test_cli import ffspool
from test_folders import inbox, made, watching
from test_hooks import configured

from daemon.config_tables import Schedule, WhileIdle, schedule
from daemon.errors import StartupError
from daemon.scheduling.timetable import Timetable
from daemon.states import QueueState
from daemon.windows import DAYS

__all__ = ["inbox"]

Start = Callable[..., Daemon]

CLOSED = DAYS[(datetime.now() + timedelta(days=3)).weekday()]  # in three days


def closed(folder: Path, outside: str = "drain") -> dict[str, str]:
    return configured(folder, f'[schedule]\nrun = ["{CLOSED}"]\noutside = "{outside}"\n')


def standing(daemon: Daemon) -> Any:
    return daemon.client.get("/api/queue").json()


def listed(daemon: Daemon) -> Any:
    return daemon.client.get("/api/jobs").json()["items"]


def status(daemon: Daemon, job: Any) -> Any:
    return daemon.job(job["id"])["status"]


def test_outside_its_hours_nothing_starts_until_somebody_has_it_run(
    start_daemon: Start, clip: Path, tmp_path: Path, visit: Visit
) -> None:
    daemon = start_daemon(**closed(tmp_path))
    job = daemon.submit(clip, presets=["mp3"])
    now = standing(daemon)
    assert (now["state"], now["schedule"]["overruled"]) == ("draining", False)
    assert datetime.fromisoformat(now["schedule"]["changes_at"]).astimezone().hour == 0
    told = ffspool("queue", env=daemon.env).stdout
    zone = datetime.fromisoformat(now["schedule"]["changes_at"]).astimezone().strftime("%Z")
    assert re.match(rf"The queue is draining until 20\S+ 00:00:00 {zone}, outside", told)
    assert "outside the hours of its schedule: `ffspool resume --queue` lets it run now" in told
    for told in (ffspool("ls", env=daemon.env).stderr, ffspool("show", job["id"], env=daemon.env).stdout):
        assert "outside the hours of its schedule: `ffspool resume --queue` lets it run now" in " ".join(told.split())
    assert status(daemon, job) == "queued"
    page = visit(daemon)
    expect(page.get_by_text("The queue waits (outside the hours of its schedule, until")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("runs though outside the hours")).to_be_visible()
    page.close()
    assert daemon.wait_for(job["id"])["status"] == "completed"
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert (standing(daemon)["state"], standing(daemon)["schedule"]["overruled"]) == ("running", True)
    daemon.stop()
    del daemon.env["FFSPOOL_CONFIG"]
    daemon.start()
    assert standing(daemon) == {"state": "running", "slots": standing(daemon)["slots"], "schedule": None}


def test_a_pause_by_hand_outlasts_what_the_schedule_says(start_daemon: Start, tmp_path: Path) -> None:
    daemon = start_daemon(**closed(tmp_path))
    daemon.client.post("/api/queue/pause")
    assert standing(daemon)["state"] == "paused"
    assert "paused, as asked" in ffspool("queue", env=daemon.env).stdout
    daemon.stop()
    configured(tmp_path, "[schedule]\nrun = ['Mon-Sun']\n")
    daemon.start()
    assert (standing(daemon)["state"], standing(daemon)["schedule"]["state"]) == ("paused", "running")


def test_jobs_of_a_folder_wait_for_its_hours_and_no_others(
    start_daemon: Start, inbox: Path, clip: Path, visit: Visit
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    daemon = watching(start_daemon, inbox, schedule={"run": [CLOSED]})
    other = daemon.submit(clip, presets=["poster"])
    assert daemon.wait_for(other["id"])["status"] == "completed"
    [film] = wait_until(lambda: [job for job in listed(daemon) if job["folder"]], "the film's job")
    assert (film["status"], film["folder"], film["outside_hours"]) == ("queued", "inbox", True)
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert daemon.job(film["id"])["outside_hours"]
    assert "it is not the hour of its folder inbox" in ffspool("show", film["id"], env=daemon.env).stdout
    assert "outside the hours of its schedule" in ffspool("folders", "history", "inbox", env=daemon.env).stdout
    told = ffspool("folders", env=daemon.env).stdout
    assert "outside the hours of its schedule: `ffspool folders resume inbox` lets it run now" in " ".join(told.split())
    roots = {"FFSPOOL_SOURCE_ROOTS": str(inbox), "FFSPOOL_OUTPUT_ROOTS": str(inbox.parent / "library")}
    checked = " ".join(ffspool("doctor", env=daemon.env | roots).stdout.split())
    assert f"hours of inbox draining until {CLOSED} 00:00, outside the hours" in checked
    page = visit(daemon)
    expect(page.get_by_text("waits for its hours")).to_be_visible()
    page.get_by_role("link", name="Folders").click()
    expect(page.get_by_text("Its jobs wait (outside the hours of its schedule, until")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_text("Its jobs run though outside the hours")).to_be_visible()
    page.close()
    wait_until(lambda: made(inbox) == {"film.mp3"}, "it, though it is not its hour")
    daemon.stop()
    daemon.start()
    shutil.copy(clip, inbox / "next.mp4")
    wait_until(lambda: made(inbox) == {"film.mp3", "next.mp3"}, "one that came later")


def test_one_job_of_a_folder_is_run_whatever_the_hour(start_daemon: Start, inbox: Path, clip: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, inbox / name)
    daemon = watching(start_daemon, inbox, schedule={"run": [CLOSED], "outside": "pause"})
    one, other = wait_until(lambda: (found := listed(daemon)) and len(found) == 2 and found, "both jobs")
    assert daemon.client.post(f"/api/jobs/{one['id']}/resume").json()["changed"]
    assert daemon.wait_for(one["id"])["status"] == "completed"
    assert daemon.job(other["id"])["outside_hours"]
    daemon.stop()
    daemon = watching(start_daemon, inbox)  # which has no hours any more
    assert daemon.wait_for(other["id"])["status"] == "completed"


@contextmanager
def program(path: Path) -> Iterator[None]:
    """A program of that name runs, which we did not start: its parent is gone."""
    shutil.copy("/bin/sleep", path)
    shell = subprocess.run(
        ["sh", "-c", f"{path} 600 >/dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, check=True, text=True
    )
    try:
        yield
    finally:
        os.kill(int(shell.stdout), signal.SIGKILL)


@pytest.mark.thorough  # it waits for two looks at the host
def test_what_runs_is_frozen_while_another_program_needs_the_host(
    start_daemon: Start, long_clip: Path, tmp_path: Path
) -> None:
    config = '[schedule]\noutside = "pause"\nwhile_idle = { no_user_process = ["needy-player"] }\n'
    daemon = start_daemon(**configured(tmp_path, config))
    job = daemon.submit(long_clip, presets=["h264-480p"])
    [encoder] = wait_until(daemon.encoders, "the encode")
    with program(tmp_path / "needy-player"):
        wait_until(lambda: standing(daemon)["state"] == "paused", "the pause")
        assert standing(daemon)["schedule"]["because"] == "needy-player runs on this host"
        assert encoder.status() == "stopped"
        assert "the queue is paused: needy-player runs on this host" in daemon.log()
    wait_until(lambda: standing(daemon)["state"] == "running", "the end of the pause")
    wait_until(lambda: encoder.status() != "stopped", "the encode to go on")
    assert status(daemon, job) == "processing"


@pytest.mark.thorough  # as above
def test_what_runs_of_a_folder_is_frozen_and_others_run(
    start_daemon: Start, inbox: Path, long_clip: Path, clip: Path, tmp_path: Path
) -> None:
    shutil.copy(long_clip, inbox / "film.mp4")
    hours = {"outside": "pause", "while_idle": {"no_user_process": ["needy-player"]}}
    daemon = watching(start_daemon, inbox, variations=[{"preset": "h264-480p"}], schedule=hours)
    [encoder] = wait_until(daemon.encoders, "the encode")
    with program(tmp_path / "needy-player"):
        wait_until(lambda: encoder.status() == "stopped", "the folder's encode to stand still")
        assert daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["status"] == "completed"
    wait_until(lambda: encoder.status() != "stopped", "the encode to go on")


def verdict(wanted: Schedule) -> tuple[QueueState, str | None]:
    return looked(Timetable(wanted, now=lambda: 0.0))


def looked(timetable: Timetable) -> tuple[QueueState, str | None]:
    with ThreadPoolExecutor(1) as beside_the_browser:
        found = beside_the_browser.submit(asyncio.run, timetable.look()).result()
    return found.state, found.because


def test_programs_of_others_are_looked_for_and_ours_are_not(tmp_path: Path) -> None:
    wanted = Schedule(outside="pause", while_idle=WhileIdle(no_user_process=("needy-editor",)))
    assert verdict(wanted) == (QueueState.RUNNING, None)
    with program(tmp_path / "needy-editor"):
        assert verdict(wanted) == (QueueState.PAUSED, "needy-editor runs on this host")
    (tmp_path / "ours").mkdir()
    shutil.copy("/bin/sleep", tmp_path / "ours" / "needy-editor")
    with subprocess.Popen([tmp_path / "ours" / "needy-editor", "600"]) as ours:
        found = verdict(wanted)
        ours.kill()
    assert found == (QueueState.RUNNING, None)


def test_what_others_keep_busy_is_held_against_its_bound(tmp_path: Path) -> None:
    counting = f"i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; touch {tmp_path}/counted"
    wanted = [Schedule(outside="pause", while_idle=WhileIdle(load_below=bound)) for bound in (0.0001, 1000)]
    timetables = [Timetable(one, now=lambda: 0.0) for one in wanted]
    assert [looked(one) for one in timetables] == [(QueueState.RUNNING, None)] * 2
    subprocess.run(["sh", "-c", f"({counting}) > /dev/null 2>&1 &"], check=True)
    wait_until((tmp_path / "counted").exists, "another program to keep a core busy")
    (paused, because), running = (looked(one) for one in timetables)
    assert (paused, running) == (QueueState.PAUSED, (QueueState.RUNNING, None))
    assert re.fullmatch(r"other programs keep \d+\.\d cores busy", because or "")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("run = ['22-7']", "'22-7' is no window of time"),
        ("timezone = 'Mars/Crater'", "no time zone"),
        ("outside = 'stop'", "outside"),
        ("while_idel = {}", "while_idel"),
        ("while_idle = { load_below = 0 }", "load_below"),
    ],
)
def test_a_schedule_that_is_not_valid_is_refused_in_words(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(StartupError, match=words):
        schedule(configured(tmp_path, f"[schedule]\n{table}\n"))
