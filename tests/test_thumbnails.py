"""Thumbnails and sources over HTTP: made once, upright, away with their job; and why there is none."""

from __future__ import annotations

from pathlib import Path

import av
import httpx
import pytest
from conftest import Daemon, Media
from stored import finish, house, in_store
from surroundings import thorough

from daemon.database.store import Store
from daemon.jobs.jobs import Jobs
from daemon.jobs.thumbnails import Thumbnails
from daemon.paths import Paths
from daemon.scheduling.sources import Whereabouts


def size(webp: bytes, folder: Path) -> tuple[int, int]:
    """Width and height of a WebP, read by another library than made it."""
    path = folder / "thumbnail.webp"
    path.write_bytes(webp)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return frame.width, frame.height


def thumbnail(daemon: Daemon, job: str, variation: str | None = None) -> httpx.Response:
    below = f"/variations/{variation}" if variation else ""
    return daemon.client.get(f"/api/jobs/{job}{below}/thumbnail")


def test_source_and_variation_have_a_thumbnail_that_is_kept(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["h264-480p"])["id"])
    (variation,) = job["sources"][0]["variations"]
    for answer in (thumbnail(daemon, job["id"]), thumbnail(daemon, job["id"], variation["id"])):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert size(answer.content, tmp_path) == (320, 180)
        again = daemon.client.get(answer.request.url, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    folder = daemon.state_dir / "spool" / "jobs" / job["id"] / "thumbnails"
    assert len(list(folder.iterdir())) == 2
    daemon.stop()
    daemon.start()  # sweeps what no row knows
    assert len(list(folder.iterdir())) == 2
    daemon.client.delete(f"/api/jobs/{job['id']}")
    assert not folder.exists()


@pytest.mark.parametrize("preset", ["hls", thorough("dash"), "sprite-sheet"])
def test_a_folder_has_a_thumbnail_too(preset: str, daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=[preset])["id"])
    (variation,) = job["sources"][0]["variations"]
    answer = thumbnail(daemon, job["id"], variation["id"])
    assert answer.status_code == 200, answer.text
    width, height = size(answer.content, tmp_path)
    assert max(width, height) in {320, 160}  # a sheet of one tile is no larger
    folder = daemon.state_dir / "spool" / "jobs" / job["id"] / "thumbnails"
    assert [path.name for path in folder.iterdir()] == [f"{variation['id']}.webp"]


def test_a_picture_that_was_taken_upright_is_upright(daemon: Daemon, media: Media, tmp_path: Path) -> None:
    job = daemon.wait_for(daemon.submit(media("turned-270.mp4"), presets=["mp3"])["id"])
    video = job["sources"][0]["media"]["video"]
    width, height = size(thumbnail(daemon, job["id"]).content, tmp_path)
    assert video["rotation"] in {90, 270}
    assert abs(width / height - video["width"] / video["height"]) < 0.02


def test_why_there_is_no_thumbnail_is_told(daemon: Daemon, clip: Path, media: Media) -> None:
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    (variation,) = job["sources"][0]["variations"]
    for answer in (thumbnail(daemon, job["id"], variation["id"]), thumbnail(daemon, job["id"], variation["id"])):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "clip_mp3.mp3 has no thumbnail: it holds no picture"
    rather_nothing = daemon.client.get(f"/api/jobs/{job['id']}/variations/{variation['id']}/thumbnail?optional=true")
    assert (rather_nothing.status_code, rather_nothing.content) == (204, b"")
    sound = daemon.submit(media("surround.m4a"), presets=["mp3"])["id"]
    assert "no picture" in thumbnail(daemon, sound).json()["detail"]
    broken = daemon.submit(media("no-index.mp4"), presets=["mp3"])["id"]
    assert "moov" in thumbnail(daemon, broken).json()["detail"]
    daemon.client.post("/api/queue/pause")
    waiting = daemon.submit(clip, presets=["mp3"])
    answer = thumbnail(daemon, waiting["id"], waiting["sources"][0]["variations"][0]["id"])
    assert "is queued" in answer.json()["detail"]


def test_a_source_can_be_fetched_in_parts_and_runs_nothing_in_a_browser(daemon: Daemon, clip: Path) -> None:
    job = daemon.submit(clip, presets=["mp3"])
    path = f"/api/jobs/{job['id']}/sources/{job['sources'][0]['id']}/download"
    whole = daemon.client.get(path)
    assert whole.content == clip.read_bytes()
    assert whole.headers["content-disposition"] == 'attachment; filename="clip.mp4"'
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in whole.headers["content-security-policy"]
    part = daemon.client.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, clip.read_bytes()[10:20])
    assert daemon.client.get(path.replace(job["sources"][0]["id"], "other")).status_code == 404


def test_a_thumbnail_does_not_outlive_a_job_that_is_deleted_while_it_is_made(tmp_path: Path) -> None:
    """Its row is gone, and whoever removes its files has looked into this folder already."""
    paths = Paths(tmp_path / "state")
    paths.prepare()

    async def work(store: Store) -> None:
        class Deleting:
            async def picture(self, _: Path) -> bytes:
                await store.write(lambda t: t.run("delete_job", id="deleted"))
                return b"a picture"

        await store.write(lambda t: finish(t, "deleted", paths, at=1.0, expires_in=1e12))
        jobs = Jobs(store, None, paths, *house(paths, store))  # type: ignore[arg-type]
        thumbnails = Thumbnails(jobs, Deleting(), paths, Whereabouts(paths, ()))  # type: ignore[arg-type]
        assert await thumbnails.of_variation("deleted", "deleted") == b"a picture"

    in_store(paths, work)
    assert list(paths.job("deleted").iterdir()) == [paths.job("deleted") / "outputs"]
