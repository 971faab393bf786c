"""Holds how commands that change something tell what came of it: as JSON or in words, of one thing or of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from daemon.cli.options import print_json

if TYPE_CHECKING:
    from daemon.cli.client import Json


def tell(answer: Json, as_json: bool, words: Callable[[Json], str]) -> None:
    """Prints the daemon's answer, as JSON or in words."""
    if as_json:
        print_json(answer)
    else:
        _say(words(answer))


def each(
    jobs: Sequence[str],
    act: Callable[[str], Json],
    as_json: bool,
    words: Callable[[Json], str],
    meant: Callable[[str], object] | None = None,
) -> None:
    """Does it to every job, also when it is refused for one; raises Refused at the end, or before anything is done
    where a word is not `meant` for any."""
    from daemon.cli.client import Refused
    from daemon.cli.references import Unclear

    if meant and len(jobs) > 1:
        _look_up(jobs, meant)
    answers: list[Json] = []
    refusals: list[Refused | Unclear] = []
    for job in jobs:
        try:
            answers.append(act(job))
        except (Refused, Unclear) as error:
            refusals.append(error)
            continue
        if not as_json:
            _say(words(answers[-1]))
    if as_json:
        print_json({"items": answers})
    if refusals:
        first, *others = refusals
        raise Refused(first.status, first.code, "\n".join(map(str, refusals)), None if others else first.job)


def _look_up(jobs: Sequence[str], meant: Callable[[str], object]) -> None:
    from daemon.cli.client import Refused
    from daemon.cli.references import Unclear

    unclear: list[Unclear] = []
    for job in jobs:
        try:
            meant(job)
        except Unclear as error:
            unclear.append(error)
    if unclear:
        words = "; ".join(map(str, unclear))
        raise Refused(Unclear.status, Unclear.code, f"{words}; nothing was done, of the others neither")


def _say(words: str) -> None:
    from daemon.cli.terminal import console, say

    say(console(), words)
