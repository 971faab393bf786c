"""What is asked of a task while something else is being done to it counts, and not what was asked before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import create_autospec

import msgspec
from conftest import PATIENCE
from engine_conformance import MINE, order, task

from daemon.cluster.messages import Ask, Finish, Notice
from daemon.cluster.shared_folders import SharedFolders
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.transfers import Transfers
from daemon.cluster.workplace import Workplace
from daemon.encode.task import Ended, Report, Task
from daemon.models import SourceFile
from daemon.scheduling.encoding import Encoding


class Slow:
    """An engine that stands still once it may, as one on the other side of a line that broke."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.asked = asyncio.Event()
        self.works = True

    async def pause(self, _: str) -> bool:
        self.asked.set()
        await self.may.wait()
        self.works = False
        return True

    def resume(self, _: str) -> None:
        self.works = True


def test_what_is_let_go_on_while_it_comes_to_a_standstill_goes_on() -> None:
    async def main() -> None:
        engine = Slow()
        member: Any = SimpleNamespace(claim=SimpleNamespace(token=MINE, id="film"), plan=None)
        resources: Any = SimpleNamespace(engine=engine, hung_after=PATIENCE)
        encoding = Encoding(
            [member], resources, threads={}, end=lambda: None, has_ended=lambda: False, on_free=lambda: None
        )
        freezing = asyncio.create_task(encoding.freeze())
        await engine.asked.wait()
        encoding.thaw()
        engine.may.set()
        await freezing
        assert (engine.works, encoding.frozen) == (True, False)
        await encoding.freeze()
        assert (engine.works, encoding.frozen) == (False, True)

    asyncio.run(main())


class Standing:
    """An engine whose one task stands still or goes on until the test has seen enough."""

    def __init__(self) -> None:
        self.works = True
        self.running = asyncio.Event()
        self.done = asyncio.Event()

    async def run(self, _: Task, __: Callable[[Report], None]) -> Ended:
        self.running.set()
        await self.done.wait()
        return Ended(lost=True)

    async def pause(self, _: str) -> bool:
        self.works = False
        return True

    def resume(self, _: str) -> None:
        self.works = True


def test_what_was_asked_before_and_comes_once_more_counts_no_more(clip: Path, tmp_path: Path) -> None:
    """As it does where a line broke: it is asked until it is answered, and all of that comes at last."""

    async def main() -> None:
        answers = asyncio.Queue[Notice]()
        engine, nothing = Standing(), cast(Any, create_autospec(SourceCache, instance=True))
        shared, transfers = create_autospec(SharedFolders, instance=True), create_autospec(Transfers, instance=True)
        shared.find.return_value = SourceFile(path=str(clip))
        transfers.moved = Counter[str]()
        place = Workplace(cast(Any, engine), tmp_path, shared, nothing, transfers, answers.put_nowait)
        one = task(MINE, clip, order(tmp_path, "mp3"))
        working = asyncio.create_task(place.work(msgspec.json.encode(one)))
        await engine.running.wait()
        resume = Ask(number=1, machine="box2", task=MINE, verb="resume")
        for ask in (resume, Ask(number=2, machine="box2", task=MINE, verb="pause"), resume):
            place.asked(ask)
            await answers.get()
        assert not engine.works
        engine.done.set()
        await working

    asyncio.run(main())


def test_what_a_machine_is_fetching_when_it_is_told_to_leave_is_made_elsewhere(clip: Path, tmp_path: Path) -> None:
    """It is lost with the machine: nobody had it ended."""

    async def main() -> Ended:
        fetching, transfers = asyncio.Event(), create_autospec(Transfers, instance=True)
        transfers.moved = Counter[str]()

        async def fetch(*_: object) -> None:
            fetching.set()
            await asyncio.Event().wait()

        transfers.fetch.side_effect = fetch
        cache, shared = SourceCache(tmp_path / "sources", 0, transfers), SharedFolders({}, transfers)
        place = Workplace(cast(Any, Standing()), tmp_path, shared, cache, transfers, lambda _: None)
        working = asyncio.create_task(place.work(msgspec.json.encode(task(MINE, clip, order(tmp_path, "mp3")))))
        await fetching.wait()
        await place.leave()
        await working
        [told] = [call.args[1] for call in transfers.post.await_args_list if call.args[0].endswith("/ended")]
        return msgspec.json.decode(told, type=Finish).ended

    ended = asyncio.run(main())
    assert (ended.lost, ended.stopped) == (True, None)
