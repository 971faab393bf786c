"""Inodes and times of files may be larger than the database takes numbers, and are known there all the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from conftest import Daemon, wait_until
from stalled import Disk
from surroundings import need_mounts
from test_folders import inbox, jobs, made, scans, shown, verdicts, watching

__all__ = ["inbox"]

Start = Callable[..., Daemon]


def test_a_file_with_an_inode_of_64_bits_is_taken_once_and_goes(start_daemon: Start, inbox: Path, clip: Path) -> None:
    """As of file systems that hash what they lie over, such as mergerfs and rclone's."""
    need_mounts()
    shutil.copy(clip, inbox / "film.mp4")
    disk = Disk(inbox, inode=2**63)
    try:
        assert (inbox / "film.mp4").stat().st_ino > 2**63
        daemon = watching(start_daemon, inbox, on_success="delete")
        wait_until(lambda: verdicts(daemon) == {"film.mp4": "deleted"} and made(inbox) == {"film.mp3"}, "its end")
        scans(daemon)
        assert (len(jobs(daemon)), shown(daemon)["error"], (inbox / "film.mp4").exists()) == (1, None, False)
    finally:
        disk.end()


def test_a_file_of_the_far_future_is_taken_once(start_daemon: Start, inbox: Path, clip: Path) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    os.utime(inbox / "film.mp4", ns=(10**19, 10**19))
    daemon = watching(start_daemon, inbox)
    wait_until(lambda: made(inbox) == {"film.mp3"}, "its result")
    scans(daemon)
    assert (len(jobs(daemon)), verdicts(daemon)) == (1, {"film.mp4": "completed"})
