"""What keeps a machine's results from coming home counts against no variation, and ends no machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest
from conftest import PATIENCE, Daemon, make_clip, wait_until
from engine_conformance import MINE, order, task
from stored import local_engine
from test_cluster import Cluster, at_work, of
from test_machine_disks import fill, small

from daemon.cluster.file_server import MACHINE, FileServer, Tasks
from daemon.cluster.shared_folders import SharedFolders
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.transfers import Transfers
from daemon.cluster.workplace import Workplace
from daemon.encode.task import Ended, Task


def ended_at(ffmpeg: str, one: Task, machine: Path) -> Ended:
    """How the daemon is told that a task ended, which a machine works at in that folder."""
    tasks, told = Tasks(), list[Ended]()
    tasks.add("box2", one)
    server = FileServer(
        tasks, lambda *_: True, lambda *_: None, lambda *_: None, lambda *_: None, lambda _, ended: told.append(ended)
    )

    async def work() -> None:
        engine = local_engine(ffmpeg)
        await engine.start()
        served = httpx.ASGITransport(server.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=served, base_url="http://daemon", headers={MACHINE: "box2"}) as client:
            transfers = Transfers(client)
            shared, cache = SharedFolders({}, transfers), SourceCache(machine / "sources", 10**9, transfers)
            place = Workplace(engine, machine, shared, cache, transfers, lambda _: None)
            async with asyncio.timeout(PATIENCE):
                await place.work(msgspec.json.encode(one))
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
