"""Makes the figures that a comparison left beside an output its quality and a plot of it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TextIO

from daemon.errors import MeasurementMissing
from daemon.presets.traits import Metric
from daemon.proof.quality import Quality, read, summed_up
from daemon.proof.quality_plot import plot
from daemon.recipes.command import FIGURES

LONGEST_LINE = 1000  # characters


def score(part: Path, metric: Metric, picture: Path, failure: str | None = None) -> Quality:
    """Tells how close `part` is to its source; draws `picture` of it. `failure` is why the comparison came to nothing.

    A quality that cannot be told says why, and is no error. Blocks; run it in a thread.
    """
    if failure:
        return Quality(metric=metric, error=failure)
    try:
        with _opened(part.with_name(part.name + FIGURES)) as file:
            figures = read(metric, iter(partial(file.readline, LONGEST_LINE), ""))
        quality = summed_up(metric, figures)
        picture.parent.mkdir(exist_ok=True)  # not the folder of a job that is deleted by now
        picture.write_text(plot(quality, figures))
    except MeasurementMissing as error:
        return Quality(metric=metric, error=str(error))
    except OSError as error:
        return Quality(metric=metric, error=f"the comparison could not be kept: {error.strerror}")
    return quality


def _opened(path: Path) -> TextIO:
    """It was written in the sandbox, so its name may lead elsewhere by now, and its lines be of any length."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii", errors="replace")
