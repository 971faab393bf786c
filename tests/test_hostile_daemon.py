"""Whoever answers the command line may not be a daemon of ours: it fills no memory, no disk and no hidden file."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from gzip import compress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from test_cli import ffspool

from daemon.cli import client, event_stream
from daemon.cli.client import Client, NoDaemon, Refused
from daemon.errors import Broken

JOB, VARIATION = "0123456789abcdef", "fedcba9876543210"
Answers = Callable[[str], tuple[int, dict[str, str], Iterator[bytes]]]  # to a path: status, headers and body


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """The URL of a server that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):
                for chunk in body:
                    self.wfile.write(chunk)

        def log_message(self, *_: Any) -> None:
            """It is not told."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def always(body: bytes, status: int = 200, **headers: str) -> Answers:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (status, told, iter([body]))


def endless(chunk: bytes) -> Answers:
    def body() -> Iterator[bytes]:
        while True:
            yield chunk

    return lambda _: (200, {"Content-Type": "text/event-stream"}, body())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1024**2)
    monkeypatch.setattr(event_stream, "MOST_BYTES", 1024**2)


@pytest.mark.timeout(30)
def test_an_answer_without_end_is_given_up() -> None:
    with answering(endless(b"[" * 65536)) as url:
        with pytest.raises(Broken, match="more than 1 MB"):
            Client(url, None).jobs()
        with pytest.raises(Broken, match="an event without an end"):
            list(Client(url, None).events(None, None))


def test_an_answer_is_not_unpacked_here() -> None:
    bomb = compress(b'{"queue": "' + b"x" * 10 * 1024**2 + b'"}')
    with answering(always(bomb, Content_Encoding="gzip")) as url, pytest.raises(NoDaemon, match="not ffspool"):
        Client(url, None).queue()


@pytest.mark.parametrize("problem", [b'{"code": ["x"], "detail": {}}', b'{"code": 1}', b"[]", b"\xff", b""])
def test_a_refusal_that_is_none_is_told_by_its_status(problem: bytes) -> None:
    with answering(always(problem, 500)) as url, pytest.raises(Refused, match="HTTP status 500") as refused:
        Client(url, None).queue()
    assert refused.value.code == "error"


@pytest.mark.parametrize(
    "block", [b"id: x\nevent: a\ndata: {}", b"id: 1\nevent: a", b'event: a\ndata: "\xff"', b"event: a\ndata: \x1b[2J"]
)
def test_an_event_that_is_none_is_not_passed_on(block: bytes) -> None:
    told = always(block + b"\n\n", Content_Type="text/event-stream")
    with answering(told) as url, pytest.raises(Broken, match="not understood"):
        list(Client(url, None).events(None, None))


def test_a_folder_that_is_packed_smaller_than_it_is_is_refused(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb", bytes(10 * 1024**2))
    with answering(always(archive.getvalue())) as url, pytest.raises(Broken, match="compressed"):
        Client(url, None).download_folder(JOB, VARIATION, tmp_path / "folder", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("alone", [True, False])
def test_a_download_is_no_hidden_file(tmp_path: Path, alone: bool) -> None:
    """In a home folder it would say who may come in, or what a shell does."""
    variation = {"id": VARIATION, "name": ".profile", "status": "completed", "folder": False, "sha256": None}
    job = json.dumps({"sources": [{"name": ".ssh.mov", "variations": [variation]}]}).encode()

    def answers(path: str) -> tuple[int, dict[str, str], Iterator[bytes]]:
        return 200, {}, iter([b"mine" if path.endswith("/download") else job])

    what = [VARIATION] if alone else ["--extract"]
    with answering(answers) as url:
        done = ffspool("download", JOB, *what, "-o", tmp_path, env={**os.environ, "FFSPOOL_URL": url})
    assert (done.returncode, done.stderr) == (0, "")
    [file] = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.relative_to(tmp_path) == Path("_profile" if alone else "_ssh/_profile")
