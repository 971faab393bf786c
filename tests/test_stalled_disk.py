"""A disk that stops answering, as one whose server is gone, takes nothing with it but who asks for what lies on it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import stalling
from conftest import Daemon, wait_until
from surroundings import need_mounts, thorough

from daemon.api.routes import ENDPOINTS
from daemon.cli import checks
from daemon.errors import Unresponsive
from daemon.media import prober
from daemon.models import SourceFile

SOON = 20.0  # seconds, on a busy machine, for an answer of a moment
EXCUSED = {  # what has nothing to do with jobs, files or the queue
    "POST /api/login", "POST /api/logout", "POST /api/webhooks/secret/rotate", "OPTIONS /api/uploads",
    "OPTIONS /api/uploads/{}", "POST /api/uploads/{}", "POST /api/webhooks/deliveries/{}/replay", "GET /web/{}",
    "GET /api/jobs/{}/variations/{}/files/{}",
}  # fmt: skip
NO_FOLDER = "0" * 16  # none is watched
TUS = {"Tus-Resumable": "1.0.0"}
Start = Callable[..., Daemon]


class Disk:
    """A mounted folder whose answers stop and go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, stalling.__file__, str(folder)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._heard() == "mounted"

    def stall(self, *calls: str) -> int:
        """Stalls these kinds of calls and no others; returns how many hang."""
        assert self._server.stdin
        self._server.stdin.write(" ".join(calls) + "\n")
        self._server.stdin.flush()
        return int(self._heard())

    def end(self) -> None:
        self._server.communicate(timeout=SOON)

    def _heard(self) -> str:
        assert self._server.stdout
        return self._server.stdout.readline().strip()


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


@contextmanager
def going_on(disk: Disk) -> Iterator[None]:
    """Has the disk answer again afterwards, whatever was found."""
    try:
        yield
    finally:
        disk.stall()


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


def job_of(client: httpx.Client, path: Path, *presets: str, **more: Any) -> Any:
    wish = {"sources": [{"path": str(path)}], "variations": [{"preset": preset} for preset in presets], **more}
    answer = client.post("/api/jobs", json=wish)
    assert answer.status_code == 202, answer.text
    return answer.json()


class Asker:
    """Asks for one thing after the other, and remembers what it asked for."""

    def __init__(self, daemon: Daemon) -> None:
        self.client = httpx.Client(
            base_url=daemon.url, headers=daemon.client.headers, trust_env=False, verify=False, timeout=SOON
        )
        self.asked = set[str]()

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        with self.client.stream(method, path, **more) as answer:
            if "event-stream" not in answer.headers.get("content-type", ""):
                answer.read()
        assert answer.status_code < 500, answer.text
        self.asked.add(f"{method} " + re.sub(r"/[0-9a-f]{16}(?=/|$)", "/{}", path.partition("?")[0]))
        return answer


def every_verb(ask: Asker, here: Path, done: str) -> None:
    """Uses the daemon in each way there is, of files that lie elsewhere."""
    clip = here / "clip.mp4"
    for path in ("jobs", "queue", "presets", "stats", "events", "webhooks/deliveries", "webhooks/secret", "hooks/runs"):
        ask("GET", f"/api/{path}")
    ask("GET", "/api/folders")
    ask("GET", f"/api/folders/{NO_FOLDER}/history")
    ask("POST", "/api/folders/undo", json={"path": "/no/such/film.mkv"})
    for verb in ("scan", "pause", "resume", "retry"):
        ask("POST", f"/api/folders/{NO_FOLDER}/{verb}")
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json", "/docs", "/"):
        ask("GET", path)
    job = f"/api/jobs/{done}"
    source = ask("GET", job).json()["sources"][0]
    variation = f"{job}/variations/{source['variations'][0]['id']}"
    for path in ("download", "thumbnail", "events", f"sources/{source['id']}/download"):
        ask("GET", f"{job}/{path}")
    for path in ("download", "files", "thumbnail", "log", "quality.svg"):
        ask("GET", f"{variation}/{path}")
    spec = {"spec": '{"name": "form", "variations": [{"preset": "mp3"}]}'}
    ask("POST", "/api/jobs", data=spec, files={"files": ("clip.mp4", clip.read_bytes())})
    upload = ask("POST", "/api/uploads", headers={**TUS, "Upload-Length": "4"}).headers["location"]
    ask("HEAD", upload, headers=TUS)
    piece = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    ask("PATCH", upload, headers=piece, content=b"0123")
    ask("GET", f"{upload}/media")
    ask("DELETE", upload, headers=TUS)
    new = job_of(ask.client, clip, "h264-480p", name="elsewhere")
    job = f"/api/jobs/{new['id']}"
    source = new["sources"][0]
    ask("PATCH", job, json={"priority": 3})
    for verb in ("pause", "resume", "fail", "retry", f"sources/{source['id']}/cancel", "retry", "cancel", "retry"):
        ask("POST", f"{job}/{verb}")
    ask("POST", f"{job}/variations/{source['variations'][0]['id']}/cancel")
    for verb in ("pause", "drain", "resume"):
        ask("POST", f"/api/queue/{verb}")
    ask("PATCH", "/api/queue", json={"slots": 2})
    ask("POST", "/api/jobs/cancel?q=form")
    ask("POST", "/api/jobs/retry?q=nothing")
    ask("DELETE", "/api/jobs?q=form")
    ask("DELETE", job)


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
        with Asker(daemon) as ask:
            every_verb(ask, here, done)
            for job in there:
                ask("GET", f"/api/jobs/{job}")
                ask("PATCH", f"/api/jobs/{job}", json={"name": "on the disk"})
                ask("POST", f"/api/jobs/{job}/pause")
                ask("POST", f"/api/jobs/{job}/cancel")
    routes = {f"{one.method} " + re.sub(r"{[^}]*}", "{}", one.path) for one in ENDPOINTS}
    assert routes - ask.asked == EXCUSED


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

    daemon.client.post("/api/queue/drain")
    hung = [submit(disk.folder) for _ in range(3)]
    with going_on(disk):
        disk.stall("stat", "open")
        daemon.client.post("/api/queue/resume")
        wait_until(
            lambda: [delivery(job)["status"] for job in hung] == ["running", "running", "pending"], "two to hang"
        )
        other = submit(here)
        wait_until(lambda: delivery(other)["status"] == "delivered", "a delivery to another folder")
        assert daemon.client.post(f"/api/jobs/{hung[0]}/cancel").json()["changed"]
        assert delivery(hung[0])["error"] == "its delivery was cancelled"


@pytest.mark.parametrize("call", ["rename", thorough("fsync"), thorough("write")])
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
        with Asker(daemon) as ask:
            every_verb(ask, here, done)
            assert ask("POST", f"/api/jobs/{given_up}/cancel").json()["changed"]
        other = submit(here, "other.{ext}")
        wait_until(lambda: delivery(other)["status"] == "delivered", "a delivery to another folder")
        assert delivery(stays)["status"] == "running"
    wait_until(lambda: delivery(stays)["status"] == "delivered", "the delivery that waited")
    wait_until(lambda: not [*disk.folder.glob(".ffspool-*")], "what is left of the other to be removed")
    assert (disk.folder / "stays.mp3").read_bytes() == (here / "other.mp3").read_bytes()
