"""`make screenshots`: every view of the page, light and dark, on a phone and on a desk, into `screenshots/`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from browser import CHROMIUM, FLAGS, choose, until, want
from conftest import Daemon, make_clip, wait_until
from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = {390: 844, 1280: 800}
SCHEMES = ("light", "dark")
INTERRUPTED = """
    addEventListener("pagehide", () => localStorage.setItem("ffspool.transfers", JSON.stringify({
        items: [{id: "1", key: "film/8e8/1", name: "a film of two hours.mkv", size: 8e8, sent: 3e8, state: "sending",
                 order: "2"}],
        orders: [{id: "2", spec: {variations: [], metadata: {}}}],
    })), {once: true})
"""


@contextmanager
def busy_daemon(folder: Path) -> Iterator[tuple[Daemon, dict[str, Any], Path]]:
    """A daemon with a job in every state, the finished one, and a clip to add."""
    ffmpeg = str(imageio_ffmpeg.get_ffmpeg_exe())
    clip = make_clip(ffmpeg, folder / "harbour at dawn.mp4", seconds=4)
    long = folder / "a long walk home.mp4"
    loop = [ffmpeg, "-v", "error", "-stream_loop", "149", "-i", str(clip), "-c", "copy", str(long)]
    subprocess.run(loop, check=True)
    broken = folder / "broken.mov"
    broken.write_bytes(b"this is no video" * 100)
    daemon = Daemon(folder / "state", "--slots", "2")
    try:
        done = daemon.wait_for(daemon.submit(clip, presets=["h264-480p", "mp3", "sprite-sheet", "hls"])["id"])
        daemon.wait_for(daemon.submit(broken, presets=["mp3", "flac"])["id"])
        stopped = daemon.submit(clip, long, presets=["hevc-1080p"])["id"]
        daemon.wait_for_encoder()
        daemon.client.post(f"/api/jobs/{stopped}/cancel")
        daemon.submit(long, presets=["h264-720p", "h264-480p", "webm-720p"])
        for name in ("Monday", "Tuesday", "Wednesday"):
            spec = {"variations": [{"preset": "refresh", "count": 5, "seed": name}], "name": name}
            daemon.submit(clip, spec=spec)
        wait_until(lambda: len(daemon.encoders()) == 2, "two encoders")
        yield daemon, done, clip
    finally:
        daemon.stop()


def views(daemon: Daemon, done: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """By name: the address, and what must be there before the picture is taken."""
    running = daemon.client.get("/api/jobs?status=processing").json()["items"][0]["id"]
    failed = daemon.client.get("/api/jobs?status=failed").json()["items"][0]["id"]
    film, _, sheet, ladder = (variation["id"] for variation in done["sources"][0]["variations"])
    return {
        "queue": ("#/", "article img"),
        "add": ("#/add", ".card"),
        "job": (f"#/jobs/{running}", "li.variation"),
        "failed": (f"#/jobs/{failed}", "[role=alert]"),
        "done": (f"#/jobs/{done['id']}", "li.variation img"),
        "result": (f"#/jobs/{done['id']}/{film}", ".comparison"),
        "sheet": (f"#/jobs/{done['id']}/{sheet}", "img.sheet"),
        "ladder": (f"#/jobs/{done['id']}/{ladder}", "input:checked"),
        "stats": ("#/stats", "figure"),
    }


def photograph(browser: Browser, folder: Path, width: int, scheme: Any, daemon: Daemon, done: Any, clip: Path) -> None:
    context = browser.new_context(viewport={"width": width, "height": WIDTHS[width]}, color_scheme=scheme)
    page = context.new_page()
    page.goto(daemon.url)
    page.locator(".signin").wait_for()
    shoot(page, folder, "signin", width, scheme)
    page.goto(f"{daemon.url}/#token={daemon.token}")
    page.get_by_text("live", exact=True).wait_for()
    for name, (path, ready) in views(daemon, done).items():
        page.goto(f"{daemon.url}/{path}")
        page.locator(ready).first.wait_for()
        if name == "add":
            choose(page, clip)
            want(page, "refresh")
            want(page, "h264-720p")
            page.evaluate("scrollTo(0, 0)")
        shoot(page, folder, name, width, scheme)
    page.goto(f"{daemon.url}/#/")
    page.locator("article").first.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").wait_for()
    shoot(page, folder, "cancel", width, scheme)
    page.get_by_role("button", name="Let it run").click()
    page.get_by_role("button", name="Pause the whole queue").click()
    page.get_by_text("Paused with the queue").wait_for()
    shoot(page, folder, "paused", width, scheme)
    page.get_by_role("button", name="Resume the queue").click()
    page.get_by_role("heading", name="Running").wait_for()
    page.evaluate(INTERRUPTED)
    page.reload()
    page.locator(".tray").wait_for()
    shoot(page, folder, "interrupted", width, scheme)
    context.close()


def shoot(page: Page, folder: Path, name: str, width: int, scheme: str) -> None:
    page.evaluate("Promise.all([...document.images].map(image => image.decode().catch(() => {})))")
    until(page, "[...document.querySelectorAll('video')].every(video => video.readyState > 1)")
    page.wait_for_timeout(500)  # for the bars to have moved
    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, busy_daemon(Path(name)) as busy, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for width in WIDTHS:
            for scheme in SCHEMES:
                photograph(browser, folder, width, scheme, *busy)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
