"""First paint of the queue's page with many jobs in the table, in a real Chromium on this machine."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.daemons import daemon, wait_until
from bench.queue import fill
from daemon.paths import Paths

JOBS = 100_000
ROUNDS = 10
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
ROWS = "document.querySelector('article') ? performance.now() : null"


def main() -> None:
    jobs = int(sys.argv[1]) if sys.argv[1:] else JOBS
    with tempfile.TemporaryDirectory(prefix="ffspool-bench-") as name, sync_playwright() as playwright:
        paths = Paths(Path(name) / "state")
        paths.prepare()
        fill(paths.database, jobs)
        with daemon(Path(name)) as running:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page()
            token = running.client.headers["authorization"].removeprefix("Bearer ")
            page.goto(f"{running.client.base_url}/#token={token}")
            wait_until(lambda: page.evaluate(ROWS))
            times = [measure(page, str(running.client.base_url)) for _ in range(ROUNDS)]
            browser.close()
    for what, values in zip(("first paint", "first rows"), zip(*times, strict=True), strict=True):
        print(f"{what} with {jobs:,} jobs: median {statistics.median(values):.0f} ms, worst {max(values):.0f} ms")


def measure(page: Page, url: str) -> tuple[float, float]:
    """Milliseconds from the navigation to the first paint, and to rows in the document (polled)."""
    page.goto("about:blank")
    page.goto(url, wait_until="commit")
    rows = wait_until(lambda: page.evaluate(ROWS))
    return wait_until(lambda: page.evaluate(PAINT)), rows


if __name__ == "__main__":
    main()
