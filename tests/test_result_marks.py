"""What ffspool made is known as that by whichever daemon comes across it, also once another tool wrote tags to it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import Daemon, wait_until
from test_delivery_folder import Notes, made
from test_folders import Start, inbox, jobs, scans, shown, watching
from test_originals import Journal, journal, scene
from test_originals import Scene as OriginalScene

from daemon.config_tables import Folder
from daemon.delivery import disk_mark, result_mark
from daemon.delivery.result_mark import marks_of
from daemon.folders.scan import Walk
from daemon.source_files import identity_of

__all__ = ["inbox", "journal", "scene"]


def results(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def within(inbox: Path, name: str) -> dict[str, Any]:
    """Where results go to that lie in the watched tree, called by such a name."""
    return {"recursive": True, "deliver": {"folder": str(inbox / "made"), "name": name, "conflict": "number"}}


def brought(daemon: Daemon) -> None:
    wait_until(lambda: [(job["deliveries"] or {}).get("delivered") for job in jobs(daemon)] == [1], "its result")


def test_two_daemons_make_nothing_of_each_others_results(start_daemon: Start, inbox: Path, clip: Path) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    one, other = (watching(start_daemon, inbox, name, **within(inbox, f"{{stem}} {name}")) for name in ("a", "b"))
    brought(one)
    brought(other)
    for daemon in (one, other):
        scans(daemon, 9)
    assert results(inbox / "made") == {"film a.mp3", "film b.mp3"}
    assert [len(jobs(daemon)) for daemon in (one, other)] == [1, 1]


def in_place(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"TAG" + bytes(125))


def anew(path: Path) -> None:
    tagged = path.with_name(f".{path.name}")
    tagged.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    tagged.rename(path)


@pytest.mark.parametrize("tag", [in_place, anew])
def test_a_result_that_tags_were_written_to_is_no_source(
    start_daemon: Start, inbox: Path, clip: Path, tag: Callable[[Path], None]
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    daemon = watching(start_daemon, inbox, **within(inbox, "{stem}.{ext}"))
    brought(daemon)
    tag(inbox / "made" / "film.mp3")
    scans(daemon, 9)
    assert (results(inbox / "made"), len(jobs(daemon))) == ({"film.mp3"}, 1)


def test_another_film_that_was_copied_over_a_result_is_one(
    start_daemon: Start, inbox: Path, clip: Path, ffmpeg: str
) -> None:
    shutil.copy(clip, inbox / "film.mp4")
    daemon = watching(start_daemon, inbox, **within(inbox, "{stem}.{ext}"))
    brought(daemon)
    sound = ("-f", "lavfi", "-i", "sine=d=7", "-f", "mp3", "-y", str(inbox / "made" / "film.mp3"))
    subprocess.run([ffmpeg, "-v", "error", *sound], check=True)
    wait_until(lambda: len(jobs(daemon)) == 2, "the other to be taken")


@pytest.mark.parametrize("marked", [True, False])
def test_what_run_made_in_a_watched_tree_is_no_source(
    start_daemon: Start, inbox: Path, clip: Path, marked: bool
) -> None:
    command = ["run", str(clip), "-p", "mp3", "-p", "sprite-sheet", "-o", str(inbox / "out")]
    assert forked.run(command, os.environ).returncode == 0
    if not marked:  # as on a card
        for path in (inbox / "out").rglob("*"):
            if result_mark.ATTRIBUTE in os.listxattr(path):
                os.removexattr(path, result_mark.ATTRIBUTE)
    daemon = watching(start_daemon, inbox, recursive=True, include=["*.mp3", "*.jpg"])
    scans(daemon)
    wait_until(lambda: shown(daemon)["waiting"] == 0, "all to be looked at")
    assert jobs(daemon) == []


@pytest.mark.parametrize("folder", [False, True])
def test_where_files_cannot_be_marked_a_record_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    scene = made(tmp_path, folder=folder)
    monkeypatch.setattr(os, "setxattr", unsupported)
    receipt = scene.place.deliver(scene.parcel(), Notes(tmp_path / "notes").course())
    result = scene.root / receipt.to
    one = result / "0" / "0.m4s" if folder else result
    assert [mark.bytes for mark in marks_of(one)] == [one.stat().st_size]
    assert marks_of(result.with_name("another")) == []


def test_what_marks_say_another_users_daemon_may_read(tmp_path: Path) -> None:
    (tmp_path / "film.mkv").write_bytes(b"a film")
    before = os.umask(0o077)  # as a daemon has it
    try:
        disk_mark.keep(tmp_path, "film.mkv", identity_of((tmp_path / "film.mkv").stat()))
        with disk_mark.opened(tmp_path) as folder:
            result_mark.record(folder, "film.mp4", result_mark.Mark(bytes=1))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob(".*")}
    assert modes == {disk_mark.NAME: 0o644, result_mark.RECORD: 0o644}


def test_a_file_that_can_be_marked_leaves_no_record(tmp_path: Path) -> None:
    scene = made(tmp_path, folder=False)
    receipt = scene.place.deliver(scene.parcel(), Notes(tmp_path / "notes").course())
    result = scene.root / receipt.to
    assert [mark.bytes for mark in marks_of(result)] == [result.stat().st_size]
    assert list(result.parent.glob(".*")) == []


def test_what_is_kept_in_a_trash_is_no_source_of_another_daemon(scene: OriginalScene, journal: Journal) -> None:
    """However visible that is."""
    scene.place.deliver(scene.parcel(), journal.course())
    assert scene.there == scene.replaced
    above = scene.library.parent
    walk = Walk(Folder(name="x", path=above, variations=(), recursive=True), above / "state", lambda *_: None)
    assert [found.path for found in walk.next(1000) or () if found.path.startswith(("library", "trash"))] == [
        "library/films/film.mkv"
    ]
