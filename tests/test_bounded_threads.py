"""What hangs holds up nobody who works elsewhere, and no stop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from conftest import PATIENCE, wait_until

from daemon.bounded_threads import Workers
from daemon.errors import Unavailable


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe from which to read hangs until something is written."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_those_that_hang_in_one_place_keep_nobody_from_another(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        workers = Workers("reading", most=3)
        hanging = [asyncio.create_task(workers.run("dead", lambda: os.read(pipe[0], 1))) for _ in range(5)]
        before = threading.active_count()
        for _ in range(20):
            assert await asyncio.wait_for(workers.run("alive", threading.get_ident), PATIENCE) != threading.get_ident()
        assert threading.active_count() - before <= 4
        assert not any(task.done() for task in hanging)
        os.write(pipe[1], b"abcde")
        assert sorted(await asyncio.wait_for(asyncio.gather(*hanging), PATIENCE)) == [b"a", b"b", b"c", b"d", b"e"]

    asyncio.run(main())


def test_places_share_the_threads_that_none_of_them_uses() -> None:
    async def main() -> None:
        workers, before = Workers("asking"), threading.active_count()
        for place in range(50):
            await workers.run(f"https://{place}.example", threading.get_ident)
        assert threading.active_count() - before <= 2

    asyncio.run(main())


def test_whoever_waits_too_long_is_told_and_its_thread_is_had_again(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        workers = Workers("reading a file", most=1, patience=0.2)
        for _ in range(3):  # the first has the thread, the others wait for it
            with pytest.raises(Unavailable, match="reading a file takes too long"):
                await workers.run("here", lambda: os.read(pipe[0], 1))
        os.write(pipe[1], b"ab")
        patient = Workers("reading", most=1)
        assert await patient.run("here", lambda: "done") == "done"
        while True:
            try:
                assert await workers.run("here", lambda: "done") == "done"
            except Unavailable:
                continue
            return

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_what_the_work_raises_is_raised() -> None:
    async def main() -> None:
        workers = Workers("work", most=1)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await workers.run("here", lambda: 1 // 0)

    asyncio.run(main())


def test_what_came_for_nobody_any_more_is_given_back_in_a_thread(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        back: list[tuple[bytes, int]] = []
        workers = Workers("reading", most=1)
        reading = asyncio.create_task(
            workers.run("here", lambda: os.read(pipe[0], 1), lambda came: back.append((came, threading.get_ident())))
        )
        await asyncio.sleep(0)
        reading.cancel()
        os.write(pipe[1], b"a")
        assert await workers.run("here", lambda: "the next") == "the next"  # it has the same thread
        [(came, thread)] = back
        assert came == b"a"
        assert thread != threading.get_ident()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


HANGING = """
import asyncio, os, threading
from daemon.bounded_threads import Workers

async def main():
    def work():
        begun.set()
        os.read(0, 1)

    task = asyncio.create_task(Workers("reading").run("here", work))
    while not begun.is_set():
        await asyncio.sleep(0)
    task.cancel()

begun = threading.Event()
asyncio.run(main())
print("ended")
"""


def test_a_process_ends_though_a_thread_hangs() -> None:
    with subprocess.Popen([sys.executable, "-c", HANGING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ended\n"
            wait_until(lambda: process.poll() is not None, "the process's end")
        finally:
            process.kill()
    assert process.returncode == 0
