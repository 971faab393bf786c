"""Programs of others write into a watched folder at their leisure: nothing is taken before it is whole, all is once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import browser
from conftest import PATIENCE, Daemon, wait_until
from playwright.sync_api import Browser
from surroundings import need
from test_folders import inbox, jobs, made, scans, shown, watching

__all__ = ["browser", "inbox"]

MOST = 0.9  # of a film that is there when its writer pauses


class Film:
    """Hands out a film: most of it at once, and the rest when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = path.read_bytes()
        self.rest = threading.Event()

    def pour(self, write: Callable[[bytes], object]) -> None:
        most = int(len(self.content) * MOST)
        write(self.content[:most])
        self.rest.wait(PATIENCE)
        write(self.content[most:])


@contextmanager
def served(film: Film) -> Iterator[str]:
    """Serves it by HTTP, under any name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(film.content)))
            self.end_headers()
            film.pour(self._send)

        def _send(self, content: bytes) -> None:
            self.wfile.write(content)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        film.rest.set()
        server.shutdown()
        server.server_close()
        serving.join()


@contextmanager
def writing(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def from_pipe(film: Film, *command: str, to: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Has a program copy what comes through a pipe; it takes its names as {pipe} and {to}."""
    pipe = to.parent.parent / f"{to.name}.pipe"
    os.mkfifo(pipe)

    def pour() -> None:
        with pipe.open("wb", buffering=0) as file:
            film.pour(file.write)

    with writing(*(word.format(pipe=pipe, to=to) for word in command)) as process:
        pouring = threading.Thread(target=pour)
        pouring.start()
        try:
            yield process
        finally:
            film.rest.set()
            pouring.join()


def download(browser: Browser, address: str, folder: Path) -> None:
    """Begins it as a browser does that was told to save there."""
    page = browser.new_page()
    page.goto("about:blank")
    session = page.context.new_cdp_session(page)
    session.send("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    page.evaluate("address => { location.href = address; }", address)


@pytest.mark.thorough
def test_what_others_write_is_taken_when_it_is_whole_and_once(
    start_daemon: Callable[..., Daemon], inbox: Path, clip: Path, browser: Browser
) -> None:
    film, copied = Film(clip), inbox.parent / "rsync.mp4"
    copied.write_bytes(film.content)
    with ExitStack() as stack:
        address = stack.enter_context(served(film))
        pace = f"--bwlimit={max(1, len(film.content) // 1024 // 4)}"  # KiB per second: it takes four of them
        rsync = stack.enter_context(writing(need("rsync", "rsync"), pace, copied, inbox))
        wait_until(lambda: list(inbox.glob(".rsync.mp4.*")), "rsync to begin")
        os.killpg(rsync.pid, signal.SIGSTOP)
        stack.enter_context(from_pipe(film, "cp", "{pipe}", "{to}", to=inbox / "cp.mp4"))
        stack.enter_context(from_pipe(film, "dd", "status=none", "if={pipe}", "of={to}", to=inbox / "dd.mp4"))
        stack.enter_context(writing(need("curl", "curl"), "-sS", "-N", "-o", inbox / "curl.mp4", f"{address}/curl.mp4"))
        download(browser, f"{address}/browser.mp4", inbox)
        daemon = watching(start_daemon, inbox)
        wait_until(lambda: sorted(map(named, inbox.iterdir())) == PAUSED, f"{PAUSED}: all to begin")
        scans(daemon, 8)
        assert (jobs(daemon), shown(daemon)["refused"]) == ([], 0)
        os.killpg(rsync.pid, signal.SIGCONT)
        film.rest.set()
        wait_until(lambda: made(inbox) == {f"{name}.mp3" for name in WRITERS}, "what all of them wrote")
    scans(daemon)
    found = [daemon.job(one["id"])["sources"][0] for one in jobs(daemon)]
    assert sorted((one["name"], one["bytes"]) for one in found) == [
        (f"{name}.mp4", len(film.content)) for name in WRITERS
    ]
    assert (shown(daemon)["taken"], shown(daemon)["refused"]) == (len(WRITERS), 0)


WRITERS = ["browser", "cp", "curl", "dd", "rsync"]
PAUSED = [".rsync.mp4", "browser.mp4.crdownload", "cp.mp4", "curl.mp4", "dd.mp4"]


def named(path: Path) -> str:
    """What it is called, but for what makes a name of rsync's unlike others."""
    return path.name.rpartition(".")[0] if path.name.startswith(".rsync") else path.name
