"""What a person sees: the commands under a real pseudo-terminal, read through a terminal emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyte
import pytest
from conftest import Daemon, Media, is_encoder, wait_until
from forked import Forked, template
from surroundings import thorough

FFSPOOL = [sys.executable, "-m", "daemon.cli"]
WIDTHS = pytest.mark.parametrize("columns", [thorough(60), 80, thorough(120)])
ROWS = 24
FAST = "h264-480p:speed=ultrafast"
CTRL_C = b"\x03"
STYLE = re.compile(rb"\x1b\[[0-9;]*m")


class Terminal:
    """A command on a terminal of its own, of which it is the controlling one: keys reach it as a person's do."""

    process: Forked | subprocess.Popen[bytes]

    def __init__(
        self,
        *arguments: str | Path,
        columns: int,
        env: dict[str, str] | None = None,
        program: bool = False,
        shell: bool = False,
    ) -> None:
        """With `program` it is started as one, and not forked; a `shell` takes commands."""
        self._ours, theirs = pty.openpty()
        self._lock = threading.Lock()
        self._emulator = pyte.HistoryScreen(columns, ROWS, history=500)
        self._stream = pyte.ByteStream(self._emulator)
        self.raw = b""
        self._resize(theirs, columns)
        given = {name: value for name, value in (env or dict(os.environ)).items() if name not in {"COLUMNS", "LINES"}}
        given = {"NO_COLOR": "", **given, "TERM": "xterm-256color"}
        if program or shell:
            started = ["bash", "--norc", "-i"] if shell else FFSPOOL
            command = ["setsid", "--ctty", "--wait", *started, *map(str, arguments)]
            self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=given)
        else:
            self.process = template().on_terminal([*map(str, arguments)], given, theirs)
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._ours, 65536)
            except OSError:  # EIO: nobody holds the other end any more
                return
            with self._lock:
                self.raw += chunk
                self._stream.feed(chunk)

    def _resize(self, descriptor: int, columns: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    def resize(self, columns: int) -> None:
        with self._lock:
            self._emulator.resize(ROWS, columns)
            self._resize(self._ours, columns)

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def lines(self) -> list[str]:
        """Everything on the screen and what has scrolled off it, without the blanks at the ends."""
        with self._lock:
            emulator = self._emulator
            above = ["".join(line[column].data for column in range(emulator.columns)) for line in emulator.history.top]
            return [line.rstrip() for line in [*above, *emulator.display]]

    def line(self, words: str) -> str | None:
        """The only line with these words, if there is one."""
        found = [line for line in self.lines() if words in line]
        return found[0] if len(found) == 1 else None

    def wait_for(self, words: str) -> str:
        return str(wait_until(lambda: self.line(words), f"one line with {words!r} in {self.lines()}"))

    def text(self) -> str:
        """All that was said, as one line: where it was folded does not matter."""
        return " ".join(" ".join(self.lines()).split())

    def children(self) -> list[psutil.Process]:
        """What the command has started and what that has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def groups(self) -> set[int]:
        """The process groups they are in."""
        return {os.getpgid(child.pid) for child in self.children()}

    def end(self) -> int:
        """Waits for the command and returns its exit code."""
        code = self.process.wait(60)
        self._reader.join()
        return code

    def close(self) -> None:
        if self.process.poll() is None:  # the test failed before its end
            for process in [*self.children(), self.process]:
                process.kill()
        self.end()
        os.close(self._ours)


Start = Callable[..., Terminal]


@pytest.fixture
def start() -> Iterator[Start]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: str | Path, columns: int = 80, **more: Any) -> Terminal:
        opened.append(Terminal(*arguments, columns=columns, **more))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.close()


@pytest.fixture
def long_named(long_clip: Path, tmp_path: Path) -> Path:
    path = tmp_path / "the third day of our holiday in the mountains, from the beginning to the very end.mp4"
    path.symlink_to(long_clip)
    return path


def percentage(line: str) -> int:
    found = re.search(r"(\d+) %", line)
    return int(found[1]) if found else 0


# Live views


@WIDTHS
def test_run_has_one_line_for_a_variation_and_one_for_the_batch_and_ctrl_c_says_what_is_kept(
    start: Start, clip: Path, long_named: Path, tmp_path: Path, columns: int
) -> None:
    terminal = start("run", clip, long_named, "-p", FAST, "--slots", "2", "-o", tmp_path / "out", columns=columns)
    first = wait_until(lambda: (bar := terminal.line("…")) and percentage(bar) > 0 and bar, "the bar")
    assert re.split(" [━╸╺]", first)[0].rstrip().endswith("h264-480p.mp4"), "what tells variations apart is cut off"
    assert re.search(r"\d×\s+\d+:\d\d$", first), "speed and time left"
    wait_until(lambda: (bar := terminal.line("…")) and percentage(bar) > percentage(first), "the bar to move")
    batch = re.compile(r"^1( of |/)2.*━.*\d+ %\s+ends \d\d:\d\d\s+\d+:\d\d$")
    wait_until(lambda: any(map(batch.match, terminal.lines())), "the batch's bar and finish time")
    assert max(map(len, terminal.lines())) <= columns - 4, "an echoed ^C would fold the last line"
    terminal.press(CTRL_C)
    assert terminal.end() == 130
    assert "Stopping: ending the encoders" in terminal.text()
    assert f"1 of 2 completed, 1 cancelled. What is completed is in {tmp_path / 'out'}" in unfolded(terminal)
    assert "━" not in terminal.text()
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["clip_h264-480p.mp4"]


def test_ctrl_c_reaches_the_command_alone_from_its_first_child_on(
    start: Start, long_named: Path, tmp_path: Path
) -> None:
    terminal = start("run", long_named, "-p", "h264-1080p:speed=slow", "-o", tmp_path / "out", program=True)
    wait_until(terminal.children, "its first child")
    wait_until(lambda: terminal.process.pid not in terminal.groups(), "it to be in a group of its own")
    terminal.press(CTRL_C)
    assert terminal.end() == 130
    assert terminal.text().startswith("Stopping: ending the encoders")
    assert "0 of 1 completed, 1 cancelled" in terminal.text()
    assert list((tmp_path / "out").iterdir()) == []

    terminal = start("run", long_named, "-p", "h264-1080p:speed=slow", "-o", tmp_path / "out")
    wait_until(lambda: any(map(is_encoder, terminal.children())), "the encoder")
    wait_until(lambda: terminal.process.pid not in terminal.groups(), "its children to be in groups of their own")


def unfolded(terminal: Terminal) -> str:
    """The words with paths made whole that were folded within."""
    lines = terminal.lines()
    width = max(map(len, lines))
    return "".join(line if len(line) == width else f"{line} " for line in lines)


@WIDTHS
def test_watch_shows_bars_and_ctrl_c_says_that_the_job_goes_on(
    start: Start, daemon: Daemon, long_named: Path, columns: int
) -> None:
    job = daemon.submit(long_named, presets=["h264-480p"])["id"]
    terminal = start("watch", columns=columns, env=daemon.env)
    first = wait_until(lambda: (bar := terminal.line("…")) and percentage(bar) > 0 and bar, "the bar")
    wait_until(lambda: (bar := terminal.line("…")) and percentage(bar) > percentage(first), "the bar to move")
    assert max(map(len, terminal.lines())) <= columns - 4
    terminal.press(CTRL_C)
    assert terminal.end() == 130
    assert f"{job} goes on: `ffspool watch {job}` follows it again" in terminal.text()
    assert daemon.job(job)["status"] == "processing"


@pytest.mark.thorough
def test_many_running_variations_take_a_bounded_number_of_lines_and_survive_a_resize(
    start: Start, long_named: Path, tmp_path: Path
) -> None:
    few_encoders = {**os.environ, "FFSPOOL_MAX_SHARED_SECONDS": "1e6", "FFSPOOL_NICE": "19"}
    many = ["-p", "refresh:count=13,speed=ultrafast", "--slots", "2"]
    terminal = start("run", long_named, *many, "-o", tmp_path / "out", columns=120, env=few_encoders)
    terminal.wait_for("and 3 more")
    assert sum("fresh-" in line for line in terminal.lines()) == 10
    for columns in (60, 100):
        terminal.resize(columns)
        drawn = len(terminal.raw)
        wait_until(lambda drawn=drawn: terminal.raw.count(b"more", drawn) > 1, "it to be drawn again")
        wait_until(lambda: sum("fresh-" in line for line in terminal.lines()) == 10, "ten lines")
        wait_until(lambda: terminal.line("and 3 more"), "the others, once")
    terminal.press(CTRL_C)
    assert terminal.end() == 130
    assert "0 of 13 completed, 13 cancelled" in terminal.text()


def test_what_held_a_job_up_is_gone_once_it_gets_on(start: Start, daemon: Daemon, long_clip: Path) -> None:
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(long_clip, presets=["h264-480p"])["id"]
    terminal = start("watch", job, env=daemon.env)
    terminal.wait_for("The queue is paused: `ffspool resume --queue`")
    daemon.client.post("/api/queue/resume")
    wait_until(lambda: "×" in terminal.text() and "The queue is" not in terminal.text(), "the bars alone")
    terminal.press(CTRL_C)
    assert terminal.end() == 130


def test_serve_at_a_terminal_tells_the_link_that_signs_in_and_a_log_does_not_hold_it(
    start: Start, shared_daemon: Daemon, tmp_path: Path
) -> None:
    terminal = start("serve", "--port", "0", "--state-dir", tmp_path / "state", columns=200)
    line = terminal.wait_for("/#token=")
    assert (tmp_path / "state" / "token").read_text().strip() in line
    assert line.endswith("Ctrl-C ends the daemon.")
    terminal.press(CTRL_C)
    assert terminal.end() == 0
    assert shared_daemon.token not in shared_daemon.log()


def test_serve_in_the_background_tells_what_ends_it_and_so_does_a_second_start(start: Start, tmp_path: Path) -> None:
    shell = start(columns=300, shell=True, env={**os.environ, "HISTFILE": ""})
    serve = f"{shlex.join(FFSPOOL)} serve --port 0 --state-dir {tmp_path / 'state'}"
    shell.press(f"{serve} &\n".encode())
    line = shell.wait_for("/#token=")
    pid = (tmp_path / "state" / "lock").read_text()
    assert line.endswith(f"`kill {pid}` ends the daemon.")
    shell.press(f"{serve}\n".encode())
    wait_until(lambda: f"`kill {pid}` ends it, after which" in shell.text(), "the refusal")
    shell.press(f"kill {pid}; wait; exit\n".encode())
    assert shell.end() == 0


# What is printed once


@WIDTHS
def test_lists_and_jobs_fit_and_say_what_to_do_next(
    start: Start, shared_daemon: Daemon, media: Media, clip: Path, columns: int
) -> None:
    job = shared_daemon.submit(clip, media("no-index.mp4"), presets=["mp3", "thumbnail-sheet"])["id"]
    shared_daemon.wait_for(job)
    for command in (["ls"], ["show", job], ["stats"], ["--help"], ["presets"]):
        terminal = start(*command, columns=columns, env=shared_daemon.env)
        assert terminal.end() == 0
        if command[0] == "ls":
            assert re.search(rf"{job}\s+2 completed, 2 failed\s+2/4", terminal.text())
        if command[0] == "show":
            assert "1 file is broken or no media: leave it out" in terminal.text()
            assert terminal.text().count("its index (moov) is missing") == 1
        if command[0] == "--help":
            assert "…" not in terminal.text() and "...\n" not in "\n".join(terminal.lines()[5:])


@WIDTHS
def test_errors_are_folded_between_words(start: Start, tmp_path: Path, columns: int) -> None:
    terminal = start("ls", "--state-dir", tmp_path, columns=columns)
    assert terminal.end() == 3
    assert "Start one with `ffspool serve`, name one with --state-dir or FFSPOOL_URL" in terminal.text()


@WIDTHS
def test_who_names_no_preset_is_told_where_they_are(start: Start, clip: Path, tmp_path: Path, columns: int) -> None:
    terminal = start("run", clip, "-o", tmp_path, columns=columns)
    assert terminal.end() == 2
    assert "Missing option '-p' / '--preset'. `ffspool presets` lists what there is to choose from" in terminal.text()


@WIDTHS
def test_doctor_fits_and_leaves_nothing_of_its_waiting(start: Start, tmp_path: Path, columns: int) -> None:
    terminal = start("doctor", "--ffmpeg", "/bin/false", "--state-dir", tmp_path, columns=columns)
    assert terminal.end() == 1
    assert "name a working ffmpeg with --ffmpeg or FFSPOOL_FFMPEG" in terminal.text()
    assert "trying every preset" not in terminal.text()


def test_the_parameters_of_every_preset_are_told(start: Start) -> None:
    terminal = start("presets", "h264-720p", columns=60)
    assert terminal.end() == 0
    assert "For example: -p h264-720p:" in terminal.text()


def test_no_color_is_heeded(start: Start, shared_daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = shared_daemon.wait_for(shared_daemon.submit(clip, presets=["mp3"])["id"])["id"]
    colourless = {**shared_daemon.env, "NO_COLOR": "1"}
    for command in (["ls"], ["show", job], ["stats"], ["show", "nothing"]):
        assert STYLE.search(_shown(start(*command, env=shared_daemon.env))) or command[-1] == "nothing"
        assert b"\x1b" not in _shown(start(*command, env=colourless))
    assert not STYLE.search(_shown(start("run", clip, "-p", FAST, "-o", tmp_path, env=colourless)))


def _shown(terminal: Terminal) -> bytes:
    terminal.end()
    return terminal.raw


def test_elsewhere_than_on_a_terminal_there_is_a_log_with_a_line_for_each_event(
    clip: Path, media: Media, tmp_path: Path
) -> None:
    bad = media("no-index.mp4")
    command = [*FFSPOOL, "run", str(clip), str(bad), "-p", FAST, "-p", "mp3", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    events = done.stdout.partition("\nSTATUS")[0].partition("\nFILE")[0].splitlines()
    assert sum(line.startswith("completed   clip_h264-480p.mp4  ") for line in events) == 1
    assert sum(line.startswith("completed   clip_mp3.mp3  ") for line in events) == 1
    assert sum("its index (moov) is missing" in line for line in events) == 1
    assert all(line.split()[0] in {"processing", "completed", "failed"} for line in events if line)
