"""No text steers what shows it: refused on the way in, and made visible on the way out, where it lies from before."""

from __future__ import annotations

import ast
import base64
import io
import json
import logging
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Daemon, wait_until
from surroundings import crossed
from test_terminal import FFSPOOL, Terminal

from daemon import filenames
from daemon.errors import NotFound
from daemon.http.problems import refusal
from daemon.plaintext import STEERING, STEERING_OVER_LINES, LogFormatter, clipped, flaw, json_escaped, visible

MARKS = [
    "\x00",
    "\t",
    "\n",
    "\r",
    "\x1b",
    "\x7f",
    "\x85",
    "\x9b",
    "\u061c",
    "\u200e",
    "\u2028",
    "\u2029",
    "\u202e",
    "\u2066",
]
HOSTILE = "a\x1b[2J\x1b]0;owned\x07\x9b2J\rforged\nforged line\x00\x7f\u202egpj\u2028\u2066z"
WRITTEN = re.compile(r"\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[[\d]*[AKHJ](?<!\x1b\[2J)|\r")  # by rich, of itself
PRESET = [{"preset": "mp3"}]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    running = Daemon(tmp_path_factory.mktemp("plain") / "state")
    yield running
    running.stop()


# In itself


def test_what_steers_is_written_out_and_nothing_else() -> None:
    assert visible("\x1b[31m\x9b\u202e\udcff\x00") == r"\x1b[31m\x9b\u202e\udcff\x00"
    assert visible("a\n\tb") == r"a\x0a\x09b"
    assert visible("a\n\tb\r", over_lines=True) == "a\n\tb\\x0d"
    for plain in ("", "Grüße, שלום, 日本語 👩‍👩‍👧 \u200d\u00ad", r"C:\x1b"):
        assert visible(plain) == plain
    assert (clipped("abcd", 4), clipped("abcde", 4)) == ("abcd", "abc…")


def test_a_refusal_quotes_nothing_that_steers() -> None:
    told = json.loads(bytes(refusal(NotFound(f"there is no {HOSTILE}\udcff")).body))["detail"]
    assert not STEERING_OVER_LINES.search(told)
    assert "\\u202egpj" in told


@pytest.mark.parametrize("mark", MARKS, ids=ascii)
def test_a_flaw_is_found_however_deep(mark: str) -> None:
    deep: Any = f"x{mark}"
    for _ in range(5000):
        deep = [deep, {"a": 1.5}]
    for value in (f"x{mark}", {mark: 1}, {"a": {"b": [None, True, f"{mark}x"]}}, deep):
        assert f"U+{ord(mark):04X}" in str(flaw(value))
    assert flaw({"a": ["plain", 1, None, {"ü": "שלום"}]}) is None


def test_escaped_json_means_the_same() -> None:
    value = {HOSTILE: [HOSTILE, "\udcff", {"a": 1}]}
    told = json_escaped(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(told) == value
    assert not STEERING_OVER_LINES.search(told)
    assert told.isprintable() or "\n" in told


def test_each_record_of_the_log_is_one_line_and_tracebacks_are_set_in() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter("%(levelname)s %(message)s"))
    log = logging.getLogger("of a test alone")
    log.propagate = False
    log.addHandler(handler)
    log.warning("%s cannot be read", HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("a fault")
    first, second, *traceback = stream.getvalue().splitlines()
    assert (first, second) == (f"WARNING {visible(HOSTILE)} cannot be read", "ERROR a fault")
    assert not any(line.startswith("forged") for line in traceback)
    assert not STEERING.search("".join(traceback))


def test_words_are_printed_in_one_place() -> None:
    """Whatever a command prints goes through `echo`, `print_json` or a console of ours."""
    for path in sorted((Path(__file__).parents[1] / "daemon").rglob("*.py")):
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert path.name == "options.py" or not {"click.echo", "click.secho"} & {*calls}, path
        assert path.name == "terminal.py" or "Console" not in calls, path


# On the way in


def ask(daemon: Daemon, **changes: Any) -> httpx.Response:
    wanted = json.dumps({"variations": PRESET, **changes})
    return daemon.client.post("/api/jobs", data={"spec": wanted}, files={"files": ("x.mp4", b"x")})


@pytest.mark.parametrize("mark", MARKS, ids=ascii)
def test_a_job_with_what_steers_in_its_words_is_refused(daemon: Daemon, mark: str) -> None:
    text = f"x{mark}y"
    for what, changes in (
        ("name", {"name": text}),
        ("metadata", {"metadata": {"a": [text]}}),
        ("metadata", {"metadata": {"a": {text: 1}}}),
        ("variations", {"variations": [{"preset": "refresh", "seed": text}]}),
        ("variations", {"variations": [{"preset": text}]}),
        ("webhook", {"webhook_url": f"http://example.com/{text}"}),
    ):
        answer = ask(daemon, **changes)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), what
        assert what in answer.json()["detail"]
        assert f"U+{ord(mark):04X}" in answer.json()["detail"]
    assert ask(daemon, name="שלום", metadata={"ü": "日本語"}).status_code == 202


def test_no_half_of_a_character_gets_in(daemon: Daemon) -> None:
    head, tail = '{"variations": [{"preset": "mp3"}], "sources": [{"upload": "none"}], "name": "', '"}'
    for half in (r"\ud800", r"\udfffx", r"x\ud83d"):
        answer = daemon.client.post(
            "/api/jobs", content=head + half + tail, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422


@pytest.mark.parametrize("mark", MARKS, ids=ascii)
def test_a_file_or_an_upload_of_such_a_name_is_refused(daemon: Daemon, mark: str) -> None:
    name = f"x{mark}.mp4"
    raw = name.encode().replace(b"\r", b"%0D").replace(b"\n", b"%0A")
    body = b'--B\r\nContent-Disposition: form-data; name="files"; filename="' + raw + b'"\r\n\r\nx\r\n--B--\r\n'
    form = daemon.client.post("/api/jobs", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    told = {"Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}
    tus = daemon.client.post("/api/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1", **told})
    for answer in (form, tus):
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_name")
        assert f"U+{ord(mark):04X}" in answer.json()["detail"]


def test_a_job_is_not_given_such_a_name_later(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, presets=["mp3"])["id"]
    for mark in MARKS:
        answer = daemon.client.patch(f"/api/jobs/{job}", json={"name": f"x{mark}"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert f"name holds U+{ord(mark):04X}" in answer.json()["detail"]
    assert daemon.job(job)["name"] is None


# On the way out


@pytest.fixture(scope="module")
def poisoned(daemon: Daemon, clip: Path) -> str:
    """A job as an older daemon took it, with such words wherever there are any."""
    wanted = {"variations": PRESET, "webhook_url": "http://localhost:1/"}
    job = str(daemon.wait_for(daemon.submit(clip, spec=wanted)["id"])["id"])
    poison(daemon, job)
    return job


def poison(daemon: Daemon, job: str) -> None:
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db", timeout=30)) as database, database:
        of_job = "job = (SELECT seq FROM jobs WHERE id = ?2)"
        for change in (
            "jobs SET name = ?1, metadata = json_object(?1, ?1) WHERE id = ?2",
            f"sources SET name = ?1, error = ?1 || char(10) || ?1 WHERE {of_job}",
            f"variations SET name = ?1, error = ?1 WHERE {of_job}",
            "outbox SET url = ?1, last_error = ?1 WHERE job = ?2",
        ):
            changed = database.execute(f"UPDATE {change}", (HOSTILE, job)).rowcount
            assert changed or change.startswith("outbox"), change


def shown(*arguments: str | Path, env: dict[str, str], columns: int = 100) -> Terminal:
    terminal = Terminal(*arguments, columns=columns, env=env)
    terminal.end()
    terminal.close()
    return terminal


def assert_nothing_steers(terminal: Terminal, *, may_have_lines: bool = False) -> None:
    rest = WRITTEN.sub("", terminal.raw.decode())
    assert not STEERING_OVER_LINES.search(rest), repr(rest)
    assert may_have_lines or not [line for line in terminal.lines() if line.startswith("forged")], terminal.lines()


@pytest.mark.parametrize(
    ("command", "columns"),
    crossed(["ls", "show JOB", "watch JOB", "log JOB", "edit JOB --priority 1", "retry JOB", "cancel JOB", "pause JOB",
     "webhooks deliveries", "download JOB -o OUT", "download JOB --extract -o OUT", "stats", "show JOB --json",
     "ls --json", "watch JOB --json"], [300, 40]),
)  # fmt: skip
def test_a_hostile_job_steers_no_terminal(
    daemon: Daemon, poisoned: str, tmp_path: Path, command: str, columns: int
) -> None:
    log = next((daemon.state_dir / "spool" / "jobs" / poisoned / "logs").iterdir())
    log.write_text(f"{HOSTILE}\n")
    words = [{"JOB": poisoned, "OUT": str(tmp_path)}.get(word, word) for word in command.split()]
    terminal = shown(*words, env=daemon.env, columns=columns)
    assert_nothing_steers(terminal, may_have_lines=command.startswith("log"))
    if columns == 300 and command in {"ls", "show JOB", "log JOB", "edit JOB --priority 1", "webhooks deliveries"}:
        assert r"a\x1b[2J\x1b]0;owned\x07\x9b2J\x0dforged" in terminal.text()
    if command in {"show JOB --json", "ls --json"}:
        assert json.loads(WRITTEN.sub("", terminal.raw.decode()))


def test_a_hostile_job_at_work_steers_no_terminal(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-1080p"])["id"]
    daemon.wait_for_encoder()
    poison(daemon, job)
    terminal = Terminal("watch", job, columns=300, env=daemon.env)
    following = Terminal("events", job, "--after", "0", columns=300, env=daemon.env)
    try:
        terminal.wait_for(r"a\x1b[2J")
        daemon.client.post(f"/api/jobs/{job}/cancel")
        terminal.end()
        daemon.client.delete(f"/api/jobs/{job}")
        following.end()
        assert_nothing_steers(terminal)
        assert_nothing_steers(following)
        assert r"\u202e" in following.text()
    finally:
        terminal.close()
        following.close()


@pytest.mark.parametrize(
    "command",
    ["show", "cancel", "download", "nothing", "run -p mp3 -o OUT", "submit -p mp3", "plan -p mp3", "presets", "rm",
     "ls --cursor", "ls --status", "edit JOB --name"],
)  # fmt: skip
def test_an_error_about_hostile_words_steers_no_terminal(daemon: Daemon, tmp_path: Path, command: str) -> None:
    words = [str(tmp_path) if word == "OUT" else word for word in command.split()]
    terminal = shown(*words, HOSTILE.replace("\x00", ""), env=daemon.env)
    assert terminal.process.returncode != 0
    assert_nothing_steers(terminal)


def test_doctor_and_serve_tell_a_hostile_state_dir_visibly(daemon: Daemon, tmp_path: Path) -> None:
    hostile = tmp_path / HOSTILE.replace("\x00", "")
    hostile.mkdir(mode=0o777)
    hostile.chmod(0o777)
    for command in (["doctor", "--ffmpeg", "/bin/false"], ["serve"]):
        terminal = shown(*command, "--state-dir", hostile, env=daemon.env)
        assert terminal.process.returncode == 1
        assert_nothing_steers(terminal)
        assert r"\u202egpj" in terminal.text().replace(" ", "")


def test_a_log_holds_no_line_that_a_name_made_up(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--log-level", "debug")
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    daemon.stop()
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database, database:
        database.execute("UPDATE variations SET id = ?", (HOSTILE,))  # of which the log tells that it is gone
    daemon.start()
    wait_until(lambda: "output is gone" in daemon.log(), "the log to tell it")
    assert f"variation={json.dumps(visible(HOSTILE), ensure_ascii=False)}" in daemon.log()
    assert not STEERING_OVER_LINES.search(daemon.log())


# Files of the user's own


def test_run_takes_files_of_any_name_and_its_outputs_have_plain_ones(clip: Path, tmp_path: Path) -> None:
    hostile = tmp_path / f"{HOSTILE.replace(chr(0), '')}.mp4"
    longest = tmp_path / f"{chr(27) * 251}.mp4"
    for path in (hostile, longest):
        path.write_bytes(clip.read_bytes())
    terminal = shown("run", hostile, longest, "-p", "mp3", "-o", tmp_path / "out", env=dict(os.environ), columns=300)
    assert terminal.process.returncode == 0, terminal.lines()
    assert_nothing_steers(terminal)
    made = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert [name for name in made if STEERING.search(name)] == []
    assert [name[:12] for name in made] == ["_x1b_x1b_x1b", "a_x1b[2J_x1b"], "not as they are told"
    assert [len(name) <= 255 for name in made] == [True, True]
    planned = shown("plan", hostile, "-p", "mp3", env=dict(os.environ), columns=300)
    assert planned.process.returncode == 0
    assert_nothing_steers(planned)
    assert r"a\x1b[2J\x1b]0;owned\x07\x9b2J\x0dforged" in planned.text()


def test_a_file_whose_name_is_no_text_is_refused_in_words(clip: Path, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\x1b.mp4"
    Path(os.fsdecode(path)).write_bytes(clip.read_bytes())
    done = subprocess.run([*FFSPOOL, "run", path, "-p", "mp3", "-o", str(tmp_path / "out")], capture_output=True)
    assert done.returncode == 2
    assert rb"\udcff\x1b.mp4 is not named in UTF-8" in done.stderr
    assert b"rename it" in done.stderr
    assert b"\x1b" not in done.stderr


def test_a_folder_whose_name_is_no_text_is_refused_in_words(clip: Path, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff\x9b"
    done = subprocess.run([*FFSPOOL, "run", str(clip), "-p", "mp3", "-o", folder], capture_output=True)
    assert done.returncode == 2
    assert rb"\udcff\udc9b is not named in UTF-8" in done.stderr


def test_names_we_make_of_such_names_are_plain() -> None:
    for mark in [*MARKS, "\udcff"]:
        assert not STEERING.search(filenames.outputs([f"x{mark}y.mp4"], [("mp3", "mp3")])[0][0])
        assert not any(map(STEERING.search, filenames.folders([f"x{mark}y.mp4"])))
        assert filenames.check(filenames.shown(f"x{mark}y.mp4"))
