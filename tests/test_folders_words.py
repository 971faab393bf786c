"""What is told of watched folders says why something waits, in one line, and which command tells more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import PATIENCE, Daemon, told, wait_until
from test_folders import inbox, jobs, made, shown, watching, write_tone

__all__ = ["inbox"]

Start = Callable[..., Daemon]


def said(daemon: Daemon, *words: str) -> str:
    command = [sys.executable, "-m", "daemon.cli", "folders", *words, "--state-dir", str(daemon.state_dir)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return answer.stdout + answer.stderr


def test_who_names_what_is_no_folder_is_told_where_folders_are_listed(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    daemon = watching(start_daemon, inbox)
    assert "`ffspool folders` tells" in said(daemon, "history", "outbox")
    assert "`ffspool folders` tells" in said(daemon, "scan", "outbox")
    assert "`ffspool folders history`" in said(daemon, "undo", str(inbox / "film.mp4"))
    wait_until(lambda: made(inbox) == {"film.mp3"}, "the file to be made")
    daemon.stop()
    told(daemon, "UPDATE watched_files SET outcome = 'failed', said = 'ffmpeg could not:' || char(10) || 'it says so'")
    daemon.start()
    found = said(daemon, "history", "inbox")
    assert "ffmpeg could not:" in found
    assert "says so" not in found
    assert "x0a" not in found


def test_what_waits_is_told_why(start_daemon: Start, inbox: Path, clip: Path) -> None:
    """For room to be encoded, for room where it goes to, or for room to be taken."""
    daemon = watching(start_daemon, inbox)
    daemon.client.post("/api/queue/pause").raise_for_status()
    shutil.copy(clip, inbox / "film.mp4")
    [job] = wait_until(lambda: jobs(daemon), "it to be taken")
    daemon.stop()
    told(daemon, "UPDATE variations SET waiting = 'it waits for disk space', not_before = 9e9")
    daemon.start()
    assert "it waits for disk space" in said(daemon, "history", "inbox")
    daemon.client.post(f"/api/jobs/{job['id']}/cancel").raise_for_status()
    away = (inbox.parent / "library").rename(inbox.parent / "away")
    shutil.copy(clip, inbox / "other.mp4")
    daemon.client.post("/api/queue/resume").raise_for_status()
    wait_until(lambda: "output root is away" in said(daemon, "history", "inbox"), "what its delivery waits for")
    away.rename(inbox.parent / "library")


def test_files_that_nothing_is_made_of_yet_are_told_why(start_daemon: Start, inbox: Path, clip: Path) -> None:
    def small(*flags: str, **more: str) -> Daemon:
        return start_daemon(*flags, "--max-queued", "1", **more)

    daemon = watching(small, inbox)
    daemon.client.post("/api/queue/pause").raise_for_status()
    for name in ("one.mp4", "other.mp4"):
        shutil.copy(clip, inbox / name)
    wait_until(lambda: "wait to be taken: " in (shown(daemon)["error"] or ""), "why it waits")


def test_a_file_that_stays_for_a_preset_did_not_apply_to_it_is_told_why(start_daemon: Start, inbox: Path) -> None:
    """Also once its job is forgotten."""
    made_of_it = [{"preset": "mp3"}, {"preset": "poster"}]
    daemon = watching(start_daemon, inbox, variations=made_of_it, on_success="move", move_to=str(inbox / ".done"))
    write_tone(inbox / "tone.wav")
    words = "it stays, for poster was not made of it: the source has no picture"
    wait_until(lambda: words in said(daemon, "history", "inbox"), "why it stays")
    assert made(inbox) == {"tone.mp3"}
    [job] = jobs(daemon)
    daemon.client.delete(f"/api/jobs/{job['id']}").raise_for_status()
    assert "it stays, for not all was made of it that was asked for" in said(daemon, "history", "inbox")
    assert (inbox / "tone.wav").exists()
