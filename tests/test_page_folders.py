"""Watched folders in the page: what was found, what came of it and why not, and how an original comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from browser import Visit, violations
from conftest import Daemon
from playwright.sync_api import expect
from test_replacing import film, library, shrinking, verdict

__all__ = ["film", "library"]


def test_a_folder_tells_what_came_of_its_files_and_gives_originals_back(
    start_daemon: Callable[..., Daemon], visit: Visit, library: Path, film: Path
) -> None:
    there = library / "films" / "film.mkv"
    there.write_bytes(film.read_bytes())
    (library / "films" / "broken.mp4").write_bytes(b"this is no film" * 100)
    daemon = shrinking(start_daemon, library)
    assert [verdict(daemon, f"films/{name}")["verdict"] for name in ("film.mkv", "broken.mp4")] == [
        "replaced",
        "refused",
    ]
    page = visit(daemon)
    page.get_by_role("link", name="Folders").click()
    folder = page.get_by_role("region", name="library")
    expect(folder).to_contain_text("1 made · 1 refused")
    folder.get_by_role("button", name="Pause").click()
    expect(folder.get_by_text("paused", exact=True)).to_be_visible()
    assert daemon.client.get("/api/folders").json()["items"][0]["paused"]
    folder.get_by_text("What became of its files").click()
    expect(folder.get_by_role("listitem").filter(has_text="broken.mp4")).to_contain_text("not a media file")
    assert not violations(page)
    folder.get_by_role("button", name="Put back films/film.mkv").click()
    page.get_by_role("dialog").get_by_role("button", name="Put it back").click()
    expect(folder.get_by_role("listitem").filter(has_text="film.mkv")).to_contain_text("undone")
    assert there.read_bytes() == film.read_bytes()
    folder.get_by_role("button", name="Resume").click()
    expect(folder.get_by_role("button", name="Pause")).to_be_visible()
