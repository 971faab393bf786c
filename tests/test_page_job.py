"""One job in the page: what is done to it is asked first, told truly, and undone where that was promised."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import REFUSED, Visit, violations
from conftest import PATIENCE, Daemon, wait_until
from file_host import held, hosting
from playwright.sync_api import Locator, expect
from test_cancel_over_http import DEAF_FFMPEG
from test_cli import ffspool

HOW = {"quit": "ended by itself when asked to quit", "terminate": "had to be terminated", "kill": "had to be killed"}


def test_a_cancel_says_what_is_kept_and_then_what_it_did(
    start_daemon: Callable[..., Daemon], visit: Visit, clip: Path, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "1", "--max-shared-seconds", "0")
    job = daemon.submit(clip, long_clip, presets=["mp3", "h264-1080p"])
    wait_until(lambda: daemon.job(job["id"])["completed_variations"] == 3 and daemon.encoders(), "the long encode")
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    question = page.get_by_role("dialog")
    expect(question).to_be_visible()
    page.go_back()  # to another view, of which it was not asked
    expect(question).to_be_hidden()
    page.go_forward()
    with page.expect_request(lambda request: request.url.endswith(job["id"])) as late:
        page.get_by_role("button", name="Cancel", exact=True).evaluate("button => { button.click(); history.back(); }")
    late.value.response().finished()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    expect(question).to_be_hidden()
    page.go_forward()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(question).to_contain_text("3 finished variations are kept")
    expect(question).to_contain_text("1 running encode will be stopped")
    question.get_by_role("button", name="Let it run").click()
    assert daemon.job(job["id"])["status"] == "processing"
    page.get_by_role("button", name="Cancel", exact=True).click()
    question.get_by_role("button", name="Cancel it").click()
    receipt = page.get_by_role("dialog", name="Cancelled", exact=True)
    expect(receipt).to_contain_text("Jobcancelled")
    expect(receipt).to_contain_text("3 of 4 variations")
    expect(receipt).to_contain_text(re.compile(r"Freed[\d.]+ [kM]?B of partial files"))
    (stage,) = (
        stage for stage, stops in daemon.client.get("/api/stats").json()["cancellations"].items() if stops["count"]
    )
    expect(receipt).to_contain_text(f"long_h264-1080p.mp4 {HOW[stage]}")
    assert daemon.encoders() == []
    receipt.get_by_role("button", name="Close").click()
    expect(page.get_by_role("link", name="Download all 3 as zip")).to_be_visible()
    page.get_by_role("button", name="Retry 1 cancelled", exact=True).click()
    expect(page.locator("header.job").get_by_text("running", exact=True)).to_be_visible()


@pytest.mark.thorough
def test_one_variation_is_cancelled_and_the_job_goes_on(daemon: Daemon, visit: Visit, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-480p", "h264-720p"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_role("button", name="Cancel long_h264-480p.mp4").click()
    expect(page.get_by_role("dialog")).to_contain_text("The job goes on with 1 other variation.")
    page.get_by_role("button", name="Cancel it").click()
    receipt = page.get_by_role("dialog", name="Cancelled long_h264-480p.mp4")
    expect(receipt).to_contain_text("Variationcancelled")
    expect(receipt).to_contain_text("Jobgoes on with 1 other variation")
    expect(receipt).not_to_contain_text("Kept")
    receipt.get_by_role("button", name="Close").click()
    expect(page.locator("li.variation").filter(has_text="480p").get_by_text("cancelled", exact=True)).to_be_visible()
    assert daemon.job(job["id"])["status"] == "processing"
    expect(page.get_by_role("button", name="Retry 1 cancelled", exact=True)).to_be_visible()
    page.get_by_role("button", name="Force-fail").click()
    expect(page.get_by_role("dialog")).to_contain_text(
        "programs that wait for the job see a failure. It can be retried"
    )
    page.get_by_role("button", name="Fail it").click()
    failed = page.get_by_role("dialog", name="Failed by request")
    failed.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Retry 2 cancelled or failed", exact=True)).to_be_visible()
    states = [v["status"] for v in daemon.job(job["id"])["sources"][0]["variations"]]
    assert states == ["cancelled", "failed"]
    page.get_by_role("button", name="Retry long_h264-720p.mp4", exact=True).click()
    expect(page.get_by_role("button", name="Cancel long_h264-720p.mp4")).to_be_visible()
    assert daemon.job(job["id"])["sources"][0]["variations"][0]["status"] == "cancelled"


def test_one_file_is_cancelled_and_the_others_go_on(
    start_daemon: Callable[..., Daemon], visit: Visit, long_clip: Path, tmp_path: Path
) -> None:
    daemon = start_daemon("--slots", "1")
    other = tmp_path / "other.mp4"
    other.symlink_to(long_clip)
    job = daemon.submit(long_clip, other, presets=["h264-480p", "h264-720p"])
    daemon.wait_for_encoder()
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    source = page.locator("details.source").filter(has_text="other.mp4")
    source.get_by_role("button", name="Cancel this file").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 waiting variations will not be made")
    expect(page.get_by_role("dialog")).to_contain_text("The job goes on with 2 other variations.")
    page.get_by_role("button", name="Cancel it").click()
    told = page.get_by_text("Cancelled other.mp4: nothing of it ran. The job goes on with 2 other variations.")
    expect(told).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(source.get_by_text("cancelled", exact=True)).to_have_count(2)
    assert [one["status"] for one in daemon.job(job["id"])["sources"]] == ["processing", "cancelled"]
    source.get_by_role("button", name="Retry this file").click()
    expect(source.get_by_text("waiting", exact=True)).to_have_count(2)


@pytest.mark.thorough
def test_a_running_job_is_deleted_only_when_nobody_undid_it(daemon: Daemon, visit: Visit, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-480p"])
    daemon.wait_for_encoder()
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_role("button", name="Cancel & delete").click()
    expect(page.get_by_text("will be cancelled and deleted, files and all.")).to_be_visible()
    assert daemon.job(job["id"])["status"] == "processing"
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("link", name="long.mp4").click()
    page.get_by_role("button", name="Cancel & delete").click()
    wait_until(lambda: daemon.client.get(f"/api/jobs/{job['id']}").status_code == 404, "the deletion")
    assert daemon.encoders() == []


def test_the_log_is_live_and_its_command_can_be_copied(daemon: Daemon, visit: Visit, long_clip: Path) -> None:
    job = daemon.submit(long_clip, presets=["h264-480p"])
    daemon.wait_for_encoder()
    page = visit(daemon, path=f"#/jobs/{job['id']}", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Log of").click()
    log = page.get_by_label("The encoder's log")
    expect(log).to_contain_text("# sandbox:")
    page.get_by_role("button", name="Copy the command").click()
    expect(page.get_by_text("The command is on the clipboard.")).to_be_visible()
    (made,) = job["sources"][0]["variations"]
    told = daemon.client.get(f"/api/jobs/{job['id']}/variations/{made['id']}/log").text
    assert page.evaluate("navigator.clipboard.readText()") == told.splitlines()[0].removeprefix("$ ")
    daemon.client.post(f"/api/jobs/{job['id']}/cancel").raise_for_status()
    expect(log).to_contain_text("# exit code")
    page.reload()
    expect(page.get_by_role("button", name="Log of")).to_be_visible()


def test_an_error_is_told_in_words(daemon: Daemon, visit: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    job = daemon.wait_for(daemon.submit(broken, presets=["mp3", "flac"])["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    expect(page.get_by_role("alert")).to_contain_text("it is not a media file ffspool can read")
    expect(page.locator("li.variation")).to_have_count(2)
    expect(page.get_by_text("it is not a media file")).to_have_count(1)
    expect(page.get_by_text("1 file is broken or no media: leave it out, or fetch it anew")).to_be_visible()


def test_what_ended_before_its_encoder_began_has_no_log(daemon: Daemon, visit: Visit, clip: Path) -> None:
    """As where its file went away between the attempt's begin and the encoder's."""
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    [variation] = job["sources"][0]["variations"]
    variation |= {"status": "failed", "attempts": 1, "sandbox": None, "error": "it is not the file that it was"}
    page = visit(daemon)
    page.route(f"**/api/jobs/{job['id']}", lambda route: route.fulfill(json=job))
    page.goto(f"{daemon.url}/#/jobs/{job['id']}")
    expect(page.get_by_text("it is not the file that it was")).to_be_visible()
    expect(page.get_by_role("button", name="Log of")).to_have_count(0)
    variation["sandbox"] = "none"
    page.reload()
    expect(page.get_by_role("button", name="Log of")).to_be_visible()


def test_a_row_gives_the_reason_and_not_its_title_again(daemon: Daemon, visit: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video" * 100)
    daemon.wait_for(daemon.submit(broken, presets=["mp3"])["id"])
    page = visit(daemon)
    expect(page.locator("article strong")).to_have_text("broken.mp4")
    expect(page.locator("article .bad-text")).to_have_text(re.compile("^it is not a media file"))


def test_a_long_error_stays_within_its_row(daemon: Daemon, visit: Visit, tmp_path: Path) -> None:
    broken = tmp_path / f"{'a name that goes on ' * 9}.mp4"
    broken.write_bytes(b"this is no video" * 100)
    daemon.wait_for(daemon.submit(broken, broken, presets=["mp3"])["id"])
    page = visit(daemon, viewport={"width": 390, "height": 800})
    told = page.locator("article .bad-text")
    expect(told).to_contain_text("a name that goes on")
    assert page.locator("article .words").evaluate("words => words.scrollHeight <= words.clientHeight")


def test_on_a_phone_long_names_are_not_cut_short(daemon: Daemon, visit: Visit, clip: Path, tmp_path: Path) -> None:
    """In the list they have two lines, and where the job is open as many as it takes."""
    shutil.copy2(clip, tmp_path / "holidays at the sea, 2026.mp4")
    daemon.client.post("/api/queue/pause")
    [long] = tmp_path.glob("*.mp4")
    job = daemon.submit(long, presets=["h264-720p"])["id"]
    page = visit(daemon, viewport={"width": 390, "height": 844})
    title = page.locator("article strong")
    expect(title).to_have_text(long.name)
    assert is_whole(title)
    assert page.locator("article .words").evaluate("words => words.scrollHeight <= words.clientHeight")
    page.goto(f"{daemon.url}/#/jobs/{job}")
    name = page.locator(".variation .name")
    expect(name).to_have_text(f"{long.stem}_h264-720p.mp4")
    assert is_whole(name)
    assert is_whole(name.locator("span"))
    assert is_whole(page.locator(".variation .words"))
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel it").click()
    notice = page.locator(".notices .notice")
    expect(notice).to_contain_text("nothing of it ran")
    assert notice.bounding_box()["y"] < 844 / 2, "below it lies what is to be pressed, such as Start"


def is_whole(words: Locator) -> bool:
    sizes = words.evaluate("it => [it.scrollWidth - it.clientWidth, it.scrollHeight - it.clientHeight]")
    return max(sizes) <= 2  # of a letter that hangs below its line


@pytest.mark.thorough
def test_what_is_being_stopped_says_so_until_it_has_ended(
    start_daemon: Callable[..., Daemon], visit: Visit, tmp_path: Path, clip: Path
) -> None:
    deaf = tmp_path / "deaf-ffmpeg"  # it hears neither the word nor the signal
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    deaf.write_text(DEAF_FFMPEG.format(python=shutil.which("python3"), ignore=ignore))
    deaf.chmod(0o755)
    daemon = start_daemon("--ffmpeg", str(deaf), "--grace", "5")
    job = daemon.submit(clip, presets=["h264-480p"])["id"]
    wait_until(daemon.parts, "a partial file")
    (first, other) = (visit(daemon, path=path) for path in (f"#/jobs/{job}", ""))
    expect(other.locator("article")).to_be_visible()
    first.get_by_role("button", name="Cancel", exact=True).click()
    first.get_by_role("button", name="Cancel it").click()
    expect(first.locator("header.job").get_by_text("stopping", exact=True)).to_be_visible()
    expect(first.locator("li.variation").get_by_text("stopping", exact=True)).to_be_visible()
    other.reload()
    expect(other.locator("article").get_by_text("stopping", exact=True)).to_be_visible()
    assert violations(other) == []
    expect(first.get_by_role("dialog", name="Cancelled")).to_be_visible()
    expect(other.locator("article").get_by_text("cancelled", exact=True)).to_be_visible()


def test_a_sheet_does_not_hide_how_far_its_job_is(
    start_daemon: Callable[..., Daemon], visit: Visit, long_clip: Path
) -> None:
    daemon = start_daemon("--slots", "2", "--max-shared-seconds", "0")
    job = daemon.submit(long_clip, presets=["thumbnail-sheet", "h264-1080p"])["id"]
    wait_until(lambda: len(daemon.encoders()) == 2, "both encoders")
    for encoder in daemon.encoders():
        if "tile=" in " ".join(encoder.cmdline()):
            encoder.suspend()
    page = visit(daemon, path=f"#/jobs/{job}")
    bar = page.get_by_role("progressbar", name="Progress of the job")
    expect(bar).to_have_attribute("value", re.compile(r"[1-9]"))
    sheet = page.locator("li.variation").filter(has_text="thumbnail-sheet").get_by_role("progressbar")
    expect(sheet).not_to_have_attribute("value", re.compile(r"[1-9]"))


@pytest.mark.thorough
def test_a_deletion_can_be_undone_until_it_is_done(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = visit(daemon)
    article = page.locator("article")
    article.get_by_role("button", name="Delete").click()
    expect(article).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(article).to_have_count(1)
    article.get_by_role("button", name="Delete").click()
    wait_until(lambda: daemon.client.get(f"/api/jobs/{job['id']}").status_code == 404, "the deletion")


def test_who_leaves_the_page_has_not_undone_a_deletion(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = visit(daemon)
    page.locator("article").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.goto("about:blank")
    wait_until(lambda: daemon.client.get(f"/api/jobs/{job['id']}").status_code == 404, "the deletion")


def test_results_are_kept_longer_on_request(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    expect(page.locator("dl.facts")).to_contain_text("23 h 59 min")
    page.get_by_role("button", name="30 days").click()
    expect(page.locator("dl.facts")).to_contain_text("31 days")
    assert daemon.job(job["id"])["expires_at"] > job["expires_at"]


def test_a_job_that_is_gone_is_told_so(daemon: Daemon, visit: Visit) -> None:
    page = visit(daemon, path="#/jobs/0123456789abcdef", bears=REFUSED)
    expect(page.get_by_role("heading", name="No such job")).to_be_visible()


@pytest.mark.thorough
def test_what_is_encoded_of_a_film_is_kept_on_request_and_gone_on_with(
    start_daemon: Callable[..., Daemon], visit: Visit, small_film: Path
) -> None:
    daemon = start_daemon("--slots", "1", "--max-shared-seconds", "0", FFSPOOL_RESUME_FROM="0")
    job = daemon.submit(small_film, spec={"variations": [{"preset": "h264-480p", "speed": "slow"}, {"preset": "gif"}]})[
        "id"
    ]
    wait_until(lambda: (daemon.job(job)["sources"][0]["variations"][0]["progress"] or 0.0) >= 50, "half of the film")
    daemon.client.post(f"/api/jobs/{job}/pause").raise_for_status()
    page = visit(daemon, path=f"#/jobs/{job}")
    question, choice = page.get_by_role("dialog"), page.get_by_label("Keep what is encoded of 1 film")
    page.get_by_role("button", name="Cancel film_gif.gif").click()
    expect(question).to_be_visible()
    expect(choice).to_have_count(0)
    question.get_by_role("button", name="Let it run").click()
    page.get_by_role("button", name="Cancel film_h264-480p.mp4").click()
    choice.check()
    assert violations(page) == []
    question.get_by_role("button", name="Cancel it").click()
    receipt = page.get_by_role("dialog", name="Cancelled film_h264-480p.mp4")
    expect(receipt).to_contain_text(re.compile(r"To go on with1[\d.]+ s of film_h264-480p.mp4, [\d.]+ [kM]B"))
    receipt.get_by_role("button", name="Close").click()
    daemon.client.post(f"/api/jobs/{job}/resume").raise_for_status()
    page.get_by_role("button", name="Retry 1 cancelled", exact=True).click()
    gone_on = page.get_by_text(re.compile(r"attempt 2 · went on after 1?\d"))
    expect(gone_on).to_be_visible(timeout=PATIENCE * 1000)  # once the other variation is made
    told = ffspool("show", job, "--state-dir", daemon.state_dir).stdout
    assert "attempt 2 went on after 0:1" in told


def test_a_source_that_is_fetched_tells_how_far_it_is(
    start_daemon: Callable[..., Daemon], visit: Visit, clip: Path
) -> None:
    with hosting(clip.read_bytes()) as host:
        daemon = start_daemon("--fetch-allow-private", "--fetch-port", str(host.server_port))
        half = len(host.content) // 2
        host.answers = [held(half)]
        wish = {"sources": [{"url": host.url()}], "variations": [{"preset": "mp3"}]}
        job = daemon.client.post("/api/jobs", json=wish).json()
        page = visit(daemon, path=f"#/jobs/{job['id']}")
        coming = page.locator("details.source")
        expect(coming).to_contain_text(f"fetching {int(100 * half / len(host.content))} %")
        host.gate.set()
        expect(coming).not_to_contain_text("fetching")
        expect(page.get_by_role("link", name="Download clip_mp3.mp3")).to_be_visible()
