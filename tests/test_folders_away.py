"""What failed because its folder went away while it was encoded is made once that is back, and nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from conftest import Daemon, wait_until, wrapped
from test_folders import inbox, jobs, made, scans, shown, watching

__all__ = ["inbox"]

Start = Callable[..., Daemon]


def failed(daemon: Daemon) -> bool:
    return shown(daemon)["failed"] == 1


def queued(start_daemon: Start, inbox: Path, clip: Path) -> Daemon:
    """A daemon that has taken a file and not begun with it."""
    daemon = watching(start_daemon, inbox)
    daemon.client.post("/api/queue/pause").raise_for_status()
    shutil.copy(clip, inbox / "film.mp4")
    wait_until(lambda: shown(daemon)["taken"] == 1, "it to be taken")
    return daemon


def test_what_failed_while_it_was_out_of_reach_is_made_once_it_is_back(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    daemon, away = queued(start_daemon, inbox, clip), inbox.with_name("away")
    inbox.rename(away)
    daemon.client.post("/api/queue/resume").raise_for_status()
    wait_until(lambda: failed(daemon), "it to fail")
    away.rename(inbox)
    wait_until(lambda: made(inbox) == {"film.mp3"}, "it to be made")
    scans(daemon)
    assert (len(jobs(daemon)), shown(daemon)["made"], shown(daemon)["failed"]) == (2, 1, 0)


def test_what_failed_by_itself_is_not_tried_again(start_daemon: Start, inbox: Path, clip: Path) -> None:
    daemon = queued(start_daemon, inbox, clip)
    [job] = jobs(daemon)
    daemon.client.post(f"/api/jobs/{job['id']}/fail").raise_for_status()
    wait_until(lambda: failed(daemon), "it to fail")
    daemon.client.post("/api/queue/resume").raise_for_status()
    scans(daemon)
    assert (len(jobs(daemon)), made(inbox)) == (1, set())


def test_what_could_not_be_opened_for_a_moment_is_made(
    start_daemon: Start, inbox: Path, clip: Path, ffmpeg: str, tmp_path: Path
) -> None:
    """Its share is back before anybody looks whether it is away."""
    encoder, tried = tmp_path / "encoder", tmp_path / "tried"
    away = "echo 'the source cannot be opened: Transport endpoint is not connected' >&2; exit 127"
    once = f'case "$*" in *libmp3lame*) mkdir {tried} 2> /dev/null && {{ {away}; }} ;; esac'
    encoder.write_text(f'#!/bin/sh\n{once}\nexec {ffmpeg} "$@"\n')
    encoder.chmod(0o755)
    shutil.copy(clip, inbox / "film.mp4")
    daemon = watching(partial(start_daemon, "--sandbox", "off", **wrapped(encoder, ffmpeg)), inbox)
    wait_until(lambda: made(inbox) == {"film.mp3"}, "it to be made")
    assert (tried.exists(), len(jobs(daemon))) == (True, 2)


def test_what_got_another_path_before_it_was_made_is_made_there(start_daemon: Start, inbox: Path, clip: Path) -> None:
    """As where its folder was renamed: a scan finds it by its inode."""
    daemon = watching(start_daemon, inbox, recursive=True)
    daemon.client.post("/api/queue/pause").raise_for_status()
    (inbox / "new").mkdir()
    shutil.copy(clip, inbox / "new" / "film.mp4")
    wait_until(lambda: shown(daemon)["taken"] == 1, "it to be taken")
    (inbox / "new").rename(inbox / "Film (2020)")
    scans(daemon)
    daemon.client.post("/api/queue/resume").raise_for_status()
    wait_until(lambda: made(inbox) == {"film.mp3"}, "it to be made")
    scans(daemon)
    assert (len(jobs(daemon)), shown(daemon)["made"], shown(daemon)["failed"]) == (2, 1, 0)
