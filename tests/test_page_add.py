"""Adding files in the page: picked, dropped, paused, resumed; jobs that start while other files are on their way."""

from __future__ import annotations

import socket
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import LOST, REFUSED, Visit, choose, drop, drop_from_disk, paste, row, violations, want
from conftest import Daemon, Media, make_clip, wait_until
from playwright.sync_api import Page, Request, expect

MB = 1_000_000


@pytest.fixture(scope="module")
def big_clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes seconds to upload at the speed that `slow_down` leaves."""
    path = make_clip(ffmpeg, tmp_path_factory.mktemp("big") / "big.mp4", seconds=2)
    with path.open("ab") as file:
        file.write((4 * MB).to_bytes(4, "big") + b"free" + bytes(4 * MB - 8))  # one box: many would be read one by one
    return path


def slow_down(page: Page, bytes_per_second: int) -> Any:
    """Throttles what the page sends; call the answer to let it go."""
    chrome = page.context.new_cdp_session(page)
    chrome.send("Network.enable")

    def throttle(speed: int) -> None:
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": speed}
        chrome.send("Network.emulateNetworkConditions", conditions)

    throttle(bytes_per_second)
    return lambda: throttle(-1)


def transfer(page: Page, name: str) -> Any:
    return page.locator(".transfers li").filter(has_text=name)


def whole(words: Any) -> bool:
    """Whether nothing of the words is cut off."""
    return bool(words.evaluate("words => words.scrollWidth <= words.clientWidth"))


def jobs(daemon: Daemon) -> Any:
    return daemon.client.get("/api/jobs?include=metadata").json()["items"]


def test_files_become_jobs_with_the_parameters_chosen(daemon: Daemon, visit: Visit, clip: Path, tmp_path: Path) -> None:
    page = visit(daemon)
    page.get_by_role("link", name="Add files").first.click()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    told = daemon.client.get("/api/presets").json()
    used = {preset["group"] for preset in told["items"]}
    headings = [heading for group, heading in told["groups"].items() if group in used]
    expect(page.locator(".add h3")).to_have_text(headings)
    choose(page, clip)
    want(page, "mp3")
    expect(page.get_by_role("button", name="Start: 1 file × 1")).to_be_in_viewport()  # however far the cards go
    assert not any("`" in words for words in page.locator(".cards").all_inner_texts())
    want(page, "refresh")
    page.get_by_label("count").fill("2")
    page.get_by_label("seed").fill("tuesday")
    page.get_by_role("button", name="Start: 1 file × 3 = 3 variations").click()
    expect(row(page, "clip.mp4")).to_be_visible()
    job = daemon.wait_for(jobs(daemon)[0]["id"])
    made = [(v["preset"], v["parameters"].get("seed")) for v in job["sources"][0]["variations"]]
    assert sorted(made) == [("mp3", None), ("refresh", "tuesday"), ("refresh", "tuesday")]

    expect(row(page, "clip.mp4").get_by_text("done", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download clip.mp4").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 4  # and the manifest


def test_what_a_file_holds_is_told_before_a_preset_is_chosen(
    daemon: Daemon, visit: Visit, clip: Path, media: Media, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film at all")
    page = visit(daemon, path="#/add")
    choose(page, clip, media("truncated.mkv"), broken, media("no-audio.mp4"))
    expect(transfer(page, "clip.mp4")).to_contain_text("uploaded · 640×360 h264 · 2 s · sound aac")
    expect(transfer(page, "truncated.mkv")).to_contain_text("cut off: its end is missing")
    expect(transfer(page, "broken.mp4")).to_contain_text("not a media file")
    expect(transfer(page, "no-audio.mp4")).to_contain_text("no sound")
    page.reload()
    expect(transfer(page, "clip.mp4")).to_contain_text("640×360 h264")
    assert violations(page) == []


def test_a_job_starts_while_another_file_is_still_on_its_way(
    daemon: Daemon, visit: Visit, clip: Path, big_clip: Path
) -> None:
    page = visit(daemon, path="#/add", bears="status of 423")  # what was under way at a pause has not ended yet
    choose(page, clip)
    expect(transfer(page, "clip.mp4")).to_contain_text("uploaded")
    hurry = slow_down(page, MB // 20)
    choose(page, big_clip)
    want(page, "mp3")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("keep this page open").first).to_be_visible()
    expect(row(page, "clip.mp4").get_by_text("done", exact=True)).to_be_visible()
    assert [job["first_source"] for job in jobs(daemon)] == ["clip.mp4"]
    expect(transfer(page, "big.mp4")).to_contain_text("kB/s")
    transfer(page, "big.mp4").get_by_role("button", name="Pause").click()
    expect(transfer(page, "big.mp4")).to_contain_text("paused")
    hurry()
    transfer(page, "big.mp4").get_by_role("button", name="Resume").click()
    expect(row(page, "big.mp4").get_by_text("done", exact=True)).to_be_visible()
    expect(page.locator(".tray")).to_have_count(0)
    assert len({job["metadata"]["batch"] for job in jobs(daemon)}) == 1


@pytest.mark.thorough
def test_an_upload_goes_on_after_a_reload_and_a_restart_of_the_daemon(
    start_daemon: Callable[..., Daemon], visit: Visit, clip: Path, big_clip: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    daemon = start_daemon("--port", port)
    page = visit(daemon, path="#/add", bears=LOST)
    hurry = slow_down(page, MB // 4)
    choose(page, big_clip)
    want(page, "mp3")
    page.get_by_role("button", name="Start").click()
    wait_until(lambda: uploaded(daemon) > MB // 10, "a tenth of a megabyte to arrive")
    daemon.stop()
    expect(page.locator(".live")).to_have_text("reconnecting…")
    with page.expect_request(is_piece) as piece:
        daemon.start()
    assert offset(piece.value) > 0, "after the restart it began anew"
    expect(page.locator(".live")).to_have_text("live")

    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(transfer(page, "big.mp4")).to_contain_text("choose the same file again")
    expect(page.locator(".tray summary")).to_have_text("1 file to be chosen again")
    assert whole(transfer(page, "big.mp4").locator(".name")), "the file's name is squeezed"
    choose(page, clip, button="Choose big.mp4 again")
    expect(page.get_by_text("clip.mp4 is another file: big.mp4 of 4")).to_be_visible()
    hurry()
    with page.expect_request(is_piece) as piece:
        choose(page, big_clip, button="Choose big.mp4 again")
    assert offset(piece.value) > 0, "after the reload it began anew"
    job = wait_until(lambda: jobs(daemon), "the job")[0]
    assert daemon.wait_for(job["id"])["status"] == "completed"


def is_piece(request: Request) -> bool:
    return request.method == "PATCH" and "/api/uploads/" in request.url


def offset(piece: Request) -> int:
    return int(piece.headers["upload-offset"])


def uploaded(daemon: Daemon) -> int:
    return sum(path.stat().st_size for path in (daemon.state_dir / "spool" / "uploads").iterdir())


def test_dropped_files_can_become_one_job(daemon: Daemon, visit: Visit, clip: Path) -> None:
    page = visit(daemon)
    drop(page, {"one.mp4": clip.read_bytes(), "two.mp4": clip.read_bytes(), "empty.mp4": b""})
    expect(transfer(page, "empty.mp4")).to_contain_text("The file is empty.")
    want(page, "mp3")
    page.get_by_label("when all files are here").check()
    page.get_by_text("Name, priority").click()
    page.get_by_label("name", exact=True).fill("Both")
    page.get_by_label("priority").fill("7")
    page.get_by_role("button", name="Start: 2 files × 1 = 2 variations").click()
    expect(row(page, "Both").get_by_text("done", exact=True)).to_be_visible()
    (job,) = jobs(daemon)
    assert (job["total_sources"], job["completed_variations"], job["priority"]) == (2, 2, 7)


def test_only_what_can_be_made_of_the_files_is_counted(daemon: Daemon, visit: Visit, clip: Path, ffmpeg: str) -> None:
    sound = clip.with_name("sound.m4a")
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, "-vn", "-c", "copy", "-y", sound], check=True)
    whole = clip.with_name("whole.mkv")
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, "-c", "copy", "-y", whole], check=True)
    cut = clip.with_name("then cut.mkv")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    page = visit(daemon)
    page.get_by_role("link", name="Add files").first.click()
    choose(page, clip, sound, cut)
    want(page, "mp3")
    want(page, "h264-480p")
    want(page, "poster")
    expect(page.get_by_role("button", name="Start: 4 variations")).to_be_enabled()
    expect(page.locator(".go [role=status]")).to_contain_text(
        "5 cannot be made: sound.m4a, h264-480p: the source has no"
    )


def test_what_cannot_be_made_is_left_out_as_the_form_says(
    daemon: Daemon, visit: Visit, media: Media, clip: Path, tmp_path: Path
) -> None:
    broken, silent = tmp_path / "broken.mp4", media("no-audio.mp4")
    broken.write_bytes(b"no film at all")
    page = visit(daemon, path="#/add")
    choose(page, clip, silent, media("truncated.mkv"), broken)
    want(page, "mp3")
    want(page, "poster")
    expect(page.get_by_role("button", name="Start: 3 variations")).to_be_enabled()
    page.get_by_role("checkbox", name="make what there is of 1 file whose end is missing").check()
    expect(page.get_by_role("radio", name="leave it out")).to_be_checked()
    page.get_by_role("button", name="Start: 5 variations").click()
    expect(page.get_by_text("1 file of which nothing can be made stays in the form")).to_be_visible()
    wait_until(lambda: len(jobs(daemon)) == 3 and all(job["finished_at"] for job in jobs(daemon)))
    ended = {job["first_source"]: (job["completed_variations"], job["skipped_variations"]) for job in jobs(daemon)}
    assert ended == {"clip.mp4": (2, 0), "no-audio.mp4": (1, 1), "truncated.mkv": (2, 0)}
    page.get_by_role("link", name="Add files").first.click()
    expect(transfer(page, "broken.mp4")).to_contain_text("not a media file")
    assert violations(page) == []


def test_a_preset_that_does_not_suit_counts_as_failed_where_that_is_chosen(
    daemon: Daemon, visit: Visit, media: Media
) -> None:
    page = visit(daemon, path="#/add")
    choose(page, media("no-audio.mp4"))
    want(page, "mp3")
    want(page, "poster")
    page.get_by_role("radio", name="count it as failed").check()
    page.get_by_role("button", name="Start: 1 variation").click()
    wait_until(lambda: jobs(daemon) and jobs(daemon)[0]["finished_at"])
    (job,) = jobs(daemon)
    assert (job["completed_variations"], job["failed_variations"]) == (1, 1)


@pytest.mark.thorough
def test_results_are_delivered_where_the_form_says(
    start_daemon: Callable[..., Daemon], visit: Visit, clip: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "library" / "sounds" / "clip_mp3.mp3"
    taken.parent.mkdir(parents=True)
    taken.touch()
    daemon = start_daemon("--output-root", str(tmp_path / "library"))
    page = visit(daemon)
    drop(page, {"clip.mp4": clip.read_bytes()})
    want(page, "mp3")
    page.get_by_text("Name, priority").click()
    page.get_by_label("deliver to").fill("sounds")
    page.get_by_role("button", name="Start: 1 file × 1 = 1 variation").click()
    [job] = wait_until(lambda: jobs(daemon), "a job")
    page.goto(f"{daemon.url}/#/jobs/{job['id']}")
    expect(page.get_by_text("Not delivered: clip_mp3.mp3 is there already")).to_be_visible()
    page.goto(f"{daemon.url}/#/")
    state = page.locator("article .state")
    expect(state).to_have_text("done, 1 not delivered")
    width = state.evaluate(
        "(badge) => (badge.textContent = 'of 12 done '.repeat(9), badge.offsetWidth / badge.parentElement.clientWidth)"
    )
    assert width <= 1, "however much it says, it ends with its row"
    page.reload()
    expect(state).to_have_text("done, 1 not delivered")
    of_the_job = page.context.new_page()
    of_the_job.goto(f"{daemon.url}/#/jobs/{job['id']}")
    taken.unlink()
    of_the_job.get_by_role("button", name="Deliver 1 again").click()
    expect(of_the_job.get_by_text("Delivered to sounds/clip_mp3.mp3")).to_be_visible()
    expect(state).to_have_text("done")


def test_files_in_folders_are_found_however_deep(daemon: Daemon, visit: Visit, clip: Path, tmp_path: Path) -> None:
    deep = tmp_path / "holiday" / "second day"
    deep.mkdir(parents=True)
    for path in (deep / "deep.mp4", deep.parent / "high.mp4", deep / ".hidden", tmp_path / "alone.mp4"):
        path.write_bytes(clip.read_bytes())
    page = visit(daemon)
    drop_from_disk(page, tmp_path / "holiday", tmp_path / "alone.mp4")
    names = page.locator(".transfers .name")
    expect(names).to_have_count(3)
    assert sorted(names.all_text_contents()) == ["alone.mp4", "deep.mp4", "high.mp4"]
    for _ in range(3):
        page.get_by_role("button", name="Remove").first.click()
    expect(names).to_have_count(0)
    choose(page, tmp_path / "holiday", button="Choose a folder")
    expect(names).to_have_count(2)


def test_a_pasted_file_is_taken(daemon: Daemon, visit: Visit, clip: Path) -> None:
    page = visit(daemon)
    paste(page, "pasted.mp4", clip.read_bytes())
    expect(transfer(page, "pasted.mp4")).to_contain_text("uploaded")
    expect(page.get_by_role("heading", level=2, name="2 · What to make of each")).to_be_visible()


def test_what_the_daemon_refuses_is_told_and_can_be_sent_again(
    start_daemon: Callable[..., Daemon], visit: Visit, clip: Path
) -> None:
    page = visit(start_daemon("--max-upload-bytes", "1000"), path="#/add", bears=REFUSED)
    choose(page, clip)
    expect(transfer(page, "clip.mp4")).to_contain_text("1000")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()


def test_what_may_be_adjusted_has_a_control_of_its_kind_with_its_range_and_default(
    daemon: Daemon, visit: Visit, clip: Path
) -> None:
    daemon.client.post("/api/queue/pause")
    page = visit(daemon)
    drop(page, {"clip.mp4": clip.read_bytes()})
    want(page, "h264-480p")
    card = page.locator(".card.on")
    card.locator("summary").click()
    copy = card.get_by_role("checkbox", name="copy")
    expect(copy).not_to_be_checked()
    copy.check()
    expect(card.locator("small").filter(has_text="usually 60")).to_have_count(1)
    assert all(whole(field) for field in card.locator("select, input[type=number]").all())
    page.get_by_role("button", name="Start: 1 file × 1 = 1 variation").click()
    wait_until(lambda: jobs(daemon), "the job")
    [source] = daemon.job(jobs(daemon)[0]["id"])["sources"]
    assert source["variations"][0]["parameters"]["copy"] is True
