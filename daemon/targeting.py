"""The CRF at which a film reaches a wanted VMAF: found by encoding short parts of it and comparing them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator

from daemon.errors import MeasurementMissing, TargetMissed
from daemon.models import Media
from daemon.plans import Judgement, Options, Part, Recipe, Step, Steps, Trial

LOWEST, HIGHEST = 10, 51  # CRFs a preset takes
PART = 3.0  # seconds of each part that is tried
PARTS, MOST_PARTS, ANOTHER_EVERY = 5, 12, 600.0  # how many; one more for so many seconds of the source
CLOSE_ENOUGH = 0.3  # of VMAF above what is wanted
SLOPE = 1.0  # of VMAF for each step of CRF, until two are known
TRIAL, JUDGEMENT, FINAL = 0.02, 0.01, 0.85  # shares of the time

Search = Generator[int, float, int]


def parts(media: Media) -> tuple[Part, ...]:
    """Where what is tried begins, and its seconds: evenly spread, none at the very ends. All of what is short."""
    duration = media.duration_seconds
    if duration is None:
        return (Part(0.0, PART * PARTS),)
    count = min(MOST_PARTS, PARTS + int(duration / ANOTHER_EVERY))
    if duration <= 2 * count * PART:
        return (Part(0.0, duration),)
    return tuple(Part(round(duration * (number + 0.5) / count - PART / 2, 3), PART) for number in range(count))


def steps(
    media: Media,
    encoded: Callable[[int], Recipe],
    encode: Callable[[int], Callable[[int], Options]],
    crf: int,
    wanted: float,
) -> Steps:
    """Trials that begin at `crf`, and then the encode. `encoded` and `encode` give a recipe and its picture's options.

    Raises TargetMissed when no CRF reaches it, and MeasurementMissing.
    """
    tried, looking = parts(media), search(wanted, crf)
    try:
        candidate = next(looking)
        while True:
            recipe = encoded(candidate)
            yield Trial(recipe, tried, encode(candidate), TRIAL)
            passed = yield Judgement(recipe, tried, JUDGEMENT)
            candidate = looking.send(_score(passed.said))
    except StopIteration as found:
        yield Step(encoded(found.value), FINAL, chosen={"crf": found.value})


def search(wanted: float, first: int) -> Search:
    """Yields CRFs, is sent their VMAF, and returns the highest that reaches what is wanted, or nearly so."""
    good: tuple[int, float] | None = None  # the highest that reaches it
    bad: tuple[int, float] | None = None  # the lowest that does not
    crf = min(max(first, LOWEST), HIGHEST)
    while True:
        score = yield crf
        if score >= wanted:
            good = crf, score
            if crf == HIGHEST or score - wanted <= CLOSE_ENOUGH or (bad and bad[0] == crf + 1):
                return crf
        else:
            bad = crf, score
            if crf == LOWEST:
                raise TargetMissed(
                    f"a VMAF of {wanted:g} is out of reach: at crf {LOWEST}, the best there is, it was {score:.1f}; "
                    "ask for a lower target_vmaf"
                )
            if good and good[0] == crf - 1:
                return good[0]
        crf = _between(good, bad, wanted)


def _between(good: tuple[int, float] | None, bad: tuple[int, float] | None, wanted: float) -> int:
    """The CRF that should just reach it, by a straight line through what is known."""
    if good and bad:
        share = (good[1] - wanted) / (good[1] - bad[1])
        return min(max(good[0] + round(share * (bad[0] - good[0])), good[0] + 1), bad[0] - 1)
    if good:
        return min(HIGHEST, good[0] + max(1, int((good[1] - wanted) / SLOPE)))
    assert bad
    return max(LOWEST, bad[0] - max(1, round((wanted - bad[1]) / SLOPE)))


def _score(said: str) -> float:
    found = re.findall(r"VMAF score: ([\d.]+)", said)
    if not found:
        raise MeasurementMissing("ffmpeg did not say how close a part is to its source; its log has the details")
    return float(found[-1])
