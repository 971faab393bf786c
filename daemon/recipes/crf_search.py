"""Searches the CRF at which a film reaches a wanted VMAF, by encoding short excerpts of it and comparing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator

from daemon.errors import MeasurementMissing, TargetMissed
from daemon.media.model import Media
from daemon.recipes.recipe import Excerpt, Judgement, Options, Recipe, Step, Steps, Trial

LOWEST, HIGHEST = 10, 51  # CRFs a preset takes
LENGTH = 3.0  # seconds of each excerpt that is tried
EXCERPTS, MOST_EXCERPTS, ANOTHER_EVERY = 5, 12, 600.0  # how many; one more for so many seconds of the source
CLOSE_ENOUGH = 0.3  # of VMAF above what is wanted
SLOPE = 1.0  # of VMAF for each CRF, until two are known
TRIAL, JUDGEMENT, FINAL = 0.02, 0.01, 0.85  # shares of the time

Search = Generator[float, float, float]


def excerpts(media: Media) -> tuple[Excerpt, ...]:
    """Returns the excerpts to try: evenly spread, none at the very ends; the whole of what is short."""
    duration = media.duration_seconds
    if duration is None:
        return (Excerpt(0.0, LENGTH * EXCERPTS),)
    count = min(MOST_EXCERPTS, EXCERPTS + int(duration / ANOTHER_EVERY))
    if duration <= 2 * count * LENGTH:
        return (Excerpt(0.0, duration),)
    return tuple(Excerpt(round(duration * (number + 0.5) / count - LENGTH / 2, 3), LENGTH) for number in range(count))


def steps(
    media: Media,
    encoded: Callable[[float], Recipe],
    encode: Callable[[float], Callable[[int], Options]],
    crf: float,
    wanted: float,
    grains: int,
) -> Steps:
    """Yields trials that begin at `crf`, and then the encode.

    `encoded` and `encode` give a recipe and its picture's options. The encoder tells CRFs apart that are one of so many
    `grains` of 1 from each other.

    Raises TargetMissed when no CRF reaches it, and MeasurementMissing.
    """
    tried, looking = excerpts(media), search(wanted, crf, grains)
    try:
        candidate = next(looking)
        while True:
            recipe = encoded(candidate)
            yield Trial(recipe, tried, encode(candidate), TRIAL)
            passed = yield Judgement(recipe, tried, JUDGEMENT)
            candidate = looking.send(_score(passed.said))
    except StopIteration as found:
        yield Step(encoded(found.value), FINAL, chosen={"crf": found.value})


def search(wanted: float, first: float, grains: int) -> Search:
    """Yields CRFs, is sent their VMAF, and returns one that just reaches what is wanted.

    At low quality neighbours may be 2 of VMAF apart, even those that differ by a tenth: encoders round. Then the
    one that is nearer to it is taken, be it below.
    """
    good: tuple[float, float] | None = None  # the highest that reaches it
    bad: tuple[float, float] | None = None  # the lowest that does not
    aim, stride, stayed = wanted + CLOSE_ENOUGH / 2, 0.0, 0
    crf = _grained(first, grains)
    while True:
        score = yield crf
        reaches = score >= wanted
        # Whoever goes on from one side only has stayed there: the other end tells less and less.
        stayed = max(1, stayed + 1) if reaches else min(-1, stayed - 1)
        if reaches:
            good = crf, score
            if crf == HIGHEST or score - wanted <= CLOSE_ENOUGH:
                return crf
        else:
            bad = crf, score
            if crf == LOWEST:
                raise TargetMissed(
                    f"a VMAF of {wanted:g} is out of reach: at crf {LOWEST}, the best there is, it was {score:.1f}; "
                    "ask for a lower target_vmaf"
                )
        if good and bad:
            if round((bad[0] - good[0]) * grains) <= 1:
                return min(good, bad, key=lambda tried: abs(tried[1] - wanted))[0]
            within = good[0] + 1 / grains, bad[0] - 1 / grains
            crf = _grained(min(max(_between(good, bad, aim, stayed), within[0]), within[1]), grains)
        else:
            stride = max(2 * stride, 1 / grains, abs(score - aim) / SLOPE)
            crf = _grained(crf + (stride if reaches else -stride), grains)


def _between(good: tuple[float, float], bad: tuple[float, float], aim: float, stayed: int) -> float:
    """The CRF that should just reach it, by a straight line; the line bends, so an end that stays counts by half."""
    above, below = good[1] - aim, aim - bad[1]
    if stayed > 1:
        below /= 2 ** (stayed - 1)
    elif stayed < -1:
        above /= 2 ** (-stayed - 1)
    return good[0] + (bad[0] - good[0]) * above / (above + below)


def _grained(crf: float, grains: int) -> float:
    return round(min(max(crf, LOWEST), HIGHEST) * grains) / grains


def _score(said: str) -> float:
    found = re.findall(r"VMAF score: (\d{1,3}(?:\.\d+)?)", said)
    if not found:
        raise MeasurementMissing("ffmpeg did not say how close a part is to its source; its log has the details")
    return float(found[-1])
