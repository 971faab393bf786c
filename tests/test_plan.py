"""`ffspool plan`: what it tells of a batch is what the daemon then does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Daemon, Media
from test_cli import ffspool, no_environment, printed
from test_terminal import Terminal

WISHES = ["-p", "h264-480p:speed=ultrafast", "-p", "mp3"]


def test_the_processes_are_those_that_the_daemon_starts(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--slots", "1")
    planned = printed("plan", clip, *WISHES, "--slots", "1", env=daemon.env)
    job = daemon.wait_for(daemon.submit(clip, spec={"variations": [{"preset": "h264-480p"}, {"preset": "mp3"}]})["id"])
    [process] = planned["processes"]
    assert process["presets"] == ["h264-480p", "mp3"]
    assert [variation["sharing"] for variation in job["sources"][0]["variations"]] == [2, 2]
    assert 0 < planned["wall_seconds"] <= planned["cpu_seconds"]
    assert not planned["refused"]


def test_what_was_learnt_of_this_host_is_used(start_daemon: Callable[..., Daemon], clip: Path, tmp_path: Path) -> None:
    daemon = start_daemon()
    daemon.wait_for(daemon.submit(clip, presets=["h264-480p"])["id"])
    learnt, guessed = (
        printed("plan", clip, "-p", "h264-480p", env=env)["cpu_seconds"]
        for env in (daemon.env, no_environment(tmp_path / "none"))
    )
    assert learnt != guessed
    assert not (tmp_path / "none").exists(), "it left something behind"


def test_what_cannot_be_made_is_told_with_the_reason(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    done = ffspool("plan", clip, broken, "-p", "mp3", env=no_environment(tmp_path / "none"))
    assert done.returncode == 1
    assert f"{broken}: it is not a media file ffspool can read" in done.stdout
    assert "1 process, " in done.stdout
    told = json.loads(ffspool("plan", broken, "-p", "mp3", "--json", env=no_environment(tmp_path / "none")).stdout)
    assert (told["processes"], told["refused"][0]["preset"]) == ([], None)


def test_a_file_whose_end_is_missing_is_not_planned_unless_that_is_kept(media: Media, tmp_path: Path) -> None:
    wish = ("plan", media("truncated.mkv"), "-p")
    cut = ffspool(*wish, "h264-480p", env=no_environment(tmp_path / "none"))
    assert (cut.returncode, "the source is truncated" in cut.stdout) == (1, True)
    kept = ffspool(*wish, "h264-480p:on_truncated=keep", env=no_environment(tmp_path / "none"))
    assert (kept.returncode, "is truncated" in kept.stdout) == (0, False)


def test_a_film_of_a_photograph_is_told_to_be_one(clip: Path, ffmpeg: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, "-frames:v", "1", "-update", "1", photo], check=True)
    wishes = ("-p", "h264-480p", "-p", "poster", "-p", "webp", "-p", "remux-mkv")
    planned = printed("plan", photo, clip, *wishes, env=no_environment(tmp_path / "none"))
    told = {(Path(output["file"]).name, output["preset"]) for output in planned["outputs"] if output["one_picture"]}
    assert told == {("photo.jpg", "h264-480p"), ("photo.jpg", "remux-mkv")}
    words = "photo.jpg → h264-480p will be a film of one picture"
    assert words in ffspool("plan", photo, "-p", "h264-480p", env=no_environment(tmp_path / "none")).stdout
    made = ffspool("run", photo, "-p", "h264-480p", "-p", "poster", "-o", tmp_path / "out").stdout
    assert made.count("is a film of one picture") == made.count("photo.jpg → h264-480p is a film of one picture") == 1


def test_its_exit_code_is_documented_and_told_by_its_help() -> None:
    documented = Path(__file__).parents[1].joinpath("docs", "command-line.md").read_text()
    assert "something cannot be made (`plan`)" in documented
    assert "1: something cannot" in ffspool("plan", "--help").stdout


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_process_takes_one_line_of_any_terminal(columns: int, clip: Path, tmp_path: Path) -> None:
    with closing(Terminal("plan", clip, *WISHES, columns=columns, env=no_environment(tmp_path / "none"))) as terminal:
        assert terminal.end() == 0
        assert (terminal.line("BEGINS") or "").endswith("MAKES")
        assert (terminal.line(" 0:00 ") or "").endswith("h264-480p, mp3")


def test_a_film_that_many_machines_may_encode_is_told_to_be_one(clip: Path, tmp_path: Path) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text("[cluster]\nlisten = 'tls://127.0.0.1:8786'\npiece_seconds = 1\n")
    env = {**no_environment(tmp_path / "none"), "FFSPOOL_CONFIG": str(config), "FFSPOOL_RESUME_FROM": "0"}
    told = ffspool("plan", clip, "-p", "h264-480p", "-p", "h264-720p:pieces=never", env=env).stdout
    assert "clip.mp4 → h264-480p may be encoded in 2 pieces at once" in told
    assert "h264-720p may be" not in told
