"""What is encoded of a film outlives a crash at any moment, and other settings since."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, cast

import forked
import psutil
import pytest
from conftest import Daemon, slowed, wait_until
from film_house import WANTED, Film, House, interrupted, latest
from surroundings import thorough
from test_resume import encoded, task

from daemon.database import owned_files
from daemon.database.store import Row
from daemon.jobs.kept_films import kept_films
from daemon.jobs.variation_views import by_name
from daemon.media.model import MOST_REPEATED
from daemon.paths import size
from daemon.recipes.pieces import SOUND
from daemon.recipes.recipe import Begin
from daemon.scheduling import piece_rows
from daemon.scheduling.film import Film as Found

PATIENCE = 10.0  # seconds
READERS = {"daemon.media.probe_server", forked.__file__}  # of media, by a word of their command lines


@pytest.fixture(scope="module")
def whole(ffmpeg: str, small_film: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """All of the film's picture."""
    path = tmp_path_factory.mktemp("whole") / "1.piece"
    encoded(ffmpeg, task(small_film, path, WANTED, begin=Begin()))
    return path.read_bytes()


@pytest.fixture(scope="module")
def heard(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("heard") / "sound.mp4"
    sound = ["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", str(path)]
    subprocess.run([ffmpeg, "-v", "error", *sound], check=True)
    return path.read_bytes()


def beside(piece: Path) -> Path:
    return piece.with_name(piece.name + SOUND)


def test_a_crash_while_a_piece_is_read_that_came_to_its_end_costs_nothing_of_it(house: Film, whole: bytes) -> None:
    """To read a large one takes long."""

    async def work(house: House) -> bool:
        made = await house.begins()
        latest(made).write_bytes(whole)
        house.resources.prober.start()
        reader = reader_of(psutil.Process())
        assert reader
        reader.suspend()
        finishing = asyncio.create_task(made.finish(made.spans[0], 1))
        await until_whole(house)
        finishing.cancel()
        reader.resume()
        await house.ends()
        return (await house.finds()).whole

    assert house(work)


async def until_whole(house: House) -> None:
    reading = partial(piece_rows.pieces_of, variation=(await house.row())["seq"])
    async with asyncio.timeout(PATIENCE):
        while not any(row["whole"] for row in await house.resources.store.read(reading)):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)


def test_after_a_power_cut_all_of_a_whole_piece_is_there_whatever_was_told_before(
    house: Film, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(house: House) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        made = await house.begins()
        latest(made).write_bytes(whole)
        await made.finish(made.spans[0], 1)
        await house.ends()
        monkeypatch.setattr("daemon.scheduling.span.boot_id", lambda: "after a power cut")
        found = await house.finds()
        return found.spans[0].pictures, made.spans[0].pictures

    found, made = house(work)
    assert found == made == [(600,)]


def test_all_is_told_to_be_kept_of_a_film_that_is_only_to_be_joined(house: Film, whole: bytes) -> None:
    async def work(house: House) -> tuple[float, bool]:
        made = await house.begins()
        latest(made).write_bytes(whole)
        await made.finish(made.spans[0], 1)
        await house.ends()
        store, rooms = house.resources.store, house.resources
        await store.write(lambda t: t.run("lay_down_waiting", now=4.0))
        rows = await store.read(lambda t: t.all("kept_pieces", job=1, source=None, variation=None))
        [kept] = await kept_films(rooms.prober, rooms.paths, "a", rows, within=PATIENCE)
        return kept.seconds, kept.bytes == len(whole)

    assert house(work) == (24.0, True)


def test_what_is_kept_of_a_film_is_told_whose_source_was_not_read_yet(house: Film, piece: bytes) -> None:
    """As by a run again that is interrupted at once, or of a source that was written to."""

    async def work(house: House) -> float:
        await interrupted(house, piece, None)
        store, rooms = house.resources.store, house.resources
        await store.write(lambda t: t.run("lay_down_waiting", now=4.0))
        rows = await store.read(lambda t: t.all("kept_pieces", job=1, source=None, variation=None))
        unread = cast("list[Row]", [{**by_name(row), "media": None} for row in rows])
        [kept] = await kept_films(rooms.prober, rooms.paths, "a", unread, within=PATIENCE)
        return kept.seconds

    assert house(work) == 15.0 - MOST_REPEATED


@pytest.mark.parametrize("since", ["a crash", "a power cut"])
def test_sound_beside_a_piece_is_used_unless_it_may_be_gone_by_a_power_cut(
    house: Film, whole: bytes, heard: bytes, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    """Nobody syncs it: it is made anew in a moment."""

    async def work(house: House) -> tuple[bool, bool]:
        made = await house.begins()
        latest(made).write_bytes(whole)
        beside(latest(made)).write_bytes(heard)
        await made.finish(made.spans[0], 1)
        assert made.spans[0].pieces[0].heard is not None
        await house.ends()
        if since == "a power cut":
            monkeypatch.setattr("daemon.scheduling.span.boot_id", lambda: since)
        found = await house.finds()
        return found.spans[0].pieces[0].heard is not None, beside(latest(made)).exists()

    assert house(work) == ((True, True) if since == "a crash" else (False, False))


def test_sound_goes_with_its_piece(house: Film, piece: bytes, heard: bytes) -> None:
    async def work(house: House) -> int:
        there = await interrupted(house, piece, None)
        beside(there).write_bytes(heard)
        await (await house.finds()).give_up("as is tried here")
        return size(there.parent)

    assert house(work) == 0


def test_of_an_attempt_that_is_gone_on_with_pieces_stay_and_the_sound_beside_a_whole_one(
    house: Film, whole: bytes, heard: bytes
) -> None:
    async def work(house: House) -> set[str]:
        path = latest(await house.begins())
        await house.ends()
        made = await house.begins()
        paths, strays = house.resources.paths, [beside(path), path.with_name("2.part"), path.with_name("9.piece")]
        for file, content in {path: whole, latest(made): whole, beside(latest(made)): heard}.items():
            file.write_bytes(content)
        for stray in strays:
            stray.touch()
        await made.finish(made.spans[0], 2)
        seq = (await house.row())["seq"]
        files = partial(piece_rows.files_of, paths=paths, job="a", variation="a", seq=seq)
        goes = owned_files.of_attempt(paths, "a", "a", but=await house.resources.store.read(files))
        return {one.name for one in goes if one.parent == path.parent}

    assert house(work) == {"1.piece", "1.piece.sound", "2.part", "9.piece"}


async def one_span(house: House, ffmpeg: str, film: Path, number: int) -> Found:
    """An attempt that came to the end of that span, and no further."""
    made = await house.finds(cut=True)
    span, path = made.spans[number], latest(made).with_name(made.spans[number].path(1).name)
    await span.write(span.next_piece())
    await asyncio.to_thread(encoded, ffmpeg, task(film, path, WANTED, begin=span.begin))
    await made.finish(span, 1)
    await house.ends()
    return made


@pytest.mark.parametrize("number", [0, thorough(1)])
@pytest.mark.parametrize("seconds", [8.0, 5.0, inf], ids=["the same", "others", "none"])
def test_a_film_goes_on_in_the_spans_that_it_was_begun_in(
    house: Film, ffmpeg: str, small_film: Path, number: int, seconds: float
) -> None:
    """Whatever is set by now, and whether there are machines to encode more than one."""

    async def work(house: House) -> tuple[Any, Any, float]:
        vars(house.resources)["span_seconds"] = 8.0
        made = await one_span(house, ffmpeg, small_film, number)
        vars(house.resources)["span_seconds"] = seconds
        found = await house.finds()
        begins = [[span.bounds for span in one.spans] for one in (made, found)]
        return *begins, found.seconds

    made, found, there = house(work)
    assert [one.seconds for one in made] == [one.seconds for one in found] == pytest.approx([0.0, 7.98, 15.98])
    assert there == pytest.approx(8.0, abs=0.1)


@pytest.mark.thorough
def test_a_film_that_is_paused_before_it_is_joined_stands_still(
    start_daemon: Callable[..., Daemon], small_film: Path, clip: Path, ffmpeg: str, tmp_path: Path
) -> None:
    """What was encoded is read then, which takes long where it is large."""
    slow = slowed(ffmpeg, tmp_path, rate=12, burst=0)
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", FFSPOOL_SLOTS="1", **slow)
    film = daemon.submit(small_film, presets=["h264-480p"])["id"]
    reader = wait_until(lambda: reader_of(psutil.Process(daemon.process.pid)), "a reader of media")
    wait_until(lambda: status(daemon, film) == "processing", "the film's turn")
    reader.suspend()
    wait_until(lambda: whole_pieces(daemon), "all of it to be encoded")
    assert daemon.client.post(f"/api/jobs/{film}/pause").status_code == 200
    reader.resume()
    assert daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])["status"] == "completed"
    assert status(daemon, film) == "processing"
    assert daemon.client.post(f"/api/jobs/{film}/resume").status_code == 200
    assert daemon.wait_for(film)["status"] == "completed"


@pytest.mark.parametrize("moment", ["it is joined", thorough("it goes on")])
def test_a_cancel_does_not_wait_until_a_film_is_read(
    start_daemon: Callable[..., Daemon], small_film: Path, ffmpeg: str, tmp_path: Path, moment: str
) -> None:
    slow = slowed(ffmpeg, tmp_path, rate=12, burst=0)
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", FFSPOOL_SLOTS="1", **slow)
    film = daemon.submit(small_film, presets=["h264-480p"])["id"]
    if moment == "it goes on":
        wait_until(lambda: (daemon.job(film)["progress"] or 0.0) >= 40, "much of it")
        daemon.client.post("/api/queue/pause").raise_for_status()
        daemon.stop()
        daemon.start()
    reader = wait_until(lambda: reader_of(psutil.Process(daemon.process.pid)), "a reader of media")
    if moment == "it goes on":
        reader.suspend()
        daemon.client.post("/api/queue/resume").raise_for_status()
        wait_until(lambda: status(daemon, film) == "processing", "the film's turn")
    else:
        wait_until(lambda: daemon.encoders(), "the film's turn")
        reader.suspend()
        wait_until(lambda: whole_pieces(daemon), "all of it to be encoded")
    assert daemon.client.post(f"/api/jobs/{film}/cancel").json()["status"] == "cancelled"
    assert reader.is_running(), "it was given up, after all that a film may take to be read"
    assert daemon.parts() == []
    reader.resume()


def test_a_cancel_that_keeps_a_film_does_not_wait_until_it_is_read(
    start_daemon: Callable[..., Daemon], small_film: Path, ffmpeg: str, tmp_path: Path
) -> None:
    """It tells then what is there for certain."""
    slow = slowed(ffmpeg, tmp_path, rate=12, burst=0)
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0", FFSPOOL_GRACE="0.5", **slow)
    film = daemon.submit(small_film, presets=["h264-480p"])["id"]
    wait_until(lambda: (daemon.job(film)["progress"] or 0.0) >= 60, "much of it")
    reader = wait_until(lambda: reader_of(psutil.Process(daemon.process.pid)), "a reader of media")
    reader.suspend()
    receipt = daemon.client.post(f"/api/jobs/{film}/cancel", params={"keep_partial": True}).json()
    assert reader.is_running(), "it was given up, after all that a film may take to be read"
    reader.resume()
    [kept] = receipt["kept"]
    assert 0.6 * 24 - MOST_REPEATED <= kept["seconds"] <= 24 - MOST_REPEATED
    assert daemon.client.post(f"/api/jobs/{film}/retry").status_code == 200
    assert daemon.wait_for(film)["sources"][0]["variations"][0]["resumed_seconds"] >= kept["seconds"]


def reader_of(process: psutil.Process) -> psutil.Process | None:
    children = process.children()
    return next((one for one in children if READERS & set(one.cmdline())), None)


def status(daemon: Daemon, job: str) -> str:
    [source] = daemon.job(job)["sources"]
    return str(source["variations"][0]["status"])


def whole_pieces(daemon: Daemon) -> int:
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database:
        return int(database.execute("SELECT count(*) FROM pieces WHERE whole").fetchone()[0])
