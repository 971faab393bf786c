"""`ffspool run` that was interrupted: the same command goes on with its films, and nothing else is left of it."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest
from conftest import wait_until
from surroundings import thorough
from test_cli import FFSPOOL, encoders, ffspool, names, printed, started
from test_resume import KILLED, times

from daemon.cli import run, terminal, work_place
from daemon.cli.batch_job import Result
from daemon.errors import ProbeError
from daemon.jobs.receipts import KeptVariation
from daemon.jobs.variation_views import VariationView
from daemon.media import cut
from daemon.states import State

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


DIES = "lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"
FAILS = "lambda *_, **__: open('/no/such/disk')"
TWICE_NAMED = f"lambda output, place: os.link(output, place) or ({DIES})()"
MOMENTS = {"it arrives": ("batch_job.arrive", DIES), "its first name is gone": ("arrival._linked", TWICE_NAMED)}


def run_but(what: str, instead: str, *arguments: str | Path) -> int:
    """A run in which something else is done instead."""
    words = f"import os, signal; from daemon.cli import arrival, batch_job, main; {what} = {instead}; main.main()"
    command = [sys.executable, "-c", words, "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("moment", ["it arrives", thorough("its first name is gone")])
def test_what_is_completed_and_was_not_brought_before_a_kill_is_brought_by_the_same_command(
    clip: Path, tmp_path: Path, moment: str
) -> None:
    command = (clip, "-p", "h264-480p:speed=ultrafast", "-o", tmp_path)
    assert run_but(*MOMENTS[moment], *command) == -signal.SIGKILL
    [left] = tmp_path.glob(".ffspool/spool/jobs/*/outputs/*.mp4")
    made = left.stat()
    again = ffspool("run", *command)
    assert again.returncode == 0, again.stderr
    assert "All 1 are there already" in again.stdout
    assert ("was completed by a run that was interrupted" in again.stdout) == (moment == "it arrives")
    assert names(tmp_path) == ["clip_h264-480p.mp4"]
    there = (tmp_path / "clip_h264-480p.mp4").stat()
    assert (there.st_ino, there.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


@pytest.mark.thorough
@pytest.mark.parametrize("preset", ["h264-480p:target_vmaf=80", "sprite-sheet", "mp3"])
def test_what_could_not_be_brought_is_brought_by_the_same_command(clip: Path, tmp_path: Path, preset: str) -> None:
    """As onto a disk that was full: what is completed is not made again, whatever it is."""
    command = (clip, "-p", preset, "-o", tmp_path / "out")
    assert run_but("batch_job.arrive", FAILS, *command) == 1
    [left] = tmp_path.glob("out/.ffspool/spool/jobs/*/outputs/*")
    made = left.stat()
    assert ffspool("run", *command).returncode == 0
    [there] = (tmp_path / "out").glob("clip*")
    assert (there.stat().st_ino, names(tmp_path / "out")) == (made.st_ino, [there.name])


@pytest.mark.thorough
def test_what_was_completed_and_is_damaged_since_is_made_again(clip: Path, tmp_path: Path) -> None:
    command = (clip, "-p", "mp3", "-o", tmp_path)
    assert run_but(*MOMENTS["it arrives"], *command) == -signal.SIGKILL
    [left] = tmp_path.glob(".ffspool/spool/jobs/*/outputs/*")
    left.write_bytes(left.read_bytes()[:-1])
    again = ffspool("run", *command)
    assert (again.returncode, "interrupted" in again.stdout) == (0, False)
    assert names(tmp_path) == ["clip_mp3.mp3"]


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
    """A copy of all that for each test, as if it had been made there."""
    folder = Path(shutil.copytree(interrupted, tmp_path / "copy", symlinks=True))
    with closing(sqlite3.connect(folder / "out" / ".ffspool" / "ffspool.db")) as database, database:
        database.execute("UPDATE sources SET path = ?", (str(folder / "film.mkv"),))
    return folder


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
    "what", [*map(thorough, ["--fresh", "a later source", "other parameters", "another source", "damaged"])]
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
    assert ("is not gone on with, as --fresh asks" in " ".join(again.stdout.split())) == (what == "--fresh")
    assert names(folder / "out") == [MADE]


@pytest.mark.thorough
def test_looks_that_were_drawn_by_a_run_that_was_interrupted_are_gone_on_with(
    small_film: Path, clip: Path, tmp_path: Path
) -> None:
    command = (clip, small_film, "-p", "refresh:speed=slow", "--slots", "1")
    with under_way(tmp_path, *command) as process:
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert names(tmp_path) == [".ffspool", "clip_refresh-01.mp4"]
    again = ffspool("run", *command, "-o", tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 there already" in again.stdout
    assert re.search(r"film_refresh-01.mp4 goes on at 0:[12]\d", again.stdout)


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
    assert work_place.is_needed(tmp_path / ".ffspool")


@pytest.mark.thorough
def test_a_film_whose_encoder_is_killed_too_often_is_gone_on_with_by_the_same_command(
    small_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FFSPOOL_RETRY_DELAY", "0.1")
    with under_way(tmp_path, small_film, *OF_FILMS) as process:
        running = psutil.Process(process.pid)
        while process.poll() is None:
            for encoder in encoders(running):
                with suppress(psutil.NoSuchProcess):
                    encoder.kill()
            time.sleep(0.05)
        words = " ".join(process.communicate()[0].split())
    assert process.returncode == 1
    assert f"of {MADE}. The same again goes on with it" in words
    assert "give the host more memory" in words
    again = ffspool("run", small_film, *OF_FILMS, "-o", tmp_path)
    assert again.returncode == 0, again.stderr
    assert re.search(rf"{MADE} goes on at 0:[12]\d", again.stdout)
    assert names(tmp_path) == [MADE]


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ([0.04], "The same again goes on with it"),
        ([0.0], "the same again begins them anew"),
        ([], "What other commands left is still in"),
    ],
)
def test_what_is_said_to_be_gone_on_with_is(kept: list[float], words: str) -> None:
    left = [KeptVariation(variation="v", seconds=seconds, bytes=1) for seconds in kept]
    source = SimpleNamespace(variations=[SimpleNamespace(id="v", name=MADE)])
    result = SimpleNamespace(kept=left, job=SimpleNamespace(sources=[source]))
    assert words in run._left(cast("Result", result), Path("out"))


def test_a_film_that_failed_is_said_to_be_kept() -> None:
    failed = SimpleNamespace(name=MADE, status=State.FAILED, resumable=True)
    words = terminal._variation_words(cast("VariationView", failed))
    assert "what is encoded of it is kept for a retry" in words.plain
