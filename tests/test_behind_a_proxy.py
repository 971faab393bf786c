"""Below a path of a proxy that takes it away before it asks, everything that the daemon names is found again."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from browser import browser  # noqa: F401
from conftest import Daemon
from playwright.sync_api import Browser
from test_page_files import named_in

ROOT = "/ffspool"
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "server", "date"}


class Proxy(BaseHTTPRequestHandler):
    """As nginx does with `location /ffspool/ { proxy_pass http://daemon/; }`: what is elsewhere is not the daemon's."""

    protocol_version = "HTTP/1.1"
    daemon: str

    def _pass_on(self) -> None:
        self.close_connection = True
        if not self.path.startswith(f"{ROOT}/"):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        url = self.daemon + self.path.removeprefix(ROOT)
        with httpx.stream(
            self.command, url, headers=asked, content=body, timeout=60, trust_env=False, verify=False
        ) as answer:
            self.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for piece in answer.iter_raw():
                    self.wfile.write(piece)
                    self.wfile.flush()
            except (OSError, httpx.HTTPError):
                pass  # who asked went away, or the daemon ended

    do_GET = do_POST = do_PATCH = do_HEAD = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def proxied(start_daemon: Callable[..., Daemon]) -> Iterator[tuple[Daemon, str]]:
    """A daemon, and the address below which it is found."""
    daemon = start_daemon("--root-path", ROOT, FFSPOOL_PASSWORD="a good password")
    handler = type("Handler", (Proxy,), {"daemon": daemon.url})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    yield daemon, f"http://127.0.0.1:{server.server_port}{ROOT}/"
    server.shutdown()
    server.server_close()
    serving.join()


def test_locations_cookies_and_the_description_are_below_its_path(proxied: tuple[Daemon, str], clip: Path) -> None:
    daemon, base = proxied
    bearer = {"Authorization": f"Bearer {daemon.token}"}
    with httpx.Client(headers=bearer, trust_env=False, verify=False, timeout=60) as client:
        tus = {"Tus-Resumable": "1.0.0", "Upload-Metadata": f"filename {b64encode(b'clip.mp4').decode()}"}
        body = clip.read_bytes()
        made = client.post(f"{base}api/uploads", headers={**tus, "Upload-Length": str(len(body))})
        place = urljoin(base, made.headers["location"])
        more = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        assert client.patch(place, content=body, headers={**tus, **more}).status_code == 204
        spec = {"sources": [{"upload": place.rsplit("/", 1)[1]}], "variations": [{"preset": "mp3"}]}
        job = client.post(f"{base}api/jobs", json=spec)
        assert client.get(urljoin(base, job.headers["location"])).json()["id"] == job.json()["id"]
        assert client.get(f"{base}openapi.json").json()["servers"] == [{"url": ROOT}]
    with httpx.Client(trust_env=False, verify=False) as person:
        entered = person.post(f"{base}api/login", json={"password": "a good password"})
        assert f"Path={ROOT}/" in entered.headers["set-cookie"]
        assert person.get(f"{base}api/jobs").status_code == 200


def test_all_that_the_page_names_is_below_its_path(proxied: tuple[Daemon, str]) -> None:
    _, base = proxied
    with httpx.Client(trust_env=False, verify=False) as person:
        named = named_in(person.get(base).text)
        assert len(named) > 10
        for name in named:
            assert person.get(urljoin(base, f".{name}")).status_code == 200, name


def test_the_page_works_below_its_path(proxied: tuple[Daemon, str], browser: Browser, clip: Path) -> None:  # noqa: F811
    daemon, base = proxied
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = browser.new_page()
    faults: list[str] = []
    page.on("response", lambda answer: answer.status >= 400 and faults.append(f"{answer.status} {answer.url}"))
    page.goto(f"{base}#token={daemon.token}")
    page.get_by_text("live", exact=True).wait_for()
    page.get_by_text(clip.name).first.wait_for()
    page.close()
    assert faults == []
