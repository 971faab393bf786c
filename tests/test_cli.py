"""The commands as a user runs them: real processes, real files, exit codes, and what is left behind."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import forked
import msgspec
import psutil
import pytest
from conftest import PATIENCE, Daemon, Media, encoders, wait_until
from forked import template
from surroundings import thorough

from daemon.cli.made import RECORD
from daemon.cli.main import serve
from daemon.settings import Settings

FFSPOOL = [sys.executable, "-m", "daemon.cli"]
CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FAST = "h264-480p:speed=ultrafast"


def ffspool(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs it without a terminal, in that environment or that of the tests."""
    return forked.run([*map(str, arguments)], os.environ if env is None else env)


def printed(*arguments: str | Path, env: dict[str, str] | None = None) -> Any:
    """The JSON that a command prints, and nothing else, on stdout."""
    done = ffspool(*arguments, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def started(*arguments: str | Path, before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    command = [*before, *FFSPOOL, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def names(folder: Path) -> list[str]:
    """What a user sees there."""
    return sorted(path.name for path in folder.iterdir() if path.name != RECORD)


def decodes(ffmpeg: str, path: Path) -> bool:
    command = [ffmpeg, "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    return subprocess.run(command, capture_output=True).returncode == 0


def no_environment(state_dir: Path) -> dict[str, str]:
    """One in which no daemon is known but that of `state_dir`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FFSPOOL_")}
    return {**clean, "FFSPOOL_STATE_DIR": str(state_dir), "FFSPOOL_PORT": "0"}  # whoever else has the usual port


# run


def test_run_makes_every_variation_of_every_file_and_leaves_nothing_else(
    media: Media, clip: Path, ffmpeg: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    quoted = tmp_path / "a film's.mov"
    quoted.symlink_to(clip)
    done = ffspool("run", quoted, media("no-audio.mp4"),
                   "-p", FAST, "-p", "thumbnail-sheet", "-o", out)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "more such losses" not in done.stdout
    assert names(out) == [
        "a film's_h264-480p.mp4",
        "a film's_thumbnail-sheet.jpg",
        "no-audio_h264-480p.mp4",
        "no-audio_thumbnail-sheet.jpg",
    ]
    assert all(decodes(ffmpeg, path) for path in out.iterdir() if path.name != RECORD)
    assert all(name in done.stdout for name in names(out))
    assert "4 of 4 completed" in done.stdout


def test_run_tells_in_json_what_was_made_where(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = printed("run", clip, "-p", f"{FAST},crf=30", "-p", "refresh:count=2,seed=7,speed=ultrafast", "-o", out)
    made = job["sources"][0]["variations"]
    assert [Path(variation["path"]).name for variation in made] == [
        "clip_h264-480p.mp4",
        "clip_refresh-01.mp4",
        "clip_refresh-02.mp4",
    ]
    assert [variation["parameters"].get("seed") for variation in made] == [None, "7", "7"]
    assert made[0]["parameters"]["crf"] == 30
    for variation in made:
        assert hashlib.sha256(Path(variation["path"]).read_bytes()).hexdigest() == variation["sha256"]


def test_a_bad_file_fails_alone_and_run_says_why(media: Media, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = ffspool("run", media("no-index.mp4"), clip, "-p", FAST, "-o", out)
    assert done.returncode == 1
    assert names(out) == ["clip_h264-480p.mp4"]
    assert "no-index.mp4: its index (moov) is missing" in done.stdout


def test_files_of_one_name_do_not_overwrite_each_other(clip: Path, tmp_path: Path) -> None:
    twin = tmp_path / "elsewhere" / clip.name
    twin.parent.mkdir()
    twin.symlink_to(clip)
    assert ffspool("run", clip, twin, "-p", "m4a", "-o", tmp_path / "out").returncode == 0
    assert names(tmp_path / "out") == ["clip (2)_m4a.m4a", "clip_m4a.m4a"]


@pytest.mark.thorough
def test_what_is_told_while_it_runs_are_the_names_of_the_files(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    """Of two sources that only their kind tells apart, too."""
    other = tmp_path / "clip.mkv"
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, "-c", "copy", other], check=True)
    done = ffspool("run", clip, other, "-p", "mp3", "-p", "m4a", "-o", tmp_path / "out")
    assert names(tmp_path / "out") == ["clip.mkv_m4a.m4a", "clip.mkv_mp3.mp3", "clip.mp4_m4a.m4a", "clip.mp4_mp3.mp3"]
    told = {word for line in done.stdout.splitlines() if line.startswith("completed ") for word in line.split()}
    assert set(names(tmp_path / "out")) <= told, done.stdout


def test_the_one_result_may_be_named(clip: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "sound.mp3", tmp_path / "folder.mp3"
    done = ffspool("run", clip, "-p", "mp3", "-o", one)
    assert (done.returncode, one.is_file()) == (0, True), done.stderr
    assert "sound.mp3" in done.stdout
    again = ffspool("run", clip, "-p", "mp3", "-o", one)
    assert (again.returncode, f"there already: {one}" in again.stderr) == (2, True), again.stderr
    assert "All 1 are there already" in ffspool("run", clip, "-p", "mp3", "-o", one, "--skip-existing").stdout
    assert ffspool("run", clip, "-p", "mp3", "-o", f"{two}/").returncode == 0
    assert names(two) == ["clip_mp3.mp3"]
    assert ffspool("run", clip, "-p", FAST, "-o", two).returncode == 0
    assert names(two) == ["clip_h264-480p.mp4", "clip_mp3.mp3"]
    more = ffspool("run", clip, "-p", "mp3", "-p", "poster", "-o", two, "--skip-existing").stdout
    assert "1 of 1 completed; 1 made before. What is completed is in" in more


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", FAST, "-o", "x.mp3"], "x.mp3 is no name for what h264-480p makes: type `-o x.mp4`, or choose a preset"),
        (["-p", FAST, "-p", "mp3", "-o", "x.mp4"], "1 file × 2 outputs are 2: `-o x` names a folder for them"),
        (["-p", "hls", "-o", "x.m3u8"], "x.m3u8 is the name of a file, and hls makes a folder: `-o x` names"),
        (["-p", "mp3", "-o", "x.mp3", "--name", "{stem}"], "--name and -o x.mp3 both say what the result is called"),
        (["-p", "mp3", "-o", "README"], "the output folder README is a file"),
    ],
)
def test_an_output_that_is_no_folder_and_not_what_is_made_is_refused_with_what_to_type(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README").touch()
    refused = ffspool("run", clip, *arguments)
    assert (refused.returncode, words in " ".join(refused.stderr.split())) == (2, True), refused.stderr
    assert names(tmp_path) == ["README"]


def test_a_file_that_is_there_is_never_overwritten_unasked(clip: Path, tmp_path: Path) -> None:
    there = tmp_path / "clip_m4a.m4a"
    there.write_text("precious")
    refused = ffspool("run", clip, "-p", "m4a", "-o", tmp_path)
    assert (refused.returncode, there.read_text()) == (2, "precious")
    assert str(there) in refused.stderr
    assert ffspool("run", clip, "-p", "m4a", "-o", tmp_path, "--overwrite").returncode == 0
    assert there.stat().st_size > 1000


@pytest.mark.thorough
def test_a_file_that_comes_meanwhile_is_not_overwritten_either(clip: Path, tmp_path: Path) -> None:
    with started("run", clip, "-p", FAST, "-o", tmp_path) as process:
        wait_until((tmp_path / ".ffspool").exists, "the run's start")
        (tmp_path / "clip_h264-480p.mp4").write_text("precious")
        output, _ = process.communicate()
    assert process.returncode == 0
    assert (tmp_path / "clip_h264-480p.mp4").read_text() == "precious"
    assert "clip_h264-480p (2).mp4" in output


def test_an_input_is_not_overwritten_even_if_asked(clip: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "clip.mp4", tmp_path / "clip_m4a.m4a"
    source.write_bytes(clip.read_bytes())
    target.write_bytes(clip.read_bytes())
    done = ffspool("run", source, target, "-p", "m4a", "-o", tmp_path, "--overwrite")
    assert (done.returncode, target.read_bytes()) == (2, clip.read_bytes())


def test_a_folder_is_overwritten_only_where_all_in_it_is_of_a_run(clip: Path, tmp_path: Path) -> None:
    film, diary = tmp_path / "trip" / "trip.mp4", tmp_path / "trip" / "diary.txt"
    film.parent.mkdir()
    film.write_bytes(clip.read_bytes())
    diary.write_text("precious")
    again = ("run", film, "-p", "sprite-sheet", "-o", tmp_path, "--overwrite", "--name", "{stem}")
    eaten = ffspool(*again)
    assert (eaten.returncode, film.exists(), diary.exists()) == (2, True, True)
    assert "an input would be overwritten" in eaten.stderr
    film.rename(tmp_path / "trip.mp4")
    strange = ffspool(again[0], tmp_path / "trip.mp4", *again[2:])
    assert (strange.returncode, diary.read_text()) == (2, "precious")
    assert "with more in it than ffspool made" in strange.stderr
    diary.unlink()
    for _ in range(2):
        assert ffspool(again[0], tmp_path / "trip.mp4", *again[2:]).returncode == 0
        assert (tmp_path / "trip" / "thumbnails.vtt").exists()


def test_an_input_by_another_name_is_not_overwritten(clip: Path, tmp_path: Path) -> None:
    """As a disk that heeds no case has it."""
    source, target = tmp_path / "CLIP.mp4", tmp_path / "CLIP_m4a.m4a"
    source.write_bytes(clip.read_bytes())
    target.hardlink_to(source)
    assert ffspool("run", source, "-p", "m4a", "-o", tmp_path, "--overwrite").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, thorough(signal.SIGTERM)])
def test_interrupting_run_keeps_what_is_completed_and_leaves_nothing_else(
    number: signal.Signals, clip: Path, long_clip: Path, ffmpeg: str, tmp_path: Path
) -> None:
    with started("run", clip, long_clip, "-p", FAST, "--slots", "1", "-o", tmp_path) as process:
        parent = psutil.Process(process.pid)
        wait_until((tmp_path / "clip_h264-480p.mp4").exists, "the first file")
        children = wait_until(lambda: encoders(parent), "the second encoder")
        process.send_signal(number)
        output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert names(tmp_path) == ["clip_h264-480p.mp4"]
    assert decodes(ffmpeg, tmp_path / "clip_h264-480p.mp4")
    assert not any(child.is_running() for child in children)
    assert "1 of 2 completed, 1 cancelled" in output


def test_interrupting_run_again_and_again_leaves_no_encoder(long_clip: Path, tmp_path: Path) -> None:
    with started("run", long_clip, "-p", "h264-1080p:speed=slow", "-o", tmp_path) as process:
        children = wait_until(lambda: encoders(psutil.Process(process.pid)), "the encoder")
        while psutil.wait_procs(children, timeout=0.05)[1]:
            process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert not any(child.is_running() for child in children)
    assert names(tmp_path) in ([], [".ffspool"])  # there was time to encode some of it, or not


BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")  # as `&` in a script has it


def ignored(process: int) -> bool:
    """Whether it ignores SIGINT, as the kernel has it."""
    [mask] = [line.split()[1] for line in Path(f"/proc/{process}/status").read_text().splitlines() if "SigIgn" in line]
    return bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


def test_in_a_scripts_background_sigint_stays_ignored(long_clip: Path, tmp_path: Path) -> None:
    with started("run", long_clip, "-p", FAST, "-o", tmp_path, before=BACKGROUND) as process:
        wait_until(lambda: encoders(psutil.Process(process.pid)), "the encoder")
        assert ignored(process.pid)
        process.terminate()
        process.communicate()
    assert process.returncode == 130


def test_a_daemon_in_a_scripts_background_ignores_sigint(
    start_daemon: Callable[..., Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Daemon, "prefix", BACKGROUND)
    daemon = start_daemon()
    assert ignored(daemon.process.pid)
    assert daemon.stop() == 0


@pytest.mark.thorough
def test_a_killed_run_leaves_no_encoder_and_the_next_one_clears_up(clip: Path, long_clip: Path, tmp_path: Path) -> None:
    with started("run", long_clip, "-p", FAST, "-o", tmp_path) as process:
        children = wait_until(lambda: encoders(psutil.Process(process.pid)), "the encoder")
        process.kill()
        process.wait()
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert names(tmp_path) == [".ffspool"]
    assert ffspool("run", clip, "-p", "m4a", "-o", tmp_path).returncode == 0
    assert names(tmp_path) == ["clip_m4a.m4a"]


def test_two_runs_do_not_share_a_folder(clip: Path, long_clip: Path, tmp_path: Path) -> None:
    with started("run", long_clip, "-p", FAST, "-o", tmp_path) as process:
        wait_until(lambda: encoders(psutil.Process(process.pid)), "the encoder")
        second = ffspool("run", clip, "-p", "m4a", "-o", tmp_path)
        assert second.returncode == 1
        assert "another `ffspool run`" in second.stderr
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate()


def test_run_refuses_to_work_in_the_state_dir_of_a_daemon(clip: Path, tmp_path: Path) -> None:
    (tmp_path / ".ffspool").mkdir()
    (tmp_path / ".ffspool" / "token").write_text("precious")
    assert ffspool("run", clip, "-p", "m4a", "-o", tmp_path).returncode == 1
    assert (tmp_path / ".ffspool" / "token").read_text() == "precious"


USAGE_ERRORS = {
    "no such file": (["run", "nowhere.mp4", "-p", "mp3"], "nowhere.mp4"),
    "no such preset": (["run", "CLIP", "-p", "h264-720"], "h264-720p"),
    "a parameter out of range": (["run", "CLIP", "-p", "h264-720p:crf=99"], "crf"),
    "an override without a value": (["run", "CLIP", "-p", "h264-720p:crf"], "crf"),
    "a setting out of range": (["run", "CLIP", "-p", "mp3", "--slots", "0"], "slots"),
    "no preset": (["run", "CLIP"], "--preset"),
}


@pytest.mark.parametrize("case", USAGE_ERRORS)
def test_a_usage_error_is_2_and_names_what_is_wrong(case: str, clip: Path, tmp_path: Path) -> None:
    arguments, word = USAGE_ERRORS[case]
    done = ffspool(*(clip if argument == "CLIP" else argument for argument in arguments), "-o", tmp_path / "out")
    assert done.returncode == 2
    assert word in done.stderr
    assert not (tmp_path / "out").exists()


def bad_names(folder: Path, clip: Path) -> list[Path]:
    """A film between what cannot be used: an empty file, a folder, one that is missing, names that are none."""
    (folder / "empty.mp4").touch()
    (folder / "folder").mkdir()
    nameless = folder / os.fsdecode(b"na\xefve.mp4")
    shutil.copy(clip, nameless)
    return [
        folder / "empty.mp4",
        folder / "folder",
        clip,
        folder / "missing.mp4",
        nameless,
        folder / f"{'x' * 300}.mp4",
    ]


IN_WORDS = (
    "empty.mp4 is empty",
    "folder is a folder",
    "missing.mp4 cannot be read: No such file",
    "not named in UTF-8",
    "cannot be read: File name too long",
)


def test_files_that_cannot_be_used_are_told_each_and_the_others_are_made(clip: Path, tmp_path: Path) -> None:
    files = bad_names(tmp_path, clip)
    done = ffspool("run", *files, "-p", "mp3", "-o", tmp_path / "out")
    assert (done.returncode, names(tmp_path / "out")) == (1, [f"{clip.stem}_mp3.mp3"])
    assert all(words in done.stdout for words in IN_WORDS), done.stdout
    strict = ffspool("run", *files, "-p", "mp3", "-o", tmp_path / "strict", "--strict")
    assert (strict.returncode, (tmp_path / "strict").exists()) == (2, False)
    assert all(words in strict.stderr for words in IN_WORDS), strict.stderr


def test_a_plan_tells_of_files_that_cannot_be_used_and_goes_on(clip: Path, tmp_path: Path) -> None:
    done = ffspool("plan", *bad_names(tmp_path, clip), "-p", "mp3", "--json", env=no_environment(tmp_path / "none"))
    assert done.returncode == 1, done.stderr
    planned = json.loads(done.stdout)
    reasons = " ".join(one["reason"] for one in planned["refused"])
    assert all(words in reasons for words in IN_WORDS), reasons
    assert len(planned["processes"]) == 1


def test_an_output_folder_that_is_not_named_in_utf8_is_told_in_words(clip: Path, tmp_path: Path) -> None:
    done = ffspool("run", clip, "-p", "mp3", "-o", tmp_path / os.fsdecode(b"\xef"))
    assert done.returncode == 2
    assert "is not named in UTF-8: choose another --output" in done.stderr


def test_an_encoder_that_does_not_run_is_named(clip: Path, tmp_path: Path) -> None:
    done = ffspool("run", clip, "-p", "mp3", "-o", tmp_path, "--ffmpeg", "/bin/false")
    assert (done.returncode, names(tmp_path)) == (1, [])
    assert "/bin/false" in done.stderr


# With a daemon


def test_a_job_from_submit_to_rm(shared_daemon: Daemon, clip: Path) -> None:
    submitted = ffspool("submit", clip, "-p", FAST, "-p", "mp3", "--name", "holiday", "--wait", env=shared_daemon.env)
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.strip()
    assert shared_daemon.job(job)["status"] == "completed"
    assert printed("ls", env=shared_daemon.env)["items"][0]["name"] == "holiday"
    assert printed("show", job, env=shared_daemon.env) == shared_daemon.job(job)
    for view in (ffspool("ls", env=shared_daemon.env).stdout, ffspool("show", job, env=shared_daemon.env).stdout):
        assert job in view
        assert "holiday" in view
    assert "clip_mp3.mp3" in view
    assert ffspool("rm", job, env=shared_daemon.env).returncode == 0
    assert ffspool("show", job, env=shared_daemon.env).returncode == 4


def test_downloads_are_the_very_files_and_never_overwrite(shared_daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = shared_daemon.wait_for(shared_daemon.submit(clip, presets=["m4a", "mp3"])["id"])
    first = job["sources"][0]["variations"][0]
    assert ffspool("download", job["id"], first["id"], "-o", tmp_path, env=shared_daemon.env).returncode == 0
    assert hashlib.sha256((tmp_path / first["name"]).read_bytes()).hexdigest() == first["sha256"]
    assert ffspool("download", job["id"], first["id"], "-o", tmp_path, env=shared_daemon.env).returncode == 2
    assert ffspool("download", job["id"], "-o", tmp_path / "all.zip", env=shared_daemon.env).returncode == 0
    (tmp_path / "each").mkdir()
    unpacked = ffspool("download", job["id"], "-o", tmp_path / "each", env=shared_daemon.env)
    assert f"2 files are below {tmp_path / 'each'}, " in unpacked.stdout
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        zipped = {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}
    fetched = {
        str(path.relative_to(tmp_path / "each")): path.read_bytes() for path in (tmp_path / "each").rglob("*.m*")
    }
    assert zipped == fetched
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_arrives_damaged_is_not_kept(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    variation = job["sources"][0]["variations"][0]["id"]
    [stored] = daemon.state_dir.rglob(f"{variation}.mp3")
    stored.write_bytes(bytes(stored.stat().st_size))
    done = ffspool("download", job["id"], variation, "-o", tmp_path / "clip.mp3", env=daemon.env)
    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert not list(tmp_path.glob("clip*"))


def test_cancel_tells_what_was_ended_and_what_is_kept(daemon: Daemon, clip: Path, long_clip: Path) -> None:
    job = daemon.submit(clip, long_clip, presets=["h264-480p"])["id"]
    wait_until(lambda: daemon.job(job)["completed_variations"], "the first variation")
    daemon.wait_for_encoder()
    receipt = printed("cancel", job, env=daemon.env)
    assert (receipt["status"], receipt["completed_variations"]) == ("cancelled", 1)
    again = ffspool("cancel", job, env=daemon.env)
    assert again.returncode == 0
    assert "was cancelled before: 1 of 2 completed are kept" in again.stdout
    assert daemon.encoders() == []


def test_one_source_or_one_variation_is_cancelled_alone(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip, long_clip, presets=["h264-480p", "mp3"])
    one, other = job["sources"]
    variation = one["variations"][0]["id"]
    assert ffspool("cancel", job["id"], "--variation", variation, env=daemon.env).returncode == 0
    assert ffspool("cancel", job["id"], "--source", other["id"], env=daemon.env).returncode == 0
    one, other = daemon.job(job["id"])["sources"]
    assert one["variations"][0]["status"] == "cancelled"
    assert other["status"] == "cancelled"
    assert one["status"] in {"queued", "processing", "completed"}
    assert ffspool("rm", job["id"], env=daemon.env).returncode == 0


def test_watch_follows_to_the_end_and_interrupting_it_stops_nothing(daemon: Daemon, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-480p"])["id"]
    encoder = daemon.wait_for_encoder()
    command = [*FFSPOOL, "watch", job]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=daemon.env) as watching:
        wait_until(lambda: psutil.Process(watching.pid).net_connections(), "the watcher's connection")
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 130
    assert encoder.is_running()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=daemon.env) as watching:
        wait_until(lambda: psutil.Process(watching.pid).net_connections(), "the watcher's connection")
        assert ffspool("cancel", job, env=daemon.env).returncode == 0
        output, _ = watching.communicate()
    assert watching.returncode == 1
    assert f"{job} is cancelled: 0 of 1 completed, 1 cancelled" in output


def test_what_goes_with_a_job_can_be_given(shared_daemon: Daemon, clip: Path) -> None:
    given = ["--keep-hours", "2", "--metadata", '{"order": 7}', "--webhook", "https://example.com/hook"]
    done = ffspool("submit", clip, "-p", "mp3", *given, "--webhook-variations", "--json", env=shared_daemon.env)
    job = shared_daemon.wait_for(json.loads(done.stdout)["id"])
    told = job["metadata"], job["webhook_url"], job["webhook_variations"]
    assert told == ({"order": 7}, "https://example.com/hook", True)
    kept = datetime.fromisoformat(job["expires_at"]) - datetime.fromisoformat(job["finished_at"])
    assert kept.total_seconds() == pytest.approx(7200)


@pytest.mark.parametrize("given", [("--metadata", "[1]"), ("--metadata", "{"), ("--webhook-variations",)])
def test_what_makes_no_sense_with_a_job_is_refused_before_anything_is_sent(
    given: tuple[str, ...], clip: Path, tmp_path: Path
) -> None:
    done = ffspool("submit", clip, "-p", "mp3", *given, env=no_environment(tmp_path))
    assert done.returncode == 2, done.stderr
    assert given[0].partition("-variations")[0] in done.stderr


def test_submit_wait_is_1_when_something_failed(shared_daemon: Daemon, media: Media, clip: Path) -> None:
    bad = media("no-index.mp4")
    done = ffspool("submit", bad, clip, "-p", "mp3", "--wait", env=shared_daemon.env)
    assert done.returncode == 1
    assert "its index (moov) is missing" in done.stderr


def test_the_log_of_an_encode_is_told(shared_daemon: Daemon, clip: Path) -> None:
    job = shared_daemon.wait_for(shared_daemon.submit(clip, presets=["mp3"])["id"])["id"]
    done = ffspool("log", job, env=shared_daemon.env)
    assert done.returncode == 0
    assert done.stdout.startswith("$ ffmpeg ")


def test_files_of_the_host_are_submitted_by_path(start_daemon: Any, clip: Path) -> None:
    daemon = start_daemon("--source-root", str(clip.parent))
    done = ffspool("submit", "--path", clip, "-p", "mp3", "--wait", env=daemon.env)
    assert done.returncode == 0, done.stderr
    refused = ffspool("submit", "--path", "/etc/hostname", "-p", "mp3", env=daemon.env)
    assert refused.returncode == 4
    assert "/etc/hostname" in refused.stderr


def test_a_daemon_elsewhere_is_reached_by_url_and_token(shared_daemon: Daemon, tmp_path: Path) -> None:
    env = {**no_environment(tmp_path / "nothing"), "FFSPOOL_URL": shared_daemon.url}
    refused = ffspool("ls", env=env)
    assert refused.returncode == 4
    assert "FFSPOOL_TOKEN" in refused.stderr
    wrong = ffspool("ls", env={**env, "FFSPOOL_TOKEN": "wrong"}).stderr
    assert "does not take this token" in " ".join(wrong.split())
    assert ffspool("ls", env={**env, "FFSPOOL_TOKEN": shared_daemon.token}).returncode == 0
    bare = ffspool("ls", env={**env, "FFSPOOL_URL": "localhost:8080"})
    assert (bare.returncode, "a URL begins with http://, https:// or unix:" in " ".join(bare.stderr.split())) == (
        3,
        True,
    )


@pytest.mark.parametrize("command", ["show", "cancel", "rm", "log", "download", "watch"])
def test_what_is_not_there_is_4(shared_daemon: Daemon, command: str) -> None:
    done = ffspool(command, "nothing", env=shared_daemon.env)
    assert done.returncode == 4
    assert "there is no job nothing" in done.stderr


@pytest.mark.parametrize("job", ["", thorough("."), thorough(".."), "../jobs", thorough("a/b")])
def test_what_is_no_identifier_never_becomes_another_route(shared_daemon: Daemon, job: str) -> None:
    assert ffspool("rm", job, env=shared_daemon.env).returncode == 4


def test_without_a_daemon_every_command_says_how_to_start_one(tmp_path: Path, clip: Path) -> None:
    env = no_environment(tmp_path)
    commands: list[list[str | Path]] = [["ls"], ["show", "x"], ["watch"], ["submit", clip, "-p", "mp3"], ["rm", "x"]]
    for done in [ffspool(*command, env=env) for command in commands]:
        assert done.returncode == 3
        assert "ffspool serve" in done.stderr


def test_a_daemon_that_is_gone_is_no_daemon(daemon: Daemon) -> None:
    daemon.stop(signal.SIGKILL)
    (daemon.state_dir / "address").write_text(daemon.url)
    done = ffspool("ls", env=daemon.env)
    assert done.returncode == 3
    assert "Start one with `ffspool serve`" in done.stderr


# Without one


def test_every_setting_but_the_password_is_a_flag_of_serve() -> None:
    settings = {field.name for field in msgspec.structs.fields(Settings)}
    assert {parameter.name for parameter in serve.params} == settings - {"password"}


def test_presets_are_told_without_a_daemon(tmp_path: Path) -> None:
    env = no_environment(tmp_path)
    listed = [preset["name"] for preset in printed("presets", env=env)["items"]]
    assert "h264-720p" in listed
    table = ffspool("presets", env=env).stdout
    assert all(name in table for name in listed)
    assert re.search(r"h264-720p +\.mp4 +\* ", table)
    assert "10 to 51" in (told := ffspool("presets", "h264-720p", env=env).stdout)
    assert "After an interruption it goes on where it was" in told
    assert "After an interruption it begins again" in ffspool("presets", "h264-capped", env=env).stdout


# In a terminal


def on_terminal(*arguments: str | Path, columns: int, env: dict[str, str], code: int = 0) -> list[str]:
    """The lines a command shows on a pseudo-terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES"}}  # the terminal's own count
    env |= {"TERM": "xterm", "NO_COLOR": "1"}
    process = template().command([*map(str, arguments)], env, theirs, theirs)
    os.close(theirs)
    shown = b"".join(_until_closed(ours))
    os.close(ours)
    assert process.wait(PATIENCE) == code, shown
    return CONTROL_SEQUENCE.sub("", shown.decode()).replace("\r", "").splitlines()


def _until_closed(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # EIO: nobody holds the other end any more
            return


def test_lists_fit_any_terminal_and_never_cut_an_identifier(shared_daemon: Daemon, clip: Path) -> None:
    name = "a long name [bold]of[/bold] :smile: " + "x" * 100
    job = shared_daemon.wait_for(
        shared_daemon.submit(clip, spec={"name": name, "variations": [{"preset": "mp3"}]})["id"]
    )
    for columns in (40, 60, 80, 120):
        for command in (["ls"], ["show", job["id"]]):
            lines = on_terminal(*command, columns=columns, env=shared_daemon.env)
            assert all(len(line) <= columns for line in lines)
            assert any(job["id"] in line for line in lines)


@pytest.mark.parametrize("columns", [thorough(60), 80, thorough(120)])
def test_run_shows_bars_on_a_terminal_and_a_table_at_the_end(clip: Path, tmp_path: Path, columns: int) -> None:
    presets = ["-p", "h264-480p", "-p", "mp3"]
    lines = on_terminal("run", clip, *presets, "-o", tmp_path, columns=columns, env=dict(os.environ))
    assert any("0 of 2 completed" in line for line in lines)
    result = lines[next(number for number, line in enumerate(lines) if "RESULT" in line) :]
    assert any("completed" in line and "clip_mp3.mp3" in line for line in result)
    assert all(len(line) <= columns for line in result)


def test_the_last_table_tells_outputs_apart_and_folds_what_ended_alike(media: Media, tmp_path: Path) -> None:
    silent, other = media("no-audio.mp4"), tmp_path / "other.mp4"
    other.write_bytes(silent.read_bytes())
    sounds = [word for preset in ("mp3", "m4a", "opus", "flac") for word in ("-p", preset)]
    arguments = ("run", silent, other, "-p", "thumbnail-sheet", *sounds, "-o", tmp_path / "out")
    lines = on_terminal(*arguments, columns=80, env=dict(os.environ))
    result = lines[next(number for number, line in enumerate(lines) if "RESULT" in line) :]
    assert any("other_thumbnail-sheet.jpg" in line for line in result)
    assert any("no-audio_thumbnail-sheet.jpg" in line for line in result)
    assert "8 skipped, of 2 files" in [line.strip() for line in result]
    assert not any("skipped" in line and "mp3" in line and "→" not in line for line in result)


def test_the_last_table_groups_by_file_and_tells_of_one_that_cannot_be_read_once(clip: Path, tmp_path: Path) -> None:
    other, broken = tmp_path / "other.mp4", tmp_path / "broken.mp4"
    other.write_bytes(clip.read_bytes())
    broken.write_bytes(b"no film" * 100)
    arguments = ("run", clip, broken, other, "-p", "mp3", "-p", "thumbnail-sheet", "-o", tmp_path / "out")
    lines = on_terminal(*arguments, columns=80, env=dict(os.environ), code=1)
    start = next(number for number, line in enumerate(lines) if "RESULT" in line)
    column = lines[start].index("RESULT")
    assert [line[column:].rstrip() for line in lines[start + 1 : start + 8]] == [
        "clip.mp4:",
        "  clip_mp3.mp3",
        "  clip_thumbnail-sheet.jpg",
        "broken.mp4: all 2",
        "other.mp4:",
        "  other_mp3.mp3",
        "  other_thumbnail-sheet.jpg",
    ]


@pytest.mark.parametrize(
    ("code", "preset", "content"),
    [(2, "h264-721p", None), (2, "h264-480p:crf=99", None), (2, "mp3", b""), (1, "mp3", b"this is no sound" * 100)],
)
def test_run_and_submit_end_with_the_same_code(
    shared_daemon: Daemon, clip: Path, tmp_path: Path, code: int, preset: str, content: bytes | None
) -> None:
    file = clip
    if content is not None:
        file = tmp_path / "other.mp3"
        file.write_bytes(content)
    ran = ffspool("run", file, "-p", preset, "-o", tmp_path / "out")
    submitted = ffspool("submit", file, "-p", preset, "--wait", env=shared_daemon.env)
    assert (ran.returncode, submitted.returncode) == (code, code), submitted.stderr
