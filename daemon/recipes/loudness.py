"""Corrects loudness by EBU R128: measured in one pass of ffmpeg's `loudnorm`, brought to its target by the next."""

from __future__ import annotations

import json
import math
import re
from typing import NamedTuple

from daemon.errors import MeasurementMissing

TRUE_PEAK = -1.0  # dBTP, at most
BLOCK = re.compile(r"\{[^{}]{1,1000}\}")  # bounded, since what is around it may quote a file
LEAST_RANGE, MOST_RANGE = 7.0, 50.0  # LU, which loudnorm takes for a target


class Loudness(NamedTuple):
    """Holds what the first pass heard: integrated (LUFS), true peak (dBTP), range (LU), threshold (LUFS)."""

    integrated: float
    true_peak: float
    range: float
    threshold: float

    @property
    def silent(self) -> bool:
        return not math.isfinite(self.integrated)


def read(said: str) -> Loudness:
    """Reads the measurement in the last lines of that pass. Raises MeasurementMissing when there is none."""
    found = [block for block in BLOCK.findall(said) if '"input_i"' in block]
    try:
        values = json.loads(found[-1])
        heard = Loudness(*(float(values[f"input_{name}"]) for name in ("i", "tp", "lra", "thresh")))
        if not heard.silent and not all(map(math.isfinite, heard)):
            raise ValueError(f"{heard} is no loudness")
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise MeasurementMissing("ffmpeg did not say how loud the source is; its log has the details") from error
    return heard


def was_interrupted(said: str) -> bool:
    """Tells whether the filter was set up again in that pass, as where the rate or the channels of the source change:
    it then speaks more than once, and has heard a part alone."""
    return said.count('"input_i"') > 1


def measuring(target: float) -> str:
    """Returns the filter that measures. Its target does not matter for what is heard."""
    return f"loudnorm=I={target:g}:TP={TRUE_PEAK:g}:LRA={LEAST_RANGE:g}:print_format=json"


def correcting(target: float, heard: Loudness) -> str | None:
    """Returns the filter that brings it to the target, by one gain where the peaks allow it; None for silence."""
    if heard.silent:
        return None
    span = min(MOST_RANGE, max(LEAST_RANGE, math.ceil(heard.range)))  # a smaller one would be squeezed
    integrated, threshold = min(0.0, heard.integrated), min(0.0, heard.threshold)  # floats may be louder than loudest
    measured = f"measured_I={integrated:g}:measured_TP={heard.true_peak:g}:measured_LRA={heard.range:g}"
    wanted = f"I={target:g}:TP={TRUE_PEAK:g}:LRA={span:g}"
    return f"loudnorm={wanted}:{measured}:measured_thresh={threshold:g}:linear=true"
