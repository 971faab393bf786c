"""What must hold of every engine. A class of tests for one engine says how it is made and what a crash leaves of it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from daemon.encode.engine import Engine
from daemon.encode.task import Ended, Order, Progress, Report, Started, Task, Unfinished
from daemon.media import describe
from daemon.models import SourceFile, Stage, VariationRequest, new_id
from daemon.presets.library import Library

T = TypeVar("T")

MINE = new_id()  # a task's, in this process of pytest alone: others look for processes of theirs by its like
PATIENCE = 60.0  # seconds for whatever a test waits for


def order(folder: Path, preset: str, **parameters: Any) -> Order:
    [wanted] = Library().expand([VariationRequest(preset, parameters)])
    work = folder / preset
    return Order(
        variation=preset,
        attempt=1,
        preset=preset,
        parameters=wanted.parameters,
        part=str(work / "1.part"),
        log=str(folder / "logs" / preset),
        threads=1,
    )


def task(name: str, source: Path, *orders: Order) -> Task:
    media = describe.read_media(str(source))
    return Task(id=name, source=SourceFile(path=str(source)), source_name=source.name, media=media, orders=orders)


async def begun(engine: Engine, one: Task) -> asyncio.Task[Ended]:
    """The task on its way, once some of it is encoded."""
    encoding = asyncio.Event()
    running = asyncio.create_task(engine.run(one, lambda report: isinstance(report, Progress) and encoding.set()))
    async with asyncio.timeout(PATIENCE):
        await encoding.wait()
    return running


@pytest.fixture(scope="module")
def long(ffmpeg: str, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes longer than it takes a test to look at it."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    command = [ffmpeg, "-v", "error", "-stream_loop", "14", "-i", str(clip), "-c", "copy", "-y", str(path)]
    subprocess.run(command, check=True)
    return path


class EngineConformance:
    """`make` gives an engine of so many `slots` that nobody started yet; given three here, it has those `resized`."""

    slots = 2
    resized = 3

    def make(self, ffmpeg: str) -> Engine:
        raise NotImplementedError

    def works(self, task: str) -> bool:
        """Whether any process of the engine's still works for the task."""
        raise NotImplementedError

    def leave_behind(self, task: str) -> str:
        """Starts what the engine would have running for the task if its daemon was killed; returns the handle of it."""
        raise NotImplementedError

    @asynccontextmanager
    async def started(self, ffmpeg: str) -> AsyncIterator[Engine]:
        engine = self.make(ffmpeg)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()

    def with_engine(self, ffmpeg: str, work: Callable[[Engine], Awaitable[T]]) -> T:
        async def main() -> T:
            async with self.started(ffmpeg) as engine, asyncio.timeout(PATIENCE):
                return await work(engine)

        return asyncio.run(main())

    def run(self, ffmpeg: str, one: Task) -> tuple[Ended, list[Report]]:
        reports: list[Report] = []
        return self.with_engine(ffmpeg, lambda engine: engine.run(one, reports.append)), reports

    def test_what_was_encoded_and_said_lies_where_the_orders_say(self, ffmpeg: str, clip: Path, tmp_path: Path) -> None:
        orders = order(tmp_path, "h264-480p"), order(tmp_path, "mp3")
        ended, _ = self.run(ffmpeg, task(MINE, clip, *orders))
        assert (ended.error, ended.stopped, ended.exit_code) == (None, None, 0)
        for one in orders:
            assert describe.read_media(one.part).duration_seconds == pytest.approx(2.0, abs=0.1)
            assert "$ ffmpeg" in Path(one.log).read_text()
        assert not self.works(MINE)

    def test_its_reports_begin_with_a_handle_and_never_go_back(self, ffmpeg: str, long: Path, tmp_path: Path) -> None:
        one = task(MINE, long, order(tmp_path, "mp3"))
        ended, reports = self.run(ffmpeg, one)
        assert ended.error is None
        assert isinstance(reports[0], Started)
        assert reports[0].handle
        seconds = [report.seconds for report in reports if isinstance(report, Progress)]
        assert seconds == sorted(seconds)
        assert seconds[-1] == pytest.approx(one.media.duration_seconds, abs=0.1)
        assert {report.task for report in reports} == {MINE}

    def test_a_failed_encode_is_told_in_words(self, ffmpeg: str, clip: Path, tmp_path: Path) -> None:
        one = task(MINE, clip, order(tmp_path, "mp3"))
        clip_no_more = tmp_path / "clip.mp4"
        clip_no_more.write_bytes(b"no film" * 1000)
        ended, _ = self.run(ffmpeg, msgspec.structs.replace(one, source=SourceFile(path=str(clip_no_more))))
        assert ended.error is not None
        assert "could not encode clip.mp4" in ended.error
        assert ended.stopped is None

    def test_another_file_in_the_place_of_the_source_is_not_read(self, ffmpeg: str, clip: Path, tmp_path: Path) -> None:
        one = task(MINE, clip, order(tmp_path, "mp3"))
        another = SourceFile(path=str(clip), identity=(1, 2, 3, 4))
        ended, _ = self.run(ffmpeg, msgspec.structs.replace(one, source=another))
        assert ended.error is not None
        assert not Path(one.orders[0].part).exists()

    def test_a_stop_says_how_it_ended_and_leaves_no_process(self, ffmpeg: str, long: Path, tmp_path: Path) -> None:
        async def stop_midway(engine: Engine) -> None:
            running = await begun(engine, task(MINE, long, order(tmp_path, "h264-480p")))
            stopped = await engine.stop(MINE)
            assert stopped.stage in {Stage.QUIT, Stage.TERMINATE, Stage.KILL}
            assert not self.works(MINE)
            assert (await running).stopped == stopped
            assert (await engine.stop(MINE)).stage == Stage.EXITED

        self.with_engine(ffmpeg, stop_midway)

    def test_a_task_that_nobody_began_is_neither_stopped_nor_frozen(self, ffmpeg: str) -> None:
        async def act(engine: Engine) -> None:
            assert (await engine.stop("nobody's")).stage == Stage.EXITED
            assert await engine.pause("nobody's") is False
            engine.resume("nobody's")

        self.with_engine(ffmpeg, act)

    def test_a_frozen_task_stands_still_while_a_later_one_overtakes_it(
        self, ffmpeg: str, clip: Path, long: Path, tmp_path: Path
    ) -> None:
        async def freeze(engine: Engine) -> None:
            running = await begun(engine, task("frozen", long, order(tmp_path / "frozen", "h264-480p")))
            assert await engine.pause("frozen")
            later = await engine.run(task("later", clip, order(tmp_path / "later", "h264-480p")), lambda _: None)
            assert later.error is None
            assert not running.done()
            engine.resume("frozen")
            assert (await running).error is None

        self.with_engine(ffmpeg, freeze)

    def test_a_stop_before_its_first_process_lets_none_begin(self, ffmpeg: str, long: Path, tmp_path: Path) -> None:
        async def stop_at_once(engine: Engine) -> None:
            reports: list[Report] = []
            running = asyncio.create_task(engine.run(task(MINE, long, order(tmp_path, "h264-480p")), reports.append))
            await asyncio.sleep(0)
            stopped = await engine.stop(MINE)
            assert (await running).stopped == stopped
            assert stopped.stage == Stage.EXITED
            assert reports == []

        self.with_engine(ffmpeg, stop_at_once)

    def test_a_task_frozen_before_its_first_process_begins_once_it_may(
        self, ffmpeg: str, clip: Path, tmp_path: Path
    ) -> None:
        async def freeze_at_once(engine: Engine) -> None:
            reports: list[Report] = []
            frozen = task("frozen", clip, order(tmp_path / "frozen", "mp3"))
            running = asyncio.create_task(engine.run(frozen, reports.append))
            await asyncio.sleep(0)
            assert await engine.pause("frozen")
            assert (
                await engine.run(task("later", clip, order(tmp_path / "later", "mp3")), reports.append)
            ).error is None
            assert {report.task for report in reports} == {"later"}
            engine.resume("frozen")
            assert (await running).error is None

        self.with_engine(ffmpeg, freeze_at_once)

    def test_cancelling_a_run_leaves_no_process(self, ffmpeg: str, long: Path, tmp_path: Path) -> None:
        async def cancel(engine: Engine) -> None:
            running = await begun(engine, task(MINE, long, order(tmp_path, "h264-480p")))
            assert self.works(MINE)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert not self.works(MINE)

        self.with_engine(ffmpeg, cancel)

    def test_what_is_exchanged_is_the_same_after_json(self, ffmpeg: str, clip: Path, tmp_path: Path) -> None:
        one = msgspec.json.decode(msgspec.json.encode(task(MINE, clip, order(tmp_path, "mp3"))), type=Task)
        assert one == task(MINE, clip, order(tmp_path, "mp3"))
        ended, reports = self.run(ffmpeg, one)
        assert msgspec.json.decode(msgspec.json.encode(ended), type=Ended) == ended
        assert msgspec.json.decode(msgspec.json.encode(reports), type=list[Report]) == reports

    def test_it_says_what_it_can_do_and_what_it_has_written(self, ffmpeg: str, clip: Path, tmp_path: Path) -> None:
        async def look(engine: Engine) -> None:
            one = order(tmp_path, "mp3")
            assert engine.capacity.slots == self.slots
            assert engine.capacity.cores >= 1
            engine.resize(3)
            assert engine.capacity.slots == self.resized
            assert await asyncio.to_thread(engine.written, one) == 0
            assert engine.reads(str(clip))
            ended = await engine.run(task(MINE, clip, one), lambda _: None)
            assert (ended.error, ended.lost) == (None, False)
            assert await asyncio.to_thread(engine.written, one) == Path(one.part).stat().st_size

        self.with_engine(ffmpeg, look)

    def test_what_survived_its_daemon_is_ended_and_nothing_else(self, ffmpeg: str) -> None:
        names = by_handle, by_name, others = new_id(), new_id(), new_id()
        handle, _, handle_of_others = map(self.leave_behind, names)

        async def end(engine: Engine) -> None:
            await engine.end_survivors(
                [
                    Unfinished(task=f"{by_handle}, renamed", handle=handle),
                    Unfinished(task=by_name, handle=None),
                    Unfinished(task="long gone", handle=None),
                    Unfinished(task="of another engine", handle="words that this one never wrote"),
                ]
            )
            assert [self.works(name) for name in names] == [False, False, True]
            await engine.end_survivors([Unfinished(task=others, handle=handle_of_others)])
            assert not self.works(others)

        asyncio.run(end(self.make(ffmpeg)))
