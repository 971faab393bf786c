"""Clients that would take the daemon's connections from others, and what is no request, over raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import PATIENCE, Daemon, make_clip, wait_until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from wire import asked, connect, said

from daemon.http.problems import HANDLERS

MOST = 16  # connections, of the daemon that is attacked
PATIENT = 1  # seconds that it is with clients
SMALL = 4096  # bytes, of a receive buffer
FILM = 16_000_000  # bytes, which no socket's buffers hold
LAST = "Connection: close"
ASSET = "/web/style.css"  # open to all

Start = Callable[..., Daemon]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(
        tmp_path_factory.mktemp("connections") / "state",
        *("--max-connections", str(MOST), "--header-timeout", str(PATIENT)),
    )
    yield daemon
    daemon.stop()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def stuck(daemon: Daemon, requests: bytes) -> socket.socket:
    """A client that asks and asks, and reads nothing."""
    connection = connect(daemon, SMALL)
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        connection.send(requests)
    return connection


def is_cut(connection: socket.socket) -> bool:
    """Whether the daemon ended it, without reading what came."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def health(daemon: Daemon) -> int:
    """What a client without the token is told on a connection of its own."""
    return httpx.get(f"{daemon.url}/healthz", trust_env=False, verify=False, timeout=PATIENCE).status_code


# Who takes all of them


def test_health_is_answered_while_strangers_hold_all_they_can(start_daemon: Start, stack: ExitStack) -> None:
    daemon = start_daemon("--max-connections", str(MOST))  # and is as patient as it always is
    for _ in range(3 * MOST):
        stack.enter_context(stuck(daemon, asked(ASSET) * 600))
    assert health(daemon) == 200
    assert daemon.client.get("/api/jobs").status_code == 200
    for _ in range(3 * MOST):
        stack.enter_context(connect(daemon))  # and says nothing at all
        assert health(daemon) == 200


def test_those_we_know_live_through_a_storm_of_strangers(daemon: Daemon, stack: ExitStack) -> None:
    known = stack.enter_context(connect(daemon))
    known.sendall(asked("/api/events", daemon.token))
    assert known.recv(65536).startswith(b"HTTP/1.1 200")
    for _ in range(3 * MOST):
        stack.enter_context(stuck(daemon, asked(ASSET) * 600))
    assert daemon.client.post("/api/queue/resume").status_code == 200
    assert not is_cut(known)


def test_health_is_answered_while_those_we_know_hold_all_they_can(start_daemon: Start, stack: ExitStack) -> None:
    daemon = start_daemon("--max-connections", str(MOST))
    told = []
    for _ in range(MOST):
        known = stack.enter_context(connect(daemon))
        known.sendall(asked("/api/events", daemon.token))
        told.append(known.recv(65536))
    streams = [answer.startswith(b"HTTP/1.1 200") for answer in told]
    assert streams == sorted(streams, reverse=True), "those that were there live on"
    assert MOST // 2 < sum(streams) < MOST
    assert told[-1].startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: " in told[-1].lower()
    assert b'"code":"crowded"' in told[-1]
    assert health(daemon) == 200


def test_where_those_we_know_hold_all_there_are_the_next_is_told_so(start_daemon: Start, stack: ExitStack) -> None:
    daemon = start_daemon("--max-connections", "1")
    known = stack.enter_context(connect(daemon))
    known.sendall(asked("/api/events", daemon.token))
    assert known.recv(65536).startswith(b"HTTP/1.1 200")
    refused = httpx.get(f"{daemon.url}/healthz", trust_env=False, verify=False)
    assert (refused.status_code, refused.json()["code"]) == (503, "crowded")
    assert refused.headers["content-type"] == "application/problem+json"
    known.close()
    wait_until(lambda: health(daemon) == 200)


def test_a_proxys_connection_is_a_strangers_when_it_brings_one(daemon: Daemon, stack: ExitStack) -> None:
    """Else every connection that ever brought a token would be theirs who come after it."""
    shared = [stack.enter_context(connect(daemon)) for _ in range(MOST // 2)]
    for connection in shared:
        connection.sendall(asked("/api/queue", daemon.token))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(asked("/healthz"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    for _ in range(MOST // 2):
        stack.enter_context(connect(daemon))
    wait_until(lambda: is_cut(shared[0]), seconds=3)  # before it would be for its silence


class Short(Daemon):
    """One that may open few files."""

    prefix = ("prlimit", f"--nofile={20 * MOST}")


def test_a_burst_of_connections_leaves_descriptors_to_others(tmp_path: Path, stack: ExitStack) -> None:
    daemon = Short(tmp_path / "state")
    stack.callback(daemon.stop)
    process = psutil.Process(daemon.process.pid)
    process.suspend()
    try:
        for _ in range(40 * MOST):
            stack.enter_context(connect(daemon))
    finally:
        process.resume()
    assert health(daemon) == 200
    assert "open files" not in daemon.log()


# Who takes nothing of an answer


def test_a_stranger_who_takes_nothing_is_cut_and_one_we_know_is_waited_for(
    daemon: Daemon, tmp_path: Path, ffmpeg: str, stack: ExitStack
) -> None:
    film = big_film(daemon, ffmpeg, tmp_path)
    paused = stack.enter_context(stuck(daemon, asked(film, daemon.token, LAST)))
    stranger = stack.enter_context(stuck(daemon, asked(ASSET) * 600))
    wait_until(lambda: select.select([stranger], [], [], 0)[0], "an answer")
    wait_until(lambda: not holds(daemon, stranger), "the connection to be ended")
    assert holds(daemon, paused)
    paused.settimeout(PATIENCE)
    assert len(said(paused)) > FILM


def test_a_film_that_nobody_goes_on_taking_is_let_go(
    start_daemon: Start, tmp_path: Path, ffmpeg: str, stack: ExitStack
) -> None:
    daemon = start_daemon("--stall-timeout", str(PATIENT))
    film = big_film(daemon, ffmpeg, tmp_path)
    before = opened(daemon)
    paused = stack.enter_context(stuck(daemon, asked(film, daemon.token, LAST)))
    wait_until(lambda: opened(daemon) > before)
    wait_until(lambda: is_cut(paused))
    wait_until(lambda: opened(daemon) <= before, "the file to be closed")
    assert "ERROR" not in daemon.log()


def test_a_stranger_asks_a_few_times_before_an_answer_and_one_we_know_at_will(daemon: Daemon) -> None:
    with connect(daemon) as stranger:
        stranger.sendall(asked("/healthz") * 600)
        assert said(stranger).count(b"HTTP/1.1 200") < 20
    with connect(daemon) as known:
        known.sendall(asked("/api/queue", daemon.token) * 30 + asked("/api/queue", daemon.token, LAST))
        assert said(known).count(b"HTTP/1.1 200") == 31


@pytest.mark.thorough
def test_a_client_that_takes_a_little_is_never_cut(
    start_daemon: Start, tmp_path: Path, ffmpeg: str, stack: ExitStack
) -> None:
    daemon = start_daemon("--stall-timeout", str(PATIENT), "--header-timeout", str(PATIENT))
    film = big_film(daemon, ffmpeg, tmp_path)
    slow = stack.enter_context(stuck(daemon, asked(film, daemon.token, LAST)))
    slow.settimeout(PATIENCE)
    taken, deadline = 0, time.monotonic() + 4 * PATIENT
    while time.monotonic() < deadline:
        taken += len(slow.recv(SMALL))
        time.sleep(PATIENT / 10)
    assert taken + len(said(slow)) > FILM


def big_film(daemon: Daemon, ffmpeg: str, folder: Path) -> str:
    """Where a source of FILM bytes is."""
    film = make_clip(ffmpeg, folder / "film.mp4", seconds=1)
    with film.open("ab") as file:
        file.truncate(FILM)  # MP4 does not mind
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(film, presets=["mp3"])
    return f"/api/jobs/{job['id']}/sources/{job['sources'][0]['id']}/download"


def holds(daemon: Daemon, connection: socket.socket) -> bool:
    """Whether it is open on the daemon's side."""
    here = psutil.Process(daemon.process.pid).net_connections()
    return any(end.raddr == connection.getsockname() for end in here)


def opened(daemon: Daemon) -> int:
    return psutil.Process(daemon.process.pid).num_fds()


# What is no request

HUGE = "x" * 200_000


@pytest.mark.parametrize(
    "lines",
    [
        [f"GET /{HUGE} HTTP/1.1", "Host: localhost"],
        ["GET / HTTP/1.1", "Host: localhost", f"X: {HUGE}"],
        ["GET / HTTP/1.1", "Host: localhost", "Content-Length: 1", "Content-Length: 2"],
        ["GET / HTTP/1.1", "Host: localhost", "Content-Length: -1"],
        ["GET / HTTP/1.1", "Host: localhost", "Transfer-Encoding: gzip"],
        ["GET / HTTP/1.1", "Host : localhost"],
        ["GET / HTTP/1.1", " folded: x", "Host: localhost"],
        ["GET /\x00 HTTP/1.1", "Host: localhost"],
        ["GET / HTTP/9.9", "Host: localhost"],
        ["POST /api/login HTTP/1.1", "Host: localhost", "Content-Length: 4", "Transfer-Encoding: chunked"],
        ["POST /api/login HTTP/1.0", "Host: localhost", "Transfer-Encoding: chunked"],
        ["POST /api/login HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", "", "no size"],
    ],
)
def test_what_is_no_request_is_refused_in_words_and_the_daemon_lives_on(daemon: Daemon, lines: list[str]) -> None:
    with connect(daemon) as connection:
        with contextlib.suppress(OSError):  # it may have had enough before the end
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
        head, _, body = said(connection).partition(b"\r\n\r\n")
    if head or len(str(lines)) < len(HUGE):  # what it did not read resets the connection, and its words with it
        status = int(head.split()[1])
        assert 400 <= status < 600
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (status, "malformed")
        assert problem["detail"]
    assert daemon.client.get("/healthz").status_code == 200


def test_a_request_of_two_lengths_takes_no_other_with_it(daemon: Daemon) -> None:
    """A proxy that goes by the one sees the second request as a body; here it would be a request."""
    smuggling = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(daemon) as connection:
        connection.sendall(smuggling + b"0\r\n\r\n" + asked("/healthz"))
        heard = said(connection)
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert heard.count(b"HTTP/1.1") == 1


def test_a_body_that_breaks_off_in_mid_chunk_is_no_fault_of_ours(daemon: Daemon) -> None:
    head = f"PATCH /api/jobs/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token}\r\n"
    with connect(daemon) as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        connection.sendall(b"no size\r\n")
        assert said(connection).startswith(b"HTTP/1.1 400 ")
    assert daemon.client.get("/healthz").status_code == 200
    assert "Traceback" not in daemon.log()


def test_after_a_fault_of_ours_the_client_is_told_to_come_anew() -> None:
    """The server ends the connection then, and would reset it under the next request."""

    async def broken(_: Request) -> Response:
        raise RuntimeError

    app = Starlette(routes=[Route("/", broken)], exception_handlers=HANDLERS)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/")

    told = asyncio.run(answer())
    assert (told.status_code, told.headers["connection"]) == (500, "close")
