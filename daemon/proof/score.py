"""Makes the figures that a comparison left beside an output its quality and a plot of it."""

from __future__ import annotations

import os
from pathlib import Path

from daemon.errors import MeasurementMissing
from daemon.presets.traits import Metric
from daemon.proof.quality import Quality, read, summed_up
from daemon.proof.quality_plot import plot
from daemon.recipes.command import FIGURES

MAX_BYTES = 1024**3  # of figures: a week of frames has less


def score(part: Path, metric: Metric, picture: Path, failure: str | None = None) -> Quality:
    """Tells how close `part` is to its source; draws `picture` of it. `failure` is why the comparison came to nothing.

    A quality that cannot be told says why, and is no error. Blocks; run it in a thread.
    """
    if failure:
        return Quality(metric=metric, error=failure)
    try:
        figures = read(metric, _text(part.with_name(part.name + FIGURES)))
        quality = summed_up(metric, figures)
        picture.parent.mkdir(exist_ok=True)  # not the folder of a job that is deleted by now
        picture.write_text(plot(quality, figures))
    except MeasurementMissing as error:
        return Quality(metric=metric, error=str(error))
    except OSError as error:
        return Quality(metric=metric, error=f"the comparison could not be kept: {error.strerror}")
    return quality


def _text(path: Path) -> str:
    """Written in the sandbox, so its name may lead elsewhere by now."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise MeasurementMissing("the comparison wrote more than it should")
    return text
