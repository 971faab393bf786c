"""A real Chromium that visits the page as a person would, and what every visit must be free of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import PATIENCE, Daemon, wait_until
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from starlette.routing import compile_path
from surroundings import need

from daemon.api.routes import ENDPOINTS

CHROMIUM = "/usr/bin/chromium"
SHELL = Path("/usr/bin/chromium-headless-shell")  # the same without windows, of which each costs a second of CPU
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PUBLIC = [(endpoint.method, compile_path(endpoint.path)[0]) for endpoint in ENDPOINTS]
NOTHING = r"(?!)"
LOST = r"net::ERR_(CONNECTION|INTERNET|INCOMPLETE|EMPTY|NETWORK|SOCKET|ABORTED)|status of 503"
REFUSED = r"status of 4\d\d"
DELETED = r"status of 404 .*/api/jobs/[0-9a-f]{16}$"  # asked after between the end of its encode and its own

expect.set_options(timeout=PATIENCE * 1000 / 4)

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without its windows where it is there so."""
    program = str(SHELL) if SHELL.exists() else need(CHROMIUM, "chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens the page of a daemon, signed in by a token link. When the test is over, no visit may have had faults."""
    faults: list[str] = []
    contexts = []

    def open_page(
        daemon: Daemon, *, path: str = "", signed_in: bool = True, bears: str = NOTHING, **context: Any
    ) -> Page:
        """`bears` are the faults the test itself brings about, as a pattern."""
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE * 1000 / 4)

        def tell(kind: str, words: str) -> None:
            if not re.search(bears, words):
                faults.append(f"{kind}: {words}")

        page.on("console", lambda said: said.type in {"error", "warning"} and tell(said.type, _words(said)))
        page.on("pageerror", lambda error: tell("exception", str(error)))
        page.on("request", lambda asked: is_public(asked, daemon) or tell("not of the API", asked.url))
        if signed_in:
            page.goto(f"{daemon.url}/#token={daemon.token}")
            page.get_by_text("live", exact=True).wait_for()
        if path or not signed_in:
            page.goto(f"{daemon.url}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    if faults:
        pytest.fail("the page had faults:\n" + "\n".join(faults))


def _words(said: ConsoleMessage) -> str:
    """What was said, and of what address."""
    return f"{said.text} {said.location['url']}"


def is_public(asked: Request, daemon: Daemon) -> bool:
    """Whether it is for a route of the API, or for what the page holds itself."""
    if asked.url.startswith(("blob:", "data:")):
        return True
    path = urlsplit(asked.url).path
    routes = any(asked.method == method and pattern.match(path) for method, pattern in PUBLIC)
    return routes and asked.url.startswith(f"{daemon.url}/")


def until(page: Page, expression: str) -> None:
    """Waits until the expression is true in the page. (Playwright's own way is an `eval`, which the page forbids.)"""
    wait_until(lambda: page.evaluate(expression), expression)


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{rule['id']}: {node['html']} ({node['failureSummary']})" for rule in found for node in rule["nodes"]]


def choose(page: Page, *files: Path, button: str = "Choose files") -> None:
    """Picks files by the button, as a person does."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files([str(file) for file in files])


def want(page: Page, preset: str) -> None:
    page.get_by_role("checkbox", name=preset, exact=True).check()


def row(page: Page, name: str) -> Any:
    """The queue's row of the job with that name."""
    return page.locator("article").filter(has=page.get_by_text(name, exact=True))


def drop(page: Page, files: dict[str, bytes]) -> None:
    """Drops files of that content onto the page."""
    page.evaluate(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, content] of Object.entries(files))
                transfer.items.add(new File([Uint8Array.from(content, (c) => c.charCodeAt(0))], name));
            const how = {dataTransfer: transfer, bubbles: true, cancelable: true};
            for (const type of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(type, how));
        }""",
        {name: content.decode("latin-1") for name, content in files.items()},
    )


def drop_from_disk(page: Page, *paths: Path) -> None:
    """Drags files and folders from the host's desktop onto the page."""
    chrome = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}

    def send(kind: str) -> None:
        chrome.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})

    def dropped() -> bool:
        """Whether the page got them: a browser that has not heard yet that it takes them gives it nothing."""
        for kind in ("dragEnter", "dragOver"):
            send(kind)
        page.evaluate("new Promise(requestAnimationFrame)")  # by then the page has answered
        send("drop")
        return bool(page.evaluate("new Promise(requestAnimationFrame).then(() => window.dropped)"))

    page.evaluate("addEventListener('drop', () => (window.dropped = true))")
    wait_until(dropped, "the page to get what is dropped")


def paste(page: Page, name: str, content: bytes) -> None:
    """Pastes a file of that content."""
    page.evaluate(
        """([name, content]) => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([Uint8Array.from(content, (c) => c.charCodeAt(0))], name));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }""",
        [name, content.decode("latin-1")],
    )
