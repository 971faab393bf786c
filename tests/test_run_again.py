"""`ffspool run` that was interrupted: the same command goes on with its films, and nothing else is left of it."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import wait_until
from surroundings import thorough
from test_cli import FFSPOOL, encoders, ffspool, names, printed, started
from test_resume import KILLED, times

from daemon.cli import work_place
from daemon.errors import ProbeError
from daemon.media import cut

OF_FILMS = ("-p", "h264-480p:speed=slow", "--slots", "1")
MADE = "film_h264-480p.mp4"


@pytest.fixture(autouse=True, scope="module")
def in_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FFSPOOL_RESUME_FROM", "0")
        yield


def pieces(folder: Path) -> list[Path]:
    return list(folder.glob(".ffspool/spool/jobs/*/work/*/*.piece"))


def goes_on(folder: Path, seconds: float) -> bool:
    """Whether a film can be gone on with that far, by what is there of it."""
    for piece in pieces(folder):
        try:
            found = cut.read_piece(str(piece), KILLED).cut
        except (ProbeError, OSError):
            continue
        if found and found.seconds >= seconds:
            return True
    return False


@contextmanager
def under_way(folder: Path, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has encoded ten seconds of a film."""
    with started("run", *command, "-o", folder) as process:
        wait_until(lambda: goes_on(folder, 10) or process.poll() is not None, "ten seconds of the film")
        assert process.poll() is None, process.communicate()
        yield process


def test_a_run_that_was_killed_is_gone_on_with_by_the_same_command(
    small_film: Path, clip: Path, tmp_path: Path
) -> None:
    command = (clip, small_film, *OF_FILMS)
    with under_way(tmp_path, *command) as process:
        process.kill()
        process.communicate()
    assert names(tmp_path) == [".ffspool", "clip_h264-480p.mp4"]
    with started("run", *command, "-o", tmp_path) as process:
        wait_until(lambda: any(piece.name == "2.piece" for piece in pieces(tmp_path)), "a second piece of the film")
        process.kill()
        process.communicate()
    first = (tmp_path / "clip_h264-480p.mp4").stat()
    again = ffspool("run", *command, "-o", tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 there already" in again.stdout
    assert "is gone" not in again.stdout + again.stderr, "it lies where it was brought to"
    assert re.search(rf"{MADE} goes on at 0:[12]\d", again.stdout)
    assert names(tmp_path) == ["clip_h264-480p.mp4", MADE]
    assert (tmp_path / "clip_h264-480p.mp4").stat() == first
    assert times(tmp_path / MADE) == pytest.approx(times(small_film), abs=0.001)


@pytest.fixture(scope="module")
def interrupted(small_film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film and what Ctrl-C left of a run, in `out`."""
    folder = tmp_path_factory.mktemp("interrupted")
    shutil.copy2(small_film, folder / "film.mkv")
    with under_way(folder / "out", folder / "film.mkv", *OF_FILMS) as process:
        process.send_signal(signal.SIGINT)
        words, _ = process.communicate()
    assert process.returncode == 130
    assert names(folder / "out") == [".ffspool"]
    assert f"of {MADE}. The same again goes on with it; with --fresh it begins anew." in " ".join(words.split())
    return folder


@pytest.fixture
def folder(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of all that for each test."""
    return Path(shutil.copytree(interrupted, tmp_path / "copy", symlinks=True))


@pytest.mark.thorough
def test_what_ctrl_c_left_is_kept_beside_other_films_and_gone_on_with(folder: Path, clip: Path) -> None:
    assert ffspool("run", clip, "-p", "m4a", "-o", folder / "out").returncode == 0
    assert names(folder / "out") == [".ffspool", "clip_m4a.m4a"]
    job = printed("run", folder / "film.mkv", *OF_FILMS, "-o", folder / "out")
    [variation] = job["sources"][0]["variations"]
    assert variation["resumed_seconds"] >= 10.0
    assert variation["attempts"] == 2
    assert names(folder / "out") == ["clip_m4a.m4a", MADE]


@pytest.mark.parametrize(
    "what", [*map(thorough, ["--fresh", "a later source", "other parameters", "another source"]), "damaged"]
)
def test_what_is_not_the_same_begins_anew(folder: Path, what: str) -> None:
    fresh = ("--fresh",) if what == "--fresh" else ()
    speed = "ultrafast" if what in {"other parameters", "damaged"} else "slow"
    if what == "damaged":
        (folder / "out" / ".ffspool" / "ffspool.db").write_bytes(b"not a database" * 1000)
    film = folder / "film.mkv"
    if what == "a later source":
        os.utime(film, (1, 1))
    if what == "another source":  # of that size and time
        content, was = bytearray(film.read_bytes()), film.stat()
        content[content.index(b"Lavf")] ^= 0x20
        film.write_bytes(content)
        os.utime(film, ns=(was.st_atime_ns, was.st_mtime_ns))
    preset = ("-p", f"h264-480p:speed={speed}")
    again = ffspool("run", folder / "film.mkv", *preset, "-o", folder / "out", *fresh)
    assert again.returncode == 0, again.stderr
    assert "goes on" not in again.stdout
    assert (f"{MADE} begins anew: its source, its parameters" in again.stdout) == what.endswith(
        ("source", "parameters")
    )
    assert ("could not be gone on with" in again.stdout) == (what == "damaged")
    assert names(folder / "out") == [MADE]


@pytest.mark.thorough
def test_a_lost_terminal_leaves_films_to_go_on_with(small_film: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", *FFSPOOL, "run", str(small_film), *OF_FILMS, "-o", str(tmp_path)]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, env={**os.environ, "TERM": "dumb"}, **streams) as process:
        os.close(theirs)
        try:
            wait_until(lambda: goes_on(tmp_path, 10), "ten seconds of the film")
            children = encoders(psutil.Process(process.pid))
            os.close(ours)
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert names(tmp_path) == [".ffspool"]
    assert work_place.left_of_films(tmp_path / ".ffspool")
