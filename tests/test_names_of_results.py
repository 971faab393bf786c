"""`run` and `download` call results what a template says."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Daemon
from test_again import made, run
from test_cli import ffspool


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


def test_a_run_names_its_results_by_a_template(clip: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "films" / "one" / "clip.mp4", tmp_path / "out"
    source.parent.mkdir(parents=True)
    source.write_bytes(clip.read_bytes())
    wish = (tmp_path / "films", "-p", "h264-480p", "-p", "mp3", "-o", out, "--name", "{folder} {stem} {height} {codec}")
    code, job = run(*wish)
    assert (code, names(out)) == (0, ["one/one clip  mp3.mp3", "one/one clip 360 h264.mp4"])
    assert [variation["name"] for variation in job["sources"][0]["variations"]] == [
        "one/one clip 360 h264.mp4",
        "one/one clip  mp3.mp3",
    ]
    assert sorted(run(*wish, "--skip-existing")[1]["there"]) == names(out)


def test_results_that_come_out_the_same_are_numbered(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    code, job = run(clip, other, "-p", "mp3", "-o", tmp_path / "out", "--name", "sound")
    assert (code, made(job)) == (0, ["sound.mp3", "sound (2).mp3"])


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{stme}.{ext}", "has the word {stme}: did you mean {stem}?"),
        ("{job}", "has the word {job}"),
        ("a/{stem}", "'/'"),
    ],
)
def test_a_template_that_makes_no_name_is_told_before_anything_begins(
    clip: Path, tmp_path: Path, template: str, words: str
) -> None:
    done = ffspool("run", clip, "-p", "mp3", "-o", tmp_path / "out", "--name", template)
    assert (done.returncode, (tmp_path / "out").exists()) == (2, False)
    assert words in " ".join(done.stderr.split())


def test_a_download_lays_all_in_one_folder_by_the_names_of_a_template(
    shared_daemon: Daemon, clip: Path, tmp_path: Path
) -> None:
    both = [{"preset": "mp3"}, {"preset": "mp3", "bitrate_kbps": 64}, {"preset": "h264-480p", "short_side": 120}]
    job = shared_daemon.submit(clip, clip, spec={"variations": both, "name": "Holi/day"})["id"]
    shared_daemon.wait_for(job)
    fetch = ("download", job, "-o", tmp_path / "all", "--name")
    done = ffspool(*fetch, "{job} {stem}_{preset} {height}{codec}", env=shared_daemon.env)
    assert (done.returncode, names(tmp_path / "all")) == (
        0,
        sorted(
            f"Holi_day {stem}_{rest}"
            for stem in ("clip", "clip (2)")
            for rest in ("mp3 mp3.mp3", "mp3-2 mp3.mp3", "h264-480p 120h264.mp4")
        ),
    )
    assert ffspool(*fetch, "{word}", env=shared_daemon.env).returncode == 2
