"""What came out, in the page: played, beside its source to the frame, and downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, until, violations
from conftest import Daemon, Media, make_clip
from playwright.sync_api import Page, expect

FRAME = 1 / 25  # seconds of one frame of the test clip
SHOWN = """
selector => new Promise(resolve => {
    const video = document.querySelector(selector);
    const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 36});
    canvas.getContext("2d").drawImage(video, 0, 0, 64, 36);
    resolve([video.currentTime, [...canvas.getContext("2d").getImageData(0, 0, 64, 36).data]]);
})
"""


def difference(page: Page) -> tuple[float, float]:
    """How far source and variation are apart: in seconds, and in mean levels of what their pictures show."""
    (one, source), (other, variation) = (page.evaluate(SHOWN, selector) for selector in (".leader", ".follower"))
    apart = sum(abs(a - b) for a, b in zip(source, variation, strict=True)) / len(source)
    return abs(one - other), apart


def both(page: Page, condition: str) -> None:
    """Waits until source and variation are there and the condition, a function of a video, holds for each."""
    until(
        page, f"(videos => videos.length === 2 && videos.every({condition}))([...document.querySelectorAll('video')])"
    )


def settled(page: Page) -> None:
    both(page, "video => video.paused && !video.seeking && video.readyState > 1")


def compare(daemon: Daemon, visit: Visit, clip: Path) -> tuple[Page, Any]:
    job = daemon.wait_for(daemon.submit(clip, presets=["h264-480p"])["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_role("link", name="View").click()
    both(page, "video => video.readyState > 1")
    return page, job


def test_what_is_left_out_of_the_source_is_told_beside_the_result(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_role("link", name="Play").or_(page.get_by_role("link", name="View")).first.click()
    told = page.get_by_role("region", name="Left out of its source")
    expect(told.get_by_role("listitem")).to_have_text(["picture, track 0, h264: the preset keeps sound alone"])


@pytest.mark.thorough
def test_source_and_variation_show_the_same_frame(daemon: Daemon, visit: Visit, clip: Path) -> None:
    page, _ = compare(daemon, visit, clip)
    settled(page)
    first = page.evaluate(SHOWN, ".leader")[1]
    for _ in range(7):
        page.get_by_role("button", name="One frame on").click()
        settled(page)
    page.get_by_role("button", name="One frame back").click()
    settled(page)
    moment, picture = page.evaluate(SHOWN, ".leader")
    assert 6 <= moment / FRAME < 7
    assert picture != first
    seconds, levels = difference(page)
    assert seconds < FRAME / 2
    assert levels < 6, "they show different frames"
    page.get_by_role("button", name="Play").click()
    until(page, "document.querySelector('.leader').currentTime > 1")
    page.get_by_role("button", name="Pause", exact=True).click()
    settled(page)
    assert difference(page)[0] < FRAME / 2


@pytest.mark.thorough
def test_the_wipe_follows_key_and_pointer(daemon: Daemon, visit: Visit, clip: Path) -> None:
    page, _ = compare(daemon, visit, clip)
    wipe = page.get_by_role("slider", name="Wipe")
    wipe.press("ArrowRight")
    expect(wipe).to_have_value("51")
    box = page.locator(".pictures").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + 20)
    expect(wipe).to_have_value("25")
    assert "25%" in page.locator(".follower").evaluate("video => video.style.clipPath")


@pytest.mark.thorough
def test_size_saving_and_file_are_told_truly(daemon: Daemon, visit: Visit, clip: Path, tmp_path: Path) -> None:
    page, job = compare(daemon, visit, clip)
    (made,) = job["sources"][0]["variations"]
    saving = round(100 * (1 - made["bytes"] / clip.stat().st_size))
    expect(page.locator("dl.facts").first).to_contain_text(f"{saving} % smaller")  # the second: how it was made
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).click()
    download.value.save_as(tmp_path / "result.mp4")
    assert hashlib.sha256((tmp_path / "result.mp4").read_bytes()).hexdigest() == made["sha256"]


def test_sound_is_played_in_the_page(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_role("link", name="View").click()
    until(page, "document.querySelector('audio')?.duration > 1.9")


@pytest.mark.thorough
@pytest.mark.parametrize(("preset", "width", "fitting"), [("hls", 390, "480×360"), ("dash", 1280, "640×480")])
def test_a_ladder_is_played_in_the_size_that_fits_and_then_in_those_one_chooses(
    preset: str, width: int, fitting: str, daemon: Daemon, visit: Visit, ffmpeg: str, tmp_path: Path
) -> None:
    film = make_clip(ffmpeg, tmp_path / "film.mp4", seconds=30, size="640x480")
    wish = {"preset": preset, "speed": "ultrafast", "segment_seconds": 2, "rungs": 2}
    job = daemon.wait_for(daemon.submit(film, spec={"variations": [wish]})["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}", viewport={"width": width, "height": 800})
    page.get_by_role("link", name="View").click()
    sizes = page.get_by_role("group", name="Sizes")
    expect(sizes.get_by_role("radio", name=f"{fitting} ·")).to_be_checked()
    expect(sizes.get_by_text("with sound ·")).to_be_visible()
    shows = "document.querySelector('video').{}"
    until(page, shows.format(f"videoHeight === {fitting[-3:]}"))
    assert page.evaluate(shows.format("duration")) == pytest.approx(30, abs=0.2)
    page.evaluate(shows.format("play()"))
    until(page, shows.format("currentTime > 0.5"))
    for height in (360, 480):
        sizes.get_by_role("radio", name=f"×{height} ·").check()
        until(page, shows.format(f"videoHeight === {height}"))
    until(page, shows.format("currentTime > 1"))
    page.evaluate(shows.format("currentTime = 27"))  # beyond what is fetched ahead
    until(page, shows.format("currentTime > 27.5"))
    assert page.evaluate(shows.format("webkitAudioDecodedByteCount")) > 0
    assert violations(page) == []
    (made,) = job["sources"][0]["variations"]
    page.get_by_text("files, ").click()
    listed = daemon.client.get(f"/api/jobs/{job['id']}/variations/{made['id']}/files").json()["items"]
    expect(page.locator(".files li")).to_have_count(len(listed))
    expect(page.get_by_role("link", name="Download as zip")).to_be_visible()


@pytest.mark.thorough
def test_hls_is_left_to_a_browser_that_plays_it_by_itself(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["hls"])["id"])
    (made,) = job["sources"][0]["variations"]
    page = visit(daemon)
    page.evaluate("delete globalThis.MediaSource")
    page.goto(f"{daemon.url}/#/jobs/{job['id']}/{made['id']}")
    until(page, "document.querySelector('video')?.duration > 1.9")


@pytest.mark.thorough
def test_a_sprite_sheet_is_shown(daemon: Daemon, visit: Visit, clip: Path) -> None:
    wish = {"preset": "sprite-sheet", "interval_seconds": 0.5, "columns": 2, "rows": 1}
    job = daemon.wait_for(daemon.submit(clip, spec={"variations": [wish]})["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    until(page, "document.querySelector('li.variation img')?.naturalWidth > 0")
    page.get_by_role("link", name="View").click()
    expect(page.get_by_role("img", name="Sheet 2 of 2")).to_be_visible()
    until(page, "[...document.querySelectorAll('img.sheet')].every(sheet => sheet.naturalWidth === 320)")
    assert violations(page) == []


@pytest.mark.thorough
def test_some_results_are_downloaded_together(daemon: Daemon, visit: Visit, clip: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3", "flac", "opus"])["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_text("Download some").click()
    page.get_by_role("checkbox", name="clip_mp3.mp3").check()
    page.get_by_role("checkbox", name="clip_opus.opus").check()
    saved: list[str] = []
    page.on("download", lambda download: saved.append(download.suggested_filename))
    page.get_by_role("button", name="Download 2 files").click()
    while len(saved) < 2:
        page.wait_for_event("download")
    assert sorted(saved) == ["clip_mp3.mp3", "clip_opus.opus"]


@pytest.mark.thorough
def test_a_source_the_browser_cannot_play_leaves_the_result_alone(daemon: Daemon, visit: Visit, media: Media) -> None:
    job = daemon.wait_for(daemon.submit(media("cartoon.avi"), presets=["h264-480p"])["id"])
    page = visit(daemon, path=f"#/jobs/{job['id']}")
    page.get_by_role("link", name="View").click()
    expect(page.get_by_text("This browser cannot play the source")).to_be_visible()
    until(page, "document.querySelector('video.result').readyState > 0")


@pytest.mark.thorough
def test_the_quality_is_told_and_drawn(daemon: Daemon, visit: Visit, clip: Path) -> None:
    wish = {"preset": "h264-480p", "quality": "ssim", "speed": "ultrafast"}
    job = daemon.wait_for(daemon.submit(clip, spec={"variations": [wish]})["id"])
    (made,) = job["sources"][0]["variations"]
    page = visit(daemon, path=f"#/jobs/{job['id']}/{made['id']}")
    expect(page.get_by_text(f"SSIM {made['quality']['mean']:.4f} on average")).to_be_visible()
    until(page, "document.querySelector('img.quality')?.naturalWidth > 0")
    assert violations(page) == []


def test_a_quality_that_could_not_be_told_says_why(
    start_daemon: Callable[..., Daemon], visit: Visit, clip: Path, ffmpeg_without_vmaf: str
) -> None:
    daemon = start_daemon("--ffmpeg", ffmpeg_without_vmaf, "--sandbox", "off")
    wish = {"preset": "h264-480p", "quality": "vmaf", "speed": "ultrafast"}
    job = daemon.wait_for(daemon.submit(clip, spec={"variations": [wish]})["id"])
    (made,) = job["sources"][0]["variations"]
    page = visit(daemon, path=f"#/jobs/{job['id']}/{made['id']}")
    expect(page.get_by_text("VMAF is not known: ")).to_be_visible()
    expect(page.locator("img.quality")).to_have_count(0)


@pytest.mark.thorough
def test_how_it_was_made_names_what_was_set_and_nothing_that_was_not(daemon: Daemon, visit: Visit, clip: Path) -> None:
    page, job = compare(daemon, visit, clip)
    assert None in job["sources"][0]["variations"][0]["parameters"].values()
    page.get_by_text("How it was made").click()
    facts = page.locator("details", has_text="How it was made").locator("dd")
    expect(facts.first).to_be_visible()
    assert "null" not in facts.all_text_contents()
