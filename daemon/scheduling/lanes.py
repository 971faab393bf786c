"""Encodes the spans of a film, as many at once as it is given slots: one lane each."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from daemon.encode.task import Ended, Progress
from daemon.scheduling.film import Film
from daemon.scheduling.resumption import Resumption

log = logging.getLogger(__name__)

MOST_LOST = 5  # machines that may go away with a span before the whole film waits for its turn again


class Lanes:
    """Works off the spans of a film. `encode` encodes one, and `stop` ends those that are to be ended with another.

    There is always one lane; whoever has slots to give opens more, each for one span.
    """

    def __init__(
        self, film: Film, encode: Callable[[Resumption], Awaitable[Ended]], stop: Callable[[], Awaitable[object]]
    ) -> None:
        self._film = film
        self._encode = encode
        self._stop = stop
        self._left = deque(span for span in film.spans if not span.whole)
        self._running: dict[asyncio.Task[Ended], Resumption] = {}
        self._progress: dict[int, Progress] = {}  # of what is encoded now, by span
        self._lost = Counter[int]()
        self._opened = asyncio.Event()
        self.closed = False

    @property
    def width(self) -> int:
        """Returns how many are encoded at once."""
        return len(self._running)

    def open(self) -> bool:
        """Begins another span beside those that are encoded; False where none is left."""
        if self.closed or not self._left:
            return False
        span = self._left.popleft()
        self._running[asyncio.create_task(self._one(span), name=f"span {span.span.span}")] = span
        self._opened.set()
        return True

    async def _one(self, span: Resumption) -> Ended:
        await span.write()
        return await self._encode(span)

    def progress(self, span: int, report: Progress) -> Progress:
        """Returns how far all of the film is, now that one of the spans is so far."""
        self._progress[span] = report
        running = {one.span.span: one for one in self._running.values()}
        ahead = [(self._progress[number], running[number]) for number in running if number in self._progress]
        seconds = self._film.seconds + sum(max(0.0, told.seconds - one.begin.seconds) for told, one in ahead)
        speeds = [told.speed for told, _ in ahead if told.speed is not None]
        return replace(report, seconds=seconds, speed=sum(speeds) if speeds else None)

    async def run(self) -> Ended:
        """Returns once all spans are encoded, or how the first ended that was not. Raises as `Film.finish` does."""
        ended, spent = Ended(), 0.0
        try:
            while self._left or self._running:
                if not self._running:
                    self.open()
                await self._until_any_ended()
                for one in [one for one in self._running if one.done()]:
                    span = self._running.pop(one)
                    told = await one
                    spent += told.cpu_seconds
                    self._progress.pop(span.span.span, None)
                    ended = await self._settle(span, told, ended)
                if _came_to_nothing(ended):
                    break
        finally:
            self.closed = True
            if self._running:
                await self._stop()
                for others in await asyncio.gather(*self._running, return_exceptions=True):
                    spent += others.cpu_seconds if isinstance(others, Ended) else 0.0
        return replace(ended, cpu_seconds=spent)

    async def _until_any_ended(self) -> None:
        """Or until there are more."""
        self._opened.clear()
        opened = asyncio.ensure_future(self._opened.wait())
        await asyncio.wait([*self._running, opened], return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()

    async def _settle(self, span: Resumption, told: Ended, before: Ended) -> Ended:
        """What is to be told of all so far."""
        if _came_to_nothing(before):
            return before
        if told.lost and self._lost[span.span.span] < MOST_LOST:
            self._lost[span.span.span] += 1
            self._left.appendleft(span)
            return before
        if not _came_to_nothing(told):
            await self._film.finish(span, told.cpu_seconds)
        return told


def _came_to_nothing(ended: Ended) -> bool:
    return bool(ended.stopped or ended.error or ended.lost)
