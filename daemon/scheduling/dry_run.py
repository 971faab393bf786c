"""Tells what a batch would come to before anything of it is encoded: its processes, and when each would begin."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon.errors import FfspoolError
from daemon.media.prober import Prober
from daemon.models import Kept, LeftOut, Model, Wanted, new_id
from daemon.scheduling import shares
from daemon.scheduling.forecast import Forecast, Outlook
from daemon.scheduling.shares import Ready, Start

READ_AT_ONCE = 4  # files


class Process(Model, frozen=True):
    """Predicts one process: it begins `at` so many seconds from the batch's begin.

    `presets` says what it makes, `threads` how many the encoder of each uses.
    """

    at: float
    wall_seconds: float
    cpu_seconds: float
    file: str
    presets: tuple[str, ...]
    threads: tuple[int, ...]


class NotMade(Model, frozen=True):
    """Says what is not made, and why; `preset` None: nothing can be made of the file."""

    file: str
    preset: str | None
    reason: str


class Foreseen(Model, frozen=True):
    """Tells what an output will have of its source, and what not, whether it is a film of a photograph, and of how many
    `spans` machines may encode each one.
    """

    file: str
    preset: str
    kept: tuple[Kept, ...]
    left_out: tuple[LeftOut, ...]
    one_picture: bool
    spans: int


class Preview(Model, frozen=True):
    """Shows a batch as it would run with nothing beside it. All its figures are predictions."""

    cores: int
    slots: int
    wall_seconds: float
    cpu_seconds: float
    bytes: int
    processes: tuple[Process, ...]
    refused: tuple[NotMade, ...]
    outputs: tuple[Foreseen, ...]


class _Draft:
    """The batch as far as it was read."""

    def __init__(self, forecast: Forecast) -> None:
        self._forecast = forecast
        self.ready: list[Ready] = []
        self.made: dict[str, tuple[str, str]] = {}  # by variation: of which file, and what
        self.refused: list[NotMade] = []
        self.outputs: list[Foreseen] = []

    async def read(self, file: Path, wanted: Sequence[Wanted], prober: Prober) -> None:
        source = new_id()
        try:
            media = await prober.probe(file.resolve())
        except FfspoolError as error:
            return self.refused.append(NotMade(file=str(file), preset=None, reason=str(error)))
        for want in wanted:
            variation = new_id()
            try:
                outlook = self._forecast.of(variation, source, media, want.preset, want.parameters, file.stat().st_size)
            except FfspoolError as error:
                self.refused.append(NotMade(file=str(file), preset=want.label, reason=str(error)))
            else:
                self.ready.append(outlook.ready)
                self.made[variation] = str(file), want.label
                self.outputs.append(_foreseen(file, want, outlook))
        return None


async def preview(
    files: Sequence[Path],
    wanted: Sequence[Wanted],
    prober: Prober,
    forecast: Forecast,
    *,
    cores: int,
    slots: int,
    longest: float,
) -> Preview:
    """Reads the files, and nothing else. `longest` bounds, in seconds, a process that several variations share."""
    draft = _Draft(forecast)
    permits = asyncio.Semaphore(READ_AT_ONCE)

    async def read(file: Path) -> None:
        async with permits:
            await draft.read(file, wanted, prober)

    await asyncio.gather(*map(read, files))
    place = {str(file): number for number, file in enumerate(files)}  # reading them may end in another order
    draft.ready.sort(key=lambda one: place[draft.made[one.variation][0]])
    starts = shares.simulate(draft.ready, cores=cores, slots=slots, longest=longest)
    processes = tuple(_process(start, draft.made) for start in starts)
    return Preview(
        cores=cores,
        slots=slots,
        wall_seconds=max((process.at + process.wall_seconds for process in processes), default=0.0),
        cpu_seconds=sum(process.cpu_seconds for process in processes),
        bytes=sum(one.bytes for one in draft.ready),
        processes=processes,
        refused=tuple(draft.refused),
        outputs=tuple(draft.outputs),
    )


def _foreseen(file: Path, want: Wanted, outlook: Outlook) -> Foreseen:
    return Foreseen(
        file=str(file),
        preset=want.label,
        kept=outlook.contents.kept,
        left_out=outlook.contents.left_out,
        one_picture=outlook.one_picture,
        spans=outlook.spans,
    )


def _process(start: Start, made: Mapping[str, tuple[str, str]]) -> Process:
    share = start.share
    return Process(
        at=start.at,
        wall_seconds=share.wall_seconds,
        cpu_seconds=share.cpu_seconds,
        file=made[share.variations[0]][0],
        presets=tuple(made[variation][1] for variation in share.variations),
        threads=tuple(share.threads[variation] for variation in share.variations),
    )
