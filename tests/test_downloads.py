"""Files larger than what goes out at a time: whole, in parts, in a zip, to slow clients and to those that leave."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import wave
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import Daemon, told, wait_until

STALLED = 60  # more clients than a pool has threads


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has made two FLAC files of noise, 11 MB each, and an MP3."""
    folder = tmp_path_factory.mktemp("big")
    for name in ("one.wav", "other.wav"):
        with wave.open(str(folder / name), "wb") as sound:
            sound.setnchannels(2)
            sound.setsampwidth(2)
            sound.setframerate(48000)
            sound.writeframes(os.urandom(60 * 48000 * 4))
    daemon = Daemon(folder / "state")
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def job(big: Daemon) -> Any:
    files = sorted(big.state_dir.parent.glob("*.wav"))
    done = big.wait_for(big.submit(*files, presets=["flac", "mp3"])["id"])
    assert done["status"] == "completed"
    return done


def place(job: Any, number: int = 0) -> str:
    variation = job["sources"][number]["variations"][0]
    return f"/api/jobs/{job['id']}/variations/{variation['id']}/download"


def everything_of(job: Any) -> str:
    return f"/api/jobs/{job['id']}/download"


def output(daemon: Daemon, job: Any, number: int = 0) -> Path:
    variation = job["sources"][number]["variations"][0]["id"]
    return next(path for path in (daemon.state_dir / "spool" / "jobs").rglob(f"*{variation}*") if path.is_file())


def test_any_part_of_a_file_is_what_is_there(big: Daemon, job: Any) -> None:
    content = output(big, job).read_bytes()
    assert len(content) > 10 * 2**20
    whole = big.client.get(place(job))
    assert hashlib.sha256(whole.content).hexdigest() == job["sources"][0]["variations"][0]["sha256"]
    edges = [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20, len(content) - 1]
    for first in edges:
        for last in (edge for edge in edges if edge >= first):
            part = big.client.get(place(job), headers={"Range": f"bytes={first}-{last}"})
            assert (part.status_code, part.content == content[first : last + 1]) == (206, True), (first, last)
    tail = big.client.get(place(job), headers={"Range": "bytes=-2000000"})
    assert tail.content == content[-2000000:]
    several = big.client.get(place(job), headers={"Range": "bytes=5-2500000,4000000-4000009"})
    for piece in (content[5:2500001], content[4000000:4000010]):
        assert piece in several.content
    partly = big.client.get(place(job), headers={"Range": f"bytes=0-9,{len(content)}-"})
    assert (partly.status_code, partly.content) == (206, content[:10])


def test_a_zip_holds_large_and_small_files_with_their_checksums(big: Daemon, job: Any) -> None:
    answer = big.client.get(everything_of(job))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None
        hashes = {hashlib.sha256(packed.read(name)).hexdigest() for name in packed.namelist()}
    assert {v["sha256"] for source in job["sources"] for v in source["variations"]} < hashes
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("zipped", [False, True])
def test_who_asks_for_the_head_alone_gets_the_head_alone(big: Daemon, job: Any, zipped: bool) -> None:
    path = everything_of(job) if zipped else place(job)
    length = big.client.get(path).headers["content-length"]
    with asking(big, path, method="HEAD") as client:
        head = everything(client)
    assert f"content-length: {length}\r\n".encode() in head
    assert head.endswith(b"\r\n\r\n")


def test_requests_behind_a_download_are_answered_after_it(big: Daemon, job: Any) -> None:
    """Sent at once on one connection: three answers, in order, and each of them whole."""
    with asking(big, place(job), "/healthz", place(job)) as client:
        answers = everything(client)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(output(big, job).read_bytes()) == 2


def test_clients_that_take_nothing_hold_up_nobody(big: Daemon, job: Any) -> None:
    stalled = [asking(big, everything_of(job) if number % 3 else place(job)) for number in range(STALLED)]
    try:
        for client in stalled:
            assert client.recv(1)
        assert len(big.client.get(place(job)).content) == output(big, job).stat().st_size
        assert big.client.get(everything_of(job)).is_success
    finally:
        for client in stalled:
            client.close()
    held = {str(output(big, job, number)) for number in range(2)}
    daemon = psutil.Process(big.process.pid)
    wait_until(lambda: not held & {file.path for file in daemon.open_files()}, "the files to be closed")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("fields", ["", "Range: bytes=0-10,3000000-3000010\r\n"])
def test_a_file_cut_short_under_way_ends_the_answer_short(big: Daemon, job: Any, zipped: bool, fields: str) -> None:
    """The client learns of it by the length it was told; nobody waits for bytes that are not there."""
    path = output(big, job, 1)
    content = path.read_bytes()
    with asking(big, everything_of(job) if zipped else place(job, 1), fields=fields) as client:
        came = client.recv(1)
        os.truncate(path, 2**20)
        try:
            came += everything(client)
        finally:
            path.write_bytes(content)
    head, _, body = came.partition(b"\r\n\r\n")
    assert len(body) < length_in(head)
    assert big.client.get(place(job, 1)).content == content
    assert "Traceback" not in big.log()
    assert f"a download was cut short job={job['id']} " in big.log()


def test_a_job_deleted_while_it_is_fetched_ends_the_answer_short(big: Daemon) -> None:
    waves = sorted(big.state_dir.parent.glob("*.wav"))
    done = big.wait_for(big.submit(*waves, presets=["flac"])["id"])
    with asking(big, everything_of(done)) as client:
        came = client.recv(1)
        assert big.client.delete(f"/api/jobs/{done['id']}").is_success
        came += everything(client)
    head, _, body = came.partition(b"\r\n\r\n")
    assert len(body) < length_in(head)
    assert "Traceback" not in big.log()


@pytest.mark.thorough
def test_a_daemon_that_ends_waits_for_no_client_that_takes_nothing(start_daemon: Any, big: Daemon) -> None:
    daemon = start_daemon()
    waves = sorted(big.state_dir.parent.glob("*.wav"))
    done = daemon.wait_for(daemon.submit(*waves, presets=["flac"])["id"])
    stalled = [asking(daemon, path) for path in (place(done), everything_of(done)) for _ in range(5)]
    for client in stalled:
        assert client.recv(1)
    assert daemon.stop() == 0
    for client in stalled:
        client.close()
    assert "Traceback" not in daemon.log()


def test_downloads_go_over_a_unix_socket_too(start_daemon: Any, tmp_path: Path, big: Daemon) -> None:
    """Whose buffer is smaller than what is sent at a time: there the last of it can be cut short."""
    daemon = start_daemon("--unix-socket", str(tmp_path / "socket"))
    transport = httpx.HTTPTransport(uds=str(tmp_path / "socket"))
    with httpx.Client(transport=transport, base_url="http://localhost", headers=daemon.client.headers) as client:
        daemon.client = client
        done = daemon.wait_for(daemon.submit(big.state_dir.parent / "one.wav", presets=["flac"])["id"])
        path = output(daemon, done)
        assert client.get(place(done)).content == path.read_bytes()
        with asking(daemon, place(done), "/healthz", fields=f"Range: bytes=0-{2**20 - 1}\r\n") as cut:
            came = bytearray()
            while len(came) < 4096:  # till it is past its head
                came += cut.recv(4096)
            os.truncate(path, 1000)
            came += everything(cut)
    assert len(came) < 2**20
    assert came.count(b"HTTP/1.1 ") == 1  # the next answer would be taken for the rest of this one


def asking(daemon: Daemon, *places: str, fields: str = "", method: str = "GET") -> socket.socket:
    """A connection with a small window over which all these were asked for; it is to be closed after the last."""
    over_unix = daemon.url.startswith("unix:")
    client = socket.socket(socket.AF_UNIX if over_unix else socket.AF_INET)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    host, _, port = daemon.url.partition("://")[2].partition(":")
    client.connect(daemon.url.removeprefix("unix:") if over_unix else (host, int(port)))
    fields += f"Host: {host or 'localhost'}\r\nAuthorization: Bearer {daemon.token}\r\n"
    heads = [f"{method} {place} HTTP/1.1\r\n{fields}" for place in places]
    client.sendall(("\r\n".join(heads) + "Connection: close\r\n\r\n").encode())
    return client


def everything(client: socket.socket) -> bytes:
    """All that comes until the other side ends it, however it does."""
    found = bytearray()
    with suppress(ConnectionResetError):
        while chunk := client.recv(2**20):
            found += chunk
    return bytes(found)


def length_in(head: bytes) -> int:
    return int(re.findall(rb"content-length: (\d+)", head)[0])


def test_of_a_job_whose_files_are_lost_it_is_not_said_that_nothing_is_completed(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["id"]
    daemon.stop()
    told(daemon, "UPDATE variations SET lost_at = 1")
    daemon.start()
    answer = daemon.client.get(f"/api/jobs/{job}/download")
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")
    assert "all that was completed" in answer.json()["detail"]
