"""Spans of a film that are encoded at once: what is lost of one is little, and nobody waits for what is of no use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from conftest import slowed
from film_house import WANTED, Film, House
from stored import add_job, claim, in_store
from test_resume import encoded, task

from daemon.database.store import Store
from daemon.encode.durability import synced
from daemon.encode.task import Ended, Kept
from daemon.media import describe
from daemon.models import Stage, Stopped
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.recipes.recipe import Begin
from daemon.scheduling import claims, film, piece_rows
from daemon.scheduling.forecast import Forecast
from daemon.scheduling.lanes import Lane, Lanes
from daemon.scheduling.space import Experience

PATIENCE = 30.0  # seconds
LOST, FAILED = Ended(lost=True), Ended(error="it failed")
STOPPED = Stopped(stage=Stage.EXITED, seconds=0.0)

Encode = Callable[[Lane], Awaitable[Ended]]


Choose = Callable[["Work"], Encode]
Spans = Callable[[Choose], "Work"]


@pytest.fixture
def spans(house: Film, ffmpeg: str, small_film: Path) -> Spans:
    """Has a film of three spans be encoded in the way that is chosen."""

    async def at_work(choose: Choose, house: House) -> Work:
        vars(house.resources)["span_seconds"] = 8.0
        work = Work(house, await house.finds(cut=True), ffmpeg, small_film)
        work.lanes = Lanes(work.film, choose(work), work.stop, work.look, work.read)
        async with asyncio.timeout(PATIENCE):
            work.ended = await work.lanes.run()
        return work

    return lambda choose: house(partial(at_work, choose))


class Work:
    """Encodes spans, and remembers where each lane began. One that is `eager` begins what hangs a second time."""

    lanes: Lanes
    ended: Ended
    eager = hurried = False

    def __init__(self, house: House, cut: film.Film, ffmpeg: str, source: Path) -> None:
        self.house = house
        self.film = cut
        self.begun = list[Begin]()
        self.stopped = asyncio.Event()
        self._ffmpeg = ffmpeg
        self._source = source

    async def encode(self, lane: Lane, slow: str | None = None) -> Ended:
        """All of it; by an encoder that is slow, six seconds, which are told to be on the disk before it is lost."""
        self.begun.append(lane.span.begin)
        path = lane.span.path(lane.piece)
        path.parent.mkdir(parents=True, exist_ok=True)
        one = task(self._source, path, WANTED, begin=lane.span.begin)
        await asyncio.to_thread(encoded, slow or self._ffmpeg, one, killed_at=6.0 if slow else None)
        if not slow:
            return Ended()
        await self.house.tells(synced(path, Kept()), lane.piece, lane.span.number)
        return LOST

    async def stop(self, _: Lane) -> Stopped:
        self.stopped.set()
        return STOPPED

    async def read(self, reading: Awaitable[object]) -> object:
        """One that is `hurried` is to be ended meanwhile."""
        done = asyncio.ensure_future(reading)
        if self.hurried:
            done.cancel()
        return await done

    def look(self) -> None:
        if self.eager:
            self.lanes.open()


def test_a_span_whose_machine_left_goes_on_behind_what_had_come_of_it(
    spans: Spans, ffmpeg: str, tmp_path: Path
) -> None:
    slow = slowed(ffmpeg, tmp_path, rate=8, burst=0)["FFSPOOL_FFMPEG"]

    def choose(work: Work) -> Encode:
        return lambda lane: work.encode(lane, None if work.begun else slow)

    work = spans(choose)
    first, again, *rest = work.begun
    assert (first.span, again.span, [one.span for one in rest]) == (0, 0, [1, 2])
    assert again.seconds > 2.0
    assert work.film.whole
    assert sum(count for span in work.film.spans for (count,) in span.pictures) == 600
    assert not (work.ended.lost or work.ended.error)


def test_what_is_to_be_ended_while_its_machine_leaves_waits_for_no_other(
    spans: Spans,
) -> None:
    def choose(work: Work) -> Encode:
        async def leave(_: Lane) -> Ended:
            work.lanes.closed = True
            return LOST

        return leave

    assert spans(choose).ended.lost


@pytest.mark.parametrize("comes_to", [Ended(), LOST], ids=["whole", "lost"])
def test_what_is_to_be_ended_while_a_span_is_read_does_not_wait_for_that(spans: Spans, comes_to: Ended) -> None:
    works = list[Work]()

    def choose(work: Work) -> Encode:
        async def encode(lane: Lane) -> Ended:
            if lane.span.number:
                await work.stopped.wait()
                return Ended(stopped=STOPPED)
            work.lanes.open()
            work.hurried = True
            return comes_to

        works.append(work)
        return encode

    with pytest.raises(asyncio.CancelledError):
        spans(choose)
    [work] = works
    assert work.stopped.is_set(), "the others are ended, too"
    assert not work.film.spans[0].whole


def test_a_span_is_not_begun_after_another_one_failed(spans: Spans) -> None:
    def choose(work: Work) -> Encode:
        async def fail(lane: Lane) -> Ended:
            if not work.lanes.wants(lane):
                return Ended(stopped=STOPPED)
            work.begun.append(lane.span.begin)
            work.lanes.open()
            return FAILED

        return fail

    work = spans(choose)
    assert work.ended.error
    assert [one.span for one in work.begun] == [0]


def test_of_two_pieces_of_a_span_the_one_that_is_done_first_is_kept(
    spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.scheduling.lanes.LOOK_EVERY", 0.1)

    def choose(work: Work) -> Encode:
        async def hang(lane: Lane) -> Ended:
            if lane.span.number < 2 or lane.again:
                return await work.encode(lane)
            work.eager = True
            lane.span.path(lane.piece).touch()
            await work.stopped.wait()
            return Ended(stopped=STOPPED)

        return hang

    work = spans(choose)
    assert [piece.name for span in work.film.spans for piece in span.pieces] == ["1.piece", "1-1.piece", "2-2.piece"]
    assert work.film.spans[2].path(2).exists()
    assert not work.film.spans[2].path(1).exists()


@pytest.mark.parametrize("span_seconds", [None, 30.0])
def test_a_film_that_was_begun_in_spans_shares_no_process(
    tmp_path: Path, clip: Path, span_seconds: float | None
) -> None:
    """One that others share has a piece for the first of them alone."""
    media = msgspec.json.encode(describe.read_media(str(clip))).decode()

    async def work(store: Store) -> bool:
        await store.write(partial(add_job, name="film"))
        await store.write(claim)
        await store.write(lambda t: t.run("record_media", source="film", media=media))
        await store.write(partial(piece_rows.record_resumed, variation=1, seconds=8.0, span_seconds=span_seconds))
        again = {"failure": claims.INTERRUPTED, "crashed": False, "variation": 1, "attempt": 1, "now": 3.0}
        await store.write(lambda t: claims.abandon(t, **again))
        [row] = await store.read(lambda t: t.all("ready", owner=None, limit=1))
        return Forecast(Library(), {}, Experience()).of_row(row).ready.alone

    assert in_store(Paths(tmp_path), work) is (span_seconds is not None)
