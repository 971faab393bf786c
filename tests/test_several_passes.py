"""Encodes of more than one pass, in a real daemon and beneath it: cancelled, frozen, followed, and told in one log."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, wait_until
from oddities import telecined
from specimens import FIELDS, MPEG2, heard, read, silent
from surroundings import thorough
from test_cancel_over_http import assert_nothing_is_left, cancel, variations
from test_kinds import frames, make
from test_unread import made

from daemon.encode.local_engine import LocalEngine
from daemon.encode.task import Ended, Order, Progress, Report, Started, Task
from daemon.media import describe as reading
from daemon.models import Sandbox, SourceFile, VariationRequest
from daemon.presets.library import Library
from daemon.process.launcher import Limits

CAPPED = {"preset": "h264-capped", "target_bytes": 40_000_000, "speed": "slow"}

UNSANDBOXED = Sandbox(active=False, reason="not of interest here")


def log(daemon: Daemon, job: Any) -> str:
    answer = daemon.client.get(f"/api/jobs/{job['id']}/variations/{variations(job)[0]['id']}/log")
    return answer.text if answer.status_code == 200 else ""


@pytest.fixture(scope="module")
def minute(ffmpeg: str, clip: Path) -> Path:
    """Longer than a test looks at a pass of it, and short enough to wait for the end of the first."""
    path = clip.with_name("minute.mp4")
    loop = [ffmpeg, "-v", "error", "-stream_loop", "29", "-i", str(clip), "-c", "copy", "-y", str(path)]
    subprocess.run(loop, check=True)
    return path


@pytest.mark.parametrize("number", [1, thorough(2)])
def test_a_cancel_in_either_pass_leaves_nothing(daemon: Daemon, clip: Path, minute: Path, number: int) -> None:
    job = daemon.submit(minute, spec={"variations": [{"preset": "m4a-r128"} if number == 2 else CAPPED]})
    wait_until(lambda: log(daemon, job).count("$ ffmpeg") == number, f"pass {number}")
    wait_until(daemon.encoders, "its encoder")
    receipt = cancel(daemon, job["id"])
    assert_nothing_is_left(daemon, job["id"])
    assert [stopped["variation"] for stopped in receipt["stopped"]] == [variations(job)[0]["id"]]
    assert daemon.job(job["id"])["status"] == "cancelled"
    assert log(daemon, job).count("$ ffmpeg") == number
    assert list((daemon.state_dir / "spool" / "jobs" / job["id"] / "work").iterdir()) == []
    after = daemon.submit(clip, presets=["mp3"])
    assert daemon.wait_for(after["id"])["status"] == "completed"


def test_a_job_of_two_passes_is_completed_and_both_are_in_its_log(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, spec={"variations": [{"preset": "h264-capped", "target_bytes": 100_000}]})
    done = daemon.wait_for(job["id"])
    (variation,) = variations(done)
    assert variation["status"] == "completed", variation["error"]
    assert variation["bytes"] <= 100_000
    words = log(daemon, job)
    assert [words.count(f"-pass {number} ") for number in (1, 2)] == [1, words.count("$ ffmpeg") - 1]
    assert words.count("# exit code 0") == words.count("$ ffmpeg")


def test_what_cannot_be_reached_fails_in_words(daemon: Daemon, clip: Path) -> None:
    spec = {"variations": [{"preset": "h264-capped", "target_bytes": 50_000, "short_side": 2160}]}
    long = daemon.submit(clip, spec=spec)
    assert daemon.wait_for(long["id"])["status"] in {"completed", "failed"}
    hours = daemon.submit(clip, spec={"variations": [{"preset": "poster", "at_seconds": 9}]})
    (variation,) = variations(daemon.wait_for(hours["id"], "failed"))
    assert "there is no frame at 9 s" in variation["error"]


@pytest.mark.parametrize(
    "how", [("-bf", "2", "-f", "dvd"), thorough(("-bf", "2", "-f", "vob")), thorough(("-f", "dvd"))]
)
def test_both_passes_see_as_many_pictures(ffmpeg: str, tmp_path: Path, how: tuple[str, ...]) -> None:
    """Where times may jump, FFmpeg counts from the first of the streams that it uses."""
    bare = silent(*MPEG2, *FIELDS, *how[:-2], "-f", "mpeg2video", rate="24000/1001", size="320x240", seconds=4)
    made(ffmpeg, tmp_path, "bare.m2v", bare, edit=telecined)
    both = [*read("bare.m2v"), *heard(seconds=4)[:-1], "-c:v", "copy", "-c:a", "ac3", *how[-2:], "{out}"]
    output = make(ffmpeg, made(ffmpeg, tmp_path, "film.vob", both), tmp_path, "h264-capped")
    assert len(list(frames(output))) == 96


# Beneath the daemon


def task(source: Path, folder: Path, **request: Any) -> Task:
    preset = request.pop("preset")
    (wanted,) = Library().expand([VariationRequest(preset, request)])
    order = Order(
        variation="v", attempt=1, preset=preset, parameters=wanted.parameters, part=str(folder / "1.part"),
        log=str(folder / "log"), threads=1,
    )  # fmt: skip
    media = reading.read_media(str(source))
    return Task(id="t", source=SourceFile(path=str(source)), source_name="clip.mp4", media=media, orders=(order,))


def run(ffmpeg: str, order: Task, act: Any = None) -> tuple[Ended, list[Report], int]:
    """How it ended, all reports, and how many processes are left; `act` is told each report and the engine."""

    async def main() -> tuple[Ended, list[Report], int]:
        engine = LocalEngine(ffmpeg=ffmpeg, slots=1, limits=Limits(), grace=1.0, sandbox=UNSANDBOXED)
        await engine.start()
        reports: list[Report] = []

        def on_report(report: Report) -> None:
            reports.append(report)
            if act:
                act(engine, report, reports)

        try:
            return await engine.run(order, on_report), reports, len(engine.registry)
        finally:
            await engine.close()

    return asyncio.run(main())


def test_progress_of_the_whole_only_grows_and_ends_at_its_end(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    for preset, whole in (("m4a-r128", 2.0), ("h264-capped", 1.9), ("mp3", 2.0)):
        folder = tmp_path / preset
        ended, reports, _ = run(ffmpeg, task(clip, folder, preset=preset))
        assert (ended.error, ended.stopped, ended.exit_code) == (None, None, 0)
        seconds = [report.seconds for report in reports if isinstance(report, Progress)]
        assert seconds == sorted(seconds)
        assert seconds[-1] == pytest.approx(whole, abs=0.08), preset
        processes = {report.handle for report in reports if isinstance(report, Started)}
        assert len(processes) == (1 if preset == "mp3" else 2)


def test_a_stop_as_one_pass_ends_starts_no_other(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    stops: list[asyncio.Task[Any]] = []

    def stop_at_the_end_of_the_first(engine: LocalEngine, report: Report, _: list[Report]) -> None:
        """The last of its progress comes as the process exits."""
        if isinstance(report, Progress) and report.seconds > 0.7 and not stops:
            child = engine.registry.get("v")
            assert child is not None
            child.exited.add_done_callback(lambda _: stops.append(asyncio.ensure_future(engine.stop("t"))))

    ended, reports, left = run(ffmpeg, task(clip, tmp_path, preset="m4a-r128"), stop_at_the_end_of_the_first)
    assert stops
    assert ended.stopped is not None
    assert ended.stopped.stage == "exited"
    assert [isinstance(report, Started) for report in reports].count(True) == 1
    assert left == 0


def test_what_is_frozen_between_two_passes_starts_the_next_once_it_is_thawed(
    ffmpeg: str, clip: Path, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def freeze_at_the_end_of_the_first(engine: LocalEngine, report: Report, reports: list[Report]) -> None:
        if isinstance(report, Progress) and report.seconds > 0.7 and not seen:
            child = engine.registry.get("v")
            assert child is not None
            child.exited.add_done_callback(lambda _: seen.append(asyncio.ensure_future(hold(engine, reports))))

    async def hold(engine: LocalEngine, reports: list[Report]) -> tuple[bool, int, int]:
        frozen = await engine.pause("t")
        for _ in range(50):
            await asyncio.sleep(0.01)
        started = sum(isinstance(report, Started) for report in reports)
        engine.resume("t")
        return frozen, started, len(engine.registry)

    ended, reports, _ = run(ffmpeg, task(clip, tmp_path, preset="m4a-r128"), freeze_at_the_end_of_the_first)
    assert seen[0].result() == (True, 1, 0)
    assert (ended.error, ended.stopped) == (None, None)
    assert sum(isinstance(report, Started) for report in reports) == 2


def test_a_second_pass_that_cannot_follow_is_told_in_words(clip: Path, tmp_path: Path) -> None:
    """An encoder that says nothing of what it was to measure."""
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\nexit 0\n")
    mute.chmod(0o755)
    ended, reports, _ = run(str(mute), task(clip, tmp_path / "work", preset="m4a-r128"))
    assert ended.error is not None
    assert "did not say how loud" in ended.error
    assert sum(isinstance(report, Started) for report in reports) == 1
