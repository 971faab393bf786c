"""Signing in, being told of the end, the figures, and that everybody can use the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import REFUSED, Visit, until, violations
from conftest import Daemon, wait_until
from playwright.sync_api import Route, expect
from surroundings import thorough


def test_one_signs_in_with_the_password(start_daemon: Callable[..., Daemon], visit: Visit) -> None:
    page = visit(start_daemon(FFSPOOL_PASSWORD="open sesame"), signed_in=False, bears=REFUSED)
    page.get_by_label("Password or token").fill("open says me")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("That is not the password.")).to_be_visible()
    page.get_by_label("Password or token").fill("open sesame")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".live")).to_have_text("live")


def test_a_token_link_signs_in_and_leaves_no_token_in_the_address(
    start_daemon: Callable[..., Daemon], visit: Visit
) -> None:
    daemon = start_daemon(FFSPOOL_PASSWORD="open sesame")
    page = visit(daemon, signed_in=False, path=f"#token={daemon.token}")
    expect(page.locator(".live")).to_have_text("live")
    assert daemon.token not in page.url
    assert daemon.token not in page.evaluate("JSON.stringify(localStorage)")
    page.go_back()
    assert daemon.token not in page.url


def test_a_client_sees_its_own_jobs_on_the_page_and_nothing_of_the_host(
    daemon: Daemon, visit: Visit, clip: Path
) -> None:
    token = daemon.client.post("/api/tokens", json={"name": "shop"}).json()["token"]
    daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = visit(daemon, signed_in=False, path=f"#token={token}", bears=REFUSED)
    expect(page.locator(".live")).to_have_text("live")
    expect(page.get_by_text(clip.name)).to_have_count(0)
    page.get_by_role("link", name="Stats").click()
    expect(page.get_by_role("heading", name="Stats")).to_be_visible()
    expect(page.get_by_text("Age of the oldest that waits")).to_be_visible()
    expect(page.get_by_text("Disk")).to_have_count(0)
    expect(page.get_by_text("admins")).to_have_count(0)


@pytest.mark.thorough
def test_the_end_of_a_session_is_told(start_daemon: Callable[..., Daemon], visit: Visit) -> None:
    daemon = start_daemon("--session-hours", "0.001")
    page = visit(daemon)
    expect(page.get_by_text("Your session has expired.")).to_be_visible()
    page.get_by_label("Password or token").fill(daemon.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".live")).to_have_text("live")


def test_who_signs_out_is_out_at_the_daemon_too(daemon: Daemon, visit: Visit) -> None:
    page = visit(daemon)
    cookies = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You have signed out.")).to_be_visible()
    assert page.context.cookies() == []
    page.context.add_cookies(cookies)  # as somebody would who had copied it
    assert page.context.request.get(f"{daemon.url}/api/jobs").status == 401
    page.context.clear_cookies()
    page.get_by_label("Password or token").fill(daemon.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".live")).to_have_text("live")


def test_an_answer_that_comes_after_one_signed_out_does_not_sign_in_again(daemon: Daemon, visit: Visit) -> None:
    page = visit(daemon)
    held: list[Route] = []
    page.route("**/api/queue", lambda route: held.append(route))
    page.reload()
    wait_until(lambda: page.evaluate("1") and held, "the request")  # asked, playwright tells of it
    page.get_by_role("button", name="Sign out").click()
    said = page.get_by_text("You have signed out.")
    said.wait_for()
    with page.expect_event("requestfinished"):
        held[0].fulfill(json={"state": "running"})
    page.evaluate("new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))")
    assert said.is_visible()


def test_who_asked_for_it_is_notified_of_a_batchs_end(daemon: Daemon, visit: Visit, clip: Path) -> None:
    page = visit(daemon, permissions=["notifications"])
    page.evaluate(
        """() => {
            window.told = [];
            window.Notification = class { constructor(title, {body}) { window.told.push(`${title}: ${body}`); } };
            Object.assign(Notification, {permission: "granted", requestPermission: async () => "granted"});
        }"""
    )
    page.get_by_role("button", name="Notify me").click()
    for name in ("one", "two"):
        spec = {"variations": [{"preset": "mp3"}], "name": name, "metadata": {"batch": name}}
        daemon.submit(clip, spec=spec)
    wait = "window.told.length === 2"
    until(page, wait)
    assert sorted(page.evaluate("window.told")) == ["one ended: 1 of 1 done", "two ended: 1 of 1 done"]


@pytest.mark.thorough
def test_the_figures_are_the_daemons(daemon: Daemon, visit: Visit, clip: Path, long_clip: Path) -> None:
    daemon.wait_for(daemon.submit(clip, presets=["mp3", "h264-480p"])["id"])
    job = daemon.submit(long_clip, presets=["h264-720p"])["id"]
    daemon.wait_for_encoder()
    daemon.client.post(f"/api/jobs/{job}/cancel")
    page = visit(daemon, path="#/stats")
    health = page.get_by_label("Health")
    expect(health).to_contain_text("Daemon ready")
    expect(health).to_contain_text(daemon.client.get("/readyz").json()["encoder"].split(" ")[2])
    expect(health).to_contain_text("free of")
    expect(health).to_contain_text(daemon.client.get("/readyz").json()["sandbox"]["by"])
    expect(page.get_by_text("nothing waits")).to_be_visible()
    for name in ("Age of the oldest that waits", "Disk reserved for what runs"):
        expect(page.get_by_role("img", name=name)).to_have_accessible_name(re.compile(r"now .+, at most "))
    expect(page.get_by_role("img", name="2 in all")).to_be_visible()
    expect(page.locator(".lying").filter(has_text="h264-480p")).to_contain_text("×")
    expect(page.locator(".lying").filter(has_text="asked to quit")).to_contain_text("1,")


@pytest.mark.parametrize(("scheme", "width"), [thorough("light", 1280), ("dark", 390)])
def test_everybody_can_use_every_view(
    scheme: str, width: int, daemon: Daemon, visit: Visit, clip: Path, long_clip: Path, tmp_path: Path
) -> None:
    done = daemon.wait_for(daemon.submit(clip, presets=["mp3", "h264-480p"])["id"])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    daemon.wait_for(daemon.submit(broken, presets=["mp3"])["id"])
    daemon.submit(long_clip, presets=["h264-480p"])
    result = done["sources"][0]["variations"][1]["id"]
    page = visit(daemon, color_scheme=scheme, viewport={"width": width, "height": 800})
    found = {}
    for path, ready in {
        "#/": "article",
        "#/add": ".card",
        f"#/jobs/{done['id']}": "li.variation",
        f"#/jobs/{done['id']}/{result}": ".comparison",
        "#/stats": "figure",
    }.items():
        page.goto(f"{daemon.url}/{path}")
        page.locator(ready).first.wait_for()
        found[path] = violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than the screen"
    page.goto(f"{daemon.url}/#/")
    page.locator("article").first.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").wait_for()
    found["dialog"] = violations(page)
    assert not any(found.values()), found


def test_signing_in_is_open_to_everybody(daemon: Daemon, visit: Visit) -> None:
    page = visit(daemon, signed_in=False)
    page.get_by_text("Where do I find it?").click()
    assert violations(page) == []


def test_the_page_is_used_by_keyboard_alone(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = visit(daemon)
    page.locator("article").wait_for()
    focused = "document.activeElement.getAttribute('href')"

    def reach(wanted: str) -> bool:
        page.keyboard.press("Tab")
        return bool(page.evaluate(focused) == wanted)

    wait_until(lambda: reach(f"#/jobs/{job['id']}"), "the job's row to get the focus")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="clip.mp4")).to_be_focused()
