"""Files of an inbox are moved or deleted once all of them is delivered, if they are what was read; else they stay."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from conftest import Daemon, wait_until
from msgspec.structs import replace
from stored import add_job, claim, in_store
from surroundings import thorough
from test_delivery_folder import dies_at
from test_folders import inbox, jobs, made, page, scans, shown, verdicts, watching

from daemon.bounded_threads import Workers
from daemon.config_tables import Folder, When
from daemon.database.store import Store, Transaction
from daemon.delivery import disk_mark, no_replace
from daemon.folders import fates, known_files
from daemon.folders.scan import Found
from daemon.folders.watch import Watcher
from daemon.folders.watched import Watched
from daemon.media.model import Media, VideoStream
from daemon.paths import Paths
from daemon.source_files import identity_of

__all__ = ["inbox"]

Start = Callable[..., Daemon]

CONTENT = os.urandom(1000)
HEVC = Media(
    format="matroska", duration_seconds=10.0, audio=(), subtitles=(),
    video=VideoStream(index=0, codec="hevc", width=1280, height=720, coded_width=1280, coded_height=720),
)  # fmt: skip


def test_what_is_delivered_is_moved_and_what_is_not_stays(start_daemon: Start, inbox: Path, clip: Path) -> None:
    wanted = {"recursive": True, "on_success": "move", "move_to": str(inbox / ".done")}
    wanted |= {"deliver": {"folder": str(inbox.parent / "library"), "name": "{stem}.{ext}", "conflict": "skip"}}
    (inbox / "a").mkdir()
    (inbox.parent / "library" / "there.mp3").write_bytes(b"something else")
    for name in ("a/film.mp4", "there.mp4"):
        shutil.copy(clip, inbox / name)
    (inbox / "broken.mp4").write_bytes(b"no film")
    daemon = watching(start_daemon, inbox, **wanted)
    expected = {"a/film.mp4": "moved", "there.mp4": "completed", "broken.mp4": "refused"}
    wait_until(lambda: verdicts(daemon) == expected, "all to be moved that was delivered")
    assert (inbox / ".done" / "film.mp4").read_bytes() == clip.read_bytes()
    scans(daemon)
    assert set(left(inbox)) == {".done/film.mp4", "there.mp4", "broken.mp4"}
    why = {one["name"]: one["error"] for one in page(daemon, limit=9)["items"]}
    assert why["there.mp4"] == "it stays, for a result is not there: something else has its name, and was left"


@pytest.mark.thorough
def test_what_is_delivered_is_deleted_however_soon_its_job_is_forgotten(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    start = partial(start_daemon, FFSPOOL_RETENTION="0", FFSPOOL_SWEEP_EVERY="0.1")
    daemon = watching(start, inbox, on_success="delete")
    wait_until(lambda: verdicts(daemon) == {"film.mp4": "deleted"}, "its end")
    assert (left(inbox), made(inbox)) == ([], {"film.mp3"})
    wait_until(lambda: jobs(daemon) == [])
    shutil.copy(clip, inbox / "film.mp4")
    wait_until(lambda: shown(daemon)["taken"] == 2, "another one")


@pytest.mark.parametrize(("fate", "whole"), [("delete", True), ("move", False), (None, False)])
def test_of_what_is_to_be_all_there_is_all_is_proven(tmp_path: Path, fate: str | None, whole: bool) -> None:
    known = {"folder": "x", "recipe": "r", "inode": 1, "bytes": 1, "modified": 1, "name": "clip.mp4", "job": "j"}
    known |= {"error": None, "fate": fate, "disk": None, "returns": 0, "now": 0.0}

    def claimed(transaction: Transaction) -> bool:
        add_job(transaction, "j")
        transaction.run("insert_watched_file", **known)
        return claim(transaction).is_proven_whole

    paths = Paths(tmp_path / "state")
    paths.prepare()
    assert in_store(paths, lambda store: store.write(claimed)) == whole


def left(inbox: Path) -> list[str]:
    """What lies in it and below, but for the mark of its disk."""
    files = [path.relative_to(inbox).as_posix() for path in inbox.rglob("*") if path.is_file()]
    return [path for path in files if path != disk_mark.NAME]


def row(inbox: Path, fate: str) -> Any:
    film = inbox / "film.mp4"
    film.write_bytes(CONTENT)
    found = film.stat()
    known = {
        "disk": disk_mark.keep(inbox, film.name, identity_of(found)),
        "bytes": found.st_size,
        "inode": found.st_ino,
        "modified": found.st_mtime_ns,
    }
    return {"name": "film.mp4", "fate": fate, "media": None, **known}


def folder(inbox: Path, fate: Any = "move") -> Folder:
    return Folder(name="x", path=inbox, variations=(), move_to=inbox / ".done", on_success=fate)


def test_what_was_changed_or_replaced_stays(inbox: Path) -> None:
    for fate in ("move", "delete"):
        known = row(inbox, fate)
        (inbox / "film.mp4").write_bytes(b"another")
        assert "was changed" in (fates.carry_out(folder(inbox, fate), known) or "")
        assert (inbox / "film.mp4").read_bytes() == b"another"


def test_what_somebody_has_open_to_write_waits(inbox: Path) -> None:
    for fate in ("move", "delete"):
        known = row(inbox, fate)
        with (inbox / "film.mp4").open("ab"), pytest.raises(BlockingIOError):
            fates.carry_out(folder(inbox, fate), known)
        assert fates.carry_out(folder(inbox, fate), known) is None


def test_what_cannot_go_holds_up_no_other_and_is_told(start_daemon: Start, inbox: Path, clip: Path) -> None:
    names = ["a.mp4", "b.mp4", "c.mp4"]
    for name in names:
        shutil.copy(clip, inbox / name)
    if subprocess.run(["chattr", "+i", inbox / "a.mp4"], check=False, capture_output=True).returncode:
        pytest.skip("files cannot be protected: root, and a file system such as ext4")
    try:
        daemon = watching(start_daemon, inbox, on_success="delete")
        wait_until(lambda: left(inbox) == ["a.mp4"], "the others to go")
        found = wait_until(
            lambda: next((one for one in page(daemon, limit=9)["items"] if one["error"]), None), "what is told"
        )
        assert (found["name"], found["error"]) == ("a.mp4", "it stays for now: Operation not permitted")
    finally:
        subprocess.run(["chattr", "-i", inbox / "a.mp4"], check=True)
    wait_until(lambda: verdicts(daemon) == dict.fromkeys(names, "deleted"), "its end")


@pytest.mark.parametrize("fate", ["move", "delete"])
def test_a_part_of_what_came_after_it_stays(inbox: Path, fate: str) -> None:
    known = row(inbox, fate)
    (inbox / "index.m3u8").write_text("#EXTM3U\nfilm.mp4\n")
    assert fates.carry_out(folder(inbox, fate), known) == (
        "it stays, for it is part of a stream or disc: index.m3u8 names it"
    )
    assert (inbox / "film.mp4").read_bytes() == CONTENT


def test_a_disc_in_an_inbox_is_left_as_it_is(start_daemon: Start, inbox: Path, clip: Path) -> None:
    (inbox / "BDMV" / "STREAM").mkdir(parents=True)
    shutil.copy(clip, inbox / "BDMV" / "STREAM" / "00001.mp4")
    daemon = watching(start_daemon, inbox, on_success="delete", recursive=True)
    wait_until(lambda: verdicts(daemon) == {"BDMV/STREAM/00001.mp4": "refused"}, "a verdict")
    [one] = page(daemon, limit=9)["items"]
    assert one["error"] == (
        "not taken, since what is taken here is moved or deleted: it is part of a stream or disc: it lies in BDMV"
    )


def test_what_a_playlist_names_whose_name_is_no_text_keeps_no_other_back(
    start_daemon: Start, inbox: Path, clip: Path
) -> None:
    (inbox / os.fsdecode(b"\xfe.m3u8")).write_bytes(b"#EXTM3U\n\xfe.ts\nseg.mp4\n")
    for name in ("seg.mp4", "a.mp4", "z.mp4"):
        shutil.copy(clip, inbox / name)
    daemon = watching(start_daemon, inbox, on_success="delete")
    gone = {"seg.mp4": "refused", "a.mp4": "deleted", "z.mp4": "deleted"}
    wait_until(lambda: verdicts(daemon) == gone, "the others to go")


def test_what_the_host_refuses_of_a_file_is_told_in_its_words(start_daemon: Start, inbox: Path, clip: Path) -> None:
    (inbox / disk_mark.NAME).write_text("half a ma")
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, inbox / name)
    daemon = watching(start_daemon, inbox, on_success="delete")
    told = wait_until(lambda: shown(daemon)["error"], "what keeps them")
    assert told[1:] == ".mp4 waits: .ffspool-disk is no mark of ours: take it away (and 1 more)"
    (inbox / disk_mark.NAME).unlink()
    wait_until(lambda: verdicts(daemon) == {"a.mp4": "deleted", "b.mp4": "deleted"}, "both to go")


def test_a_fault_at_one_file_keeps_no_other_back(inbox: Path) -> None:
    """Whatever is wrong with ffspool, or with that file."""
    tried, watch = [], Watched(folder(inbox), time.time)

    async def take(_: Watched, found: Found) -> None:
        tried.append(found.path)
        if found.path == "b":
            raise ZeroDivisionError

    files = [Found(name, (1, 1, number, 1), 1) for number, name in enumerate("abc")]
    watcher: Any = SimpleNamespace(_take=take)
    asyncio.run(Watcher._take_all(watcher, watch, files))
    assert (tried, watch.error) == (["a", "b", "c"], "b waits, by a fault of ffspool: see its log")


Going = Callable[[Watched], Awaitable[list[str]]]


def while_going(inbox: Path, names: Mapping[str, str], work: Callable[[Store, Going], Awaitable[None]]) -> None:
    """Does some work on files of these names, by their recipes, that are to be deleted. What it is given lets them go,
    and returns those that are still to."""
    known = {**row(inbox, "delete"), "folder": "x", "job": None, "error": None, "returns": 0, "now": 0.0}
    paths = Paths(inbox.parent / "state")
    paths.prepare()

    async def keep(store: Store) -> None:
        for recipe, name in names.items():
            asked = known | {"recipe": recipe, "name": name}
            await store.write(lambda t, asked=asked: t.run("insert_watched_file", **asked))

    async def at_work(store: Store) -> None:
        async def let_go(watch: Watched) -> list[str]:
            watcher: Any = SimpleNamespace(_store=store, _threads=Workers("a scan", most=1))
            await Watcher._let_go(watcher, watch)
            return sorted(one["name"] for one in await store.read(lambda t: t.all("files_to_go", folder="x")))

        await work(store, let_go)

    in_store(paths, keep)
    with closing(sqlite3.connect(paths.database)) as database:
        database.execute("UPDATE watched_files SET finished = 1, outcome = 'completed'")
        database.commit()
    in_store(paths, at_work)


def test_a_fault_at_one_file_that_is_to_go_keeps_no_other_from_going(inbox: Path) -> None:
    async def going(_: Store, let_go: Going) -> None:
        assert await let_go(Watched(folder(inbox, "delete"), time.time)) == ["no\0name.mp4"]

    while_going(inbox, {"a": "no\0name.mp4", "b": "film.mp4"}, going)
    assert left(inbox) == []


def test_files_whose_disk_lost_its_mark_are_told_and_go_once_they_are_retried(inbox: Path) -> None:
    watch = Watched(folder(inbox, "delete"), time.time)

    async def going(store: Store, let_go: Going) -> None:
        for mark in (None, "0" * 32):
            (inbox / disk_mark.NAME).unlink(missing_ok=True)
            if mark:
                (inbox / disk_mark.NAME).write_text(f"{mark}\n")
            assert await let_go(watch) == ["film.mp4", "gone.mp4"]
            rows = await store.read(lambda t: t.all("files_to_go", folder="x"))
            assert {row["name"]: row["said"] for row in rows} == {"film.mp4": fates.UNMARKED, "gone.mp4": None}
            assert (watch.error or "").startswith("1 of its files stays: .ffspool-disk, the mark of the disk")
            watch.error = None
        await store.write(partial(known_files.retry, watch, 0.0))
        assert await let_go(watch) == ["gone.mp4"]  # which may lie on another disk

    while_going(inbox, {watch.recipe: "film.mp4", "b": "gone.mp4"}, going)
    assert left(inbox) == []


def test_what_has_the_name_of_many_is_moved_in_few_looks(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (inbox / ".done").mkdir()
    (inbox / ".done" / "film.mp4").touch()
    known = row(inbox, "move")
    for number in range(2, 301):
        (inbox / ".done" / f"film ({number}).mp4").touch()
    tried = []
    put = no_replace.put
    monkeypatch.setattr(no_replace, "put", lambda *way, **more: tried.append(way) or put(*way, **more))
    assert fates.carry_out(folder(inbox), known) is None
    assert (inbox / ".done" / "film (301).mp4").read_bytes() == CONTENT
    assert len(tried) == 2


@pytest.mark.parametrize("fate", ["move", "delete"])
def test_what_changes_at_the_last_moment_comes_back(inbox: Path, monkeypatch: pytest.MonkeyPatch, fate: str) -> None:
    known, put = row(inbox, fate), fates.no_replace.put

    def late(*where: Any, **more: Any) -> bool:
        (inbox / "film.mp4").write_bytes(b"another") if (inbox / "film.mp4").exists() else None
        return put(*where, **more)

    monkeypatch.setattr(fates.no_replace, "put", late)
    assert "was changed" in (fates.carry_out(folder(inbox, fate), known) or "")
    assert left(inbox) == ["film.mp4"]
    assert (inbox / "film.mp4").read_bytes() == b"another"


@pytest.mark.parametrize("after", [False, thorough(True)])
@pytest.mark.parametrize("fate", ["move", "delete"])
def test_at_whatever_call_it_dies_the_file_is_in_one_place(inbox: Path, fate: str, after: bool) -> None:
    deaths = 0
    for call in range(100):
        shutil.rmtree(inbox)
        inbox.mkdir()
        known = row(inbox, fate)
        died = dies_at(call, after=after, work=partial(fates.carry_out, folder(inbox, fate), known))
        assert fates.carry_out(folder(inbox, fate), known) is None
        assert left(inbox) == ([".done/film.mp4"] if fate == "move" else []), call
        if not died:
            break
        deaths += 1
    assert deaths > 3


def test_an_inbox_that_is_away_is_waited_for(inbox: Path) -> None:
    known = row(inbox, "delete")
    inbox.rename(inbox.with_name("away"))
    with pytest.raises(FileNotFoundError):
        fates.carry_out(folder(inbox, "delete"), known)


@pytest.mark.parametrize("fate", ["move", "delete"])
def test_a_file_stays_that_its_folder_does_not_take_any_more(inbox: Path, fate: str) -> None:
    """As where `exclude` is written after it was taken."""
    for table, words in (
        ({"exclude": ("film*",)}, "it stays, for `exclude` or `include` of its folder leave it out by now"),
        ({"include": ("*.mkv",)}, "it stays, for `exclude` or `include` of its folder leave it out by now"),
        ({"when": When(larger_than=1000)}, "it stays, for by now it is refused by a rule: it has 1000 bytes"),
        ({"when": When(codec_not=("hevc",))}, "it stays, for by now it is refused by a rule: it is hevc already"),
    ):
        known = row(inbox, fate) | {"media": msgspec.json.encode(HEVC).decode()}
        assert (fates.carry_out(replace(folder(inbox, fate), **table), known) or "").startswith(words)
        assert left(inbox) == ["film.mp4"]
    with pytest.raises(OSError, match="it waits until it is as old as"):
        fates.carry_out(replace(folder(inbox, fate), when=When(older_than=3600)), known)
    assert left(inbox) == ["film.mp4"]


@pytest.mark.parametrize("fate", ["move", "delete"])
def test_a_file_stays_where_that_is_not_asked_any_more(inbox: Path, fate: str) -> None:
    for call in range(100):
        shutil.rmtree(inbox)
        inbox.mkdir()
        known = row(inbox, fate)
        died = dies_at(call, after=True, work=partial(fates.carry_out, folder(inbox, fate), known))
        if not died or left(inbox) == [] or ".done/film.mp4" in left(inbox):
            break
        words = fates.carry_out(folder(inbox, "leave"), known)
        assert (left(inbox), f'does not say `on_success` = "{fate}" any more' in (words or "")) == (["film.mp4"], True)
    assert call > 1
