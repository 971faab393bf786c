"""What comes in, and what is made, has its room before it is written: no limit is passed, whoever hurries."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import EMPTY, Daemon, slowed, stored, wait_until

from daemon.media import describe
from daemon.presets.library import Library
from daemon.scheduling.forecast import Forecast
from daemon.scheduling.space import Experience
from daemon.states import ENDED

MB = 1_000_000
AT_ONCE = 20.0  # seconds on a busy machine; what was set aside would wait longer
KIND = {"Content-Type": "multipart/form-data; boundary=b"}
TUS = {"Tus-Resumable": "1.0.0"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
END = b'\r\n--b\r\nContent-Disposition: form-data; name="preset"\r\n\r\nmp3\r\n--b--\r\n'

Start = Callable[..., Daemon]


def bounded(start_daemon: Start, size: int) -> Daemon:
    daemon = start_daemon("--max-stored-bytes", str(EMPTY + size))
    daemon.client.post("/api/queue/pause")
    return daemon


def send(daemon: Daemon, size: int, **headers: str) -> httpx.Response:
    return daemon.client.post("/api/jobs", content=HEAD + bytes(size) + END, headers={**KIND, **headers})


@contextlib.contextmanager
def half_sent(daemon: Daemon, announced: int | None, sent: int, key: str | None = None) -> Iterator[socket.socket]:
    """A form under way; announced as None: in chunks."""
    host, port = daemon.url.removeprefix("http://").split(":")
    length = "Transfer-Encoding: chunked" if announced is None else f"Content-Length: {announced}"
    named = f"Idempotency-Key: {key}\r\n" if key else ""
    head = (
        f"POST /api/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {daemon.token}\r\n{named}"
        f"Content-Type: {KIND['Content-Type']}\r\n{length}\r\n\r\n"
    )
    body = HEAD + bytes(sent)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + (body if announced else b"%x\r\n%s\r\n" % (len(body), body)))
        yield connection


def incoming(daemon: Daemon) -> int:
    return sum(path.stat().st_size for path in (daemon.state_dir / "spool" / "incoming").iterdir())


def assert_limited(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "limit_reached"), answer.text


@pytest.mark.parametrize("key", [None, "key"], ids=["plain", "with a key"])
def test_a_form_takes_its_room_when_it_begins_and_gives_it_back_when_it_goes_away(
    start_daemon: Start, key: str | None
) -> None:
    daemon = bounded(start_daemon, 3 * MB)
    with half_sent(daemon, 3 * MB, 1_500_000, key):
        wait_until(lambda: incoming(daemon), "the first form's bytes")
        assert_limited(send(daemon, 2 * MB))
        assert_limited(send(daemon, 2 * MB, **{"Idempotency-Key": "another"}))
        upload = daemon.client.post("/api/uploads", headers={**TUS, "Upload-Length": str(2 * MB)})
        assert_limited(upload)
    wait_until(lambda: not incoming(daemon), "the first form's end")
    assert wait_until(lambda: (answer := send(daemon, 2 * MB)).status_code == 202 and answer, "room")
    assert_limited(send(daemon, 2 * MB))
    assert stored(daemon) <= EMPTY + 3 * MB


def test_a_form_of_unknown_length_takes_room_as_it_comes_and_ends_at_the_limit(start_daemon: Start) -> None:
    daemon = bounded(start_daemon, 4 * MB)
    with half_sent(daemon, None, 3 * MB):
        wait_until(lambda: incoming(daemon) >= 2 * MB, "the bytes that have room")
        assert_limited(send(daemon, 3 * MB))
    wait_until(lambda: not incoming(daemon), "the first form's end")
    with half_sent(daemon, None, 8 * MB) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 429 ")
        wait_until(lambda: not incoming(daemon), "what came of it to be removed")


def test_a_form_that_was_answered_is_answered_again_though_there_is_no_room_for_it(start_daemon: Start) -> None:
    daemon = bounded(start_daemon, 3 * MB)
    first = send(daemon, 2 * MB, **{"Idempotency-Key": "once"})
    assert first.status_code == 202, first.text
    assert_limited(send(daemon, 2 * MB))
    again = send(daemon, 2 * MB, **{"Idempotency-Key": "once"})
    assert (again.status_code, again.content) == (202, first.content)
    other = send(daemon, 2 * MB + 1, **{"Idempotency-Key": "once"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert not incoming(daemon)


def test_what_does_not_fit_on_the_disk_is_refused_before_it_comes(start_daemon: Start) -> None:
    daemon = start_daemon("--max-upload-bytes", str(10**17))
    with half_sent(daemon, 10**16, 1) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 507 ")
    upload = daemon.client.post("/api/uploads", headers={**TUS, "Upload-Length": str(10**16)})
    assert (upload.status_code, upload.json()["code"]) == (507, "out_of_space")
    assert "10000000.0 GB do not fit" in upload.json()["detail"]


def test_a_piece_on_its_way_has_its_room_on_the_disk(start_daemon: Start) -> None:
    daemon = start_daemon()
    path = daemon.client.post("/api/uploads", headers={**TUS, "Upload-Length": str(50 * MB)}).headers["location"]
    host, port = daemon.url.removeprefix("http://").split(":")
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {daemon.token}\r\nUpload-Offset: 0\r\n"
        f"Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {50 * MB}\r\n\r\n"
    )

    def reserved() -> int:
        return int(daemon.client.get("/api/stats").json()["disk"]["reserved_bytes"])

    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + bytes(20 * MB))
        wait_until(lambda: 29 * MB < reserved() < 32 * MB, "the rest to be reserved")
    wait_until(lambda: reserved() == 0, "nothing to be reserved")


def test_outputs_wait_until_what_may_be_stored_has_room_for_them(start_daemon: Start, clip: Path) -> None:
    most = EMPTY + clip.stat().st_size + 2 * MB
    daemon = start_daemon("--max-stored-bytes", str(most))
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, presets=["mp3"])["id"]
    rest = {**TUS, "Upload-Length": str(most - stored(daemon) - 50_000)}  # which no output is expected to fit into
    filler = daemon.client.post("/api/uploads", headers=rest)
    assert filler.status_code == 201, filler.text
    daemon.client.post("/api/queue/resume")

    def waiting() -> str | None:
        words: str | None = daemon.job(job)["sources"][0]["variations"][0]["waiting"]
        return words

    assert "waits for jobs to be deleted" in wait_until(waiting, "words")
    assert daemon.job(job)["status"] == "queued"
    assert daemon.client.delete(filler.headers["location"], headers=TUS).status_code == 204
    wait_until(lambda: daemon.job(job)["status"] == "completed", "it to be made as soon as there is room", AT_ONCE)
    assert stored(daemon) <= most


def test_a_film_that_was_interrupted_goes_on_in_the_room_that_it_has(
    start_daemon: Start, ffmpeg: str, small_film: Path, tmp_path: Path
) -> None:
    """What is encoded of it is a part of what it was to come to, and not more beside that."""
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", **slowed(ffmpeg, tmp_path, rate=6, burst=0))
    film = daemon.submit(small_film, spec={"variations": [{"preset": "h264-480p", "speed": "slow"}]})["id"]
    wait_until(lambda: (daemon.job(film)["progress"] or 0.0) >= 50, "half of it")
    daemon.client.post("/api/queue/pause")
    daemon.stop()
    daemon.start()
    there = daemon.client.get("/api/stats").json()["disk"]["pieces_bytes"]
    [variation] = daemon.job(film)["sources"][0]["variations"]
    forecast = Forecast(Library(), {}, Experience(), resume_from=0.0)
    media = describe.read_media(str(small_film))
    whole = forecast.of("", "", media, "h264-480p", variation["parameters"], small_film.stat().st_size).ready.bytes
    assert 200_000 < there < whole
    daemon.env["FFSPOOL_MAX_STORED_BYTES"] = str(stored(daemon) + whole + there // 2)
    daemon.stop()
    daemon.start()
    daemon.client.post("/api/queue/resume")
    words = "it to go on, or to wait for room"
    found = wait_until(lambda: (view := daemon.job(film))["status"] in ENDED or waiting(view), words)
    assert found is True, found
    assert daemon.job(film)["sources"][0]["variations"][0]["resumed_seconds"] > 5.0


def waiting(job: Any) -> str | None:
    words: str | None = job["sources"][0]["variations"][0]["waiting"]
    return words
