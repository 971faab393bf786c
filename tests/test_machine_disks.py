"""A machine whose disk is full, or cannot be written, gets nothing and says why; what it had is made elsewhere."""

from __future__ import annotations

import asyncio
import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from conftest import PATIENCE, wait_until
from engine_conformance import MINE, order, task
from stored import local_engine
from surroundings import need_mounts
from test_cluster import MACHINE, Cluster, at_work, cluster, of, refused

from daemon.cluster.cluster_engine import ClusterEngine
from daemon.cluster.messages import Beat, Charter, Hello, Joined, Pulse
from daemon.cluster.pulse import SILENT, DiskWatch, pulse
from daemon.models import Sandbox

__all__ = ["cluster"]

NOWHERE = Charter(listen="tls://127.0.0.1:0", files_port=0, folder="", version="1", encoder="", require_sandbox=False)
HELLO = Hello(version="1", encoder="", clock=0.0, sandbox=Sandbox(active=False), slots=2, cores=2, free_bytes=10**12)


@contextmanager
def small(folder: Path, size: str, how: str = "rw") -> Iterator[None]:
    """A disk of its own, below which a machine works."""
    need_mounts()
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{how},size={size},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Writes all that is free."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 1024**2)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    return ballast


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    with small(tmp_path / "small", "1m"):
        fine = pulse(tmp_path / "small")
        assert (fine.why, fine.free_bytes) == (None, 1024**2)
        fill(tmp_path / "small")
        assert pulse(tmp_path / "small").why == "it cannot write where it works: No space left on device"
    shutil.rmtree(tmp_path / "small")
    assert pulse(tmp_path / "small").why == "it cannot write where it works: No such file or directory"


def test_a_disk_that_does_not_answer_is_told_of_and_keeps_no_lease_from_being_renewed(tmp_path: Path) -> None:
    silent, answering = Pulse(free_bytes=0, why=SILENT, answers=False), Pulse(free_bytes=1, why=None)
    answers = Event()

    def look(_: Path) -> Pulse:
        assert answers.wait(PATIENCE)
        return answering

    async def main() -> None:
        watch = DiskWatch(tmp_path, look, patience=0.01)
        for _ in range(3):
            assert await watch.look() == silent
        answers.set()
        while await watch.look() == silent:
            pass
        assert await watch.look() == answering

    asyncio.run(main())


def test_what_a_machine_had_on_a_disk_that_does_not_answer_is_lost_and_it_gets_nothing(
    clip: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        engine = ClusterEngine(local_engine(), NOWHERE, local_slots=0, grace=1.0)
        engine.heard(Joined(machine=MACHINE, hello=HELLO))
        running = asyncio.create_task(engine.run(task(MINE, clip, order(tmp_path, "mp3")), lambda _: None))
        await asyncio.sleep(0)
        assert engine.machines[MACHINE].tasks
        engine.heard(Beat(machine=MACHINE, pulse=Pulse(free_bytes=0, why="full")))
        assert not running.done()
        engine.heard(Beat(machine=MACHINE, pulse=Pulse(free_bytes=0, why=SILENT, answers=False)))
        async with asyncio.timeout(PATIENCE):
            ended = await running
        assert (ended.lost, ended.disk_full, engine.capacity.slots) == (True, False, 0)

    asyncio.run(main())


@pytest.mark.thorough
def test_what_fills_the_disk_of_one_machine_is_made_by_another(cluster: Cluster, long_clip: Path) -> None:
    """It counts against nothing, and the machine gets work again once there is room."""
    with small(cluster.folder / MACHINE, "600m"), cluster.machine(MACHINE):
        free = cluster.standing(MACHINE)["free_bytes"]
        job = cluster.daemon.submit(long_clip, presets=["h264-480p"])["id"]
        at_work(cluster, job)
        assert cluster.standing(MACHINE)["slots_used"] == 1
        (cluster.folder / MACHINE / "other").write_bytes(b"x" * (free // 2))
        wait_until(lambda: cluster.standing(MACHINE)["free_bytes"] < free, "its disk to be told of")
        with cluster.machine("box3"):
            ballast = fill(cluster.folder / MACHINE)
            wait_until(lambda: of(cluster.daemon.job(job))[0]["attempts"] == 2, "another try")
            wait_until(lambda: of(cluster.daemon.job(job))[0].get("machine") == "box3", "it to be made elsewhere")
            [made] = of(cluster.daemon.job(job))
            assert (made["error"], made["status"]) == (None, "processing")
            full = "it cannot write where it works: No space left on device"
            wait_until(lambda: f"{MACHINE} gets nothing: {full}" in cluster.daemon.log(), "it to say so")
            ballast.unlink()
            wait_until(lambda: cluster.standing(MACHINE)["why"] is None, "it to have room")
            cluster.daemon.client.post(f"/api/jobs/{job}/cancel")


@pytest.mark.thorough
def test_a_disk_that_is_full_of_sources_that_nobody_uses_stops_no_machine(
    cluster: Cluster, ffmpeg: str, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.wav"
    picked = ["-f", "lavfi", "-i", "anoisesrc=duration=50", "-ac", "2"]
    subprocess.run([ffmpeg, "-v", "error", *picked, str(noise)], check=True)
    with small(cluster.folder / MACHINE, f"{4 * noise.stat().st_size}"), cluster.machine(MACHINE):
        for _ in range(6):
            done = cluster.daemon.wait_for(cluster.daemon.submit(noise, presets=["mp3"])["id"])
            assert (done["status"], of(done)[0]["attempts"]) == ("completed", 1)


@pytest.mark.thorough
def test_what_no_machine_can_write_waits_for_one_that_can(cluster: Cluster, clip: Path) -> None:
    folder = cluster.folder / MACHINE
    with cluster.machine(MACHINE):
        with small(folder, "1m", "ro"):
            wait_until(lambda: cluster.standing(MACHINE)["why"], "it to say so")
            assert cluster.standing(MACHINE)["why"] == "it cannot write where it works: Read-only file system"
            job = cluster.daemon.submit(clip, presets=["mp3"])["id"]
        done = cluster.daemon.wait_for(job)
        assert (done["status"], of(done)[0]["attempts"]) == ("completed", 1)
    with small(folder, "1m", "ro"):
        assert "Read-only file system" in refused(cluster.folder / f"{MACHINE}.invite", cluster, MACHINE)


@pytest.mark.thorough
def test_a_folder_serves_one_machine_at_a_time(cluster: Cluster) -> None:
    """What one that was killed had begun there is removed by the next."""
    with cluster.machine(MACHINE):
        assert "another worker uses" in refused(cluster.folder / f"{MACHINE}.invite", cluster, MACHINE)
    left = [cluster.folder / MACHINE / name for name in ("tasks/left", "trial-left")]
    for folder in left:
        folder.mkdir(parents=True)
    with cluster.machine(MACHINE):
        assert not [folder for folder in left if folder.exists()]


def test_a_folder_that_is_another_s_is_not_tidied_up(cluster: Cluster) -> None:
    """What lies there by the names of a machine's own folders is somebody's."""
    file = cluster.folder / "home" / "tasks" / "taxes.ods"
    file.parent.mkdir(parents=True)
    file.touch()
    assert "is not a worker's, and has tasks in it" in refused(cluster.invite(MACHINE), cluster, "home")
    assert file.exists()
