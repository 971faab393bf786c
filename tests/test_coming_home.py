"""What keeps a machine's results from coming home counts against no variation, and ends no machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest
import uvicorn
from conftest import PATIENCE, PLAIN, Daemon, make_clip, wait_until
from engine_conformance import MINE, order, task
from msgspec.structs import replace
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from stored import local_engine
from test_cluster import Cluster, at_work, of
from test_machine_disks import HELLO, NOWHERE, fill, small

from daemon.body_batches import BATCH
from daemon.cluster import transfers
from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.file_server import MACHINE, FileServer, Tasks
from daemon.cluster.messages import Beat, Joined, Left, Notice, Over, Pulse, Told
from daemon.cluster.shared_folders import SharedFolders
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.transfers import Transfers
from daemon.cluster.workplace import Workplace
from daemon.encode.task import Ended, Progress, Task, Vitals
from daemon.models import Stage
from daemon.source_files import identity_of

TRIES, MOST_AT_ONCE = 2, BATCH + 128 * 1024


def ended_at(
    ffmpeg: str,
    one: Task,
    machine: Path,
    between: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    tell: Callable[[Notice], None] = lambda _: None,
) -> Ended:
    """How the daemon is told that a task ended, which a machine works at in that folder; so much is `between` them."""
    tasks, told = Tasks(), list[Ended]()
    tasks.add("box2", one)
    server = FileServer(
        tasks, lambda *_: True, lambda *_: None, lambda *_: None, lambda *_: None, lambda _, ended: told.append(ended)
    )

    async def work() -> None:
        engine = local_engine(ffmpeg)
        await engine.start()
        listening = socket.create_server(("127.0.0.1", 0))
        files = uvicorn.Server(uvicorn.Config(between(server.app), log_config=None, lifespan="off"))
        serving = asyncio.create_task(files.serve([listening]))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=base, headers={MACHINE: "box2"}, **PLAIN) as client:
            transfers = Transfers(client, tries=TRIES)
            shared, cache = SharedFolders({}, transfers), SourceCache(machine / "sources", 10**9, transfers)
            place = Workplace(engine, machine, shared, cache, transfers, tell)
            async with asyncio.timeout(PATIENCE):
                await place.work(msgspec.json.encode(one))
        files.should_exit = True
        await serving
        await engine.close()

    asyncio.run(work())
    [ended] = told
    return ended


def test_a_full_disk_of_the_daemon_s_is_not_taken_for_the_machine_s(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    """Nor is what was made sent again and again."""
    with small(tmp_path / "home", "16k"):
        one = task(MINE, clip, order(tmp_path / "home", "h264-480p"))
        ended = ended_at(ffmpeg, one, tmp_path / "machine")
    assert (ended.disk_full, ended.lost, ended.is_final) == (True, False, False)
    assert ended.error == "the daemon's disk cannot be written: No space left on device"
    assert ended.cpu_seconds > 0


def test_a_line_that_stays_bad_is_held_against_nothing(ffmpeg: str, clip: Path, tmp_path: Path) -> None:
    """What was made is lost with it, though the machine lives."""

    def without_results(app: ASGIApp) -> ASGIApp:
        async def line(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["method"] == "PUT":
                raise ConnectionResetError
            await app(scope, receive, send)

        return line

    one = task(MINE, clip, order(tmp_path / "home", "mp3"))
    ended = ended_at(ffmpeg, one, tmp_path / "machine", without_results)
    assert (ended.lost, ended.error, ended.disk_full) == (True, None, False)
    assert ended.cpu_seconds > 0


def test_a_line_that_breaks_again_and_again_brings_a_bit_each_time(
    ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than a line may that brings nothing, on either way."""
    monkeypatch.setattr(transfers, "PAUSE", 0.0)
    noise, broken = tmp_path / "noise.wav", Counter[str]()
    made = ["-f", "lavfi", "-i", "anoisesrc=duration=45", "-c:a", "pcm_s16le"]
    subprocess.run([ffmpeg, "-v", "error", *made, str(noise)], check=True)

    def in_bits(app: ASGIApp) -> ASGIApp:
        async def line(scope: Scope, receive: Receive, send: Send) -> None:
            gone = 0

            def go(message: Message) -> None:
                nonlocal gone
                before, gone = gone, gone + len(message.get("body", b""))
                if gone > MOST_AT_ONCE:
                    broken[scope["method"]] += before <= MOST_AT_ONCE
                    raise ConnectionResetError

            async def received() -> Message:
                go(message := await receive())
                return message

            async def sent(message: Message) -> None:
                go(message)
                await send(message)

            await app(scope, received, sent)

        return line

    one = task(MINE, noise, order(tmp_path / "home", "flac"))
    ended = ended_at(ffmpeg, one, tmp_path / "machine", in_bits)
    assert (ended.lost, ended.error) == (False, None)
    assert min(broken["GET"], broken["PUT"]) > TRIES


def test_a_source_that_is_cut_while_it_comes_is_told_in_words(
    ffmpeg: str, long_clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = shutil.copy(long_clip, tmp_path / "source.mp4")
    one = task(MINE, source, order(tmp_path / "home", "mp3"))
    one = replace(one, source=replace(one.source, identity=identity_of(source.stat())))

    def cut_soon(app: ASGIApp) -> ASGIApp:
        async def line(scope: Scope, receive: Receive, send: Send) -> None:
            async def sent(message: Message) -> None:
                await send(message)
                if message["type"] == "http.response.body" and source.stat().st_size == one.source.identity[0]:
                    await asyncio.to_thread(os.truncate, source, 2 * 1024 * 1024)

            await app(scope, receive, sent)

        return line

    ended = ended_at(ffmpeg, one, tmp_path / "machine", cut_soon)
    assert ended.unread
    assert "the source cannot be opened: it was changed or replaced" in str(ended.error)
    assert not [record for record in caplog.records if record.exc_info]
    assert "a source was cut short: it has become shorter" in caplog.text


def test_a_folder_that_is_gone_is_the_machine_s_loss(ffmpeg: str, long_clip: Path, tmp_path: Path) -> None:
    """It was removed, or what was mounted there is not any more."""

    def tell(notice: Notice) -> None:
        if isinstance(notice, Told) and isinstance(notice.report, Progress):
            somebody.submit(shutil.rmtree, tmp_path / "machine" / "tasks", ignore_errors=True)

    one = task(MINE, long_clip, order(tmp_path / "home", "mp3"))
    with ThreadPoolExecutor(1) as somebody:
        ended = ended_at(ffmpeg, one, tmp_path / "machine", tell=tell)
    assert (ended.lost, ended.error) == (True, None)


def test_what_others_took_of_a_disk_is_not_held_to_be_needed(clip: Path, tmp_path: Path) -> None:
    """A machine that was full, and is not any more, gets what it had; what grew beyond all it had it does not."""
    one = task("one", clip, replace(order(tmp_path / "home", "mp3"), bytes=1000))
    other = replace(one, id="other", orders=(replace(one.orders[0], variation="other"),))

    async def main() -> None:
        engine = ClusterEngine(local_engine(), NOWHERE, local_slots=0, grace=1.0, rest=0.0)
        free = 10_000
        engine.heard(Joined(machine="box2", hello=replace(HELLO, free_bytes=free)))
        for each, written, comes_again in ((one, 10, True), (other, 9000, False)):
            running = asyncio.create_task(engine.run(each, lambda _: None))
            await asyncio.sleep(0)
            engine.heard(Told(report=Vitals(task=each.id, cpu_seconds=1.0, io_bytes=0, written=written)))
            engine.heard(Beat(machine="box2", pulse=Pulse(free_bytes=0, why="full")))
            engine.heard(Over(task=each.id, ended=Ended(lost=True, disk_full=True)))
            assert (await running).lost
            engine.heard(Beat(machine="box2", pulse=Pulse(free_bytes=free, why=None)))
            running = asyncio.create_task(engine.run(each, lambda _: None))
            await asyncio.sleep(0)
            assert bool(engine.machines["box2"].tasks) == comes_again
            engine.heard(Over(task=each.id, ended=Ended()))
            assert (await running).disk_full != comes_again

    asyncio.run(main())


def test_a_machine_that_lost_a_task_rests_from_it_and_from_no_other(clip: Path, tmp_path: Path) -> None:
    async def given(engine: ClusterEngine, one: Task) -> tuple[list[str], asyncio.Task[Ended]]:
        """Who has it now."""
        running = asyncio.create_task(engine.run(one, lambda _: None))
        await asyncio.sleep(0)
        return [name for name, machine in engine.machines.items() if one.id in machine.tasks], running

    async def main() -> None:
        engine = ClusterEngine(local_engine(), NOWHERE, local_slots=0, grace=1.0, rest=3600.0)
        engine.heard(Joined(machine="box2", hello=HELLO))
        one, other = (task(name, clip, order(tmp_path / "home", name)) for name in ("mp3", "h264-480p"))
        where, running = await given(engine, one)
        assert where == ["box2"]
        engine.heard(Over(task=one.id, ended=Ended(lost=True)))
        assert (await running).lost
        where, waiting = await given(engine, one)
        assert (where, (await given(engine, other))[0]) == ([], ["box2"])
        assert (await engine.stop(one.id)).stage == Stage.EXITED
        assert (await waiting).lost
        where, waiting = await given(engine, one)
        engine.heard(Joined(machine="box3", hello=HELLO))
        async with asyncio.timeout(PATIENCE):
            while one.id not in engine.machines["box3"].tasks:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
        engine.heard(Left(machine="box3"))
        engine.heard(Left(machine="box2"))
        assert (await waiting).lost
        engine.heard(Joined(machine="box2", hello=HELLO))
        assert (await given(engine, one))[0] == ["box2"], "it came back, by a line that may be a better one"
        engine.heard(Left(machine="box2"))

    asyncio.run(main())


@pytest.mark.thorough
def test_what_finds_the_daemon_s_disk_full_waits_until_it_is_not(
    start_daemon: Callable[..., Daemon], unhurried: dict[str, str], ffmpeg: str, tmp_path: Path
) -> None:
    """And the machine works on."""
    film = make_clip(ffmpeg, tmp_path / "film.mp4", seconds=13, size="320x180")
    with small(tmp_path / "state", "100m"):
        cluster = Cluster(start_daemon, tmp_path, unhurried)
        with cluster.machine("box2"):
            job = cluster.daemon.submit(film, presets=["h264-480p"])["id"]
            at_work(cluster, job)
            ballast = fill(cluster.daemon.state_dir)
            wait_until(lambda: of(cluster.daemon.job(job))[0]["status"] == "queued", "it to be put back")
            [waiting] = of(cluster.daemon.job(job))
            assert (waiting["error"], waiting["attempts"]) == (None, 1)
            assert "waits for disk space" in waiting["waiting"]
            assert (cluster.standing("box2")["state"], cluster.standing("box2")["why"]) == ("working", None)
            ballast.unlink()
            done = cluster.daemon.wait_for(job)
        assert (done["status"], of(done)[0]["error"]) == ("completed", None)
        cluster.daemon.stop()


def test_a_line_that_breaks_while_a_result_comes_home_is_no_fault(clip: Path, tmp_path: Path) -> None:
    """A trace in the daemon's log would say so."""
    one, tasks, answers = task(MINE, clip, order(tmp_path / "home", "mp3")), Tasks(), list[Message]()
    tasks.add("box2", one)
    server = FileServer(tasks, lambda *_: True, lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None)
    path = f"/tasks/{one.id}/results/{one.orders[0].variation}/part"
    line = iter([{"type": "http.request", "body": b"some", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(line)

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "PUT", "path": path, "headers": [(MACHINE.lower().encode(), b"box2")]}
    asyncio.run(server.app(scope, receive, send))
    assert answers
