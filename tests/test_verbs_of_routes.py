"""Every route of the API has its command, which asks for just that route."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from daemon.api.endpoints import Endpoint
from daemon.api.routes import ENDPOINTS
from daemon.cli.main import main

VERBS = {
    "POST /api/jobs": "submit FILE -p mp3",
    "GET /api/jobs": "ls",
    "DELETE /api/jobs": "rm --all --yes",
    "POST /api/jobs/cancel": "cancel --all --yes",
    "POST /api/jobs/retry": "retry --all",
    "GET /api/jobs/{job}": "show J",
    "PATCH /api/jobs/{job}": "edit J --priority 1",
    "DELETE /api/jobs/{job}": "rm J",
    "POST /api/jobs/{job}/cancel": "cancel J",
    "POST /api/jobs/{job}/sources/{source}/cancel": "cancel J --source S",
    "POST /api/jobs/{job}/variations/{variation}/cancel": "cancel J --variation V",
    "POST /api/jobs/{job}/fail": "fail J",
    "POST /api/jobs/{job}/pause": "pause J",
    "POST /api/jobs/{job}/resume": "resume J",
    "GET /api/jobs/{job}/download": "download J -o zip",
    "GET /api/jobs/{job}/variations/{variation}/log": "log J V",
    "GET /api/jobs/{job}/events": "events J",
    "GET /api/events": "events",
    "GET /api/queue": "queue",
    "PATCH /api/queue": "slots 2",
    "POST /api/queue/pause": "pause --queue",
    "POST /api/queue/resume": "resume --queue",
    "POST /api/queue/drain": "drain",
    "GET /api/folders": "folders ls",
    "GET /api/folders/{folder}/history": "folders history F",
    "POST /api/folders/{folder}/scan": "folders scan F",
    "POST /api/folders/{folder}/pause": "folders pause F",
    "POST /api/folders/{folder}/resume": "folders resume F",
    "POST /api/folders/undo": "folders undo /F",
    "POST /api/folders/{folder}/retry": "folders retry F",
    "GET /api/hooks/runs": "hooks",
    "GET /api/webhooks/deliveries": "webhooks deliveries",
    "POST /api/webhooks/deliveries/{delivery}/replay": "webhooks replay D",
    "GET /api/webhooks/secret": "webhooks secret",
    "POST /api/webhooks/secret/rotate": "webhooks rotate",
    "GET /api/stats": "stats",
    "GET /api/tokens": "tokens ls",
    "POST /api/tokens": "tokens add T",
    "DELETE /api/tokens/{token}": "tokens revoke T",
    "GET /api/usage": "usage",
    "GET /api/machines": "machines ls",
    "POST /api/machines/{machine}/drain": "machines drain M",
    "POST /api/machines/{machine}/resume": "machines resume M",
    "DELETE /api/machines/{machine}": "machines forget M",
}
WITHOUT_A_VERB = {
    "POST /api/jobs/{job}/retry": "`retry` reads the job first, to say for what that is in vain",
    "POST /api/jobs/{job}/sources/{source}/retry": "as `retry JOB`",
    "POST /api/jobs/{job}/variations/{variation}/retry": "as `retry JOB`",
    "GET /api/jobs/{job}/variations/{variation}/download": "`download --variation` reads the job first, for the name",
    "GET /api/jobs/{job}/variations/{variation}/files": "for pages; `download --extract` lays a folder out",
    "GET /api/jobs/{job}/variations/{variation}/files/{file:path}": "for pages and players",
    "GET /api/presets": "`presets` needs no daemon",
    "POST /api/login": "for browsers: a command has the token",
    "POST /api/logout": "for browsers",
    "OPTIONS /api/uploads": "tus is for programs; `submit` sends files in one request",
    "POST /api/uploads": "tus",
    "OPTIONS /api/uploads/{upload}": "tus",
    "HEAD /api/uploads/{upload}": "tus",
    "PATCH /api/uploads/{upload}": "tus",
    "POST /api/uploads/{upload}": "tus",
    "DELETE /api/uploads/{upload}": "tus",
    "GET /api/uploads/{upload}/media": "for pages; `plan` reads files that are here",
    "GET /metrics": "for Prometheus; `stats` has them for people",
    "GET /healthz": "for supervisors",
    "GET /readyz": "asked by `doctor`",
    "GET /openapi.json": "for programs",
    "GET /docs": "a page",
    "GET /": "a page",
    "GET /api/jobs/{job}/thumbnail": "for pages",
    "GET /api/jobs/{job}/variations/{variation}/thumbnail": "for pages",
    "GET /api/jobs/{job}/variations/{variation}/quality.svg": "for pages; `show` has the score",
    "GET /api/jobs/{job}/sources/{source}/download": "for pages: whoever submits has the source",
    "GET /web/{asset:path}": "what pages are made with",
}
OF_NO_ROUTE = {"serve", "run", "plan", "watch", "presets", "doctor", "completion", "backup", "logs", "worker"}
OF_NO_ROUTE |= {"cluster invite", "cluster revoke"}
WHOLE = {
    "J": "a" * 16,
    "S": "b" * 16,
    "V": "c" * 16,
    "D": "msg_1",
}  # identifiers: of anything else a verb asks first whose it is


def name(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def test_every_route_has_a_verb_or_a_reason() -> None:
    named = [*VERBS, *WITHOUT_A_VERB]
    assert sorted(named) == sorted(map(name, ENDPOINTS)), "a route lacks its verb, or a verb its route"


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{word} ")
        else:
            yield prefix + word, command


def test_every_verb_has_a_route_and_speaks_json() -> None:
    used = {" ".join(re.findall(r"^(?:webhooks|folders|tokens|machines) \w+|^\w+", line)) for line in VERBS.values()}
    assert {word for word, _ in commands(main)} - OF_NO_ROUTE == used
    mute = {word for word, command in commands(main) if "as_json" not in [option.name for option in command.params]}
    assert mute == {"serve", "completion", "worker", "cluster invite", "cluster revoke"}


@pytest.fixture(scope="module")
def refusing() -> Iterator[tuple[str, list[str]]]:
    """A server that knows nothing, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path.partition('?')[0]}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(404)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("route", VERBS)
def test_a_verb_asks_for_its_route(route: str, refusing: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = refusing
    asked.clear()
    (tmp_path / "clip.mp4").write_bytes(b"x")
    words = {**WHOLE, "FILE": str(tmp_path / "clip.mp4"), "zip": str(tmp_path / "out.zip")}
    arguments = [words.get(word, word) for word in VERBS[route].split()]
    done = CliRunner().invoke(main, arguments, env={"FFSPOOL_URL": url, "FFSPOOL_STATE_DIR": str(tmp_path / "none")})
    assert done.exit_code == 4, done.stderr
    values = {
        "job": WHOLE["J"],
        "source": WHOLE["S"],
        "variation": WHOLE["V"],
        "delivery": WHOLE["D"],
        "folder": "F",
        "token": "T",
        "machine": "M",
    }
    assert asked == [route.format(**values)]
