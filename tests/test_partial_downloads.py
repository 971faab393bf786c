"""What is not all there yet is not taken, however whole it looks, and what it waits for is told."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Daemon, wait_until
from test_folders import inbox, jobs, made, scans, shown, watching

from daemon.folders.scan import is_being_made
from daemon.folders.writers import has_holes, is_written

__all__ = ["inbox"]

MIB = 1024**2


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    film = tmp_path / "film.mp4"
    with film.open("wb") as file:
        file.write(os.urandom(MIB))
        file.seek(3 * MIB)
        file.write(os.urandom(MIB))
    return film


def test_what_was_never_written_is_seen(holed: Path) -> None:
    assert [has_holes(holed, patience) for patience in (math.inf, 3600, 0)] == [True, True, False]
    with holed.open("r+b") as file:
        file.seek(MIB)
        file.write(os.urandom(2 * MIB))
    assert not has_holes(holed, math.inf)


def test_room_that_was_taken_before_it_is_written_is_seen(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with film.open("wb") as file:
        file.write(os.urandom(MIB))
        try:
            os.posix_fallocate(file.fileno(), 0, 4 * MIB)
        except OSError:
            pytest.skip("this file system takes no room beforehand")
        os.fsync(file.fileno())
        if os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 4 * MIB:
            pytest.skip("this file system does not tell what was not written")
    assert has_holes(film, math.inf)


@pytest.mark.parametrize("name", ["a.temp.mp4", "a.mp4.part-Frag12", "a.mp4.part-Frag12.part", "a.mp4.ytdl"])
def test_what_a_downloader_names_as_not_whole_is_none(name: str) -> None:
    assert is_being_made(name)


def test_streams_that_are_still_to_be_put_together_wait(tmp_path: Path) -> None:
    film = tmp_path / "film.f137.mp4"
    film.touch()
    assert not is_written(film)  # it may be called so
    for other in ("film.f251.webm.part", "film.f251.webm", "film.temp.mp4"):
        (tmp_path / other).touch()
        assert is_written(film), other
        (tmp_path / other).unlink()
    (tmp_path / "another.f251.webm").touch()
    assert not is_written(film)


def test_a_file_with_holes_waits_and_is_told(start_daemon: Callable[..., Daemon], inbox: Path, clip: Path) -> None:
    """As a download that takes its room first, and whose both ends came."""
    content, film = clip.read_bytes(), inbox / "film.mp4"
    with film.open("wb") as file:
        file.write(content[:8192])
        file.truncate(len(content) + 2 * MIB)
    daemon = watching(start_daemon, inbox, on_success="delete")
    wait_until(lambda: "parts of it were not written" in (shown(daemon)["error"] or ""), "what it waits for")
    scans(daemon)
    assert jobs(daemon) == []
    film.write_bytes(content)
    wait_until(lambda: made(inbox) == {"film.mp3"}, "the film")
