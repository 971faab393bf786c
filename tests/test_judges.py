"""Outputs of every preset before judges that are not FFmpeg, each of which finds a fault that was planted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from judged import Made, copied
from judges import JUDGES, Judge
from surroundings import need

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.program)
def test_a_judge_has_nothing_to_complain_of(
    judge: Judge, outputs: list[Made], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    need(judge.program, judge.package)
    cases = [made for made in outputs if judge.suits(made)]
    assert cases
    complaints = [
        f"{made.name}: {words}"
        for made in cases
        for words in judge.complaints(copied(made, tmp_path), made)
        if not any(re.search(pattern, words) for pattern in judge.explained)
    ]
    record_property("judged", (judge.program, len(cases)))
    assert complaints == []


@pytest.mark.parametrize(
    ("judge", "fault"),
    [pytest.param(judge, fault, id=f"{judge.program}-{fault}") for judge in JUDGES for fault in judge.faults],
)
def test_a_judge_finds_a_fault(judge: Judge, fault: str, outputs: list[Made], tmp_path: Path) -> None:
    need(judge.program, judge.package)
    preset, planted = judge.faults[fault]
    made = next(made for made in outputs if made.preset.name == preset)
    copy = copied(made, tmp_path)
    copy.write_bytes(planted(made.path.read_bytes()))
    assert list(judge.complaints(copy, made)), f"{judge.program} finds nothing wrong with {made.name}, {fault}"


IN_ORDER = (("dav1d", "av1-720p"), ("libde265-dec265", "archive-hevc"), ("libopenh264.so.7", "mobile-540p"))


@pytest.mark.parametrize(("program", "preset"), IN_ORDER)
def test_a_decoder_sees_the_order_of_pictures(
    program: str, preset: str, outputs: list[Made], tmp_path: Path, ffmpeg: str
) -> None:
    """It is told other pictures to look for: the same, of which each second and third changed places."""
    [judge] = [one for one in JUDGES if one.program == program]
    need(judge.program, judge.package)
    made = next(made for made in outputs if made.preset.name == preset)
    shuffled = tmp_path / "shuffled.mkv"
    exact = ["-vf", "shuffleframes=0 2 1", "-fps_mode", "passthrough", "-an", "-c:v", "ffv1", str(shuffled)]
    subprocess.run([ffmpeg, "-v", "error", "-i", str(made.path), *exact], check=True)
    assert list(judge.complaints(copied(made, tmp_path), replace(made, path=shuffled)))
