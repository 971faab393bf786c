"""Reads sources: each once, before its first encode is begun, and those that come next ahead of time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from daemon.database.store import Row, Store, Transaction
from daemon.errors import FfspoolError, ProbeError, Unavailable
from daemon.journal import tell
from daemon.media.model import Media
from daemon.media.prober import Prober
from daemon.models import SourceFile
from daemon.scheduling import claims
from daemon.scheduling.sources import UPLOAD_GONE, Recorded, Whereabouts, recorded

log = logging.getLogger(__name__)

Judge = Callable[[Transaction, str, Media], None]

AT_ONCE = 4  # sources that are read at the same time
MOST = 16  # with those that take long
PATIENCE = 2.0  # seconds that work waits for the reading of the source of what is first in turn
GLANCE = 0.1  # seconds that a job's beginning waits at most for the reading of its first source
RESPITE = 1.0  # seconds before a source is read again that could not be, or of which nothing could be recorded


class Survey:
    """Reads the sources of ready variations. `tell` is called when what was found of one stands in the database."""

    def __init__(
        self,
        store: Store,
        prober: Prober,
        whereabouts: Whereabouts,
        tell: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._prober = prober
        self._whereabouts = whereabouts
        self._tell = tell
        self._now = now
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._since: dict[int, float] = {}
        self._glances = 0
        self._judges: list[Judge] = []

    def on_media(self, judge: Judge) -> None:
        """Has `judge` be called in the transaction that records what a source holds, before anything is made of it."""
        self._judges.append(judge)

    def read_ahead(self, row: Row) -> None:
        """Begins to read the source of this ready variation, unless that is under way or enough others are."""
        source = row["source"]
        if source in self._under_way or self._busy:
            return
        reading = self._under_way[source] = asyncio.create_task(self._read(row), name=f"survey of {source}")
        reading.add_done_callback(lambda _: self._read_one(source))
        self._since[source] = time.monotonic()
        asyncio.get_running_loop().call_later(PATIENCE, self._tell)

    async def glance(self, file: SourceFile, within: float = GLANCE) -> Media | None:
        """Returns what the file holds, if others do not keep the readers busy and it is read `within` some seconds.

        None: see later. Nor does it tell why a file cannot be read.
        """
        if self._busy:
            return None
        self._glances += 1
        try:
            async with asyncio.timeout(within):
                return await self._prober.probe(file)
        except (ProbeError, Unavailable, TimeoutError):
            return None
        finally:
            self._glances -= 1

    @property
    def _busy(self) -> bool:
        """Whether enough is being read. What takes long may lie on a disk that does not answer: of that others may be
        read, up to a bound."""
        prompt = sum(map(self.is_fresh, self._under_way))
        return self._glances + prompt >= AT_ONCE or len(self._under_way) >= MOST

    def is_fresh(self, source: int) -> bool:
        """Tells whether it is being read since a moment ago, so that others should not overtake it yet."""
        return source in self._since and time.monotonic() - self._since[source] < PATIENCE

    async def close(self) -> None:
        """Gives up what is under way."""
        for reading in self._under_way.values():
            reading.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _read_one(self, source: int) -> None:
        del self._under_way[source], self._since[source]
        self._tell()

    async def _read(self, row: Row) -> None:
        source = row["source_id"]
        known = recorded(row["job"], source, row)
        try:
            if known.unsettled:
                return await self._settle(known)
            if await self._whereabouts.has_lost(known):
                raise ProbeError(UPLOAD_GONE)
            media = await self._prober.probe(self._whereabouts.of(known))
        except ProbeError as error:
            refusing = partial(claims.refuse_source, away=await self._whereabouts.is_away(known), now=self._now())
            await self._record(partial(refusing, source=source, error=f"{row['name']}: {error}"))
        except Unavailable as error:  # the scheduler comes back to it
            tell(log, logging.WARNING, "a source could not be looked into", job=row["job"], source=source, error=error)
            await asyncio.sleep(RESPITE)
        else:
            await self._record(partial(self._keep, source, media))
        return None

    async def _settle(self, known: Recorded) -> None:
        """Looks twice at a file that was written to: one that has not changed since is read next."""
        before = await self._whereabouts.identity(known)
        await asyncio.sleep(RESPITE)
        found = await self._whereabouts.identity(known)
        if found is None:
            raise ProbeError("it is no longer on the disk: put it back, then retry")
        if found == before:
            await self._record(partial(claims.settle_source, source=known.source, identity=found))

    def _keep(self, source: str, media: Media, transaction: Transaction) -> None:
        claims.record_media(transaction, source=source, media=media)
        for judge in self._judges:
            judge(transaction, source, media)

    async def _record(self, work: Callable[..., None]) -> None:
        try:
            await self._store.write(work)
        except FfspoolError as error:  # the scheduler comes back to it
            log.error("what a source holds could not be recorded: %s", error)
            await asyncio.sleep(RESPITE)
