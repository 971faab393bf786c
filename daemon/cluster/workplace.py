"""Works off a machine's tasks: the source is fetched or found here, encoded by an engine of this host, and what came of
it brought home. What the daemon asks about a task may come before the task does, and more than once.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx
import msgspec
from msgspec.structs import replace

from daemon import host
from daemon.cluster.growing_pieces import GrowingPieces
from daemon.cluster.messages import Answer, Ask, Finish, Notice, Pulse, Told, Words
from daemon.cluster.pulse import FULL, DiskWatch, is_trouble, pulse, words
from daemon.cluster.shared_folders import SharedFolders
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.transfers import HomeTrouble, NotCurrent, SourceAway, Transfers, Unreachable
from daemon.encode.diagnosis import Ending, diagnose
from daemon.encode.engine import Engine
from daemon.encode.task import Durable, Ended, Progress, Report, Task, Vitals
from daemon.models import SourceFile, Stage, Stopped
from daemon.process.exec_child import CANNOT_START

log = logging.getLogger(__name__)

TASKS = "tasks"  # the folder of what is being made
SHOWN_EVERY = 1.0  # seconds
MOST_SAID = 4 * 1024 * 1024  # bytes of a log at once
LAST_WORDS = 2.0  # seconds that a stop may wait for what was said
LIVES = 5.0  # seconds between two signs of life
REMEMBERED = 600.0  # seconds that what was asked about a task that is not here is known


class Work:
    """Is one task under way here."""

    def __init__(self) -> None:
        self.running: asyncio.Task[Ended] | None = None  # the engine's; None while the source is on its way
        self.fetching: asyncio.Task[None] | None = None
        self.held = False
        self.asked = 0  # the number of what was asked last
        self.told = asyncio.Event()  # what its encoder said
        self.over = asyncio.Event()
        self.stopped: Stopped | None = None
        self.here: Task | None = None  # as it is run on this machine, once it is
        self.vitals: Vitals | None = None  # of its encoder, the latest
        self.shown: tuple[float, float] | None = None  # when progress was told last, and what
        self.hidden: Progress | None = None  # that came since
        self.logged = Counter[str]()  # bytes of logs that the daemon has, by variation

    @property
    def spent(self) -> float:
        """Returns the CPU seconds that its encoder took, once that has ended."""
        return self.running.result().cpu_seconds if self.running and self.running.done() else 0.0

    def is_time(self, progress: Progress) -> bool:
        """Tells whether the daemon wants to know of it: the encoder tells ten times in a second how far it is."""
        now, went_on = time.monotonic(), self.shown is None or progress.seconds > self.shown[1]
        if self.shown and (now - self.shown[0] < SHOWN_EVERY or not went_on):
            self.hidden = progress
            return False
        self.shown, self.hidden = (now, progress.seconds), None
        return True

    def doing(self, moved: int) -> str:
        """Tells what is done while its encoder does not run, by the bytes that moved."""
        if self.running is None:
            return f"{moved / 1e6:.0f} MB of its source have come to the machine"
        return f"it comes home from the machine: {moved / 1e6:.0f} MB have gone to and fro"


class Workplace:
    """Runs tasks by `engine`; `tell` gives the daemon what may be lost, `transfers` what may not."""

    def __init__(
        self,
        engine: Engine,
        home: Path,
        shared: SharedFolders,
        cache: SourceCache,
        transfers: Transfers,
        tell: Callable[[Notice], None],
    ) -> None:
        self._engine = engine
        self._home = home
        self._disk = DiskWatch(home, self._pulse)
        self._folder = home / TASKS
        self._shared = shared
        self._cache = cache
        self._transfers = transfers
        self._tell = tell
        self._works: dict[str, Work] = {}
        self._asked: dict[str, tuple[float, Ask]] = {}  # of tasks that are not here
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._leaving = False

    @property
    def tasks(self) -> list[str]:
        return list(self._works)

    # What the daemon asks

    def asked(self, ask: Ask) -> None:
        """Answers once what is asked is true; asked again meanwhile, it answers the same."""
        if ask.number not in self._answering:
            self._answering[ask.number] = asyncio.create_task(self._answer(ask))
            self._answering[ask.number].add_done_callback(lambda _: self._answering.pop(ask.number, None))

    async def _answer(self, ask: Ask) -> None:
        now = time.monotonic()
        self._asked = {task: (at, one) for task, (at, one) in self._asked.items() if now - at < REMEMBERED}
        if work := self._works.get(ask.task):
            return self._tell(await self._done(work, ask))
        self._asked[ask.task] = now, ask
        gone = Stopped(stage=Stage.EXITED, seconds=0.0) if ask.verb == "stop" else None
        return self._tell(Answer(number=ask.number, stopped=gone, frozen=ask.verb == "pause"))

    async def _done(self, work: Work, ask: Ask) -> Answer:
        if ask.verb == "stop":
            return Answer(number=ask.number, stopped=await self._stop(ask.task, work))
        if ask.number < work.asked:  # it comes once more, by a line that was broken meanwhile
            return Answer(number=ask.number, frozen=work.held)
        work.asked, work.held = ask.number, ask.verb == "pause"
        if work.running is None:
            return Answer(number=ask.number, frozen=work.held)
        if work.held:
            return Answer(number=ask.number, frozen=await self._engine.pause(ask.task))
        self._engine.resume(ask.task)
        return Answer(number=ask.number)

    async def _stop(self, task: str, work: Work) -> Stopped:
        if work.running:
            work.stopped = await self._engine.stop(task)
            with suppress(TimeoutError):  # once the daemon has the answer, it takes nothing more
                await asyncio.wait_for(work.told.wait(), LAST_WORDS)
        else:
            work.stopped = Stopped(stage=Stage.EXITED, seconds=0.0)
            if work.fetching:
                work.fetching.cancel()
        return work.stopped

    async def renew(self) -> None:
        """Tells how this machine stands, and ends what the daemon wants no more. Raises what `Transfers.renew` does."""
        stands = await self._disk.look()
        if stands.why and stands.answers:
            await self._cache.give_up()
        known = set(self._works)  # what came while it was asked is not among what it answers
        current = await self._transfers.renew(stands)
        await self.stop_but([*current, *(task for task in self._works if task not in known)])

    def _pulse(self, home: Path) -> Pulse:
        """What nobody uses of what is there goes where something else needs the room."""
        stands = pulse(home)
        return stands if stands.why else replace(stands, free_bytes=stands.free_bytes + self._cache.idle())

    async def stop_but(self, current: list[str]) -> None:
        """Ends what the daemon does not want any more."""
        unwanted = [(task, work) for task, work in self._works.items() if task not in current and not work.stopped]
        await asyncio.gather(*(self._stop(task, work) for task, work in unwanted))  # each may take long

    async def leave(self) -> None:
        """Ends all that is under way, and brings home what of it can be gone on with."""
        self._leaving = True
        with suppress(NotCurrent, Unreachable):
            await self._transfers.post("/leaving", b"")
        await self.stop_but([])
        for work in list(self._works.values()):
            await work.over.wait()

    # Its work

    async def work(self, message: bytes) -> None:
        """Runs a task to its end, and tells that. Whoever cancels it waits for the encoder to be ended."""
        task = msgspec.json.decode(message, type=Task)
        work = self._works[task.id] = Work()
        living = asyncio.create_task(self._live(task, work))
        folder = self._folder / task.id
        try:
            _, early = self._asked.pop(task.id, (0.0, None))
            if early and early.verb == "stop":
                ended = Ended(stopped=Stopped(stage=Stage.EXITED, seconds=0.0))
            else:
                work.held = early is not None and early.verb == "pause"
                ended = await self._tried(task, work, folder)
            await self._end(task, work, ended)
        except NotCurrent:
            pass  # nobody waits for it
        except Unreachable as error:  # without a word of its end it is taken to be lost
            log.warning("the end of %s cannot be told: %s", task.source_name, error)
        except Exception:  # it is told, and not taken for a machine that is away: else it would come again for ever
            log.exception("%s failed by a fault of ffspool", task.source_name)
            await self._end(task, work, Ended(error="an internal error on the machine; its log has the details"))
        finally:
            living.cancel()
            del self._works[task.id]
            del self._transfers.moved[task.id]
            work.over.set()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _tried(self, task: Task, work: Work, folder: Path) -> Ended:
        """How it ended. What this machine is to blame for is lost, as it is with a machine, and made elsewhere."""
        try:
            with self._cache.beside(task):
                ended = await self._run(task, work, folder)
        except HomeTrouble as error:
            return Ended(error=str(error), may_pass=True, disk_full=error.full, cpu_seconds=work.spent)
        except Unreachable as error:
            log.warning("%s is lost: %s", task.source_name, error)
            ended = Ended(lost=True, cpu_seconds=work.spent)
        except OSError as error:
            if not is_trouble(error):
                raise
            log.warning("%s", words(error))
            ended = Ended(lost=True, disk_full=error.errno in FULL)
        if ended.disk_full or (ended.may_pass and (await asyncio.to_thread(pulse, self._home)).why):
            ended = Ended(lost=True, disk_full=ended.disk_full, cpu_seconds=ended.cpu_seconds)
        if ended.lost:
            with suppress(httpx.TransportError):  # so that the daemon knows it before it gives that to anybody
                await self._transfers.renew(await asyncio.to_thread(self._pulse, self._home))
        return ended

    async def _live(self, task: Task, work: Work) -> None:
        """Tells what the encoder says, and that a task gets on while its files are on their way: it is not to be taken
        for one that hangs.
        """
        told = 0
        while True:
            await asyncio.sleep(LIVES)
            encodes = work.running is not None and not work.running.done()
            if (moved := self._transfers.moved[task.id]) != told and not encodes:
                last = work.vitals or Vitals(task=task.id, cpu_seconds=0.0, io_bytes=0)
                self._tell(Told(report=replace(last, io_bytes=last.io_bytes + moved, doing=work.doing(moved))))
            told = moved
            if encodes:
                with suppress(NotCurrent, Unreachable):
                    await self._tell_logs(task, work)

    async def _run(self, task: Task, work: Work, folder: Path) -> Ended:
        ready = asyncio.get_running_loop().create_future()
        done = asyncio.Event()

        async def hold_source() -> None:
            if found := await self._shared.find(task):
                await self._cache.make_room()
                ready.set_result(found)
                return
            async with self._cache.source(task) as path:
                ready.set_result(SourceFile(path=str(await asyncio.to_thread(path.resolve))))
                await done.wait()

        work.fetching = asyncio.create_task(hold_source())
        try:
            await asyncio.wait([work.fetching, ready], return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                if work.stopped:
                    return Ended(lost=True) if self._leaving else Ended(stopped=work.stopped)
                await work.fetching  # raises why it did not come
            return await self._encode(task, work, folder, ready.result())
        except SourceAway as error:
            return _failed(task, f"the source cannot be opened: {error}")
        finally:
            done.set()
            if not ready.done():
                ready.cancel()

    async def _encode(self, task: Task, work: Work, folder: Path, source: SourceFile) -> Ended:
        here = work.here = self._here(task, folder, source)
        growing = GrowingPieces(task, here, self._transfers, self._tell)
        work.running = asyncio.create_task(self._engine.run(here, partial(self._report, work, growing)))
        if work.held:
            await asyncio.sleep(0)
            await self._engine.pause(task.id)
        ended = await work.running
        if work.hidden:
            self._tell(Told(report=work.hidden))
        await growing.settle()
        if self._leaving and ended.stopped:
            with suppress(HomeTrouble):
                await growing.leave()
            ended = Ended(lost=True, cpu_seconds=ended.cpu_seconds)
        for order, made in zip(task.orders, here.orders, strict=True):
            if ended.succeeded:
                await self._transfers.bring(task, order, made)
        if ended.stopped:
            await self._tell_logs(task, work)
        work.told.set()
        return ended

    async def _end(self, task: Task, work: Work, ended: Ended) -> None:
        """Tells how a task ended, and what its encoder said at last."""
        finish = Finish(ended=ended, words={variation: new async for variation, new in self._unheard(work)})
        await self._transfers.post(f"/tasks/{task.id}/ended", msgspec.json.encode(finish))

    def _here(self, task: Task, folder: Path, source: SourceFile) -> Task:
        """The task as it is run on this machine."""
        orders = tuple(
            replace(
                order,
                part=str(folder / order.variation / Path(order.part).name),
                log=str(folder / "logs" / f"{order.variation}.log"),
                threads=min(order.threads, host.cores()),
            )
            for order in task.orders
        )
        return replace(task, source=source, orders=orders)

    def _report(self, work: Work, growing: GrowingPieces, report: Report) -> None:
        if isinstance(report, Vitals):
            report = work.vitals = replace(report, load=host.load())
        if isinstance(report, Progress) and not work.is_time(report):
            return
        if isinstance(report, Durable):  # on this disk, which is not yet safe
            growing.take(report)
        else:
            self._tell(Told(report=report))

    async def _tell_logs(self, task: Task, work: Work) -> None:
        """Brings home what the encoder said since that was done last."""
        async for variation, new in self._unheard(work):
            await self._transfers.tell_log(task, variation, new)
            work.logged[variation] = new.begin + len(new.said)

    async def _unheard(self, work: Work) -> AsyncIterator[tuple[str, Words]]:
        """What the encoder said that the daemon has not, by variation."""
        for order in work.here.orders if work.here else ():
            known = work.logged[order.variation]
            if said := await asyncio.to_thread(_read_from, Path(order.log), known):
                yield order.variation, Words(begin=known, said=said)


def _read_from(log: Path, begin: int) -> bytes:
    """What was said from there on, at most MOST_SAID bytes of it."""
    try:
        with log.open("rb") as file:
            file.seek(begin)
            return file.read(MOST_SAID)
    except FileNotFoundError:
        return b""


def _failed(task: Task, why: str) -> Ended:
    """The end of a task whose encoder had nothing to read, in the words of one on the daemon's host."""
    diagnosis = diagnose(Ending(CANNOT_START, (why,)))
    told = f"{diagnosis.what}; {diagnosis.remedy}" if diagnosis else why
    unread = diagnosis is not None and diagnosis.unread
    return Ended(error=f"ffmpeg could not encode {task.source_name}: {told}", unread=unread)
