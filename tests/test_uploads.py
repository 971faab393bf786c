"""Resumable uploads: what was acknowledged is there, whoever dies; a job takes an upload whole, once, or not at all."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import Daemon, Media, wait_until

from daemon import settings
from daemon.database.store import Store
from daemon.errors import NotFound, Unavailable, UploadStalled
from daemon.housekeeping import cleanup, expiry
from daemon.jobs.request_bodies import RequestBodies
from daemon.jobs.resumable_uploads import COMMIT_EVERY, Uploads
from daemon.paths import Paths
from daemon.scheduling.limits import Quota
from daemon.scheduling.space import DiskUsage, Space

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = {**TUS, "Content-Type": "application/offset+octet-stream"}
JS = Path(__file__).parent / "js"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for what neither kills nor fills it."""
    daemon = Daemon(tmp_path_factory.mktemp("uploads") / "state")
    yield daemon
    daemon.stop()


def begin(daemon: Daemon, length: int, name: str = "clip.mp4") -> str:
    """Makes an upload and returns its path."""
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
    answer = daemon.client.post("/api/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def send(daemon: Daemon, path: str, offset: int, content: bytes, **headers: str) -> httpx.Response:
    """Sends a piece, as soon as no other request is sending to this upload."""
    sent = {**PIECE, "Upload-Offset": str(offset), **headers}

    def answer() -> httpx.Response | None:
        answer = daemon.client.patch(path, content=content, headers=sent)
        return answer if answer.status_code != 423 else None

    return wait_until(answer, "the upload to be free")


def offset(daemon: Daemon, path: str) -> int:
    answer = daemon.client.head(path, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["upload-offset"])


def finished(daemon: Daemon, content: bytes, name: str = "clip.mp4") -> str:
    """The id of an upload that is complete."""
    path = begin(daemon, len(content), name)
    assert send(daemon, path, 0, content).status_code == 204
    return path.rpartition("/")[2]


def submit(daemon: Daemon, *sources: dict[str, str]) -> httpx.Response:
    return daemon.client.post("/api/jobs", json={"sources": list(sources), "variations": [{"preset": "mp3"}]})


def source_file(daemon: Daemon, job: Any) -> Path:
    return daemon.state_dir / "spool" / "jobs" / job["id"] / "sources" / job["sources"][0]["id"]


def upload_files(daemon: Daemon) -> list[Path]:
    return list((daemon.state_dir / "spool" / "uploads").iterdir())


@contextlib.contextmanager
def half_sent(daemon: Daemon, path: str, start: int, length: int, content: bytes, **headers: str) -> Iterator[None]:
    """A PATCH under way, announced as `length` bytes, of which `content` was sent."""
    host, port = daemon.url.removeprefix("http://").split(":")
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {daemon.token}\r\nContent-Length: {length}\r\n"
    )
    head += "".join(f"{name}: {value}\r\n" for name, value in {**PIECE, "Upload-Offset": str(start), **headers}.items())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + b"\r\n" + content)
        yield


def assert_problem(answer: httpx.Response, status: int, code: str, *words: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    for word in words:
        assert word in answer.json()["detail"]


# The protocol


def test_the_daemon_says_what_it_can(shared: Daemon) -> None:
    answer = shared.client.options("/api/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,expiration,checksum,termination"
    assert answer.headers["tus-max-size"] == str(10 * 1024**3)
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256,md5"


def test_an_upload_grows_piece_by_piece_to_its_length(shared: Daemon) -> None:
    path = begin(shared, 10, "größe.mp4")
    new = shared.client.head(path, headers=TUS)
    assert (new.headers["upload-offset"], new.headers["upload-length"]) == ("0", "10")
    assert base64.b64decode(new.headers["upload-metadata"].removeprefix("filename ")).decode() == "größe.mp4"
    assert new.headers["cache-control"] == "no-store"
    assert new.headers["upload-expires"].endswith("GMT")
    for start, content in ((0, b"0123"), (4, b"456"), (7, b""), (7, b"789")):
        answer = send(shared, path, start, content)
        assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(start + len(content)))
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert "upload-expires" in answer.headers
    assert (shared.state_dir / "spool" / "uploads" / path.rpartition("/")[2]).read_bytes() == b"0123456789"


def test_a_piece_for_another_offset_is_refused(shared: Daemon) -> None:
    path = begin(shared, 10)
    assert send(shared, path, 0, b"0123").status_code == 204
    for wrong in (0, 3, 5):
        assert_problem(send(shared, path, wrong, b"xx"), 409, "conflict", "offset 4")
    assert offset(shared, path) == 4


def test_more_bytes_than_announced_are_refused(shared: Daemon) -> None:
    path = begin(shared, 4)
    assert_problem(send(shared, path, 0, b"01234"), 413, "too_large", "4 bytes")
    assert offset(shared, path) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_piece_whose_checksum_differs_is_not_kept(shared: Daemon, algorithm: str) -> None:
    path, content = begin(shared, 10), b"01234"
    digest = f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"
    wrong = send(shared, path, 0, b"0123x", **{"Upload-Checksum": digest})
    assert_problem(wrong, 460, "checksum_mismatch", algorithm)
    assert offset(shared, path) == 0
    assert (shared.state_dir / "spool" / path.removeprefix("/api/")).stat().st_size == 0
    assert send(shared, path, 0, content, **{"Upload-Checksum": digest}).status_code == 204
    assert offset(shared, path) == 5


def test_a_piece_that_broke_off_before_its_checksum_could_be_checked_is_not_kept(shared: Daemon) -> None:
    path, content = begin(shared, 4_000_000), b"x" * 2_000_000
    digest = "sha1 " + base64.b64encode(hashlib.sha1(content * 2).digest()).decode()
    with half_sent(shared, path, 0, 4_000_000, content, **{"Upload-Checksum": digest}):
        wait_until(lambda: any(file.stat().st_size for file in upload_files(shared)), "bytes on disk")
    assert send(shared, path, 0, content).headers["upload-offset"] == "2000000"


def test_what_the_protocol_does_not_allow_is_refused(shared: Daemon) -> None:
    client, path = shared.client, begin(shared, 10)
    assert_problem(client.post("/api/uploads", headers={"Upload-Length": "1"}), 412, "unsupported_tus_version", "1.0.0")
    other = client.patch(path, headers={**PIECE, "Tus-Resumable": "0.2.2"})
    assert_problem(other, 412, "unsupported_tus_version", "0.2.2")
    assert other.headers["tus-version"] == "1.0.0"
    assert_problem(client.post("/api/uploads", headers=TUS), 422, "invalid_request", "Upload-Length")
    odd = {**TUS, "Upload-Length": "-1"}
    assert_problem(client.post("/api/uploads", headers=odd), 422, "invalid_request", "'-1'")
    big = {**TUS, "Upload-Length": str(10 * 1024**3 + 1)}
    assert_problem(client.post("/api/uploads", headers=big), 413, "too_large")
    plain = client.patch(path, headers={**TUS, "Upload-Offset": "0"}, content=b"x")
    assert_problem(plain, 415, "unsupported_media_type", "application/offset+octet-stream")
    assert_problem(client.patch(path, headers=PIECE), 422, "invalid_request", "Upload-Offset")
    crc = send(shared, path, 0, b"x", **{"Upload-Checksum": "crc32 AAAA"})
    assert_problem(crc, 400, "unsupported_checksum", "crc32", "sha1")
    unknown, stranger = client.put(path, headers=TUS), httpx.post(f"{client.base_url}/api/uploads", headers=TUS)
    assert (unknown.status_code, stranger.status_code) == (405, 401)
    assert {answer.headers["tus-resumable"] for answer in (other, plain, unknown, stranger)} == {"1.0.0"}
    assert offset(shared, path) == 0


@pytest.mark.parametrize("name", ["../up.mp4", "..", "new\nline.mp4"])
def test_a_file_name_that_is_no_name_is_refused(shared: Daemon, name: str) -> None:
    metadata = f"filename {base64.b64encode(name.encode()).decode()}"
    answer = shared.client.post("/api/uploads", headers={**TUS, "Upload-Length": "1", "Upload-Metadata": metadata})
    assert_problem(answer, 422, "bad_name")


def test_metadata_that_is_no_base64_or_has_no_plain_keys_is_refused(shared: Daemon) -> None:
    for metadata in ("filename ???", "filename YQ==,filename YQ==", "\x1b YQ=="):
        headers = {**TUS, "Upload-Length": "1", "Upload-Metadata": metadata}
        assert_problem(shared.client.post("/api/uploads", headers=headers), 422, "invalid_request", "Upload-Metadata")


def test_a_deleted_upload_is_gone_with_its_file(shared: Daemon) -> None:
    identifier = finished(shared, b"0123")
    path = f"/api/uploads/{identifier}"
    assert shared.client.delete(path, headers=TUS).status_code == 204
    assert identifier not in [file.name for file in upload_files(shared)]
    assert shared.client.head(path, headers=TUS).status_code == 404
    assert_problem(send(shared, path, 4, b"x"), 404, "not_found", identifier)
    assert_problem(shared.client.delete(path, headers=TUS), 404, "not_found", identifier)


def test_a_client_that_cannot_say_patch_or_delete_says_it_in_a_header(shared: Daemon) -> None:
    path = begin(shared, 4)
    piece = {**PIECE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert shared.client.post(path, headers=piece, content=b"0123").status_code == 204
    assert shared.client.post(path, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert_problem(shared.client.post(path, headers=TUS), 405, "method_not_allowed")


# What breaks


def test_one_request_at_a_time_sends_to_an_upload_and_what_it_sent_outlives_it(shared: Daemon) -> None:
    content = os.urandom(3_000_000)
    path = begin(shared, len(content))
    with half_sent(shared, path, 0, len(content), content[:2_500_000]):
        wait_until(lambda: path.rpartition("/")[2] in [file.name for file in upload_files(shared)], "the first piece")
        second = shared.client.patch(path, headers={**PIECE, "Upload-Offset": "0"}, content=b"x")
        assert_problem(second, 423, "upload_locked")
    kept = wait_until(lambda: offset(shared, path), "the broken piece to be kept")
    assert 2_000_000 < kept <= 2_500_000
    assert send(shared, path, kept, content[kept:]).status_code == 204
    job = submit(shared, {"upload": path.rpartition("/")[2]}).json()
    assert source_file(shared, job).read_bytes() == content


def test_an_upload_deleted_while_it_grows_leaves_nothing(shared: Daemon) -> None:
    path = begin(shared, 3_000_000)
    identifier = path.rpartition("/")[2]
    with half_sent(shared, path, 0, 3_000_000, b"x" * 2_000_000):
        wait_until(lambda: identifier in [file.name for file in upload_files(shared)], "the first piece")
        assert shared.client.delete(path, headers=TUS).status_code == 204
    assert_problem(send(shared, path, 0, b"x"), 404, "not_found")
    assert identifier not in [file.name for file in upload_files(shared)]


def test_a_daemon_killed_in_the_middle_of_a_piece_has_all_it_acknowledged(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon()
    content = os.urandom(3 * COMMIT_EVERY)
    path = begin(daemon, len(content))
    with half_sent(daemon, path, 0, len(content), content[: 2 * COMMIT_EVERY + 1000]):
        acknowledged = wait_until(lambda: offset(daemon, path), "bytes to be acknowledged")
        daemon.stop(signal.SIGKILL)
    file = daemon.state_dir / "spool" / path.removeprefix("/api/")
    with file.open("ab") as torn:
        torn.write(b"what the disk may hold beyond what was acknowledged")
    daemon.start()
    kept = offset(daemon, path)
    assert COMMIT_EVERY <= acknowledged <= kept < len(content)
    assert send(daemon, path, kept, content[kept:]).status_code == 204
    job = submit(daemon, {"upload": path.rpartition("/")[2]}).json()
    assert source_file(daemon, job).read_bytes() == content


def test_a_daemon_that_stops_keeps_what_has_arrived(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon()
    content = os.urandom(2_000_000)
    path = begin(daemon, len(content))
    with half_sent(daemon, path, 0, len(content), content[:1_500_000]):
        wait_until(lambda: upload_files(daemon) and upload_files(daemon)[0].stat().st_size, "the first batch")
        assert daemon.stop() == 0
    daemon.start()
    kept = offset(daemon, path)
    assert kept >= 1_000_000
    assert send(daemon, path, kept, content[kept:]).headers["upload-offset"] == str(len(content))


def test_a_full_disk_is_said_and_what_fits_is_kept(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon()
    process, content = psutil.Process(daemon.process.pid), os.urandom(5_000_000)
    path = begin(daemon, len(content))
    process.rlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
    assert_problem(send(daemon, path, 0, content), 507, "out_of_space")
    kept = offset(daemon, path)
    assert kept == 2_000_000
    process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert send(daemon, path, kept, content[kept:]).status_code == 204


# What a job takes


def test_a_job_takes_finished_uploads_and_files_of_the_host(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon(FFSPOOL_SOURCE_ROOTS=str(clip.parent))
    upload = finished(daemon, clip.read_bytes(), "sent.mp4")
    answer = submit(daemon, {"upload": upload}, {"path": str(clip)})
    assert answer.status_code == 202, answer.text
    job = daemon.wait_for(answer.json()["id"])
    assert (job["status"], job["completed_variations"]) == ("completed", 2)
    assert [source["name"] for source in job["sources"]] == ["sent.mp4", clip.name]
    assert upload_files(daemon) == []
    assert daemon.client.head(f"/api/uploads/{upload}", headers=TUS).status_code == 404


def contents(daemon: Daemon, upload: str) -> httpx.Response:
    return daemon.client.get(f"/api/uploads/{upload}/media")


def test_what_an_upload_holds_is_told_before_there_is_a_job(shared: Daemon, clip: Path, media: Media) -> None:
    found = contents(shared, finished(shared, clip.read_bytes())).json()
    assert (found["whole"], found["error"], round(found["media"]["duration_seconds"])) == (True, None, 2)
    assert (found["media"]["video"]["width"], len(found["media"]["audio"])) == (640, 1)
    cut = contents(shared, finished(shared, media("truncated.mkv").read_bytes(), "cut.mkv")).json()
    assert (cut["whole"], cut["media"] is not None) == (False, True)
    broken = contents(shared, finished(shared, b"no film at all")).json()
    assert (broken["media"], broken["whole"]) == (None, False)
    assert "not a media file" in broken["error"]


def test_which_presets_do_not_suit_an_upload_is_told(shared: Daemon, clip: Path, media: Media) -> None:
    assert contents(shared, finished(shared, clip.read_bytes())).json()["unsuitable"].keys() == {"remux-webm"}
    sound = contents(shared, finished(shared, media("speech.wav").read_bytes(), "sound.wav")).json()["unsuitable"]
    assert "the source has no picture, which the preset h264-720p needs: take one of sound" in sound["h264-720p"]
    assert "mp3" not in sound


def test_what_an_upload_holds_is_read_once(shared: Daemon, clip: Path) -> None:
    upload = finished(shared, clip.read_bytes())
    found = contents(shared, upload).json()
    shared.client.post("/api/queue/pause")
    job = submit(shared, {"upload": upload}).json()
    assert job["sources"][0]["media"] == found["media"], "the job knows it, though nothing may start now"
    shared.client.delete(f"/api/jobs/{job['id']}")
    shared.client.post("/api/queue/resume")


def test_of_an_upload_that_is_not_there_or_not_whole_nothing_is_told(shared: Daemon) -> None:
    path = begin(shared, 10)
    assert_problem(shared.client.get(f"{path}/media"), 409, "upload_unfinished", "lacks 10 of 10 bytes")
    assert_problem(shared.client.get(f"{begin(shared, 0)}/media"), 422, "empty_upload")
    assert_problem(contents(shared, "nothing"), 404, "not_found")


def test_uploads_a_job_cannot_take_are_named(shared: Daemon) -> None:
    whole, part, empty = finished(shared, b"0123"), begin(shared, 4).rpartition("/")[2], finished(shared, b"", "no.mp4")
    assert_problem(submit(shared, {"upload": "nothing"}), 404, "not_found", "nothing")
    assert_problem(submit(shared, {"upload": part}), 409, "upload_unfinished", part, "4 bytes")
    assert_problem(submit(shared, {"upload": empty}), 422, "empty_upload", "no.mp4")
    assert_problem(submit(shared, {"upload": whole}, {"upload": whole}), 422, "invalid_request", whole, "twice")
    assert_problem(submit(shared, {"upload": whole, "path": "/x"}), 422, "invalid_request", "either", "sources[0]")
    assert_problem(submit(shared, {}), 422, "invalid_request", "either")
    assert_problem(submit(shared, {"upload": whole}, {"upload": "nothing"}), 404, "not_found", "nothing")
    assert submit(shared, {"upload": whole}).status_code == 202


def test_two_jobs_never_take_one_upload(shared: Daemon) -> None:
    upload = finished(shared, b"0123" * 1000)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submit(shared, {"upload": upload}), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202, *[404] * 7]
    job = next(answer.json() for answer in answers if answer.status_code == 202)
    assert source_file(shared, job).read_bytes() == b"0123" * 1000


@pytest.mark.thorough
def test_a_crash_before_the_job_is_committed_leaves_the_upload_and_after_it_the_job(
    start_daemon: Callable[..., Daemon],
) -> None:
    daemon = start_daemon()
    upload = finished(daemon, b"0123")
    daemon.stop(signal.SIGKILL)
    linked = daemon.state_dir / "spool" / "jobs" / "unborn" / "sources" / "source"
    linked.parent.mkdir(parents=True)
    linked.hardlink_to(upload_files(daemon)[0])
    daemon.start()
    wait_until(lambda: not linked.exists(), "the sweep of what belongs to no job")
    job = submit(daemon, {"upload": upload}).json()
    daemon.stop(signal.SIGKILL)
    (daemon.state_dir / "spool" / "uploads" / upload).hardlink_to(source_file(daemon, job))
    daemon.start()
    wait_until(lambda: upload_files(daemon) == [], "the sweep of an upload that a job took")
    assert source_file(daemon, job).read_bytes() == b"0123"


# Time, as an argument


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def in_uploads(
    tmp_path: Path,
    work: Callable[[Uploads, Store, Paths, Clock], Awaitable[None]],
    bodies: RequestBodies | None = None,
) -> None:
    async def main() -> None:
        chosen, clock = settings.load({"state_dir": tmp_path / "state", "upload_expiry": 100.0}, {}), Clock()
        paths = Paths(chosen.state_dir)
        paths.prepare()
        store = await Store.open(paths.database)
        try:
            quota = Quota(chosen, Space(lambda: DiskUsage(total=10**12, free=10**12), kept_free=0))
            await work(Uploads(store, paths, chosen, bodies or RequestBodies(), quota, now=clock), store, paths, clock)
        finally:
            await store.close()

    asyncio.run(main())


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_an_upload_expires_after_its_last_activity_and_its_file_is_swept(tmp_path: Path) -> None:
    async def work(uploads: Uploads, store: Store, paths: Paths, clock: Clock) -> None:
        upload = await uploads.create("clip.mp4", 10)
        clock.now += 99
        assert (await uploads.append(upload.id, 0, stream(b"0123"))).expires_at == clock.now + 100
        clock.now += 99
        await tidy(store, paths, clock.now)
        assert (await uploads.get(upload.id)).offset == 4
        clock.now += 1
        with pytest.raises(NotFound, match=upload.id):
            await uploads.get(upload.id)
        with pytest.raises(NotFound, match=upload.id):
            await uploads.append(upload.id, 4, stream(b"45"))
        assert await tidy(store, paths, clock.now) == 4
        assert list(paths.uploads.iterdir()) == []

    in_uploads(tmp_path, work)


async def sweep(store: Store, paths: Paths, now: float) -> int:
    with closing(cleanup.Sweep(store, paths, now)) as whole:
        return await whole.round(now)


async def tidy(store: Store, paths: Paths, now: float) -> int:
    await expiry.expire(store, paths, now, 1e6)
    return await sweep(store, paths, now)


def test_files_in_the_uploads_folder_that_no_row_knows_are_swept(tmp_path: Path) -> None:
    async def work(uploads: Uploads, store: Store, paths: Paths, clock: Clock) -> None:
        upload = await uploads.create("clip.mp4", 4)
        await uploads.append(upload.id, 0, stream(b"0123"))
        paths.upload("stranger").write_bytes(b"12345")
        assert await sweep(store, paths, clock.now) == 5
        assert [path.name for path in paths.uploads.iterdir()] == [upload.id]

    in_uploads(tmp_path, work)


def test_a_peer_that_vanished_does_not_hold_its_upload_for_ever(tmp_path: Path) -> None:
    async def vanishing() -> AsyncIterator[bytes]:
        yield b"0123"
        await asyncio.Event().wait()

    async def work(uploads: Uploads, *_: Any) -> None:
        upload = await uploads.create("clip.mp4", 10)
        with pytest.raises(UploadStalled):
            await uploads.append(upload.id, 0, vanishing())
        assert (await uploads.append(upload.id, 4, stream(b"456789"))).offset == 10

    in_uploads(tmp_path, work, RequestBodies(patience=0.01))


def test_a_stop_ends_a_piece_at_once_and_keeps_what_has_arrived(tmp_path: Path) -> None:
    bodies = RequestBodies()

    async def work(uploads: Uploads, *_: Any) -> None:
        async def ending() -> AsyncIterator[bytes]:
            yield b"0123"
            asyncio.get_running_loop().call_soon(bodies.stop)
            await asyncio.Event().wait()

        upload = await uploads.create("clip.mp4", 10)
        with pytest.raises(Unavailable):
            await uploads.append(upload.id, 0, ending())
        assert (await uploads.get(upload.id)).offset == 4

    in_uploads(tmp_path, work, bodies)


def test_a_cancelled_request_keeps_what_has_arrived(tmp_path: Path) -> None:
    async def work(uploads: Uploads, *_: Any) -> None:
        upload, arrived = await uploads.create("clip.mp4", 10), asyncio.Event()

        async def waiting() -> AsyncIterator[bytes]:
            yield b"0123"
            arrived.set()
            await asyncio.Event().wait()

        request = asyncio.create_task(uploads.append(upload.id, 0, waiting()))
        await arrived.wait()
        request.cancel()
        await uploads.close()
        assert request.cancelled()
        assert (await uploads.get(upload.id)).offset == 4

    in_uploads(tmp_path, work)


# tus-js-client


@pytest.fixture(scope="module")
def js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client installed as locked, and the script that drives it."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}, which tus-js-client needs: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("js") / "client"
    shutil.copytree(JS, folder)
    quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(["npm", "ci", *quietly, "--prefix", folder], capture_output=True, text=True)
    if installed.returncode and "CI" not in os.environ:
        pytest.skip("tus-js-client could not be installed: npm needs its registry, or a cache that holds it")
    assert installed.returncode == 0, installed.stderr
    return folder / "upload.mjs"


class Client:
    """tus-js-client at work in a process of its own."""

    def __init__(self, script: Path, daemon: Daemon, file: Path, at_half: str) -> None:
        order = {"endpoint": f"{daemon.url}/api/uploads", "token": daemon.token, "file": str(file), "atHalf": at_half}
        order["storage"] = str(daemon.state_dir.parent / "tus.json")
        command = ["node", str(script), json.dumps(order)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.said: list[dict[str, Any]] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def until(self, event: str) -> Any:
        """What the client says of this event; fails the test when it ends without it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(json.loads(line))
            if event in self.said[-1]:
                return self.said[-1][event]
        return pytest.fail(f"the client ended without {event!r}: {self.said}")

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def requests(self) -> list[str]:
        return [f"{event['method']} {event['status']}" for event in self.said if "method" in event]


@pytest.fixture
def steady(start_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that has the same address again after a restart."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return start_daemon("--port", str(port))


def encode(daemon: Daemon, url: str) -> None:
    job = submit(daemon, {"upload": url.rpartition("/")[2]}).json()
    assert daemon.wait_for(job["id"])["status"] == "completed"


@pytest.mark.thorough
def test_tus_js_client_resumes_after_an_abort_and_a_crash_of_the_daemon(steady: Daemon, js: Path, clip: Path) -> None:
    with Client(js, steady, clip, "abort") as first:
        half = first.until("half")
        assert first.requests() == ["POST 201", *["PATCH 204"] * 4]
    steady.stop(signal.SIGKILL)
    steady.start()
    with Client(js, steady, clip, "nothing") as second:
        url = second.until("done")
        assert second.requests() == ["HEAD 200", *["PATCH 204"] * 4]
    assert half == 4 * -(-clip.stat().st_size // 8)
    encode(steady, url)


def test_tus_js_client_lives_through_a_crash_of_the_daemon(steady: Daemon, js: Path, clip: Path) -> None:
    with Client(js, steady, clip, "wait") as client:
        client.until("half")
        steady.stop(signal.SIGKILL)
        client.go_on()
        client.until("retry")
        steady.start()
        url = client.until("done")
    encode(steady, url)
