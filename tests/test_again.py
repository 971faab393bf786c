"""The same `run` again makes what is missing and nothing else; folders are taken with all below them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, wait_until
from surroundings import thorough
from test_cli import ffspool, started

from daemon.cli.folders import gather, nothing_meant
from daemon.cli.made import RECORD

SOUND = ("-p", "mp3", "-p", "opus")


def run(*words: str | Path) -> Any:
    done = ffspool("run", *words, "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def made(job: Any) -> list[str]:
    return [Path(v["path"]).name for source in job["sources"] for v in source["variations"] if v["path"]]


def test_what_is_there_whole_of_the_same_is_not_made_again(clip: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "film.mp4", tmp_path / "out"
    source.write_bytes(clip.read_bytes())
    again = (source, *SOUND, "-o", out, "--skip-existing")
    assert made(run(source, "-p", "mp3", "-o", out)[1]) == ["film_mp3.mp3"]
    before = (out / "film_mp3.mp3").stat()
    code, job = run(*again)
    assert (code, made(job), job["there"]) == (0, ["film_opus.opus"], ["film_mp3.mp3"])
    assert (out / "film_mp3.mp3").stat().st_ino == before.st_ino
    assert run(*again) == (0, {"sources": [], "there": ["film_mp3.mp3", "film_opus.opus"]})
    assert "All 2 are there already" in ffspool("run", *again).stdout


def test_looks_that_were_drawn_are_known_again(clip: Path, tmp_path: Path) -> None:
    """Nobody said which; but for what else is asked for others are drawn."""
    wish = ("-p", "refresh:speed=ultrafast", "-p", "refresh:speed=ultrafast,count=2", "-o", tmp_path)
    assert len(made(run(clip, *wish)[1])) == 3
    record = tmp_path / RECORD
    record.write_bytes(b"".join(reversed(record.read_bytes().splitlines(keepends=True))))  # they may end in any order
    code, again = run(clip, *wish, "--skip-existing")
    assert (code, again["sources"], len(again["there"])) == (0, [], 3)
    other = ("-p", "refresh:speed=ultrafast,crf=30", *wish[2:])
    assert run(clip, *other, "--skip-existing")[0] == 2, "one of them is there already that was made otherwise"


@pytest.mark.parametrize("what", [thorough("cut"), "another source", "another recipe", "not ours"])
def test_what_is_not_the_same_is_never_taken_for_it(clip: Path, tmp_path: Path, what: str) -> None:
    source, out = tmp_path / "film.mp4", tmp_path / "out"
    source.write_bytes(clip.read_bytes())
    run(source, "-p", "mp3", "-o", out)
    preset = "mp3:bitrate_kbps=96" if what == "another recipe" else "mp3"
    if what == "cut":
        os.truncate(out / "film_mp3.mp3", 5000)
    elif what == "another source":
        os.utime(source, (1, 1))
    elif what == "not ours":
        (out / ".ffspool-made").unlink()
    code, words = run(source, "-p", preset, "-o", out, "--skip-existing")
    assert (code, "there already" in words) == (2, True)
    code, words = run(source, tmp_path / "none.mp4", "-p", preset, "-o", out)
    assert (code, "there already" in words, "none.mp4" in words) == (2, True, True)
    code, job = run(source, "-p", preset, "-o", out, "--skip-existing", "--overwrite")
    assert (code, made(job)) == (0, ["film_mp3.mp3"])


def test_files_of_one_stem_are_told_apart_over_several_runs(clip: Path, tmp_path: Path) -> None:
    first, other, out = tmp_path / "film.mp4", tmp_path / "film.mkv", tmp_path / "out"
    for path in (first, other):
        path.write_bytes(clip.read_bytes())
    again = ("-p", "mp3", "-o", out, "--skip-existing")
    assert made(run(first, *again)[1]) == ["film_mp3.mp3"]
    assert made(run(other, *again)[1]) == ["film.mkv_mp3.mp3"]
    for path in (first, other):
        assert run(path, *again)[1]["there"] == [f"film{'.mkv' if path is other else ''}_mp3.mp3"]


def test_ctrl_c_says_how_to_go_on(clip: Path, small_film: Path, unhurried: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [clip, small_film, "-p", "h264-480p:speed=ultrafast", "-o", out]
    slow = [f"{name}={value}" for name, value in unhurried.items()]
    with started("run", *command, before=("env", *slow)) as process:
        wait_until((out / "clip_h264-480p.mp4").exists, "the first file")
        process.send_signal(signal.SIGINT)
        words, _ = process.communicate()
    assert process.returncode == 130
    assert "The same again makes what is missing, and nothing else." in words
    shutil.rmtree(out / ".ffspool", ignore_errors=True)  # as where nothing of a film was encoded yet
    code, job = run(*command)
    assert (code, made(job), job["there"]) == (0, ["film_h264-480p.mp4"], ["clip_h264-480p.mp4"])
    code, words = run(*command)
    assert (code, "there already" in words) == (2, True), "it came to its end"


# Folders


@pytest.fixture
def tree(tmp_path: Path, clip: Path) -> Iterator[Path]:
    folder = tmp_path / "films"
    for name in ("a.mp4", "one/a.MOV", "one/deep/b.mkv", "one/notes.txt", ".hidden/c.mp4", "out/d.mp4", "one/.e.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(clip.read_bytes())
    return folder


def within(tree: Path, **how: Any) -> list[str]:
    return [str(named.path.relative_to(tree)) for named in gather([tree], **how)]


def test_a_folder_stands_for_the_films_and_sounds_below_it(tree: Path) -> None:
    assert within(tree, apart=tree / "out") == ["a.mp4", "one/a.MOV", "one/deep/b.mkv"]
    assert within(tree, exclude=["*.MOV", "out/*", "one/deep/*"]) == ["a.mp4"]
    assert within(tree, include=["*.txt", "one/deep/*"]) == ["one/notes.txt", "one/deep/b.mkv"]
    assert within(tree, include=["*.wav"]) == ["."], "of which it is said that nothing in it is meant"
    refused = ffspool("run", tree, "-p", "mp3", "-o", tree.parent / "out", "--include", "*.wav")
    words = "a folder of which nothing is taken: 5 files are left out, such as a.mp4."
    assert (refused.returncode, words in " ".join(refused.stderr.split())) == (2, True)
    assert "--include '*.mp4' takes those" in nothing_meant(tree)


def test_what_an_earlier_run_made_is_no_source_of_the_same_again(tree: Path) -> None:
    """`./*` has the output folder among what is there by then."""
    run(tree / "a.mp4", "-p", "mp3", "-o", tree / "out")
    assert within(tree / "out", apart=tree / "out") == ["d.mp4"], "it lay there before"
    (tree / "out" / "d.mp4").unlink()
    assert [one.path for one in gather([tree / "a.mp4", tree / "out"], apart=tree / "out")] == [tree / "a.mp4"]
    assert within(tree / "out", apart=tree / "other") == ["a_mp3.mp3"], "which may be the source of another output"
    assert within(tree / "out", apart=tree / "out") == ["."]


def test_its_tree_is_made_again_in_the_output(tree: Path) -> None:
    code, job = run(tree, "-p", "mp3", "-o", tree / "out", "--exclude", "deep/*", "--exclude", "one/deep/*")
    assert (code, sorted(made(job))) == (0, ["a_mp3.mp3", "a_mp3.mp3"])
    assert (tree / "out" / "a_mp3.mp3").is_file()
    assert (tree / "out" / "one" / "a_mp3.mp3").is_file()
    names = [v["name"] for source in job["sources"] for v in source["variations"]]
    assert names == ["a_mp3.mp3", "one/a_mp3.mp3"]


def test_plan_submit_and_download_take_folders(daemon: Daemon, tree: Path, tmp_path: Path) -> None:
    few = ("--exclude", "*.mkv", "--exclude", "d.mp4", "-p", "mp3", "--json")
    planned = json.loads(ffspool("plan", tree, *few, env=daemon.env).stdout)
    assert [Path(process["file"]).name for process in planned["processes"]] == ["a.mp4", "a.MOV"]
    job = json.loads(ffspool("submit", tree, "--wait", *few, env=daemon.env).stdout)
    assert [source["name"] for source in job["sources"]] == ["a.mp4", "a.MOV"]
    fetched = ffspool("download", job["id"], "-o", f"{tmp_path / 'unpacked'}/", env=daemon.env)
    assert fetched.returncode == 0, fetched.stderr
    assert sorted(str(path.relative_to(tmp_path / "unpacked")) for path in (tmp_path / "unpacked").rglob("*.mp3")) == [
        "a.MOV/a.MOV_mp3.mp3",
        "a.mp4/a.mp4_mp3.mp3",
    ]
