"""Another disk in a folder's place is told from the one that was there: of what stands on that nothing is ended."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from conftest import Daemon, told, wait_until
from surroundings import need_mounts
from test_delivery_folder import Notes, dies_at, made, mounted
from test_folders import inbox, scans, shown
from test_inbox import folder, row
from test_originals import Journal, Scene, back, journal, scene, swap_of
from test_replacing import film, library, shrinking, undo, verdict

from daemon.delivery import disk_mark
from daemon.delivery.returning import Return, opened
from daemon.errors import Undelivered
from daemon.folders import fates
from daemon.models import Conflict
from daemon.source_files import Identity, identity_of

__all__ = ["film", "inbox", "journal", "library", "scene"]

Start = Callable[..., Daemon]


@contextmanager
def emptied(*folders: Path) -> Iterator[None]:
    """Has folders be as on another disk, whose root has the same inode, as that of each ext4 has."""
    for one in folders:
        aside = one.with_name(f"{one.name} away")
        aside.mkdir()
        for entry in one.iterdir():
            entry.rename(aside / entry.name)
    yield
    for one in folders:
        shutil.rmtree(one)
        one.with_name(f"{one.name} away").rename(one)


def test_a_mark_is_made_once_and_is_known_for_what_it_is(tmp_path: Path) -> None:
    keep = partial(disk_mark.keep, tmp_path, "films/film.mkv", film_in(tmp_path))
    with disk_mark.opened(tmp_path) as at:
        assert disk_mark.find(at) is None
        mark = keep()
        assert (disk_mark.find(at), keep()) == (mark, mark)
    assert {path.name for path in tmp_path.iterdir()} == {disk_mark.NAME, "films"}
    (tmp_path / disk_mark.NAME).write_text("half a ma")
    with pytest.raises(OSError, match="is no mark"):
        keep()


def film_in(folder: Path) -> Identity:
    (folder / "films").mkdir()
    (folder / "films" / "film.mkv").write_bytes(b"a film")
    return identity_of((folder / "films" / "film.mkv").stat())


def test_what_lies_beneath_a_disk_that_went_away_gets_no_mark(tmp_path: Path) -> None:
    file = film_in(tmp_path)
    with emptied(tmp_path / "films"):
        assert disk_mark.keep(tmp_path, "films/film.mkv", file) is None
        assert disk_mark.keep(tmp_path / "films", "film.mkv", file) is None
        (tmp_path / "films" / "film.mkv").write_bytes(b"another")
        assert disk_mark.keep(tmp_path / "films", "film.mkv", file) is None
        assert not list(tmp_path.rglob(disk_mark.NAME))


def test_a_disk_with_no_room_for_its_mark_is_told_as_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk_mark, "_make", full)
    with pytest.raises(Undelivered, match="no room for its mark"):
        disk_mark.keep(tmp_path, "films/film.mkv", film_in(tmp_path))


def test_an_original_on_a_disk_that_is_away_is_neither_gone_nor_forgotten(scene: Scene, journal: Journal) -> None:
    parcel = scene.parcel()
    swap = swap_of(scene.place.deliver(parcel, journal.course()))
    with emptied(scene.library, scene.trash):
        for work in (Return.carry_out, Return.empty, Return.is_aside):
            with pytest.raises(Undelivered, match="another disk"), opened(parcel.destination, swap) as folders:
                work(Return(folders, parcel.id, parcel.destination, swap))
        assert [*scene.library.iterdir(), *scene.trash.iterdir()] == []
    (scene.library / disk_mark.NAME).unlink()  # by somebody who tidied up: the original itself tells enough
    back(parcel, swap)
    assert scene.there == scene.untouched


def test_an_original_whose_disk_lost_its_mark_is_known_by_itself(scene: Scene, journal: Journal) -> None:
    parcel = scene.parcel()
    (scene.library / disk_mark.NAME).unlink()
    touched = scene.film.stat().st_mtime_ns + 10**10
    os.utime(scene.film, ns=(touched, touched))
    with pytest.raises(Undelivered, match=r"its mark, \.ffspool-disk, is lost or another's"):
        scene.place.deliver(parcel, journal.course())
    os.utime(scene.film, ns=(parcel.modified or 0, parcel.modified or 0))
    back(parcel, swap_of(scene.place.deliver(parcel, journal.course())))
    assert scene.there == scene.untouched


def test_a_replacement_that_broke_off_waits_for_its_own_disk(scene: Scene, tmp_path: Path) -> None:
    for call in range(100):
        scene.renew()
        journal, parcel = Journal(tmp_path / "journal"), scene.parcel()
        died = dies_at(call, after=True, work=partial(scene.place.deliver, parcel, journal.course()))
        with emptied(scene.library, scene.trash):
            with pytest.raises(Undelivered, match="another disk") as refused:
                scene.place.deliver(parcel, journal.course())
            assert not refused.value.final
        scene.place.deliver(parcel, journal.course())
        assert scene.there == scene.replaced
        if not died:
            break
    assert call > 12


@pytest.mark.parametrize("fate", ["move", "delete"])
def test_a_file_of_an_inbox_on_a_disk_that_is_away_did_not_go(inbox: Path, fate: str) -> None:
    known = row(inbox, fate)
    with emptied(inbox):
        (inbox / "another.mp4").touch()
        with pytest.raises(OSError, match="another disk"):
            fates.carry_out(folder(inbox, fate), known)
    assert fates.carry_out(folder(inbox, fate), known) is None
    assert not (inbox / "film.mp4").exists()


def test_what_was_to_be_named_when_its_disk_went_away_is_delivered(tmp_path: Path) -> None:
    """That its part is gone says that it has its name, but not on another disk."""
    scene, notes = made(tmp_path, folder=False), Notes(tmp_path / "notes")
    (scene.root / "films").mkdir()
    with mounted(scene.root / "films"):
        parcel = scene.parcel(conflict=Conflict.NUMBER)
        for call in range(100):
            notes.course().note(None)
            dies_at(call, after=False, work=partial(scene.place.deliver, parcel, notes.course()))
            if notes.landing:
                break
    with mounted(scene.root / "films"):
        scene.place.deliver(parcel, notes.course())
        assert list(scene.there.values()) == [parcel.sha256]


class Disks:
    """Two disks, as files with a file system each, whose roots have the same inode."""

    def __init__(self, place: Path, at: Path) -> None:
        need_mounts()
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("mkfs.ext4 makes the disks: apt-get install e2fsprogs")
        self._at = at
        self._images = [place / "one", place / "other"]
        for image in self._images:
            with image.open("wb") as file:
                file.truncate(24 * 1024**2)
            subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)

    @contextmanager
    def put_in(self, number: int) -> Iterator[None]:
        way = ["mount", "-o", "loop", str(self._images[number]), str(self._at)]
        found = subprocess.run(way, capture_output=True, text=True)
        if found.returncode:
            pytest.skip(f"this machine mounts no images: {found.stderr.strip()}")
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(self._at)], check=True)


@pytest.mark.thorough
def test_a_daemon_waits_for_the_disk_that_an_original_is_on(
    start_daemon: Start, library: Path, film: Path, tmp_path: Path
) -> None:
    disks, there = Disks(tmp_path, library), library / "films" / "film.mkv"
    with disks.put_in(0):
        there.parent.mkdir()
        there.write_bytes(film.read_bytes())
        daemon = shrinking(start_daemon, library, "--sweep-every", "0.1")
        assert verdict(daemon, "films/film.mkv")["verdict"] == "replaced"
        inode = library.stat().st_ino
        daemon.stop()
    with disks.put_in(1):
        assert library.stat().st_ino == inode
        daemon.start()
        scans(daemon)
        assert "another disk" in undo(daemon, there).stderr
        daemon.stop()
        told(daemon, "UPDATE replacements SET replaced_at = 0, keep_until = 14 * 86400, keep_seen = 0")
        daemon.start()
        log = daemon.log().count("waits in the trash")
        wait_until(lambda: daemon.log().count("waits in the trash") > log + 2, "sweeps that find it away")
        daemon.stop()
        assert not (library / ".trash").exists()
    with disks.put_in(0):
        [aside] = (library / ".trash").iterdir()
        assert aside.read_bytes() == film.read_bytes()
        daemon.start()
        wait_until(lambda: not aside.exists(), "the trash to be emptied of it")
        daemon.stop()


def test_of_two_disks_at_one_path_the_original_of_the_one_that_is_there_comes_back(
    start_daemon: Start, library: Path, film: Path
) -> None:
    there, other = library / "films" / "film.mkv", library.with_name("other")
    (other / "films").mkdir(parents=True)
    for number, disk in enumerate((library, other)):
        (disk / "films").mkdir(exist_ok=True)
        shutil.copy(film, disk / "films" / "film.mkv")
        os.utime(disk / "films" / "film.mkv", (10**9 + number, 10**9 + number))
    daemon = shrinking(start_daemon, library)
    assert verdict(daemon, "films/film.mkv")["verdict"] == "replaced"
    daemon.stop()
    library.rename(library.with_name("first"))
    other.rename(library)
    daemon.start()
    wait_until(lambda: shown(daemon)["replaced"] == 2, "that of the other disk, too")
    daemon.stop()
    library.rename(other)
    library.with_name("first").rename(library)
    daemon.start()
    assert undo(daemon, there).returncode == 0
    assert there.read_bytes() == film.read_bytes()
    assert (other / "films" / "film.mkv").read_bytes() != film.read_bytes()
