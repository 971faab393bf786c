"""Scores: an output compared with its source, frame by frame, after the encode and without harm to it."""

from __future__ import annotations

import json
import subprocess
import tracemalloc
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from conftest import Daemon, Media, wait_until
from surroundings import thorough

from daemon.errors import MeasurementMissing
from daemon.presets.traits import Metric
from daemon.proof import quality
from daemon.proof.quality_plot import plot
from daemon.proof.score import score
from daemon.recipes import quality_filter


def made(daemon: Daemon, source: Path, **entry: Any) -> Any:
    done = daemon.wait_for(daemon.submit(source, spec={"variations": [entry]})["id"])
    [variation] = done["sources"][0]["variations"]
    assert variation["status"] == "completed", variation["error"]
    return done["id"], variation


def plot_of(daemon: Daemon, job: str, variation: Any) -> Any:
    return daemon.client.get(f"/api/jobs/{job}/variations/{variation['id']}/quality.svg")


@pytest.mark.parametrize(
    ("metric", "least", "most"), [thorough("vmaf", (90, 60), (100, 90)), ("ssim", (0.97, 0.5), (1, 0.96))]
)
def test_a_worse_output_has_a_lower_score_and_every_frame_is_in_it(
    daemon: Daemon, clip: Path, metric: str, least: tuple[float, float], most: tuple[float, float]
) -> None:
    means = []
    for crf, low, high in zip((18, 45), least, most, strict=True):
        job, variation = made(daemon, clip, preset="h264-480p", quality=metric, crf=crf, speed="ultrafast")
        score = variation["quality"]
        assert (score["metric"], score["frames"], score["error"]) == (metric, 50, None)
        assert score["lowest"] <= score["percentile_1"] <= score["percentile_5"] <= score["mean"]
        assert low < score["mean"] <= high
        assert variation["speed"] > 0
        means.append(score["mean"])
        picture = ElementTree.fromstring(plot_of(daemon, job, variation).text)
        assert picture.findtext("{*}title").startswith(f"{metric.upper()} of 50 frames")
    assert means[0] > means[1] + most[0] * 0.02


def test_no_score_is_made_unless_it_is_asked_for(daemon: Daemon, clip: Path) -> None:
    job, plain = made(daemon, clip, preset="h264-480p", speed="ultrafast")
    assert plain["quality"] is None
    refused = plot_of(daemon, job, plain)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert "`quality`" in refused.json()["detail"]


@pytest.mark.parametrize(
    "file",
    [
        "tff.mkv",
        thorough("turned-270.mp4"),
        thorough("late-start.mp4"),
        thorough("640x359.webm"),
        "turned-270-hlg.mov",
    ],
)
def test_the_source_is_compared_as_the_recipe_shows_it(daemon: Daemon, media: Media, file: str) -> None:
    """Were one frame of it late, not turned, or of other colours, the score would be far below."""
    _, variation = made(daemon, media(file), preset="h264-480p", quality="ssim", crf=14, speed="ultrafast")
    assert variation["quality"]["lowest"] > 0.95, variation["quality"]


def test_a_frame_that_is_late_is_noticed(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    """So that high scores mean that frames were compared with their own."""
    late = tmp_path / "late.mp4"
    command = [ffmpeg, "-v", "error", "-itsoffset", "0.08", "-i", clip, "-c", "copy", "-copyts", late]
    subprocess.run(command, check=True)
    name, options = quality_filter.comparing("ssim", (640, 360), "late.quality", 1)
    described = ":".join(f"{option}={value}" for option, value in options.items())
    command = [
        ffmpeg,
        "-v",
        "error",
        "-i",
        late,
        "-i",
        clip,
        "-filter_complex",
        f"{name}={described}",
        "-f",
        "null",
        "-",
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert min(quality.read("ssim", (tmp_path / "late.quality").read_text().splitlines())) < 0.95


def test_a_comparison_that_fails_leaves_the_output_and_says_why(
    start_daemon: Callable[..., Daemon], ffmpeg_without_vmaf: str, clip: Path
) -> None:
    daemon = start_daemon("--ffmpeg", ffmpeg_without_vmaf, "--sandbox", "off")
    job, variation = made(daemon, clip, preset="h264-480p", quality="vmaf", speed="ultrafast")
    assert variation["quality"]["mean"] is None
    assert "this ffmpeg has no filter nothing" in variation["quality"]["error"]
    assert "this ffmpeg has no filter nothing" in plot_of(daemon, job, variation).json()["detail"]
    assert daemon.client.get(f"/api/jobs/{job}/variations/{variation['id']}/download").status_code == 200


@pytest.mark.thorough
def test_a_comparison_is_cancelled_as_an_encode_is(
    daemon: Daemon, long_clip: Path, ffmpeg: str, tmp_path: Path
) -> None:
    minute = tmp_path / "minute.mp4"
    subprocess.run([ffmpeg, "-v", "error", "-i", str(long_clip), "-t", "60", "-c", "copy", str(minute)], check=True)
    spec = {"variations": [{"preset": "h264-480p", "short_side": 120, "quality": "vmaf", "speed": "ultrafast"}]}
    job = daemon.submit(minute, spec=spec)["id"]

    def comparing() -> Any:
        return next((one for one in daemon.encoders() if any("libvmaf" in word for word in one.cmdline())), None)

    encoder = wait_until(comparing, "the comparison")
    assert encoder.nice() == 19
    receipt = daemon.client.post(f"/api/jobs/{job}/cancel").json()
    assert receipt["status"] == "cancelled"
    assert not encoder.is_running()
    assert daemon.parts() == []


def test_several_that_share_a_process_are_scored_each(daemon: Daemon, clip: Path) -> None:
    entries = [{"preset": "h264-480p", "quality": "ssim", "crf": crf, "speed": "ultrafast"} for crf in (18, 40)]
    done = daemon.wait_for(daemon.submit(clip, spec={"variations": entries})["id"])
    better, worse = (variation["quality"]["mean"] for variation in done["sources"][0]["variations"])
    assert better > worse + 0.01
    with ZipFile(BytesIO(daemon.client.get(f"/api/jobs/{done['id']}/download").content)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    told = [variation["quality"] for variation in manifest["job"]["sources"][0]["variations"]]
    assert [score["mean"] for score in told] == [better, worse]
    assert [name for name in archive.namelist() if "plot" in name or name.endswith(".svg")] == []


def test_figures_are_summed_up_as_they_should_be() -> None:
    summed = quality.summed_up("vmaf", [0.0, *[90.0] * 98, 100.0])
    assert (summed.mean, summed.lowest, summed.percentile_1, summed.percentile_5) == (89.2, 0.0, 0.0, 90.0)
    assert summed.harmonic_mean
    assert summed.harmonic_mean < 50


def test_what_holds_no_figures_is_no_score() -> None:
    for text in ("", "Frame,vmaf,\n", "Frame,psnr,\n0,3,\n", "Frame,vmaf,\n0,x,\n", "Frame,vmaf,\n0,nan,\n"):
        with pytest.raises(MeasurementMissing):
            quality.read("vmaf", text.splitlines())


@pytest.mark.parametrize("metric", ["vmaf", "ssim"])
@pytest.mark.parametrize("line", ["x" * 4 * 1024**2, '"' + "x" * 4 * 1024**2, "0,1\n" * 100_000])
def test_figures_of_an_encoder_that_was_taken_over_take_little_memory(
    tmp_path: Path, metric: Metric, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "MOST_FRAMES", 1000)
    (tmp_path / "1.part.quality").write_text(f"Frame,vmaf\n{line}")
    tracemalloc.start()
    try:
        assert score(tmp_path / "1.part", metric, tmp_path / "plot.svg").error
        assert tracemalloc.get_traced_memory()[1] < 1024**2
    finally:
        tracemalloc.stop()


def test_a_plot_of_many_frames_stays_small_and_shows_the_worst() -> None:
    figures = [95.0] * 500_000
    figures[250_000] = 11.0
    drawn = plot(quality.summed_up("vmaf", figures), figures)
    assert len(drawn) < 50_000
    deepest = max(float(point.split(",")[1]) for point in drawn.partition('d="M')[2].partition('"')[0].split())
    assert deepest > 270
