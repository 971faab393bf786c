"""Presets of the user's own, from ffspool.toml: used like any other, and told by file and line where they are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Daemon
from test_cancel_over_http import variations
from test_cli import ffspool

from daemon.errors import StartupError, UnknownPreset
from daemon.models import VariationRequest
from daemon.presets.library import Library
from daemon.presets.user_presets import library
from daemon.recipes.catalogue import catalogue
from daemon.settings import load, presets_table

LECTURE = """
slots = 1

[presets.lecture]
base = "h264-480p"
description = "recordings of lectures"
crf = 28
speed = "ultrafast"
"""


def read(tmp_path: Path, text: str) -> Library:
    path = tmp_path / "ffspool.toml"
    path.write_text(text)
    return library(*presets_table({"FFSPOOL_CONFIG": str(path)}))


def test_an_own_preset_is_its_base_with_other_defaults(tmp_path: Path) -> None:
    own = read(tmp_path, LECTURE)
    (wanted,) = own.expand([VariationRequest("lecture", {"short_side": 240})])
    assert (wanted.preset, wanted.label, wanted.extension) == ("lecture", "lecture", "mp4")
    assert {name: wanted.parameters[name] for name in ("crf", "speed", "short_side", "audio_bitrate_kbps")} == {
        "crf": 28, "speed": "ultrafast", "short_side": 240, "audio_bitrate_kbps": 128,
    }  # fmt: skip
    described = {preset["name"]: preset for preset in own.describe()}["lecture"]
    assert (described["group"], described["base"]) == ("own", "h264-480p")
    assert own.describe()[0]["name"] == "lecture", "they are looked for first"
    assert described["description"] == "recordings of lectures"
    assert {p["name"]: p["default"] for p in described["parameters"]}["crf"] == 28
    with pytest.raises(UnknownPreset):
        Library().find("lecture")


def test_presets_tell_which_of_them_are_gone_on_with(tmp_path: Path) -> None:
    searched = '[presets.searched]\nbase = "h264-480p"\ntarget_vmaf = 93\n'
    told = {preset["name"] for preset in catalogue(read(tmp_path, LECTURE + searched)) if preset["resumable"]}
    films = {
        "h264-480p",
        "hevc-1080p",
        "av1-720p",
        "webm-720p",
        "square-1080p",
        "h264-1080p-smart",
        "refresh",
        "hls",
        "dash",
        "lecture",
    }
    assert films <= told
    assert not told & {"searched", "h264-capped", "mp3", "remux-mp4", "thumbnail-sheet"}


def test_own_presets_are_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "ffspool.toml"
    path.write_text(LECTURE)
    settings = load({"state_dir": tmp_path}, {"FFSPOOL_CONFIG": str(path)})
    assert settings.slots == 1


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[presets.a]\nbase = "mp3"\nbitrate_kbps = 999\n', 3, "bitrate_kbps is 999, but it takes a whole number"),
        ('# first\n\n[presets.a]\nbase = "mp3"\n\ncrf = 2\n', 6, "preset mp3 has no parameter 'crf'"),
        ('[presets.a]\ncrf = 2\n', 1, "the preset a lacks its base"),
        ('[presets.a]\nbase = "nope"\n', 2, "its base is 'nope', which is no built-in preset"),
        ('[presets.a]\nbase = "mp3"\n[presets.b]\nbase = "a"\n', 4, "its base is 'a', which is no built-in preset"),
        ('[presets.mp3]\nbase = "mp3"\n', 1, "there is a built-in preset mp3"),
        ('[presets."A b"]\nbase = "mp3"\n', 1, "cannot be called that"),
        ('slots = 1\npresets = 3\n', 2, "presets is no table"),
        ('[presets]\n\nx = 3\n', 3, "presets.x is no table"),
        ('[presets.a]\nbase = "mp3"\ndescription = ""\n', 3, "must be one line of text"),
        ('[presets]\na.base = "mp3"\na.bitrate_kbps = 1\n', 3, "bitrate_kbps is 1"),
        ('[presets.b]\nbase = "mp3"\n[presets]\na = {base = "mp3", bitrate_kbps = 1}\n', 4, "bitrate_kbps is 1"),
        ('[ presets . "a" ]\nbase = "mp3"\n"bitrate_kbps" = true\n', 3, "bitrate_kbps is True"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_file_and_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(StartupError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'ffspool.toml'}, line {line}: ")
    assert words in str(caught.value)


def test_the_commands_know_own_presets(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text(LECTURE)
    monkeypatch.setenv("FFSPOOL_CONFIG", str(config))
    listed = ffspool("presets")
    assert "Your own, from ffspool.toml:\n  lecture" in listed.stdout
    assert "recordings of lectures (from h264-480p)" in listed.stdout
    assert json.loads(ffspool("presets", "lecture", "--json").stdout)["base"] == "h264-480p"
    made = ffspool("run", clip, "-p", "lecture:short_side=120", "-o", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "out" / "clip_lecture.mp4").exists()
    config.write_text(LECTURE.replace("28", "2"))
    for command in (("presets",), ("serve",), ("run", clip, "-p", "mp3", "-o", tmp_path / "out")):
        refused = ffspool(*command)
        assert refused.returncode == 2
        assert f"{config}, line 7: the preset lecture: preset h264-480p: crf is 2" in refused.stderr


def test_a_daemon_encodes_with_own_presets_and_says_when_one_is_gone(
    tmp_path: Path, clip: Path, start_daemon: Callable[..., Daemon]
) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text(LECTURE)
    daemon = start_daemon(FFSPOOL_CONFIG=str(config))
    job = daemon.submit(clip, presets=["lecture"])
    (variation,) = variations(daemon.wait_for(job["id"]))
    assert (variation["status"], variation["name"], variation["preset"]) == ("completed", "clip_lecture.mp4", "lecture")
    assert "lecture" in [preset["name"] for preset in daemon.client.get("/api/presets").json()["items"]]
    assert daemon.client.post("/api/queue/pause").status_code == 200
    waiting = daemon.submit(clip, presets=["lecture"])
    daemon.stop()
    config.write_text("")
    daemon.start()
    daemon.client.post("/api/queue/resume")
    (variation,) = variations(daemon.wait_for(waiting["id"]))
    assert variation["status"] == "failed"
    assert "there is no preset 'lecture'" in variation["error"]


def test_the_listing_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from rich.console import Console

    from daemon.cli import presets, terminal

    screen = StringIO()
    monkeypatch.setattr(terminal, "console", lambda: Console(file=screen, width=80, markup=False, highlight=False))
    described = catalogue(Library())
    presets._list_groups(described)
    for preset in described:
        presets._list_parameters(preset)
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(line.startswith(f"  {preset['name']} ") for line in lines) for preset in described)
