"""Reads and sums up the figures of an output's frames: how close it comes to its source."""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Iterator, Sequence

from daemon.errors import MeasurementMissing
from daemon.models import Model
from daemon.presets.traits import Metric


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


def read(metric: Metric, text: str) -> list[float]:
    """Returns the figure of every frame. Raises MeasurementMissing when there is none."""
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
