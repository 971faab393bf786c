"""What odd files are made into by the presets that they once stopped, looked at by an independent reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import Daemon
from oddities import ODDITIES
from specimens import Specimen, film, make
from surroundings import thorough
from test_kinds import make as make_output
from test_outputs import SMALL, _asked, each_is_right, seen_in, spool, submitted, verify, worker
from test_unread import defaults, made

from daemon.media.describe import read_media
from daemon.presets.builtin import PRESETS
from daemon.recipes.command import plan

CHOSEN = {"held-last.mov", "fine-clock.mp4", "late-by-header.avi", "sound-field.mkv"}
__all__ = ["spool", "worker"]


def marks(specimen: Specimen) -> tuple[pytest.MarkDecorator, ...]:
    return () if specimen.name in CHOSEN else (pytest.mark.thorough,)


def quick(specimen: Specimen, preset: str) -> dict[str, Any]:
    asked = _asked(specimen, PRESETS[preset])
    return {**asked, "speed": SMALL["speed"]} if hasattr(PRESETS[preset].defaults, "speed") else asked


MATRICES = [("ycgco", 8), thorough("bt2020c", 10), thorough("chroma-derived-nc", 12)]
LIKE = 10  # of 255, by which colours at edges may be off that were subsampled twice
AS_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709"
)


@pytest.mark.parametrize(("told", "number"), MATRICES)
def test_light_and_colours_by_a_rare_matrix_are_as_in_a_usual_one(
    ffmpeg: str, tmp_path: Path, told: str, number: int
) -> None:
    bare = f"h264_metadata=matrix_coefficients={number}:colour_primaries=1:transfer_characteristics=1"
    rare = f"{AS_BT709}:colorspace=bt709,zscale=min=709:m={told}"
    usual = made(ffmpeg, tmp_path, "usual.mov", film("-vf", f"{AS_BT709}:colorspace=bt709", "{out}"))
    odd = made(ffmpeg, tmp_path, "odd.mov", film("-vf", rare, "-bsf:v", bare, "{out}"))
    for preset in ("h264-480p", "webm-720p", "vertical-1080p", "gif", "poster"):
        one, other = (pictures_of(ffmpeg, path, tmp_path, preset) for path in (usual, odd))
        off = float(np.abs(one - other).mean())
        assert off < LIKE, f"{preset}: the picture differs by {off:.1f} of 255"


def test_a_matrix_that_no_filter_converts_is_told(ffmpeg: str, tmp_path: Path) -> None:
    path = made(ffmpeg, tmp_path, "odd.mov", film("-bsf:v", "h264_metadata=matrix_coefficients=11", "{out}"))
    told = plan(read_media(str(path)), "h264-480p", defaults("h264-480p")).contents.left_out
    assert ("colours", "smpte2085") in {(fact.what, fact.detail) for fact in told}
    assert pictures_of(ffmpeg, path, tmp_path, "webm-720p").any()


def pictures_of(ffmpeg: str, path: Path, folder: Path, preset: str) -> Any:
    """What is seen first, as RGB."""
    quick = {"speed": "ultrafast"} if hasattr(PRESETS[preset].defaults, "speed") else {}
    output = make_output(ffmpeg, path, folder, preset, **quick)
    with av.open(str(output)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(float)


@pytest.mark.parametrize(
    ("specimen", "presets"), [pytest.param(*case, id=case[0].name, marks=marks(case[0])) for case in ODDITIES]
)
def test_an_odd_file_is_made_or_refused_in_words(
    worker: Daemon,
    spool: Path,
    specimen: Specimen,
    presets: tuple[str, ...],
    ffmpeg: str,
    record_property: Callable[[str, object], None],
) -> None:
    path = make(specimen, ffmpeg, spool)
    seen = None if specimen.error is not None else seen_in(path, ffmpeg, spool)
    job = submitted(worker, path, {preset: quick(specimen, preset) for preset in presets})
    each_is_right(job, record_property, lambda one: verify(worker, spool, specimen, job, one, seen, ffmpeg))
