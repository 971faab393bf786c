"""Files of odd names come through on every way there is, or are refused in words."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import Daemon, wait_until
from test_cli import ffspool, no_environment
from test_folders import toml

LONG = "x" * 251
EMOJI = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f"
ODD = {  # and what outputs are called by
    "-i.wav": "-i",
    "--.wav": "--",
    f"{LONG}.wav": LONG,
    f"{'é' * 125}.wav": "é" * 125,
    "a'b\"c`d$(x).wav": "a'b_c`d$(x)",
    "frame%03d.wav": "frame%03d",
    "%s%n.wav": "%s%n",
    "C:x.wav": "C_x",
    "c|d.wav": "c_d",
    "concat:a.wav|b.wav": "concat_a.wav_b",
    "pipe:0.wav": "pipe_0",
    "trail. . .wav": "trail",
    "blank .wav": "blank",
    " before.wav": "before",
    f"{EMOJI}.wav": EMOJI,
    "e\u0301.wav": "\u00e9",
    "[0:a];,=.wav": "[0_a];,=",
    "a#?&.wav": "a#_&",
    "\\x.wav": "_x",
    "a\\'b.wav": "a_'b",
    "con.wav": "_con",
}
STEERING = {"new\nline.wav": "U+000A", "x\u202egpj.wav": "U+202E"}
NO_TEXT = "\udcff\udcfe.wav"
MOST, MOST_OF_STEM = 255, 247  # bytes
WISH = {"variations": [{"preset": "mp3"}]}


class Made(NamedTuple):
    """A daemon that was given all of them: in one job by upload, in one by path, and in the folder `inbox`."""

    daemon: Daemon
    inbox: Path
    delivered: Path
    taken: Path
    uploaded: Any
    read: Any


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("odd")
    inbox, delivered, taken = (folder / name for name in ("inbox", "delivered", "taken"))
    for one in (inbox, delivered, taken):
        one.mkdir()
    for name in (*ODD, *STEERING, NO_TEXT):
        recorded(inbox / name)
    table = {"name": "inbox", "path": str(inbox), **WISH, "stable_seconds": 0.1, "scan_every": 0.1}
    table["deliver"] = {"folder": str(taken), "name": "{stem}.{ext}"}
    config = folder / "ffspool.toml"
    config.write_text("\n".join(["[[folders]]", *(f"{name} = {toml(value)}" for name, value in table.items())]))
    roots = ("--source-root", str(inbox), "--output-root", str(folder))
    daemon = Daemon(folder / "state", *roots, FFSPOOL_CONFIG=str(config))
    sources = [{"path": str(inbox / name)} for name in ODD]
    read = daemon.client.post("/api/jobs", json={"sources": sources, **WISH}).json()["id"]
    uploaded = daemon.submit(*(inbox / name for name in ODD), spec={**WISH, "deliver": {"folder": str(delivered)}})[
        "id"
    ]
    jobs = [daemon.wait_for(job) for job in (uploaded, read)]
    yield Made(daemon, inbox, delivered, taken, *jobs)
    daemon.stop()


def recorded(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))


def output(stem: str, ending: str = "_mp3.mp3", most: int = MOST) -> str:
    return stem.encode()[: most - len(ending)].decode(errors="ignore") + ending


def is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@pytest.mark.parametrize("name", ODD, ids=lambda name: ascii(name)[:30])
def test_a_file_of_an_odd_name_is_made_and_delivered(made: Made, name: str) -> None:
    for job in (made.uploaded, made.read):
        source = next(source for source in job["sources"] if source["name"] == name)
        [variation] = source["variations"]
        assert (variation["status"], variation["error"]) == ("completed", None)
        url = f"/api/jobs/{job['id']}/variations/{variation['id']}/download"
        assert made.daemon.client.get(url).headers["content-disposition"].startswith("attachment; filename")
    wait_until(lambda: is_there(made.delivered / output(ODD[name])), "its delivery")
    wait_until(lambda: is_there(made.taken / output(ODD[name], ".mp3", MOST_OF_STEM + 4)), "that of the watched folder")


@pytest.mark.parametrize("name", STEERING, ids=lambda name: ascii(name)[:30])
def test_a_name_that_steers_what_shows_it_is_refused_in_words_on_every_way(made: Made, name: str) -> None:
    words = f"holds {STEERING[name]}, which controls how text is shown: rename the file"
    for answer in (
        made.daemon.client.post("/api/jobs", json={"sources": [{"path": str(made.inbox / name)}], **WISH}),
        made.daemon.client.post("/api/jobs", data={"spec": json.dumps(WISH)}, files={"files": (name, b"x")}),
    ):
        assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text
    wait_until(lambda: words in json.dumps(history(made.daemon)), "the watched folder to say so")


def history(daemon: Daemon) -> Any:
    return daemon.client.get("/api/folders/inbox/history").json()


def test_a_watched_folder_tells_of_names_that_are_no_text_and_leaves_nothing_waiting(made: Made) -> None:
    def folder() -> Any:
        [item] = made.daemon.client.get("/api/folders").json()["items"]
        return item

    wait_until(lambda: folder()["taken"] == len(ODD), "all to be taken")
    assert folder()["error"] == "1 of the names in it is not UTF-8: rename what is called so"
    assert (folder()["waiting"], folder()["refused"]) == (0, len(STEERING))


def test_all_of_odd_names_are_downloaded_at_once(made: Made, tmp_path: Path) -> None:
    done = ffspool("download", made.uploaded["id"], "-o", tmp_path, env=made.daemon.env)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.rglob("*.mp3")} == {output(stem) for stem in ODD.values()}


def test_files_of_odd_names_are_made_by_run(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.inbox)
    given = [*ODD, *STEERING, NO_TEXT]
    done = ffspool("run", "-p", "mp3", "-o", tmp_path / "out", "--", *given, env=no_environment(tmp_path / "state"))
    assert done.returncode == 1
    assert r"\udcff\udcfe.wav is not named in UTF-8" in done.stdout
    stems = [*ODD.values(), "new_x0aline", "x_u202egpj"]
    assert {path.name for path in (tmp_path / "out").iterdir()} - {".ffspool-made"} == {output(stem) for stem in stems}
