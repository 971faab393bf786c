"""What an interruption costs at most is told as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli import checks
from daemon.presets.library import Library
from daemon.recipes.encoders import ENCODERS
from daemon.recipes.pieces import most_lost
from daemon.scheduling.losses import losses


def test_what_is_lost_is_told_by_what_encoders_hold_back() -> None:
    assert {name: most_lost(encoder, 25.0) for name, encoder in ENCODERS.items()} == pytest.approx(
        {"h264": 3.72, "hevc": 2.92, "av1": 4.92, "vp9": 2.52}
    )


def test_the_doctor_tells_what_an_interruption_costs_by_what_encodes_took(tmp_path: Path) -> None:
    usual = {one.preset: one for one in losses(Library(), {})}
    slow = {one.preset: one for one in losses(Library(), {"h264-1080p/veryfast": 3.0})}
    assert list(usual) == ["h264-1080p", "hevc-1080p", "av1-720p", "webm-720p"]
    assert slow["h264-1080p"].cpu_seconds > 2 * usual["h264-1080p"].cpu_seconds
    assert slow["hevc-1080p"] == usual["hevc-1080p"]
    told = checks.loss(tmp_path, Library())
    assert told.ok
    assert f"4 s of film by h264-1080p ({usual['h264-1080p'].cpu_seconds:.0f} CPU s here)" in told.found
