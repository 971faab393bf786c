"""Errors in words: a real encoder is brought to fail in each way, and what is told names the reason and a way out."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from conftest import Daemon, Media
from mixtures import mixtures
from specimens import make

from daemon.encode.diagnosis import CAUSES, Ending, diagnose

QUIET = ("-hide_banner", "-nostats", "-y")
NOBODY = 65534
ENDLESS = ("-f", "lavfi", "-i", "testsrc2=size=1280x720", "-c:v", "libx264", "-f", "null", "-")


@pytest.fixture
def fails(ffmpeg: str, clip: Path, tmp_path: Path) -> Callable[..., Ending]:
    """Runs ffmpeg on a source, the clip by default, and tells how it ended."""

    def run(
        *arguments: str,
        source: Path = clip,
        before: Sequence[str] = (),
        memory: int | None = None,
        user: int | None = None,
    ) -> Ending:
        command = [ffmpeg, *QUIET, *before, "-i", str(source), *arguments]
        limit = ["prlimit", f"--data={memory}"] if memory else []
        ended = subprocess.run(
            [*limit, *command], cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, user=user, check=False
        )
        assert ended.returncode != 0, ended.stderr.decode()
        return Ending(ended.returncode, ended.stderr.decode(errors="replace").splitlines())

    return run


def to(encoder: str, *options: str, form: str = "mp4") -> tuple[str, ...]:
    return (*options, "-c:v", encoder, "-f", form, "out")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("-c:v", "libx264", "-f", "mpegts", "/dev/full"), "the disk is full"),
        (to("libnothing"), "no encoder libnothing"),
        (("-filter_complex", "[0:v]nothing=a=1[o]", "-map", "[o]", "-f", "mp4", "out"), "no filter nothing"),
        (("-f", "nothing", "out"), "cannot write the format nothing"),
        (("-nothing", "1", "-f", "mp4", "out"), "does not know the option nothing"),
        (to("libx264", "-vf", "scale=nothing=1"), "does not know the option nothing"),
        (to("libx264", "-vf", "scale=161:121,format=yuv420p"), "picture of this size"),
        (to("h263"), "picture of this size"),
        (to("libx264", "-vf", "setparams=color_trc=unknown:colorspace=2,zscale=t=linear"), "the source's colours"),
        (to("libwebp", "-vf", "scale=17000:16", "-frames:v", "1", form="webp"), "picture of this size"),
        (to("libx265", "-vf", "format=yuv444p", "-profile:v", "main"), "pixels of this kind"),
        (to("libx264", "-pix_fmt", "nothing"), "pixels of this kind"),
        (("-vn", "-af", "pan=hexagonal|c0=c0", "-c:a", "libopus", "-f", "ogg", "out"), "audio channels"),
        (("-vn", "-channel_layout", "22.2", "-c:a", "aac", "-f", "mp4", "out"), "audio channels"),
        (("-vn", "-ac", "48", "-c:a", "aac", "-f", "mp4", "out"), "audio channels"),
        (("-c", "copy", "-f", "webm", "out"), "the container does not take"),
        (to("libx264", "-preset", "nothing"), "does not take what this source holds"),
    ],
)
def test_what_the_encoder_refuses_is_named(fails: Callable[..., Ending], arguments: tuple[str, ...], what: str) -> None:
    found = diagnose(fails(*arguments))
    assert found
    assert what in found.what


@pytest.fixture
def mixture(ffmpeg: str, tmp_path: Path) -> Callable[[str], Path]:
    """Gives the film of several traits that is called so."""
    known = {one.name: one for one in mixtures()}
    return lambda name: make(known[name], ffmpeg, tmp_path)


@pytest.mark.parametrize("source", ["no-index.mp4", "empty.m4a", "commands.gif"])
def test_a_damaged_source_is_called_that(fails: Callable[..., Ending], media: Media, source: str) -> None:
    found = diagnose(fails("-f", "null", "-", source=media(source)))
    assert found
    assert ("damaged" in found.what, found.may_pass) == (True, False)


@pytest.mark.parametrize("name", ["x264-slow-601-spoilt.flv", "mpeg2video-fields-cut-offset.mxf"])
def test_damage_that_only_a_copy_meets_is_called_that(
    fails: Callable[..., Ending], mixture: Callable[[str], Path], name: str
) -> None:
    found = diagnose(fails("-map", "0", "-c", "copy", "-f", "matroska", "out", source=mixture(name)))
    assert found
    assert "damaged" in found.what


@pytest.mark.parametrize("tracks", ["0", "0:v", "0:a"])  # of several, the one whose decoder gets there first is told
def test_damage_in_the_middle_is_called_that(
    fails: Callable[..., Ending], clip: Path, tmp_path: Path, tracks: str
) -> None:
    damaged, whole = tmp_path / "damaged.mp4", clip.read_bytes()
    at = whole.index(b"mdat") + len(whole) // 3
    damaged.write_bytes(whole[:at] + b"\xff" * 30_000 + whole[at + 30_000 :])
    ending = fails("-map", tracks, "-xerror", "-err_detect", "explode", "-f", "null", "-", source=damaged)
    found = diagnose(ending)
    assert found
    assert "damaged" in found.what


def test_what_the_guards_refuse_is_named(fails: Callable[..., Ending], clip: Path, media: Media) -> None:
    too_large = diagnose(fails("-f", "null", "-", before=("-max_pixels", "1000"), source=media("odd.mkv")))
    unread = diagnose(fails("-f", "null", "-", before=("-codec_whitelist", "h263"), source=clip))
    assert too_large
    assert unread
    assert "larger than ffspool takes" in too_large.what
    assert "a codec that ffspool does not read" in unread.what


@pytest.mark.parametrize("memory", [40_000_000, 150_000_000])
def test_too_little_memory_is_told_and_may_pass(fails: Callable[..., Ending], memory: int) -> None:
    found = diagnose(fails(*to("libx264", "-vf", "scale=3840:2160"), memory=memory))
    assert found
    assert ("memory" in found.what, found.may_pass) == (True, True)


def test_a_source_of_another_user_is_told(fails: Callable[..., Ending], clip: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed.mp4"
    closed.write_bytes(clip.read_bytes())
    closed.chmod(0)
    found = diagnose(fails("-f", "null", "-", source=closed, user=NOBODY if os.geteuid() == 0 else None))
    assert found
    assert "does not let the encoder read" in found.what


@pytest.mark.parametrize(
    ("number", "what", "may_pass"),
    [
        (signal.SIGSEGV, "crashed", False),
        (signal.SIGKILL, "killed from outside", True),
        (signal.SIGTERM, "somebody else asked", True),
        (signal.SIGXCPU, "all the CPU time", False),
    ],
)
def test_an_end_by_a_signal_is_told(ffmpeg: str, number: signal.Signals, what: str, may_pass: bool) -> None:
    with subprocess.Popen([ffmpeg, *QUIET, *ENDLESS], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stderr
        said = [encoder.stderr.readline()]
        while b"Output #0" not in said[-1]:
            said.append(encoder.stderr.readline())
        encoder.send_signal(number)
        said += encoder.stderr.readlines()
    found = diagnose(Ending(encoder.returncode, [line.decode().rstrip() for line in said]))
    assert found
    assert what in found.what
    assert found.may_pass == may_pass


def test_words_in_a_title_are_not_taken_for_the_encoders(
    fails: Callable[..., Ending], ffmpeg: str, clip: Path, tmp_path: Path
) -> None:
    titled = tmp_path / "titled.mp4"
    title = "title=No space left on device\nCannot allocate memory\r[x @ 0x1] No such filter: 'x'"
    subprocess.run([ffmpeg, *QUIET, "-i", clip, "-c", "copy", "-metadata", title, titled], check=True)
    ending = fails(*to("libnothing"), source=titled)
    assert any("No space left" in line for line in ending.said)
    found = diagnose(ending)
    assert found
    assert "no encoder libnothing" in found.what


def test_every_cause_has_a_way_out_and_can_be_told_by_its_code_alone() -> None:
    for cause in CAUSES:
        assert cause.remedy
        for code in cause.codes:
            assert diagnose(Ending(code, []))
    assert diagnose(Ending(1, ["something else"])) is None


# Through the daemon


def error_of(daemon: Daemon, source: Path, preset: str = "h264-480p") -> str:
    done = daemon.wait_for(daemon.submit(source, presets=[preset])["id"])
    assert done["status"] == "failed"
    return str(done["sources"][0]["variations"][0]["error"])


def wrapped(folder: Path, script: str) -> Path:
    """An encoder of our own; the daemon asks its version at the start."""
    path = folder / "other-ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_an_older_encoder_is_told_with_its_own_words_below(
    start_daemon: Callable[..., Daemon], tmp_path: Path, ffmpeg: str, clip: Path
) -> None:
    lacking = f"""for word do shift; [ "$word" = libx264 ] && word=libnothing; set -- "$@" "$word"; done
exec {ffmpeg} "$@\""""
    daemon = start_daemon("--ffmpeg", str(wrapped(tmp_path, lacking)), "--sandbox", "off")
    first, *tail = error_of(daemon, clip).splitlines()
    assert first.startswith(
        "ffmpeg could not encode clip.mp4: this ffmpeg has no encoder libnothing (exit code 8); use"
    )
    assert any("Unknown encoder 'libnothing'" in line for line in tail)


@pytest.mark.thorough
def test_the_reason_is_shown_though_statistics_pushed_it_out_of_the_last_lines(
    start_daemon: Callable[..., Daemon], tmp_path: Path, ffmpeg: str, clip: Path
) -> None:
    """Into a device that is always full, while the disk is not: so it is tried again, and does not wait for space."""
    full = f"""case "$*" in *-version*) ;; *) for word do shift
case "$word" in *.part) word=/dev/full ;; mp4) word=mpegts ;; esac; set -- "$@" "$word"; done ;; esac
exec {ffmpeg} "$@\""""
    daemon = start_daemon("--ffmpeg", str(wrapped(tmp_path, full)), "--sandbox", "off", FFSPOOL_RETRY_DELAY="0.01")
    first, *tail = error_of(daemon, clip).splitlines()
    assert "the disk is full (exit code 228); free some space" in first
    assert "No space left on device" in tail[0]
    assert tail[-1] == "Conversion failed!"


@pytest.mark.thorough
def test_an_encoder_that_used_up_its_cpu_time_is_told_and_not_tried_again(
    start_daemon: Callable[..., Daemon], long_clip: Path
) -> None:
    daemon = start_daemon(FFSPOOL_MAX_ENCODE_HOURS=str(1.5 / 3600))
    job = daemon.submit(long_clip, presets=["h264-480p"])["id"]
    variation = daemon.wait_for(job)["sources"][0]["variations"][0]
    assert variation["attempts"] == 1
    assert "used all the CPU time" in variation["error"]
    assert "max_encode_hours" in variation["error"]


@pytest.mark.parametrize("then", ["sleep 300", "exit 0"])
def test_an_encoder_that_fills_the_disk_with_many_files_is_ended_and_not_tried_again(
    start_daemon: Callable[..., Daemon], tmp_path: Path, ffmpeg: str, clip: Path, then: str
) -> None:
    filling = f"""case "$*" in *-version*) exec {ffmpeg} "$@" ;; esac
for name in a b c d; do truncate -s 400M $name; done; {then}"""
    daemon = start_daemon("--ffmpeg", str(wrapped(tmp_path, filling)), "--sandbox", "off")
    variation = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["sources"][0]["variations"][0]
    assert (variation["status"], variation["attempts"]) == ("failed", 1)
    assert "it wrote far more than such an output can come to" in variation["error"]
    assert not daemon.parts()


def test_an_encoder_out_of_memory_is_told(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon(FFSPOOL_MAX_ENCODER_MEMORY="60000000", FFSPOOL_RETRY_DELAY="0.01")
    assert "there was not enough memory" in error_of(daemon, clip)
