"""A disk that stops answering, as one whose server is gone, takes nothing with it but who asks for what lies on it."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Daemon, wait_until
from stalled import SOON, Asker, Disk, every_verb, going_on, job_of
from surroundings import need_mounts, thorough

from daemon.api.routes import ENDPOINTS
from daemon.cli import checks
from daemon.delivery.result_mark import RECORD
from daemon.errors import Unresponsive
from daemon.media import prober
from daemon.models import SourceFile

EXCUSED = {  # what has nothing to do with jobs, files or the queue
    "POST /api/login", "POST /api/logout", "POST /api/webhooks/secret/rotate", "OPTIONS /api/uploads",
    "OPTIONS /api/uploads/{}", "POST /api/uploads/{}", "POST /api/webhooks/deliveries/{}/replay", "GET /web/{}",
    "GET /api/jobs/{}/variations/{}/files/{}", "POST /api/tokens", "DELETE /api/tokens/{}",
    "POST /api/machines/{}/drain", "POST /api/machines/{}/resume", "DELETE /api/machines/{}",
}  # fmt: skip
Start = Callable[..., Daemon]


@pytest.fixture
def disk(tmp_path: Path, clip: Path, long_clip: Path) -> Iterator[Disk]:
    need_mounts()
    folder = tmp_path / "nas"
    folder.mkdir()
    shutil.copy(clip, folder / "clip.mp4")
    shutil.copy(long_clip, folder / "long.mp4")
    disk = Disk(folder)
    yield disk
    disk.end()


@pytest.fixture
def here(tmp_path: Path, clip: Path) -> Path:
    """A source root that answers."""
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copy(clip, folder)
    return folder


def test_the_doctor_says_which_source_root_does_not_answer(
    disk: Disk, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "SILENCE", 1.0)

    async def told(*roots: Path) -> list[tuple[bool, str]]:
        return [(found.ok, found.found) for found in [await checks.source_root(root) for root in roots]]

    disk.stall("stat")
    with going_on(disk):
        dead, fine, gone = asyncio.run(told(disk.folder / "films", here, tmp_path / "none"))
    assert dead[0] is False
    assert "does not answer" in dead[1]
    assert (fine, gone) == ((True, f"{here} can be read"), (False, f"{tmp_path / 'none'} is not there"))


@pytest.mark.parametrize("call", [thorough("stat"), thorough("open"), "read", thorough("readdir")])
def test_a_disk_that_does_not_answer_holds_up_nobody_who_works_elsewhere(
    start_daemon: Start, disk: Disk, here: Path, call: str
) -> None:
    daemon = start_daemon("--source-root", str(disk.folder), "--source-root", str(here), "--slots", "2")
    done = daemon.wait_for(job_of(daemon.client, here / "clip.mp4", "mp3")["id"])["id"]
    daemon.client.post("/api/queue/pause")
    there = [job_of(daemon.client, disk.folder / "clip.mp4", "mp3")["id"] for _ in range(12)]
    seen = daemon.job(there[0])["sources"][0]["id"]
    disk.stall(call)
    daemon.client.post("/api/queue/resume")
    with ThreadPoolExecutor(40) as pool, going_on(disk):
        for job in there:
            pool.submit(daemon.client.get, f"/api/jobs/{job}/sources/{seen}/download")
            pool.submit(daemon.client.get, f"/api/jobs/{job}/thumbnail")
            pool.submit(job_of, daemon.client, disk.folder / "long.mp4", "mp3")
        wait_until(lambda: disk.stall(call) or call == "readdir", "somebody to hang")
        with Asker(daemon.url, daemon.token) as ask:
            every_verb(ask, here, done)
            for job in there:
                ask("GET", f"/api/jobs/{job}")
                ask("PATCH", f"/api/jobs/{job}", json={"name": "on the disk"})
                ask("POST", f"/api/jobs/{job}/pause")
                ask("POST", f"/api/jobs/{job}/cancel")
    routes = {f"{one.method} " + re.sub(r"{[^}]*}", "{}", one.path) for one in ENDPOINTS}
    assert routes - set(ask.took) == EXCUSED


def test_a_root_that_is_a_link_is_found_beside_one_whose_disk_does_not_answer(
    start_daemon: Start, disk: Disk, here: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(here)
    daemon = start_daemon("--source-root", str(disk.folder), "--source-root", str(link))
    with going_on(disk):
        disk.stall("stat", "open")
        job = job_of(daemon.client, link / "clip.mp4", "mp3")["id"]
        assert daemon.wait_for(job)["status"] == "completed"
        assert daemon.client.get(f"/api/jobs/{job}/thumbnail").status_code == 200


def test_an_encoder_that_the_kernel_keeps_is_told_as_stuck_and_gives_its_slot_away(
    start_daemon: Start, disk: Disk, here: Path
) -> None:
    daemon = start_daemon(
        "--source-root", str(disk.folder), "--source-root", str(here), "--slots", "1", "--grace", "0.3"
    )
    long = disk.folder / "long.mp4"
    job = job_of(daemon.client, long, "h264-480p", sources=[{"path": str(long)}] * 2)["id"]
    wait_until(lambda: all(source["media"] for source in daemon.job(job)["sources"]), "both sources to be read")
    wait_until(lambda: daemon.job(job)["progress"], "the first encode to begin")
    kept = list[psutil.Process]()
    with going_on(disk):
        disk.stall("read")
        for number, source in enumerate(daemon.job(job)["sources"], 1):  # the second has the slot of the first
            wait_until(lambda number=number: disk.stall("read") == number, "the encoder to wait for the disk")
            kept += daemon.encoders()
            receipt = daemon.client.post(f"/api/jobs/{job}/sources/{source['id']}/cancel").json()
            assert [stop["stage"] for stop in receipt["stopped"]] == ["stuck"]
            assert daemon.job(job)["cancelled_variations"] == number
            assert all(map(psutil.Process.is_running, kept))
        third = job_of(daemon.client, here / "clip.mp4", "mp3")["id"]  # beyond as many as there are slots none is given
        assert {daemon.job(third)["status"] for _ in range(50)} == {"queued"}
    wait_until(lambda: not any(map(psutil.Process.is_running, kept)), "those that were stuck to end")
    daemon.client.post("/api/queue/resume").raise_for_status()  # wakes it
    assert daemon.wait_for(third)["status"] == "completed"
    assert daemon.client.get("/api/stats").json()["cancellations"]["stuck"]["count"] == 2


@pytest.mark.thorough
def test_readers_that_a_disk_keeps_are_few_and_take_nothing_with_them(
    disk: Disk, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "TIMEOUT", 0.5)
    monkeypatch.setattr(prober, "MOST_STUCK", 2)
    there, elsewhere = (
        SourceFile(path=str(folder / "clip.mp4"), roots=(str(folder),)) for folder in (disk.folder, here)
    )

    async def read_until_it_answers(reader: prober.Prober) -> None:
        while True:
            await asyncio.sleep(0)
            with suppress(Unresponsive):
                await reader.probe(there)
                return

    async def main() -> None:
        reader = prober.Prober(sandboxed=True)
        try:
            await reader.probe(there)
            before = psutil.Process().children()
            disk.stall("read")
            for _ in range(4):  # two processes hang, and no more are begun
                with pytest.raises(Unresponsive, match="does not answer"):
                    await reader.probe(there)
                assert (await reader.probe(elsewhere)).duration_seconds
            assert disk.stall("read") == 2
            assert [process for process in psutil.Process().children() if process in before] == before
            disk.stall()
            await asyncio.wait_for(read_until_it_answers(reader), SOON)
        finally:
            await reader.close()

    with going_on(disk):
        asyncio.run(main())


def test_a_share_that_results_go_to_holds_up_no_other(start_daemon: Start, disk: Disk, here: Path, clip: Path) -> None:
    """Nor a cancel: what is left there is removed once it answers."""
    daemon = start_daemon("--output-root", str(disk.folder), "--output-root", str(here))

    def submit(folder: Path) -> str:
        made = daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "deliver": {"folder": str(folder)}})
        return str(made["id"])

    def delivery(job: str) -> Any:
        return daemon.job(job)["sources"][0]["variations"][0]["delivery"]

    def status(job: str) -> str:
        return str(delivery(job)["status"])

    daemon.client.post("/api/queue/drain")
    hung = [submit(disk.folder) for _ in range(3)]
    with going_on(disk):
        disk.stall("stat", "open")
        daemon.client.post("/api/queue/resume")
        # Whichever are made first: a short film that begins after another may be done before it.
        wait_until(lambda: sorted(map(status, hung)) == ["pending", "running", "running"], "two to hang")
        begun = next(job for job in hung if status(job) == "running")
        other = submit(here)
        wait_until(lambda: delivery(other)["status"] == "delivered", "a delivery to another folder")
        assert daemon.client.post(f"/api/jobs/{begun}/cancel").json()["changed"]
        assert delivery(begun)["error"] == "its delivery was cancelled"


@pytest.mark.parametrize("call", [*map(thorough, ["rename", "fsync", "write"])])
def test_a_share_that_stops_in_the_middle_of_a_delivery_holds_up_no_other(
    start_daemon: Start, disk: Disk, here: Path, clip: Path, call: str
) -> None:
    """What waited for it is there whole, once it answers, and nothing of what was cancelled meanwhile is left half."""
    daemon = start_daemon("--output-root", str(disk.folder), "--output-root", str(here), "--source-root", str(here))
    done = daemon.wait_for(job_of(daemon.client, here / "clip.mp4", "mp3")["id"])["id"]

    def submit(folder: Path, name: str) -> str:
        wish = {"variations": [{"preset": "mp3"}], "deliver": {"folder": str(folder), "name": name}}
        return str(daemon.submit(clip, spec=wish)["id"])

    def delivery(job: str) -> Any:
        return daemon.job(job)["sources"][0]["variations"][0]["delivery"]

    with going_on(disk):
        disk.stall(call)
        stays, given_up = submit(disk.folder, "stays.{ext}"), submit(disk.folder, "given-up.{ext}")
        wait_until(lambda: [delivery(job)["status"] for job in (stays, given_up)] == ["running"] * 2, "both to begin")
        wait_until(lambda: disk.stall(call), "one to hang")  # another may wait for it in the kernel
        with Asker(daemon.url, daemon.token) as ask:
            every_verb(ask, here, done)
            assert ask("POST", f"/api/jobs/{given_up}/cancel").json()["changed"]
        other = submit(here, "other.{ext}")
        wait_until(lambda: delivery(other)["status"] == "delivered", "a delivery to another folder")
        assert delivery(stays)["status"] == "running"
    wait_until(lambda: delivery(stays)["status"] == "delivered", "the delivery that waited")
    marks = disk.folder / RECORD  # since files there take none
    wait_until(lambda: {*disk.folder.glob(".ffspool-*")} <= {marks}, "what is left of the other to be removed")
    assert (disk.folder / "stays.mp3").read_bytes() == (here / "other.mp3").read_bytes()


@pytest.mark.parametrize("call", [thorough("stat"), thorough("readdir"), "open"])
def test_a_watched_share_that_does_not_answer_holds_up_no_other_folder(
    start_daemon: Start, disk: Disk, here: Path, tmp_path: Path, call: str
) -> None:
    """Nor anybody who asks; what lies on it is taken once it answers."""
    tables = [
        f'[[folders]]\nname = "{folder.name}"\npath = "{folder}"\nvariations = [{{ preset = "mp3" }}]\n'
        'include = ["clip.mp4"]\nstable_seconds = 0.1\nscan_every = 0.1\n'
        for folder in (disk.folder, here)
    ]
    config = tmp_path / "ffspool.toml"
    config.write_text(f'source_roots = ["{disk.folder}", "{here}"]\n' + "\n".join(tables))

    def taken() -> dict[str, int]:
        return {one["name"]: one["taken"] for one in daemon.client.get("/api/folders").json()["items"]}

    with going_on(disk):
        disk.stall(call)
        daemon = start_daemon(FFSPOOL_CONFIG=str(config))
        wait_until(lambda: disk.stall(call), "who looks at the film to hang")
        wait_until(lambda: taken() == {"nas": 0, "here": 1}, "the film of the other folder")
    wait_until(lambda: taken() == {"nas": 1, "here": 1}, "the film on the share")
