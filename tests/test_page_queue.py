"""The queue in the page: live, whole after an offline spell, of any length, in the order one drags it into."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from browser import DELETED, LOST, Visit, row, until, violations
from conftest import Daemon, Media, wait_until
from playwright.sync_api import Page, expect
from stored import ANY_FILE
from test_cli_verbs import ffspool

from daemon.database.store import Store, Transaction
from daemon.paths import Paths

MANY = 1500


def waiting(daemon: Daemon, clip: Path, *names: str) -> None:
    """Jobs that wait, in a queue that is paused."""
    daemon.client.post("/api/queue/pause")
    for name in names:
        daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": name})


def order(daemon: Daemon) -> list[str]:
    page = daemon.client.get("/api/jobs", params={"status": "queued", "order": "upcoming"}).json()
    return [job["name"] for job in page["items"]]


def test_a_job_is_seen_from_its_arrival_to_its_end(daemon: Daemon, visit: Visit, long_clip: Path) -> None:
    page = visit(daemon, bears=DELETED)
    expect(page.get_by_role("heading", name="Nothing to do yet")).to_be_visible()
    job = daemon.submit(long_clip, spec={"variations": [{"preset": "h264-480p"}], "name": "Long"})
    expect(row(page, "Long")).to_be_visible()
    line = row(page, "Long").locator(".variation-line")
    expect(line).to_contain_text("long_h264-480p.mp4")
    expect(line.locator(".figures")).to_contain_text("×")
    expect(row(page, "Long")).to_contain_text("done ~")
    row(page, "Long").get_by_role("button", name="Pause").click()
    expect(row(page, "Long").get_by_text("paused", exact=True)).to_be_visible()
    wait_until(lambda: daemon.job(job["id"])["paused"], "the pause")
    row(page, "Long").get_by_role("button", name="Resume").click()
    expect(row(page, "Long")).to_contain_text("done ~")
    until(page, "document.querySelector('article img').naturalWidth > 0")
    daemon.client.delete(f"/api/jobs/{job['id']}")
    expect(row(page, "Long")).to_have_count(0)


def test_after_an_offline_spell_the_page_knows_what_happened_meanwhile(
    daemon: Daemon, visit: Visit, clip: Path
) -> None:
    before = daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": "Before"})
    daemon.wait_for(before["id"])
    page = visit(daemon, bears=LOST)
    expect(row(page, "Before")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator(".live")).to_have_text("reconnecting…")
    daemon.client.delete(f"/api/jobs/{before['id']}")
    meanwhile = daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": "Meanwhile"})
    daemon.wait_for(meanwhile["id"])
    page.context.set_offline(False)
    expect(row(page, "Meanwhile").get_by_text("done", exact=True)).to_be_visible()
    expect(row(page, "Before")).to_have_count(0)
    expect(page.locator(".live")).to_have_text("live")


def test_after_a_sleep_the_page_asks_for_what_it_missed(daemon: Daemon, visit: Visit, clip: Path) -> None:
    page = visit(daemon, signed_in=False, bears=LOST)
    page.clock.install()
    page.goto(f"{daemon.url}/#token={daemon.token}")
    expect(page.locator(".live")).to_have_text("live")
    daemon.wait_for(daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": "Before"})["id"])
    expect(row(page, "Before")).to_be_visible()
    with page.expect_request(f"{daemon.url}/api/events") as again:  # though nothing is wrong with the connection
        page.clock.fast_forward("20:00")
    assert int(again.value.headers["last-event-id"]) > 0
    expect(page.locator(".live")).to_have_text("live")


def test_what_waits_is_reordered_by_keys_and_by_dragging(daemon: Daemon, visit: Visit, clip: Path) -> None:
    waiting(daemon, clip, "A", "B", "C", "D")
    page = visit(daemon)
    expect(page.get_by_text("The queue is paused")).to_be_visible()
    row(page, "C").get_by_role("button", name="Move C").press("ArrowUp")
    wait_until(lambda: order(daemon) == ["A", "C", "B", "D"], "C before B")
    expect(page.get_by_text("C is now number 2")).to_be_visible()
    row(page, "A").drag_to(row(page, "D"), source_position={"x": 300, "y": 8})
    wait_until(lambda: order(daemon) == ["C", "B", "D", "A"], "A last")
    expect(page.locator("article strong")).to_have_text(["C", "B", "D", "A"])
    row(page, "A").get_by_role("button", name="Move A").press("Home")
    wait_until(lambda: order(daemon)[0] == "A", "A first")


def test_filters_and_search_show_what_is_asked_for(
    daemon: Daemon, visit: Visit, clip: Path, long_clip: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    for job in (daemon.submit(clip, presets=["mp3"]), daemon.submit(broken, presets=["mp3"])):
        daemon.wait_for(job["id"])
    half = daemon.submit(broken, long_clip, presets=["av1-720p"])["id"]
    wait_until(lambda: daemon.job(half)["failed_variations"], "one of two to fail")
    waiting(daemon, clip, "Monday 100%", "Monday")
    page = visit(daemon)
    filters = page.get_by_role("navigation", name="Filter by state")
    names = page.locator("article strong")
    expect(filters.get_by_role("button", name="Waiting 2")).to_be_visible()
    expect(filters.get_by_role("button", name="Failed 2")).to_have_attribute("title", re.compile("counted there, too"))
    filters.get_by_role("button", name="Failed 2").click()
    expect(names).to_have_text(["broken.mp4 and 1 more", "broken.mp4"])  # one of them may yet be completed in part
    daemon.client.delete(f"/api/jobs/{half}", params={"force": "true"})
    expect(names).to_have_text(["broken.mp4"])
    expect(row(page, "broken.mp4")).to_contain_text("not a media file")
    page.get_by_role("button", name="Retry all…").click()
    page.get_by_role("combobox", name="What failed because").select_option("the file cannot be read")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_text("1 variation of 1 job waits again.")).to_be_visible()
    expect(names).to_have_count(0)
    daemon.client.delete("/api/jobs", params={"q": "broken"})
    filters.get_by_role("button", name="Done 1").click()
    expect(names).to_have_text(["clip.mp4"])
    filters.get_by_role("button", name="All").click()
    page.get_by_role("searchbox").fill("monday")
    expect(names).to_have_text(["Monday", "Monday 100%"])
    page.get_by_role("searchbox").fill("0%")
    expect(names).to_have_text(["Monday 100%"])
    page.get_by_role("searchbox").fill("nobody")
    expect(page.get_by_text("Nothing is called “nobody”")).to_be_visible()


@pytest.mark.thorough
def test_many_are_paused_and_deleted_together(daemon: Daemon, visit: Visit, clip: Path) -> None:
    waiting(daemon, clip, "A", "B", "C")
    page = visit(daemon)
    row(page, "A").get_by_role("checkbox").click()
    row(page, "C").get_by_role("checkbox").click(modifiers=["Shift"])
    bar = page.get_by_role("toolbar", name="Selected jobs")
    expect(bar).to_contain_text("3 jobs selected")
    bar.get_by_role("button", name="Pause").click()
    expect(page.locator("article").get_by_text("paused", exact=True)).to_have_count(3)
    page.get_by_role("button", name="Paused alone").click()
    expect(page.locator("article")).to_have_count(3)
    row(page, "B").get_by_role("checkbox").click()
    bar.get_by_role("button", name="Delete").click()
    expect(page.locator("article strong")).to_have_text(["B"])
    wait_until(lambda: order(daemon) == ["B"], "the others' deletion")


def test_jobs_are_listed_by_name_size_and_state(daemon: Daemon, visit: Visit, clip: Path, long_clip: Path) -> None:
    waiting(daemon, clip, "C")
    daemon.client.post("/api/jobs/cancel")
    waiting(daemon, clip, "b", "a")
    daemon.submit(long_clip, spec={"variations": [{"preset": "mp3"}], "name": "B large"})
    page = visit(daemon)
    names, order = page.locator("article strong"), page.get_by_role("combobox", name="Order")
    order.select_option("by name")
    expect(names).to_have_text(["a", "b", "B large", "C"])
    daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": "aa"})
    expect(names).to_have_text(["a", "aa", "b", "B large", "C"])  # where it belongs, as it comes
    order.select_option("by size")
    expect(names.first).to_have_text("B large")
    order.select_option("by state")
    expect(names).to_have_text(["aa", "B large", "a", "b", "C"])  # what waits, then what was cancelled
    page.get_by_role("navigation", name="Filter by state").get_by_role("button", name="Waiting").click()
    order.select_option("by name")
    expect(names).to_have_text(["a", "aa", "b", "B large"])
    assert violations(page) == []


def test_the_speed_of_a_process_that_several_share_is_told_as_such(
    start_daemon: Callable[..., Daemon], visit: Visit, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1", "--max-shared-seconds", "1e6")
    job = daemon.submit(long_clip, presets=["h264-480p", "h264-720p"])["id"]
    page = visit(daemon)
    expect(row(page, "long.mp4").locator(".figures").first).to_contain_text("× shared by 2")
    page.goto(f"{daemon.url}/#/jobs/{job}")
    expect(page.get_by_text("× shared by 2").first).to_be_visible()
    shown = ffspool("show", job, env=daemon.env).stdout
    assert re.search(r"× shared by 2", shown)
    daemon.client.post(f"/api/jobs/{job}/cancel")


def test_slots_are_changed_while_it_works(daemon: Daemon, visit: Visit) -> None:
    page, other = visit(daemon), visit(daemon)
    slots = page.get_by_role("spinbutton", name="Encodes at once")
    usual = daemon.client.get("/api/queue").json()["slots"]
    expect(slots).to_have_value(str(usual))
    slots.fill(str(usual + 3))
    slots.press("Enter")
    wait_until(lambda: daemon.client.get("/api/queue").json()["slots"] == usual + 3, "more slots")
    expect(other.get_by_role("spinbutton", name="Encodes at once")).to_have_value(str(usual + 3))
    slots.fill("0")
    slots.press("Tab")
    expect(slots).to_have_value(str(usual + 3))
    assert violations(page) == []


@pytest.mark.thorough
def test_what_stands_still_with_the_queue_says_so(daemon: Daemon, visit: Visit, clip: Path, long_clip: Path) -> None:
    daemon.submit(long_clip, spec={"variations": [{"preset": "h264-480p"}], "name": "Long"})
    page = visit(daemon)
    expect(row(page, "Long")).to_contain_text("done ~")
    page.get_by_role("button", name="Pause the whole queue").click()
    expect(row(page, "Long").get_by_text("paused", exact=True)).to_be_visible()
    expect(row(page, "Long").locator(".figures")).to_contain_text("· paused")
    expect(row(page, "Long")).not_to_contain_text("done ~")
    expect(page.get_by_role("heading", name="Paused with the queue")).to_be_visible()
    assert violations(page) == []
    paused = daemon.submit(clip, spec={"variations": [{"preset": "mp3"}], "name": "Short"})["id"]
    daemon.client.post(f"/api/jobs/{paused}/pause")
    expect(page.get_by_role("button", name="Paused alone 1")).to_be_visible()
    expect(page.get_by_role("button", name="Paused with the queue 1")).to_be_visible()
    page.get_by_role("button", name="Resume the queue").click()
    expect(row(page, "Long")).to_contain_text("done ~")


def test_on_a_phone_a_row_is_chosen_beside_its_title(daemon: Daemon, visit: Visit, clip: Path) -> None:
    waiting(daemon, clip, "A")
    page = visit(daemon, viewport={"width": 390, "height": 844})
    box, title = (row(page, "A").locator(part).bounding_box() for part in ("input", "strong"))
    assert box is not None
    assert title is not None
    assert box["y"] + box["height"] / 2 == pytest.approx(title["y"] + title["height"] / 2, abs=2)
    assert box["x"] + box["width"] < title["x"]


def test_speeds_are_told_as_finely_as_their_bars_differ(daemon: Daemon, visit: Visit) -> None:
    page = visit(daemon)
    told = page.evaluate("import('/web/format.js').then(({speed}) => [0.1449, 0.15, 1.26, 24.4].map(speed))")
    assert told == ["0.14×", "0.15×", "1.3×", "24×"]


def test_what_has_no_picture_leaves_no_error_in_the_console(daemon: Daemon, visit: Visit, media: Media) -> None:
    daemon.client.post("/api/queue/pause")
    for name in ("surround.m4a", "no-index.mp4"):
        daemon.submit(media(name), presets=["mp3"])
    page = visit(daemon)
    with page.expect_response(lambda answer: "/thumbnail" in answer.url and answer.status == 204):
        page.reload()
    expect(page.locator("article .thumbnail svg")).to_have_count(2)


def test_a_note_stands_only_for_what_is_known_to_be_sound(daemon: Daemon, visit: Visit, media: Media) -> None:
    jobs = [daemon.submit(media(name), presets=["mp3"])["id"] for name in ("surround.m4a", "no-index.mp4")]
    for job in jobs:
        daemon.wait_for(job)
    page = visit(daemon)
    signs = [sign(row(page, name)) for name in ("surround.m4a", "no-index.mp4")]
    assert signs[0] != signs[1]
    for job, expected in zip(jobs, signs, strict=True):
        page.goto(f"{daemon.url}/#/jobs/{job}")
        page.locator(f"header.job ~ dl code:text-is('{job}')").wait_for()
        assert sign(page.locator("header.job")) == expected


def sign(where: Any) -> Any:
    return where.locator(".thumbnail path").get_attribute("d")


@pytest.fixture
def crowded(tmp_path: Path, start_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon whose database held MANY ended jobs when it started."""
    paths = Paths(tmp_path / "state")
    paths.prepare()

    def add(transaction: Transaction) -> None:
        for number in range(MANY):
            add_ended(transaction, f"job {number}")

    async def fill() -> None:
        store = await Store.open(paths.database)
        await store.write(add)
        await store.close()

    with ThreadPoolExecutor(1) as thread:  # this one has the browser's event loop
        thread.submit(asyncio.run, fill()).result()
    return start_daemon()


def add_ended(transaction: Transaction, name: str) -> None:
    now = time.time()
    job = transaction.one(
        "insert_job",
        id=name,
        name=name,
        priority=0,
        metadata="{}",
        on_unsuitable="fail",
        now=now,
        expires_in=1e6,
        owner=None,
    )
    assert job is not None
    place = {"name": "clip.mp4", "folder": "clip", "path": "/nowhere", "bytes": 1, "media": None}
    source = transaction.one("insert_source", id=name, job=job["seq"], **place, **ANY_FILE)
    assert source is not None
    transaction.run("record_source_error", source=name, error="made for the test")
    keys = {"id": name, "job": job["seq"], "source": source["seq"], "priority": 0, "deliver": None}
    transaction.run("insert_variation", name="c.mp3", preset="mp3", parameters="{}", extension="mp3", **keys)
    transaction.run("fail_queued", job=job["seq"], now=now, error="made for the test")


@pytest.mark.thorough
def test_a_long_queue_is_scrolled_to_its_end_with_few_rows_in_the_document(crowded: Daemon, visit: Visit) -> None:
    page = visit(crowded)
    expect(row(page, f"job {MANY - 1}")).to_be_visible()
    most = 0
    while not row(page, "job 0").count():
        page.mouse.wheel(0, 20_000)
        most = max(most, rows(page))
    expect(row(page, "job 0")).to_be_visible()
    assert most < 60


def rows(page: Page) -> Any:
    """How many rows are in the document, once what was scrolled to is there."""
    until(page, "document.querySelector('article')")
    return page.locator("article").count()
