"""Tells how much of films is kept that were cancelled or failed, as far as a retry will find it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from daemon.database.store import Row
from daemon.errors import ProbeError
from daemon.jobs.receipts import KeptVariation
from daemon.media.model import MOST_REPEATED, Media
from daemon.media.prober import Prober
from daemon.paths import Paths

MOST_READ = 500_000_000  # bytes of a film, for which a cancel need not wait long


async def kept_films(prober: Prober, paths: Paths, job: str, rows: Sequence[Row]) -> tuple[KeptVariation, ...]:
    """Returns what is kept of each row of the query `kept_pieces`."""
    return tuple(await asyncio.gather(*(_kept_film(prober, paths, job, row) for row in rows)))


async def _kept_film(prober: Prober, paths: Paths, job: str, row: Row) -> KeptVariation:
    """Seconds are those at which it is cut to be gone on with, somewhat before all that is encoded; of one that is too
    large to be read meanwhile, as many as it gives up at most are taken off."""
    seconds = row["begins"]
    if row["told"]:  # it is whole, or cut into spans, and what is given up of each is little
        return KeptVariation(variation=row["id"], seconds=row["in_hand"], bytes=row["bytes"])
    if row["bytes"] > MOST_READ:
        seconds = max(seconds, row["seconds"] - MOST_REPEATED)
    else:
        try:
            content = await prober.piece(
                paths.piece(job, row["id"], row["number"]), msgspec.json.decode(row["media"], type=Media)
            )
        except ProbeError:
            content = None
        if content and content.cut:
            seconds = (seconds or content.begins) + content.cut.seconds
    return KeptVariation(variation=row["id"], seconds=seconds, bytes=row["bytes"])
