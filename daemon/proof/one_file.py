"""Proves an output that is one file: it is read again, and compared with what was planned."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import ProbeError, ProofError
from daemon.media.durations import close
from daemon.media.model import Media
from daemon.media.prober import Prober
from daemon.models import SourceFile
from daemon.proof.differences import differences, lasts_as_planned
from daemon.recipes.recipe import Plan, truncated

OTHERWISE = "take another preset, or convert the source first with another program"


async def prove_file(prober: Prober, part: Path, plan: Plan, source: SourceFile) -> Media:
    """Returns what the part holds, once it is shown to be as planned and its end is decoded, as far as the source's is.

    Raises ProofError in words, with all that differs. A source that ends before its header says is named as
    the cause.
    """
    try:
        made = await prober.probe_output(part)
    except ProbeError as error:
        if not await _damaged_likewise(prober, source, error):
            words = f"the encoder said it was done, but its output cannot be read: {error}"
            raise ProofError(await truncation(prober, plan, source) or f"{words}; {OTHERWISE}") from error
        made = await _described(prober, part)
    if not lasts_as_planned(made, plan):
        words = f"the output lasts {_seconds(made.duration_seconds)} instead of {_seconds(plan.duration_seconds)}"
        words = "; ".join([words, *differences(made, plan)])
        raise ProofError(await truncation(prober, plan, source) or f"{words}; {OTHERWISE}")
    if found := differences(made, plan):
        words = f"the output is not what was planned: {'; '.join(found)}"
        raise ProofError(await truncation(prober, plan, source) or f"{words}; {OTHERWISE}")
    return made


async def _described(prober: Prober, part: Path) -> Media:
    try:
        return await prober.probe(part)
    except ProbeError as error:
        words = f"the encoder said it was done, but its output cannot be read: {error}"
        raise ProofError(f"{words}; {OTHERWISE}") from error


async def _damaged_likewise(prober: Prober, source: SourceFile, flaw: ProbeError) -> bool:
    """Whether the source itself has that flaw, which a faithful copy of its packets keeps."""
    try:
        await prober.probe_output(source)
    except ProbeError as its_own:
        return str(its_own) == str(flaw)
    return False


async def truncation(prober: Prober, plan: Plan, source: SourceFile) -> str | None:
    """Says that the source ends before its header says, in words; None when that is not what happened."""
    planned = plan.duration_seconds or plan.seen_seconds
    try:
        held = await prober.measured_seconds(source)
    except ProbeError:
        return None
    if planned is None or held is None or held >= planned or close(held, planned):
        return None
    return truncated(planned, held)


def _seconds(value: float | None) -> str:
    return "an unknown time" if value is None else f"{value:.2f} s"
