"""Films with two or three traits at once by presets of six kinds: right outputs, or refusals in right words.

Here some few of them; `make media` takes all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import Daemon
from mixtures import BROKEN, mixtures
from reader import Reading, read
from specimens import TRUNCATED, Specimen, make
from test_outputs import WORDLESS, each_is_right, expected_failure, fetched, submitted
from verdicts import verdict

from daemon.presets.builtin import PRESETS, Preset

ASKED: dict[str, dict[str, Any]] = {
    "h264-480p": {"speed": "ultrafast"},
    "hls": {"speed": "ultrafast", "segment_seconds": 1},
    "remux-mkv": {},
    "gif": {},
    "opus": {},
    "thumbnail-sheet": {},
}
FEW = 17  # one of each format
HARD = {
    "vpx-vp9-mirrored-sound-long-cut.mkv",  # of which a ladder held the last picture, and lasted as long as it should
    "svtav1-deep-tongues-cut.webm",  # of whose sound a ladder had half
}
MOST_OFF = 0.65  # seconds
UNCOPIED = "hides parts by an edit list, which Matroska would show|does not tell when all of its pictures are shown"
# A source that ends up to half a second before its header says is believed to be whole, until its output is proven.
BROKEN_WORDS = (
    rf"{TRUNCATED}|its index \(moov\) is missing|is damaged|cannot be decoded|cut off|no picture|the output lasts"
    r"|frames per second instead of|pictures instead of|not a media file ffspool can read|has \d+ files instead of"
)

pytestmark = pytest.mark.thorough


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mixture" in metafunc.fixturenames:
        every = mixtures()
        chosen = (
            every
            if metafunc.config.getoption("--every-preset")
            else [one for number, one in enumerate(every) if number < FEW or one.name in HARD]
        )
        metafunc.parametrize("mixture", [pytest.param(one, id=one.name) for one in chosen])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mixtures")


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Daemon]:
    daemon = Daemon(folder / "state", "--slots", "1", "--source-root", str(folder))
    yield daemon
    daemon.stop()


def test_what_several_traits_make_of_a_film_is_made_right_or_refused_in_right_words(
    worker: Daemon,
    folder: Path,
    ffmpeg: str,
    mixture: Specimen,
    record_property: Callable[[str, object], None],
) -> None:
    source = make(mixture, ffmpeg, folder)
    seen, specimen = None, mixture
    with suppress(av.FFmpegError, AssertionError):  # which the reader raises of a picture without a frame
        seen = read(source)
        specimen = as_seen(mixture, seen)
    job = submitted(worker, source, ASKED)
    each_is_right(job, record_property, lambda one: told(worker, folder, specimen, job, one, seen, ffmpeg))


def as_seen(mixture: Specimen, seen: Reading) -> Specimen:
    """The same, with what follows from how it was made."""
    shown = seen.video
    if shown is None:
        return mixture
    turns = 0 if shown.mirrored else shown.rotation // 90 % 4
    width, height = shown.size[0] * shown.aspect, shown.size[1]
    upright = (round(width), height) if turns % 2 == 0 else (height, round(width))
    size = upright if turns or shown.aspect != 1 else None
    gaps = {round(after - before, 2) for before, after in zip(shown.times, shown.times[1:], strict=False)}
    return replace(mixture, turns=turns, flip=shown.mirrored, size=size, frames=len(gaps) < 2)


def told(
    worker: Daemon, folder: Path, specimen: Specimen, job: Any, variation: Any, seen: Reading | None, ffmpeg: str
) -> str:
    """What became of it, in words. Raises AssertionError when that is not right."""
    preset, error = PRESETS[variation["preset"]], variation["error"] or ""
    assert not WORDLESS.search(error), error
    broken = any(name in specimen.name for name in BROKEN)
    reason = expected_failure(specimen, preset, seen) if seen else None
    if variation["status"] == "failed":
        words = (reason, BROKEN_WORDS if broken else None, UNCOPIED if preset.kind == "remux" else None)
        assert any(right and re.search(right, error) for right in words), error
        return f"refused: {error}"
    assert variation["status"] == "completed", variation["status"]
    assert broken or reason is None, f"completed, but it should fail: {reason}"
    path = fetched(worker, folder, job, variation)
    if broken:
        return of_what_is_left(preset, variation, seen)
    assert seen, "completed, but nobody else can read it"
    return verdict(specimen, preset, variation, seen, path, ffmpeg)


def of_what_is_left(preset: Preset, variation: Any, seen: Reading | None) -> str:
    """What is damaged each decoder shows in its own way, and where it ends is told up to half a second late."""
    seconds = variation["output_seconds"]
    if seconds is not None and seen and preset.kind != "gif":
        heard = preset.kind == "audio" and seen.audio[0]
        left = heard.end - heard.start if heard else seen.seconds
        assert abs(seconds - left) < MOST_OFF, f"lasts {seconds} s, and {left} s are left"
    return f"completed: {seconds} s of what is left"
