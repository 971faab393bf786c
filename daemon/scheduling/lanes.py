"""Encodes the spans of a film, as many at once as it is given slots: one lane each.

Near the end, when none is left to begin, a slow one is begun a second time where that is foreseen to be done earlier;
which of the two is done first is kept.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec.structs import replace

from daemon.encode.task import Ended, Progress
from daemon.scheduling.film import Film
from daemon.scheduling.span import Span

MOST_LOST = 5  # machines that may go away with a span before the whole film waits for its turn again
MOMENT = 1e-3  # seconds
WORTH_IT = 1.5  # times as long as anew a span has to be foreseen to take for it to be begun anew
LOOK_EVERY = 2.0  # seconds


class Lane(NamedTuple):
    """A lane has a piece of one span encoded since it `began`; `again` tells that another lane has that span, too, and
    began earlier.
    """

    span: Span
    piece: int
    began: float
    again: bool = False


class Lanes:
    """Works off the spans of a film. `encode` has a lane encoded, and `stop` ends one. What was made is read within
    `read`, which raises CancelledError once all is to be ended.

    There is always one lane; whoever has slots to give opens more, each for one span. When that might be of use is told
    by calling `look`.
    """

    def __init__(
        self,
        film: Film,
        encode: Callable[[Lane], Awaitable[Ended]],
        stop: Callable[[Lane], Awaitable[object]],
        look: Callable[[], None],
        read: Callable[[Awaitable[None]], Awaitable[object]],
    ) -> None:
        self._film = film
        self._encode = encode
        self._stop = stop
        self._look = look
        self._read = read
        self._left = deque(span for span in film.spans if not span.whole)
        self._running: dict[asyncio.Task[Ended], Lane] = {}
        self._progress: dict[int, Progress] = {}  # of what is encoded now, by span
        self._fastest = 0.0  # seconds of film that any lane had encoded in one
        self._lost = Counter[int]()
        self._opened = asyncio.Event()
        self.closed = False

    @property
    def width(self) -> int:
        """Returns how many are encoded at once."""
        return len(self._running)

    def open(self) -> bool:
        """Begins one more beside those that are encoded; False where there is no use in that."""
        lane = None if self.closed else self._next()
        if lane is None:
            return False
        self._running[asyncio.create_task(self._one(lane), name=f"span {lane.span.number}")] = lane
        self._opened.set()
        return True

    def _next(self) -> Lane | None:
        now = time.monotonic()
        if self._left:
            span = self._left.popleft()
            return Lane(span, span.next_piece(), now)
        twice = {lane.span for lane in self._running.values() if lane.again}
        late = {lane.span: self._lateness(lane, now) for lane in self._running.values() if lane.span not in twice}
        latest = max(late, key=lambda span: late[span], default=None)
        return Lane(latest, latest.next_piece(), now, again=True) if latest and late[latest] > WORTH_IT else None

    def _spans(self) -> set[Span]:
        return {lane.span for lane in self._running.values()}

    def _lateness(self, lane: Lane, now: float) -> float:
        """How many times as long it will yet take at its pace so far as it would anew at the best there was."""
        told, begins, end = self._progress.get(lane.span.number), lane.span.begin.seconds, self._film.end(lane.span)
        done = told.seconds - begins if told else 0.0
        anew = (end - begins) / self._fastest if self._fastest else math.inf
        took = now - lane.began
        return (end - begins - done) * took / done / anew if done > 0 else took / anew

    def wants(self, lane: Lane) -> bool:
        """Tells whether what a lane has encoded is still of use."""
        return not self.closed and lane in self._running.values()

    async def _one(self, lane: Lane) -> Ended:
        await lane.span.write(lane.piece)
        return await self._encode(lane)

    def progress(self, lane: Lane, report: Progress) -> Progress | None:
        """Returns how far all of the film is, now that a lane is so far; None where that tells nothing new."""
        if lane.again:
            return None
        self._progress[lane.span.number] = report
        ahead = [(told, span) for span in self._spans() if (told := self._progress.get(span.number))]
        seconds = self._film.seconds + sum(max(0.0, told.seconds - span.begin.seconds) for told, span in ahead)
        speeds = [told.speed for told, _ in ahead if told.speed is not None]
        return replace(report, seconds=seconds, speed=sum(speeds) if speeds else None)

    async def run(self) -> Ended:
        """Returns once all spans are encoded, or how the first ended that was not. Raises as `Film.finish` and
        `read` do.
        """
        ended, spent = Ended(), 0.0
        try:
            while (self._left or self._running) and ended.succeeded:
                if not self._running and not self.open():  # all is to be ended
                    ended = Ended(lost=True)
                    break
                await self._until_any_ended()
                for one in [one for one in self._running if one.done()]:
                    lane = self._running.pop(one, None)
                    if lane is None:  # the other of the two was done first
                        continue
                    told = await one
                    spent += told.cpu_seconds + await self._settle(lane, told)
                    if ended.succeeded and lane.span not in {*self._spans(), *self._left}:
                        ended = told
        finally:
            self.closed = True
            spent += await self._end(list(self._running))
        return replace(ended, cpu_seconds=spent)

    async def _until_any_ended(self) -> None:
        """Or until there are more, or it is time to look."""
        self._opened.clear()
        opened = asyncio.ensure_future(self._opened.wait())
        waiting = [*self._running, opened]
        done, _ = await asyncio.wait(waiting, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if not done:
            self._look()

    async def _settle(self, lane: Lane, told: Ended) -> float:
        """Takes what a lane made, or has it made again. Returns the CPU seconds of one that was ended by that."""
        span, spent = lane.span, 0.0
        others = {one: other.piece for one, other in self._running.items() if other.span is span}
        if told.succeeded:
            spent = await self._end(list(others))
            await span.forget(list(others.values()))
            self._progress.pop(span.number, None)
            await self._read(self._film.finish(span, lane.piece, told.cpu_seconds))
            pace = (self._film.end(span) - span.begin.seconds) / max(time.monotonic() - lane.began, MOMENT)
            self._fastest = max(self._fastest, pace)
        elif others and not told.stopped:
            await span.forget([lane.piece])
        elif told.lost and not self.closed and self._lost[span.number] < MOST_LOST:
            self._lost[span.number] += 1
            await self._read(span.go_on(lane.piece))
            self._progress.pop(span.number, None)
            self._left.appendleft(span)
        return spent

    async def _end(self, running: list[asyncio.Task[Ended]]) -> float:
        """Ends lanes, and returns the CPU seconds that they had taken."""
        lanes = [self._running.pop(one) for one in running]
        await asyncio.gather(*(self._stop(lane) for lane in lanes))
        ended = await asyncio.gather(*running, return_exceptions=True)
        return sum(one.cpu_seconds for one in ended if isinstance(one, Ended))
