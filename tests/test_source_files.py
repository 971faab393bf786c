"""Whatever is put in a source's place, nobody gets anything else than the file that the job was made of."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import PATIENCE, Daemon, wait_until
from specimens import AAC, H264, encoded
from surroundings import crossed

from daemon.errors import ForbiddenPath
from daemon.paths import Paths
from daemon.scheduling.sources import Whereabouts
from daemon.source_files import SourceRefused, identity_of, open_source

SWAPPED = 45  # requests at once: more than there are threads for files

Swap = Callable[[Path, Daemon], object]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = (tmp_path_factory.mktemp("sources") / "root").resolve()
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def daemon(root: Path) -> Iterator[Daemon]:
    """One for all attacks, in which nothing is encoded."""
    attacked = Daemon(root.parent / "state", "--source-root", str(root))
    attacked.client.post("/api/queue/pause")
    yield attacked
    attacked.stop()


@pytest.fixture
def film(root: Path, clip: Path, tmp_path: Path) -> Path:
    path = root / tmp_path.name / "film.mp4"
    path.parent.mkdir()
    shutil.copy(clip, path)
    return path


def job_of(daemon: Daemon, path: Path, preset: str = "mp3") -> Any:
    spec = {"sources": [{"path": str(path)}], "variations": [{"preset": preset}]}
    answer = daemon.client.post("/api/jobs", json=spec)
    assert answer.status_code == 202, answer.text
    return answer.json()


def download(daemon: Daemon, job: Any, **headers: str) -> httpx.Response:
    return daemon.client.get(f"/api/jobs/{job['id']}/sources/{job['sources'][0]['id']}/download", headers=headers)


def refusals(daemon: Daemon, job: Any) -> list[tuple[int, str]]:
    """What is told of a source in each of the ways to look at it."""
    answers = [download(daemon, job), daemon.client.get(f"/api/jobs/{job['id']}/thumbnail")]
    return [(answer.status_code, answer.json()["detail"]) for answer in answers]


def another(path: Path, _: Daemon) -> None:
    """A file of the same size, at the same time."""
    status = path.stat()
    content = path.read_bytes()
    path.rename(path.with_name("keeps the inode"))
    path.write_bytes(content[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rewritten(path: Path, _: Daemon) -> None:
    """The same inode, the same size."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def longer(path: Path, _: Daemon) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def linked_folder(path: Path, _: Daemon) -> None:
    """The very file, by a way that may lead elsewhere at the next look."""
    moved = path.parent.with_name(f"{path.parent.name} moved")
    path.parent.rename(moved)
    path.parent.symlink_to(moved)


LINK = "film.mp4 cannot be read: Too many levels of symbolic links"
KIND = "film.mp4 cannot be read: it is not a regular file"
OTHER = "film.mp4 cannot be read: it was changed or replaced since the job was made"
GONE = "film.mp4 is no longer on the disk"
SWAPS: list[tuple[str, Swap, tuple[int, str]]] = [
    ("link to the token", lambda p, d: p.symlink_to(d.state_dir / "token"), (409, LINK)),
    ("link to a device", lambda p, _: p.symlink_to("/dev/zero"), (409, LINK)),
    ("loop of links", lambda p, _: p.symlink_to(p), (409, LINK)),
    ("fifo", lambda p, _: os.mkfifo(p), (409, KIND)),
    ("folder", lambda p, _: p.mkdir(), (409, KIND)),
    ("nothing", lambda _, __: None, (410, GONE)),
]
CHANGES: list[tuple[str, Swap, tuple[int, str]]] = [
    ("another file", another, (409, OTHER)),
    ("rewritten", rewritten, (409, OTHER)),
    ("longer", longer, (409, OTHER)),
    ("folder above a link", linked_folder, (410, GONE)),
]


@pytest.mark.parametrize(("swap", "told"), [row[1:] for row in SWAPS], ids=[row[0] for row in SWAPS])
def test_what_was_put_in_a_sources_place_is_not_given_away(
    daemon: Daemon, film: Path, swap: Swap, told: tuple[int, str]
) -> None:
    job = job_of(daemon, film)
    film.unlink()
    swap(film, daemon)
    assert refusals(daemon, job) == [told, told]


@pytest.mark.parametrize(("change", "told"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_source_that_is_another_file_now_is_not_given_away(
    daemon: Daemon, film: Path, change: Swap, told: tuple[int, str]
) -> None:
    job = job_of(daemon, film)
    change(film, daemon)
    assert refusals(daemon, job) == [told, told]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_in_a_sources_place_is_not_opened(daemon: Daemon, film: Path) -> None:
    job = job_of(daemon, film)
    film.unlink()
    os.mknod(film, 0o020644, os.makedev(1, 5))  # /dev/zero
    assert refusals(daemon, job) == [(409, KIND)] * 2


def test_a_source_is_sent_as_it_is(daemon: Daemon, film: Path) -> None:
    job = job_of(daemon, film)
    whole = download(daemon, job)
    assert (whole.status_code, whole.content) == (200, film.read_bytes())
    part = download(daemon, job, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, film.read_bytes()[10:20])
    assert download(daemon, job, **{"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert daemon.client.head(whole.request.url).headers["content-length"] == str(film.stat().st_size)
    assert download(daemon, job, Range=f"bytes={2**40}-").status_code == 416
    held = psutil.Process(daemon.process.pid).open_files
    wait_until(lambda: str(film) not in {file.path for file in held()}, "the film to be closed")


def test_uploads_are_opened_as_sources_of_the_host_are(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, presets=["mp3"])
    assert download(daemon, job).content == clip.read_bytes()
    [upload] = (daemon.state_dir / "spool" / "jobs" / job["id"] / "sources").iterdir()
    upload.unlink()
    upload.symlink_to(daemon.state_dir / "token")
    assert download(daemon, job).json()["detail"] == "clip.mp4 cannot be read: Too many levels of symbolic links"


# Of the root, and of time


def test_a_root_that_is_no_longer_configured_serves_nothing(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    film = tmp_path.resolve() / "film.mp4"
    shutil.copy(clip, film)
    before = start_daemon("--source-root", str(film.parent))
    before.client.post("/api/queue/pause")
    job = job_of(before, film)
    before.stop()
    after = start_daemon()
    told = (409, "film.mp4 cannot be read: it does not lie below a source root of this daemon")
    assert refusals(after, job) == [told, told]
    after.client.post("/api/queue/resume")
    assert "does not lie below a source root" in after.wait_for(job["id"])["error"]


def test_a_source_of_an_earlier_version_is_compared_by_what_was_recorded(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    film = tmp_path.resolve() / "film.mp4"
    shutil.copy(clip, film)
    daemon = start_daemon("--source-root", str(film.parent))
    daemon.client.post("/api/queue/pause")
    job = job_of(daemon, film)
    daemon.stop()
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database, database:
        database.execute("UPDATE sources SET device = NULL, inode = NULL, modified = NULL, boot = NULL")
    daemon.start()
    rewritten(film, daemon)
    assert download(daemon, job).status_code == 200
    longer(film, daemon)
    assert download(daemon, job).status_code == 409


def test_devices_may_have_other_numbers_after_the_host_booted(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    film = tmp_path.resolve() / "film.mp4"
    shutil.copy(clip, film)
    daemon = start_daemon("--source-root", str(film.parent))
    job = job_of(daemon, film)
    for boot, status in (("boot", 409), ("'of another day'", 200)):
        daemon.stop()
        with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database, database:
            database.execute(f"UPDATE sources SET device = 1, boot = {boot}")
        daemon.start()
        assert download(daemon, job).status_code == status


# Whoever encodes


ELSEWHERE: dict[str, Swap] = {
    "link": lambda p, d: p.symlink_to(d.state_dir.parent / "secret.mp4"),
    "another": lambda p, d: shutil.copy(d.state_dir.parent / "secret.mp4", p),
    "fifo": lambda p, _: os.mkfifo(p),
}


@pytest.mark.parametrize(("swap", "sandbox"), crossed(list(ELSEWHERE), ["require", "off"]))
def test_nothing_is_encoded_but_the_file_of_the_job(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path, long_clip: Path, sandbox: str, swap: str
) -> None:
    """Whether it was read before, as when it is tried again, or not."""
    film, secret = tmp_path.resolve() / "root" / "film.mp4", tmp_path.resolve() / "secret.mp4"
    film.parent.mkdir()
    shutil.copy(long_clip, film)
    shutil.copy(clip, secret)
    daemon = start_daemon("--source-root", str(film.parent), "--sandbox", sandbox)
    known = job_of(daemon, film, "h264-480p")["id"]
    daemon.wait_for_encoder()
    daemon.client.post(f"/api/jobs/{known}/cancel")
    daemon.client.post("/api/queue/pause")
    unknown = job_of(daemon, film, "h264-480p")["id"]
    film.unlink()
    ELSEWHERE[swap](film, daemon)
    daemon.client.post(f"/api/jobs/{known}/retry")
    daemon.client.post("/api/queue/resume")
    assert "the source cannot be opened" in daemon.wait_for(known)["error"]
    assert "the file cannot be opened" in daemon.wait_for(unknown)["error"]


@pytest.mark.thorough
def test_a_source_that_is_still_being_written_is_tried_again_when_it_is_left_alone(
    start_daemon: Callable[..., Daemon], ffmpeg: str, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.ts"
    made = encoded(*H264, *AAC, seconds=6.0, to=str(whole))
    subprocess.run([ffmpeg, "-v", "error", *made], check=True)
    content = whole.read_bytes()
    recording = tmp_path.resolve() / "recording.ts"
    recording.write_bytes(content[: len(content) // 188 // 3 * 188])
    daemon = start_daemon("--source-root", str(tmp_path), FFSPOOL_RETRY_DELAY="0.1")
    job = job_of(daemon, recording, "h264-480p")["id"]
    daemon.wait_for_encoder()
    daemon.client.post(f"/api/jobs/{job}/pause")
    with recording.open("ab") as file:
        file.write(content[recording.stat().st_size :])
    daemon.client.post(f"/api/jobs/{job}/resume")
    wait_until(lambda: "still being written" in json.dumps(daemon.job(job)), "words")
    ended = daemon.wait_for(job)
    assert ended["status"] == "completed", ended["error"]
    [variation] = ended["sources"][0]["variations"]
    assert variation["output_seconds"] == pytest.approx(6.0, abs=0.2)
    assert variation["attempts"] == 2


# What hangs


def test_fifos_hold_up_neither_other_downloads_nor_a_stop(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    film, good = (tmp_path.resolve() / name for name in ("film.mp4", "good.mp4"))
    for path in (film, good):
        shutil.copy(clip, path)
    daemon = start_daemon("--source-root", str(film.parent))
    daemon.client.post("/api/queue/pause")
    job, sound = job_of(daemon, film), job_of(daemon, good)
    film.unlink()
    os.mkfifo(film)
    client = httpx.Client(
        base_url=daemon.url,
        headers=daemon.client.headers,
        trust_env=False,
        verify=False,
        limits=httpx.Limits(max_connections=None),
    )
    with client, ThreadPoolExecutor(SWAPPED) as pool:
        address = f"/api/jobs/{job['id']}/sources/{job['sources'][0]['id']}/download"
        asked = [pool.submit(client.get, address, timeout=PATIENCE) for _ in range(SWAPPED)]
        try:
            assert {one.result(PATIENCE).status_code for one in asked} == {409}
            assert download(daemon, sound).content == good.read_bytes()
        finally:
            daemon.process.send_signal(signal.SIGTERM)
            ended = daemon.process.wait(PATIENCE)
    assert ended == 0


# Beneath the daemon


def test_what_is_the_daemons_own_is_no_source_though_a_root_holds_it(tmp_path: Path) -> None:
    paths, film, link = Paths(tmp_path / "state"), tmp_path / "film", tmp_path / "link"
    paths.prepare()
    paths.token.write_text("secret")
    film.write_text("a film")
    link.symlink_to(paths.token)
    whereabouts = Whereabouts(paths, [tmp_path])
    assert asyncio.run(whereabouts.find(str(film))).bytes == 6
    for path in (paths.token, link):
        with pytest.raises(ForbiddenPath, match="state dir"):
            asyncio.run(whereabouts.find(str(path)))


def refused(path: Path, *roots: Path, **wanted: Any) -> str:
    with pytest.raises(SourceRefused) as refusal:
        open_source(str(path), tuple(map(str, roots)) or ("/",), **wanted)
    return str(refusal.value.strerror)


def test_a_descriptor_is_of_the_file_that_was_meant(tmp_path: Path) -> None:
    tmp_path = tmp_path.resolve()
    path, link = tmp_path / "folder" / "file", tmp_path / "link"
    path.parent.mkdir()
    path.write_bytes(b"content")
    link.symlink_to(path.parent)
    for root in (tmp_path, path.parent, link):
        descriptor = open_source(str(path), (str(root),), identity_of(path.stat()))
        assert os.pread(descriptor, 10, 0) == b"content"
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
    for elsewhere in (tmp_path / "fold", tmp_path / "other", path):
        assert "source root" in refused(path, elsewhere)
    assert "source root" in refused(Path("folder/file"), tmp_path)
    assert refused(link / "file") == "Not a directory"
    assert refused(tmp_path / "folder" / ".." / "folder" / "file") == "its path leads back and forth"
    assert refused(tmp_path / "none") == "No such file or directory"


def test_no_descriptor_is_left_of_what_is_refused(tmp_path: Path) -> None:
    tmp_path = tmp_path.resolve()
    path = tmp_path / "file"
    path.write_bytes(b"content")
    os.mkfifo(tmp_path / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    refused(path, identity=(8, None, None, None))
    for other in (tmp_path / "fifo", tmp_path, path / "below", tmp_path / "none"):
        refused(other)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_that_turns_into_a_fifo_at_any_moment_stops_nobody(tmp_path: Path) -> None:
    """Between the look at its kind and the opening, too: a thread swaps it all the while."""
    path, fifo, film = (tmp_path.resolve() / name for name in ("place", "fifo", "film"))
    os.mkfifo(fifo)
    film.write_bytes(b"content")
    stop = threading.Event()

    def swap() -> None:
        spare = path.with_name("spare")
        while not stop.is_set():
            for one in (fifo, film):
                spare.hardlink_to(one)
                spare.rename(path)

    swapping = threading.Thread(target=swap, daemon=True)
    swapping.start()
    seen = set()
    try:
        for _ in range(2000):
            try:
                descriptor = open_source(str(path))
            except SourceRefused as error:
                seen.add(error.strerror)
            else:
                seen.add(os.pread(descriptor, 10, 0).decode())
                os.close(descriptor)
    finally:
        stop.set()
        swapping.join(PATIENCE)
    assert seen - {"No such file or directory"} == {"content", "it is not a regular file"}
