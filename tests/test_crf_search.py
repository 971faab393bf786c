"""A wanted VMAF: the CRF that reaches it is found by trying short parts, and is what the film is encoded at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Daemon
from surroundings import thorough

from daemon.errors import TargetMissed
from daemon.media.model import Media
from daemon.recipes.crf_search import CLOSE_ENOUGH, HIGHEST, LENGTH, LOWEST, excerpts, search


def found(vmaf: Callable[[float], float], wanted: float, first: float, grains: int) -> tuple[float, list[float]]:
    """The CRF that is settled on, and those that were tried."""
    looking, tried = search(wanted, first, grains), []
    crf = next(looking)
    try:
        while True:
            tried.append(crf)
            crf = looking.send(vmaf(crf))
    except StopIteration as settled:
        return settled.value, tried


def bending(crf: float) -> float:
    """As x264 at 480p has it: hardly anything is lost at first, and then 2 to 4 with each step."""
    at, had = (10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 51), (99, 98, 96.5, 93.5, 88, 78.8, 70.1, 58.5, 40.5, 29.6, 18)
    return float(np.interp(crf, at, had))


@pytest.mark.parametrize("grains", [1, 10])
@pytest.mark.parametrize("first", [LOWEST, 21, 34, HIGHEST])
@pytest.mark.parametrize("wanted", [62.0, 70.0, 75.0, 88.5, 95.0])
@pytest.mark.parametrize(
    "vmaf", [lambda crf: 105 - 0.9 * crf, lambda crf: 100 - (crf / 9) ** 2, lambda crf: 110 - crf * 1.5, bending]
)
def test_the_crf_that_comes_nearest_to_it_is_found_in_few_trials(
    vmaf: Callable[[float], float], wanted: float, first: float, grains: int
) -> None:
    crf, tried = found(vmaf, wanted, first, grains)
    off = abs(vmaf(crf) - wanted)
    assert crf == HIGHEST or off <= CLOSE_ENOUGH or off <= min(abs(vmaf(crf + n / grains) - wanted) for n in (-1, 1))
    assert crf == HIGHEST or off <= (CLOSE_ENOUGH if grains > 1 else 2.3)
    assert len(tried) == len(set(tried)) <= 11


def test_what_always_reaches_it_takes_the_highest_crf_and_what_never_does_is_refused() -> None:
    assert found(lambda _: 100.0, 95, 21, 10)[0] == HIGHEST
    with pytest.raises(TargetMissed, match="out of reach"):
        found(lambda _: 80.0, 95, 21, 10)


@pytest.mark.parametrize("duration", [0.04, 5.0, 31.0, 100.0, 7200.0])
def test_the_parts_lie_within_the_source_apart_from_each_other(duration: float) -> None:
    chosen = excerpts(Media(format="mp4", duration_seconds=duration, video=None, audio=(), subtitles=()))
    ends = [part.start + part.seconds for part in chosen]
    assert all(start.start >= end for start, end in zip(chosen[1:], ends, strict=False))
    assert chosen[0].start >= 0
    assert ends[-1] <= duration + 0.001
    assert sum(part.seconds for part in chosen) <= max(12 * LENGTH, duration)


@pytest.mark.parametrize("wanted", [thorough(75.0), 85.0, thorough(93.0)])
def test_a_film_is_encoded_at_the_crf_that_reaches_it(daemon: Daemon, clip: Path, wanted: float) -> None:
    entry = {"preset": "h264-480p", "target_vmaf": wanted, "quality": "vmaf", "speed": "ultrafast", "crf": 22}
    done = daemon.wait_for(daemon.submit(clip, spec={"variations": [entry]})["id"])
    [variation] = done["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    crf = variation["parameters"]["crf"]
    assert variation["quality"]["mean"] == pytest.approx(wanted, abs=1)
    log = daemon.client.get(f"/api/jobs/{done['id']}/variations/{variation['id']}/log").text
    commands = [line for line in log.splitlines() if line.startswith("$ ")]
    assert f" -crf {crf:g} " in commands[-2]
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
