"""How close an output comes to its source: compared frame by frame, summed up in figures, drawn. Pure.

The source is compared as the recipe shows it, scaled and graded, so that only what the encoder lost counts.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Iterator, Sequence

from daemon.errors import MeasurementMissing
from daemon.models import Model
from daemon.plans import Options, Size
from daemon.traits import Metric

FORMATS = "|".join(f"yuv{sampling}p{depth}" for sampling in (420, 422, 444) for depth in ("", "10le"))
LARGE = 1440  # pixels of the shorter side above which VMAF's model for large screens is right


class Quality(Model, frozen=True):
    """Figures over all frames, higher is better: VMAF from 0 to 100, SSIM up to 1. Or the `error` for which there
    are none, in words."""

    metric: Metric
    mean: float | None = None
    harmonic_mean: float | None = None
    lowest: float | None = None
    percentile_1: float | None = None
    percentile_5: float | None = None
    frames: int | None = None
    error: str | None = None


def comparing(metric: Metric, size: Size, file: str, threads: int) -> tuple[str, Options]:
    """The filter that takes what was made and the source, both in FORMATS, and writes each frame's figure to `file`.

    Each frame is compared with that of the nearest time: containers round times, some to milliseconds.
    """
    together = {"ts_sync_mode": "nearest", "shortest": 1}
    if metric == "ssim":
        return "ssim", {"stats_file": file, **together}
    model = "version=vmaf_4k_v0.6.1" if min(size) > LARGE else "version=vmaf_v0.6.1"
    return "libvmaf", {"model": model, "log_fmt": "csv", "log_path": file, "n_threads": threads, **together}


def read(metric: Metric, text: str) -> list[float]:
    """The figure of every frame. Raises MeasurementMissing when there is none."""
    try:
        figures = list(_of_csv(text) if metric == "vmaf" else _of_lines(text))
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementMissing("what the comparison wrote cannot be read") from error
    if not figures:
        raise MeasurementMissing("not one frame was compared")
    return figures


def _of_csv(text: str) -> Iterator[float]:
    return (float(row["vmaf"]) for row in csv.DictReader(text.splitlines()))


def _of_lines(text: str) -> Iterator[float]:
    return (float(figure) for figure in re.findall(r"^n:\d+ .*\bAll:(\S+)", text, re.MULTILINE))


def summed_up(metric: Metric, figures: Sequence[float]) -> Quality:
    # As libvmaf does it: one is added, since a frame may have 0.
    harmonic = statistics.harmonic_mean([max(figure, 0) + 1 for figure in figures]) - 1
    ordered = sorted(figures)
    return Quality(
        metric=metric,
        mean=round(statistics.fmean(figures), 4),
        harmonic_mean=round(harmonic, 4),
        lowest=round(ordered[0], 4),
        percentile_1=round(_percentile(ordered, 0.01), 4),
        percentile_5=round(_percentile(ordered, 0.05), 4),
        frames=len(figures),
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))]


# The plot

WIDTH, HEIGHT = 960, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 36  # margins
STYLE = """
svg { font: 12px system-ui, sans-serif; color: #1c1f23; background: #fff }
text { fill: currentColor } .grid { stroke: currentColor; opacity: .15 } .mean { stroke-dasharray: 4 4 }
path, .mean { fill: none; stroke: #2463c4; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) { svg { color: #e4e7eb; background: #16181b } path, .mean { stroke: #7aa9f0 } }
"""


def plot(quality: Quality, figures: Sequence[float]) -> str:
    """An SVG of every frame's figure; of several in one pixel's width, the lowest and the highest."""
    assert quality.mean is not None
    assert quality.lowest is not None
    top = 100.0 if quality.metric == "vmaf" else 1.0
    floor = _floor(quality.lowest, top)
    mean = _y(quality.mean, floor, top)
    digits = 1 if quality.metric == "vmaf" else 4
    title = (
        f"{quality.metric.upper()} of {quality.frames} frames: mean {quality.mean:.{digits}f}, "
        f"5 % below {quality.percentile_5:.{digits}f}, lowest {quality.lowest:.{digits}f}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{title}</title><style>{STYLE}</style>",
            f'<text x="{LEFT}" y="22">{title}</text>',
            *_grid(floor, top),
            f'<line class="mean" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{mean:.1f}" y2="{mean:.1f}"/>',
            f'<path d="M{" ".join(_points(figures, floor, top))}"/>',
            f'<text x="{LEFT}" y="{HEIGHT - 12}">frame 1</text>',
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">{len(figures)}</text>',
            "</svg>\n",
        ]
    )


def _floor(lowest: float, top: float) -> float:
    """Where the plot begins: a tenth of the scale below the lowest figure, if that is not below 0."""
    step = top / 10
    return max(0.0, lowest // step * step)


def _y(figure: float, floor: float, top: float) -> float:
    share = (min(max(figure, floor), top) - floor) / (top - floor or 1.0)
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _grid(floor: float, top: float) -> Iterator[str]:
    for tenth in range(5):
        value = floor + (top - floor) * tenth / 4
        y = _y(value, floor, top)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'


def _points(figures: Sequence[float], floor: float, top: float) -> Iterator[str]:
    room = WIDTH - LEFT - RIGHT
    together = -(-len(figures) // room)
    columns = [figures[first : first + together] for first in range(0, len(figures), together)]
    for number, column in enumerate(columns):
        x = LEFT + room * number / max(1, len(columns) - 1)
        for figure in dict.fromkeys((max(column), min(column))):
            yield f"{x:.1f},{_y(figure, floor, top):.1f}"
