"""Many machines in one process, whose encoders only wait: `python -m bench.standins FOLDER COUNT SECONDS`."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask
import httpx
import msgspec
from distributed import Client, get_worker

from daemon import json_types
from daemon.cluster import certificates, worker
from daemon.cluster.dask_nodes import QuietWorker
from daemon.cluster.file_server import IDLE, MACHINE
from daemon.cluster.invitations import Guests, Invitation
from daemon.cluster.messages import Ask, Hello
from daemon.cluster.shared_folders import SharedFolders
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.task_function import settle, topic
from daemon.cluster.transfers import Transfers
from daemon.cluster.workplace import Workplace
from daemon.encode.local_engine import LocalEngine
from daemon.encode.task import Ended, Progress, Report, Started, Task, Vitals
from daemon.models import Sandbox, Stage, Stopped
from daemon.process import ffmpeg_binary

STEP = 0.1  # seconds between two reports of an encoder
SAMPLE = 20  # steps between two looks at what it uses


class Waiting(LocalEngine):
    """Makes what was made before, slowly."""

    def __init__(self, made: bytes, seconds: float) -> None:
        self._made, self._waits = made, seconds

    async def run(self, task: Task, on_report: Callable[[Report], None]) -> Ended:
        on_report(Started(task=task.id, handle="{}", sandbox="none"))
        began, step = time.monotonic(), 0
        while (spent := time.monotonic() - began) < self._waits:
            await asyncio.sleep(STEP)
            step += 1
            on_report(Progress(task=task.id, seconds=2.0 * spent / self._waits, speed=1.0))
            if step % SAMPLE == 0:
                on_report(Vitals(task=task.id, cpu_seconds=spent, io_bytes=1000 * step, written=1000 * step))
        for order in task.orders:
            Path(order.part).parent.mkdir(parents=True, exist_ok=True)
            Path(order.part).write_bytes(self._made)
            Path(order.log).parent.mkdir(parents=True, exist_ok=True)
            Path(order.log).write_text("it waited\n" * 100)
        return Ended(exit_code=0, cpu_seconds=0.1)

    async def stop(self, _: str) -> Stopped:
        return Stopped(stage=Stage.EXITED, seconds=0.0)


class Places:
    """Finds the workplace of the machine that a task came to."""

    def __init__(self) -> None:
        self.of: dict[str, Workplace] = {}

    async def work(self, message: bytes) -> None:
        await self.of[str(get_worker().name)].work(message)


async def main(folder: Path, count: int, seconds: float) -> None:
    json_types.prepare()
    config = (folder / "ffspool.toml").read_text()
    port = int(config.split("127.0.0.1:")[1].split("'")[0])
    files = int(config.split("files_port = ")[1].split()[0])
    guests, program = Guests(folder / "state" / "cluster"), ffmpeg_binary.locate(None)
    hello = Hello(
        version=version("ffspool"),
        encoder=ffmpeg_binary.digest(program),
        clock=time.time(),
        sandbox=Sandbox(active=False, reason="nothing is encoded"),
        slots=1,
        cores=1,
        free_bytes=2**40,
    )
    made = _made(folder)
    places = Places()
    settle(places)
    with dask.config.set(worker.RULES):
        async with AsyncExitStack() as stack:
            for number in range(count):
                invited = guests.invite(f"box{number}", version("ffspool"), ["127.0.0.1"], port, files)
                await _join(stack, folder / f"box{number}", invited, hello, made, seconds, places)
            while True:
                await asyncio.sleep(worker.ASK_EVERY / count)
                first = next(iter(places.of))
                place = places.of[first] = places.of.pop(first)
                renewing = asyncio.ensure_future(place.renew())
                renewing.add_done_callback(lambda done: done.exception())


async def _join(
    stack: AsyncExitStack,
    folder: Path,
    invited: Invitation,
    hello: Hello,
    made: bytes,
    seconds: float,
    places: Places,
) -> None:
    papers, name = folder / "papers", invited.machine
    papers.mkdir(parents=True)
    worker._lay_down(invited, papers)
    context = certificates.context(papers, ssl.Purpose.SERVER_AUTH, name)
    headers = {MACHINE: name, "Authorization": f"Bearer {invited.secret}"}
    base = f"https://127.0.0.1:{invited.files_port}"
    client = await stack.enter_async_context(
        httpx.AsyncClient(
            verify=context, headers=headers, base_url=base, timeout=60, limits=httpx.Limits(keepalive_expiry=IDLE)
        )
    )
    answer = await client.post("/hello", content=msgspec.json.encode(msgspec.structs.replace(hello, clock=time.time())))
    answer.raise_for_status()
    address, security, transfers = f"tls://127.0.0.1:{invited.port}", worker._security(papers, name), Transfers(client)
    asks: Any = Client(address, asynchronous=True, security=security, name=f"{name}-asks")
    line = await stack.enter_async_context(asks)
    there: Any = QuietWorker(
        address, name=name, nthreads=1, security=security, dashboard=False, memory_limit=0, local_directory=str(folder)
    )
    await stack.enter_async_context(there)
    place = Workplace(
        Waiting(made, seconds),
        folder,
        SharedFolders({}, transfers),
        SourceCache(folder / "sources", 2**30, transfers),
        transfers,
        lambda notice: worker._tell(there, notice),
    )
    line.subscribe_topic(topic(name), lambda event: place.asked(msgspec.json.decode(event[1], type=Ask)))
    places.of[name] = place


def _made(folder: Path) -> bytes:
    """The MP3 that an encoder would have made of the clip, by the preset's own command line."""
    with tempfile.TemporaryDirectory() as there:
        command = [sys.executable, "-m", "daemon.cli", "run", str(folder / "clip.wav"), "-p", "mp3", "-o", there]
        subprocess.run(command, check=True, capture_output=True)
        [made] = Path(there).rglob("*.mp3")
        return made.read_bytes()


if __name__ == "__main__":
    for noisy in ("distributed", "httpx"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
