"""A wanted VMAF: the CRF that reaches it is found by trying short parts, and is what the film is encoded at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Daemon

from daemon.errors import TargetMissed
from daemon.models import Media
from daemon.targeting import HIGHEST, LOWEST, PART, parts, search


def found(vmaf: Callable[[int], float], wanted: float, first: int) -> tuple[int, list[int]]:
    """The CRF that is settled on, and those that were tried."""
    looking, tried = search(wanted, first), []
    crf = next(looking)
    try:
        while True:
            tried.append(crf)
            crf = looking.send(vmaf(crf))
    except StopIteration as settled:
        return settled.value, tried


@pytest.mark.parametrize("first", [LOWEST, 21, 34, HIGHEST])
@pytest.mark.parametrize("wanted", [70.0, 88.5, 95.0])
@pytest.mark.parametrize(
    "vmaf", [lambda crf: 105 - 0.9 * crf, lambda crf: 100 - (crf / 9) ** 2, lambda crf: 110 - crf * 1.5]
)
def test_the_highest_crf_that_reaches_it_is_found_in_few_trials(
    vmaf: Callable[[int], float], wanted: float, first: int
) -> None:
    crf, tried = found(vmaf, wanted, first)
    assert vmaf(crf) >= wanted
    assert crf == HIGHEST or vmaf(crf + 1) < wanted or vmaf(crf) - wanted <= 0.3
    assert len(tried) == len(set(tried)) <= 8


def test_what_always_reaches_it_takes_the_highest_crf_and_what_never_does_is_refused() -> None:
    assert found(lambda _: 100.0, 95, 21)[0] == HIGHEST
    with pytest.raises(TargetMissed, match="out of reach"):
        found(lambda _: 80.0, 95, 21)


@pytest.mark.parametrize("duration", [0.04, 5.0, 31.0, 100.0, 7200.0])
def test_the_parts_lie_within_the_source_apart_from_each_other(duration: float) -> None:
    chosen = parts(Media(format="mp4", duration_seconds=duration, video=None, audio=(), subtitles=()))
    ends = [part.start + part.seconds for part in chosen]
    assert all(start.start >= end for start, end in zip(chosen[1:], ends, strict=False))
    assert chosen[0].start >= 0
    assert ends[-1] <= duration + 0.001
    assert sum(part.seconds for part in chosen) <= max(12 * PART, duration)


def test_a_film_is_encoded_at_the_crf_that_was_found(daemon: Daemon, clip: Path) -> None:
    entry = {"preset": "h264-480p", "target_vmaf": 85, "quality": "vmaf", "speed": "ultrafast", "crf": 22}
    done = daemon.wait_for(daemon.submit(clip, spec={"variations": [entry]})["id"])
    [variation] = done["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    crf = variation["parameters"]["crf"]
    assert crf > 22
    assert 85 <= variation["quality"]["mean"] < 90
    log = daemon.client.get(f"/api/jobs/{done['id']}/variations/{variation['id']}/log").text
    commands = [line for line in log.splitlines() if line.startswith("$ ")]
    assert f" -crf {crf} " in commands[-2]
    assert "file:1.part.trial" not in commands[-2]


def test_what_no_crf_reaches_is_told(daemon: Daemon, ffmpeg: str, tmp_path: Path) -> None:
    """VMAF gives a picture in which nothing moves no more than 97.4, however well it is encoded."""
    bars = ["-f", "lavfi", "-i", "smptebars=size=320x180:rate=25:duration=1", "-pix_fmt", "yuv420p"]
    subprocess.run([ffmpeg, "-v", "error", *bars, tmp_path / "still.mp4"], check=True)
    entry = {"preset": "h264-480p", "target_vmaf": 99, "speed": "ultrafast", "crf": 12}
    done = daemon.wait_for(daemon.submit(tmp_path / "still.mp4", spec={"variations": [entry]})["id"])
    [variation] = done["sources"][0]["variations"]
    assert variation["status"] == "failed"
    assert "a VMAF of 99 is out of reach" in variation["error"]
