"""A request sent again with its `Idempotency-Key` makes nothing twice, and is answered as it was the first time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Daemon, wait_until

from daemon.database.store import Store
from daemon.errors import IdempotencyInFlight, IdempotencyMismatch
from daemon.housekeeping import expiry
from daemon.jobs import idempotency
from daemon.jobs.idempotency import Answer, IdempotencyKeys
from daemon.paths import Paths

Submit = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("idempotency")
    (folder / "clip.mp4").write_bytes(b"not really media")
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Daemon]:
    daemon = Daemon(folder / "state", FFSPOOL_SOURCE_ROOTS=str(folder))
    yield daemon
    daemon.stop()


def as_json(daemon: Daemon, key: str, path: Path, preset: str = "mp3") -> httpx.Response:
    wish = {"sources": [{"path": str(path)}], "variations": [{"preset": preset}]}
    return daemon.client.post("/api/jobs", json=wish, headers={"Idempotency-Key": key})


def as_form(daemon: Daemon, key: str, path: Path, preset: str = "mp3") -> httpx.Response:
    files = {"files": (path.name, path.read_bytes())}
    return daemon.client.post("/api/jobs", data={"preset": preset}, files=files, headers={"Idempotency-Key": key})


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def said(answer: httpx.Response) -> tuple[Any, ...]:
    return answer.status_code, answer.headers["location"], answer.headers["content-type"], answer.content


def jobs(daemon: Daemon) -> int:
    return len(daemon.client.get("/api/jobs?limit=200").json()["items"])


both_kinds = pytest.mark.parametrize("submit", [as_json, as_form])


@both_kinds
def test_the_same_request_is_answered_as_it_was_first_and_makes_one_job(
    shared: Daemon, folder: Path, submit: Submit
) -> None:
    before = jobs(shared)
    first = submit(shared, f"same {submit}", folder / "clip.mp4")
    assert first.status_code == 202, first.text
    shared.wait_for(first.json()["id"])
    again = submit(shared, f"same {submit}", folder / "clip.mp4")
    assert said(again) == said(first)
    assert jobs(shared) == before + 1
    assert list((shared.state_dir / "spool" / "incoming").iterdir()) == []


@both_kinds
def test_another_request_with_a_used_key_is_refused(shared: Daemon, folder: Path, submit: Submit) -> None:
    assert submit(shared, f"other {submit}", folder / "clip.mp4").status_code == 202
    before = jobs(shared)
    assert_problem(submit(shared, f"other {submit}", folder / "clip.mp4", "aac"), 422, "idempotency_mismatch")
    assert jobs(shared) == before


def test_other_bytes_or_another_name_of_a_file_are_another_request(shared: Daemon, tmp_path: Path) -> None:
    clip, other_name = tmp_path / "clip.mp4", tmp_path / "clap.mp4"
    clip.write_bytes(b"0123")
    other_name.write_bytes(b"0123")
    assert as_form(shared, "file", clip).status_code == 202
    assert_problem(as_form(shared, "file", other_name), 422, "idempotency_mismatch")
    clip.write_bytes(b"0124")
    assert_problem(as_form(shared, "file", clip), 422, "idempotency_mismatch")


@both_kinds
def test_a_refused_request_does_not_bind_its_key(shared: Daemon, folder: Path, submit: Submit) -> None:
    key = f"refused {submit}"
    assert_problem(submit(shared, key, folder / "clip.mp4", "no such preset"), 422, "unknown_preset")
    assert submit(shared, key, folder / "clip.mp4").status_code == 202


def test_different_keys_or_none_make_different_jobs(shared: Daemon, folder: Path) -> None:
    wish = {"sources": [{"path": str(folder / "clip.mp4")}], "variations": [{"preset": "mp3"}]}
    keys: list[dict[str, str]] = [{}, {}, {"Idempotency-Key": "one"}, {"Idempotency-Key": "two"}]
    answers = [shared.client.post("/api/jobs", json=wish, headers=key) for key in keys]
    assert len({answer.json()["id"] for answer in answers}) == len(keys)


def test_what_is_no_key_is_refused(shared: Daemon, folder: Path) -> None:
    assert_problem(as_json(shared, "k" * 256, folder / "clip.mp4"), 422, "invalid_request")
    assert_problem(as_json(shared, "", folder / "clip.mp4"), 422, "invalid_request")
    assert as_json(shared, "k" * 255, folder / "clip.mp4").status_code == 202


@contextlib.contextmanager
def half_sent(daemon: Daemon, key: str) -> Iterator[tuple[socket.socket, bytes]]:
    """A request with that key under way, and the bytes it lacks."""
    host, port = daemon.url.removeprefix("http://").split(":")
    body = b'--b\r\nContent-Disposition: form-data; name="preset"\r\n\r\nmp3\r\n'
    body += b'--b\r\nContent-Disposition: form-data; name="files"; filename="clip.mp4"\r\n\r\n' + b"x" * 2_000_000
    end = b"\r\n--b--\r\n"
    head = (
        f"POST /api/jobs HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {daemon.token}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body) + len(end)}\r\n\r\n"
    )
    incoming = daemon.state_dir / "spool" / "incoming"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        wait_until(lambda: list(incoming.iterdir()), "the first request to arrive")
        yield connection, end


def test_a_key_whose_request_is_in_flight_is_refused_and_then_answered(shared: Daemon, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x" * 2_000_000)
    with half_sent(shared, "flying") as (connection, end):
        assert_problem(as_form(shared, "flying", clip), 409, "idempotency_in_flight")
        assert_problem(as_json(shared, "flying", clip), 409, "idempotency_in_flight")
        connection.sendall(end)
        first = job_answered(connection)
    assert as_form(shared, "flying", clip).json() == first


def job_answered(connection: socket.socket) -> Any:
    """The JSON of the answer that comes on this connection."""
    with connection.makefile("rb") as answer:
        assert b" 202 " in answer.readline()
        headers = dict(line.lower().split(b": ", 1) for line in iter(answer.readline, b"\r\n"))
        return json.loads(answer.read(int(headers[b"content-length"])))


def test_a_request_that_broke_off_lets_its_key_go(shared: Daemon, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    with half_sent(shared, "broken"):
        pass
    answer = wait_until(lambda: (a := as_form(shared, "broken", clip)).status_code != 409 and a, "the key to be free")
    assert answer.status_code == 202


def test_a_key_outlives_a_crash_and_the_upload_its_job_took(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon()
    tus = {"Tus-Resumable": "1.0.0"}
    upload = daemon.client.post("/api/uploads", headers={**tus, "Upload-Length": "4"}).headers["location"]
    piece = {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert daemon.client.patch(upload, content=b"0123", headers=piece).status_code == 204
    wish = {"sources": [{"upload": upload.rpartition("/")[2]}], "variations": [{"preset": "mp3"}]}
    key = {"Idempotency-Key": "crash"}
    first = daemon.client.post("/api/jobs", json=wish, headers=key)
    assert first.status_code == 202, first.text
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert said(daemon.client.post("/api/jobs", json=wish, headers=key)) == said(first)
    assert jobs(daemon) == 1


def test_a_key_is_never_bound_twice_even_when_its_hold_was_lost(tmp_path: Path) -> None:
    async def main() -> None:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        first, second = (IdempotencyKeys(store, now=lambda: 1000.0) for _ in range(2))
        answer = Answer(status=202, location="/api/jobs/x", body=b"{}")
        try:
            with first.use("key") as one, second.use("key") as other:
                assert await one.first_answer("same") is await other.first_answer("same") is None
                await store.write(lambda t: one.keep(t, answer))
                with pytest.raises(IdempotencyInFlight):
                    await store.write(lambda t: other.keep(t, answer))
        finally:
            await store.close()

    asyncio.run(main())


def test_a_key_is_kept_for_a_day_and_then_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        clock = 1000.0
        keys = IdempotencyKeys(store, now=lambda: clock)
        answer = Answer(status=202, location="/api/jobs/x", body=b"{}")

        async def ask(fingerprint: str) -> Answer | None:
            with keys.use("key") as key:
                return await key.first_answer(fingerprint)

        async def bind(fingerprint: str) -> None:
            with keys.use("key") as key:
                assert await key.first_answer(fingerprint) is None
                await store.write(lambda t: key.keep(t, answer))

        try:
            await bind("one")
            clock += idempotency.KEPT - 1
            await expiry.expire(store, paths, clock, 1e6)
            assert await ask("one") == answer
            with pytest.raises(IdempotencyMismatch):
                await ask("two")
            clock += 1
            await bind("two")  # the housekeeping has not been there yet
            clock += idempotency.KEPT
            await expiry.expire(store, paths, clock, 1e6)
            assert await ask("one") is None
        finally:
            await store.close()

    asyncio.run(main())
