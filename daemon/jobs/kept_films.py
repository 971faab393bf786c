"""Tells how much of films is kept that were cancelled or failed, as far as a retry will find it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from daemon.database.store import Row
from daemon.errors import ProbeError, Unavailable
from daemon.jobs.receipts import KeptVariation
from daemon.media.model import MOST_REPEATED, Media, PieceContent
from daemon.media.prober import Prober
from daemon.paths import Paths

SOON = 0.5  # seconds in which a film is read in any case


async def kept_films(
    prober: Prober, paths: Paths, job: str, rows: Sequence[Row], *, within: float
) -> tuple[KeptVariation, ...]:
    """Returns what is kept of each row of the query `kept_pieces`, `within` so many seconds, or soon."""
    return tuple(await asyncio.gather(*(_kept_film(prober, paths, job, row, within) for row in rows)))


async def _kept_film(prober: Prober, paths: Paths, job: str, row: Row, within: float) -> KeptVariation:
    """Seconds are those at which it is cut to be gone on with, somewhat before all that is encoded; of one that is not
    read meanwhile, as many as it gives up at most are taken off."""
    seconds = row["begins"]
    if row["told"]:  # it is whole, or cut into spans, and what is given up of each is little
        return KeptVariation(variation=row["id"], seconds=row["in_hand"], bytes=row["bytes"])
    try:
        content = await asyncio.wait_for(_content(prober, paths, job, row), max(within, SOON))
        if content.cut:
            seconds = (seconds or content.begins) + content.cut.seconds
    except TimeoutError:
        seconds = max(seconds, row["seconds"] - MOST_REPEATED)
    except (ProbeError, Unavailable):
        pass  # it is begun anew, from there
    return KeptVariation(variation=row["id"], seconds=seconds, bytes=row["bytes"])


async def _content(prober: Prober, paths: Paths, job: str, row: Row) -> PieceContent:
    """Raises TimeoutError where it cannot be read yet, since the source has to be before."""
    if row["media"] is None:
        raise TimeoutError
    media = msgspec.json.decode(row["media"], type=Media)
    return await prober.piece(paths.piece(job, row["id"], row["number"]), media)
