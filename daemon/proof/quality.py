"""Reads and sums up the figures of an output's frames: how close it comes to its source."""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from daemon.errors import MeasurementMissing
from daemon.models import Model
from daemon.presets.traits import Metric

MOST_FRAMES = 5_000_000  # of a day's film at 58 a second: some 200 MB while they are summed up


class Quality(Model, frozen=True):
    """Holds figures over all frames, higher is better: VMAF from 0 to 100, SSIM up to 1.

    Or the `error` for which there are none, in words.
    """

    metric: Metric
    mean: float | None = None
    harmonic_mean: float | None = None
    lowest: float | None = None
    percentile_1: float | None = None
    percentile_5: float | None = None
    frames: int | None = None
    error: str | None = None


def read(metric: Metric, lines: Iterable[str]) -> list[float]:
    """Returns the figure of every frame. Raises MeasurementMissing when there is none, or more than memory is for."""
    try:
        figures = list(islice(_of_csv(lines) if metric == "vmaf" else _of_lines(lines), MOST_FRAMES + 1))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise MeasurementMissing("what the comparison wrote cannot be read") from error
    if not figures:
        raise MeasurementMissing("not one frame was compared")
    if len(figures) > MOST_FRAMES:
        raise MeasurementMissing(f"more than {MOST_FRAMES} frames were compared")
    if not all(map(math.isfinite, figures)):
        raise MeasurementMissing("what the comparison wrote cannot be read")
    return figures


def _of_csv(lines: Iterable[str]) -> Iterator[float]:
    return (float(row["vmaf"]) for row in csv.DictReader(lines))


def _of_lines(lines: Iterable[str]) -> Iterator[float]:
    return (float(found[1]) for line in lines if (found := re.match(r"n:\d+ .*\bAll:(\S+)", line)))


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
