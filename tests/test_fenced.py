"""What a machine sends and is sent ends with its task, however long it has been on its way by then."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from engine_conformance import MINE, order, task
from starlette.types import Message

from daemon.cluster.file_server import MACHINE, SHA256, FileServer, Tasks
from daemon.encode.task import Task

SENT = [b"some", b"more"]


def served(
    tasks: Tasks, method: str, path: str, body: Iterable[bytes] = (), on_sent: Callable[[], None] = lambda: None
) -> tuple[int, bytes]:
    """The status and the body that are answered; `body` is asked for piece by piece."""
    server = FileServer(tasks, lambda *_: True, lambda *_: None, lambda *_: None, lambda *_: None, lambda *_: None)
    pieces, answers = iter(body), list[Message]()

    async def receive() -> Message:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Message) -> None:
        answers.append(message)
        on_sent()

    sha256 = hashlib.sha256(b"".join(SENT)).hexdigest()
    headers = [(name.lower().encode(), value.encode()) for name, value in ((MACHINE, "box2"), (SHA256, sha256))]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "asgi": {"spec_version": "2.4"}}
    asyncio.run(server.app(scope, receive, send))
    return answers[0]["status"], b"".join(one.get("body", b"") for one in answers)


@pytest.fixture
def one(clip: Path, tmp_path: Path) -> Task:
    return task(MINE, clip, order(tmp_path / "home", "mp3"))


def test_what_is_still_coming_when_its_task_ends_gets_no_name(one: Task) -> None:
    tasks = Tasks()
    tasks.add("box2", one)

    def body() -> Iterable[bytes]:
        yield SENT[0]
        tasks.forget(one.id)
        yield SENT[1]

    part = Path(one.orders[0].part)
    status, _ = served(tasks, "PUT", f"/tasks/{one.id}/results/mp3/{part.name}", body())
    assert (status, part.exists()) == (410, False)


def test_a_source_is_sent_no_further_than_its_task_lasts(one: Task) -> None:
    tasks = Tasks()
    tasks.add("box2", one)
    source = Path(one.source.path).read_bytes()
    assert served(tasks, "GET", f"/tasks/{one.id}/source")[1].startswith(source)
    _, sent = served(tasks, "GET", f"/tasks/{one.id}/source", on_sent=lambda: tasks.forget(one.id))
    assert len(sent) < len(source)
