"""Runs work that may hang, as on a mount whose server is gone, on threads: few for each place, none waited for.

The event loop's own threads are shared by all, and the process waits for them at its end. These are daemonic, and
so many as hang for one place keep nobody else from another.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from daemon.errors import Unavailable

T = TypeVar("T")

MOST = 8  # threads for one place
PATIENCE = 20.0  # seconds


class Workers:
    """Runs one kind of work, called `what`; for each place there are at most `most` threads."""

    def __init__(self, what: str, *, most: int = MOST, patience: float | None = PATIENCE) -> None:
        """`patience` is in seconds; None: without an end."""
        self._what = what
        self._patience = patience
        idle: list[_Thread] = []  # of all places: what many of them used once is not kept for each
        self._crews: defaultdict[str, _Crew] = defaultdict(partial(_Crew, most, idle))

    async def run(self, place: str, work: Callable[[], T], unwanted: Callable[[T], object] | None = None) -> T:
        """Returns or raises what `work` does. Raises Unavailable when it is not done within the patience.

        It may be going on then, as after a cancel; nobody learns what comes of it but `unwanted`, in a thread too.
        """
        try:
            async with asyncio.timeout(self._patience) as patience:
                return await self._crews[place].run(work, unwanted)
        except TimeoutError as error:
            if not patience.expired():
                raise
            raise Unavailable(f"{self._what} takes too long: the disk or its server does not answer") from error


class _Crew:
    """The threads that work for one place, made as they are needed."""

    def __init__(self, most: int, idle: list[_Thread]) -> None:
        self._free = asyncio.Semaphore(most)
        self._idle = idle

    async def run(self, work: Callable[[], T], unwanted: Callable[[T], object] | None) -> T:
        await self._free.acquire()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            thread = self._idle.pop() if self._idle else _Thread()
        except BaseException:  # the host has none left
            self._free.release()
            raise
        finished = partial(self._finished, thread, done, unwanted)
        thread.give(partial(_carry_out, work, asyncio.get_running_loop(), finished))
        return await done

    def _finished(
        self,
        thread: _Thread,
        done: asyncio.Future[T],
        unwanted: Callable[[T], object] | None,
        result: Any,
        error: BaseException | None,
    ) -> None:
        if done.done() and unwanted is not None and error is None:
            finished = partial(self._finished, thread, done, None)
            thread.give(partial(_carry_out, partial(unwanted, result), done.get_loop(), finished))
            return
        self._idle.append(thread)
        self._free.release()
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)


class _Thread:
    """A daemonic thread that does what it is given, one thing at a time."""

    def __init__(self) -> None:
        self._given: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def give(self, work: Callable[[], None]) -> None:
        self._given.put(work)

    def _work(self) -> None:
        while True:
            self._given.get()()


def _carry_out(
    work: Callable[[], Any],
    loop: asyncio.AbstractEventLoop,
    tell: Callable[[Any, BaseException | None], None],
) -> None:
    result, error = None, None
    try:
        result = work()
    except BaseException as raised:  # noqa: BLE001 - it is the caller's
        error = raised
    with suppress(RuntimeError):  # the loop is closed: the daemon ended meanwhile
        loop.call_soon_threadsafe(tell, result, error)
