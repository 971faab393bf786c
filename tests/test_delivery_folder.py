"""A folder gets each output once and whole, at whatever call the daemon dies, on whatever file system it lies."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from surroundings import lacking, need_mounts, thorough

from daemon import mounts
from daemon.cli import checks as cli_checks
from daemon.delivery import no_replace
from daemon.delivery.folder import Folders
from daemon.delivery.place import Course, Parcel, Stopped
from daemon.errors import ForbiddenPath, InvalidRequest, StartupError, Undelivered
from daemon.models import Conflict, Deliver
from daemon.paths import Paths
from daemon.proof.publish import seal

DEADLY = ("open", "mkdir", "fsync", "fchmod", "write", "copy_file_range", "link", "rename", "unlink", "rmdir")
OLD = b"what lay there before"


class Scene(NamedTuple):
    """An output in the spool, and a folder below a root."""

    place: Folders
    root: Path
    output: Path

    def parcel(self, number: int = 0, **wish: Any) -> Parcel:
        asked = Deliver(folder="films", **wish)
        size, sha256, _ = seal(self.output)
        name = "clip_hls" if self.output.is_dir() else "clip.mp4"
        return Parcel(
            id=f"{number:016x}", destination=asyncio.run(self.place.resolve(asked)), name=name, output=self.output,
            bytes=size, sha256=sha256, modified=10**18,
        )  # fmt: skip

    @property
    def there(self) -> dict[str, str]:
        """What is in the folder: the SHA-256 of each thing, by name."""
        return {path.name: seal(path)[1] for path in (self.root / "films").iterdir()}


@pytest.fixture(params=["file", "folder"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    return made(tmp_path, folder=request.param == "folder")


@pytest.fixture
def file_scene(tmp_path: Path) -> Scene:
    return made(tmp_path, folder=False)


def made(tmp_path: Path, *, folder: bool) -> Scene:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    root = tmp_path / "library"
    root.mkdir()
    output = paths.spool / "output"
    if folder:
        for name in ("master.m3u8", "0/0.m4s"):
            file = output / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(2000))
    else:
        output.write_bytes(os.urandom(200_000))
    return Scene(Folders([root], paths), root, output)


class Notes:
    """What a place notes, as durable as a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def landing(self) -> str | None:
        return self._file.read_text() or None if self._file.exists() else None

    def course(self, is_stopped: Callable[[], bool] = lambda: False) -> Course:
        return Course(self.landing, lambda landing, _: self._file.write_text(landing or "") and None, is_stopped)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


# Deaths


def dies_at(call: int, *, after: bool, work: Callable[[], object]) -> bool:
    """Has a process do the work and be killed right before (or after) that one of the deadly calls; whether it came so
    far."""
    child = os.fork()
    if child == 0:
        left = iter(range(call))
        for name in DEADLY:
            setattr(os, name, _deadly(getattr(os, name), left, after))
        no_replace._rename = _deadly(no_replace._rename, left, after)  # type: ignore[assignment]
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _deadly(function: Callable[..., Any], left: Iterator[int], after: bool) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **more: Any) -> Any:
        last = next(left, None) is None
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **more)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    for known in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd):
        if function in known:
            known.add(call)
    return call


DEATHS = [
    (folder, conflict, keep, after)
    for folder in (False, True)
    for conflict in (Conflict.NUMBER, Conflict.OVERWRITE, Conflict.FAIL)
    for keep in (True, False)
    for after in (False, True)
]
A_FEW = {(False, Conflict.NUMBER, True, False), (True, Conflict.OVERWRITE, True, True)}


@pytest.mark.parametrize(
    ("folder", "conflict", "keep", "after"), [death if death in A_FEW else thorough(*death) for death in DEATHS]
)
def test_a_delivery_that_died_at_any_call_is_made_once(
    tmp_path: Path, folder: bool, conflict: Conflict, keep: bool, after: bool
) -> None:
    scene = made(tmp_path, folder=folder)
    deaths = 0
    for call in range(1000):
        shutil.rmtree(scene.root / "films", ignore_errors=True)
        notes = Notes(tmp_path / f"notes {call}")
        occupy(scene, conflict)
        parcel = scene.parcel(conflict=conflict, keep=keep)
        died = dies_at(call, after=after, work=partial(scene.place.deliver, parcel, notes.course()))
        receipt = scene.place.deliver(parcel, notes.course())
        name = {"number": "clip (2).mp4", "overwrite": "clip.mp4", "fail": "clip.mp4"}[conflict]
        if scene.output.is_dir():
            name = name.replace("clip", "clip_hls").removesuffix(".mp4")
        assert receipt.to == f"films/{name}", call
        old = {"clip.mp4", "clip_hls"} & scene.there.keys() if conflict == Conflict.NUMBER else set()
        assert scene.there.keys() == old | {name}, call
        assert scene.there[name] == parcel.sha256, call
        if not died:
            break
        deaths += 1
    assert deaths > 8


def occupy(scene: Scene, conflict: Conflict) -> None:
    """Something of that name lies there already, but where nothing may."""
    if conflict == Conflict.FAIL:
        return
    there = scene.root / "films" / ("clip_hls" if scene.output.is_dir() else "clip.mp4")
    if scene.output.is_dir():
        there.mkdir(parents=True)
        there = there / "master.m3u8"
    there.parent.mkdir(exist_ok=True)
    there.write_bytes(b"#EXTM3U\n" if scene.output.is_dir() else OLD)


def test_what_was_taken_away_before_it_was_seen_is_not_delivered_again_unasked(file_scene: Scene, notes: Notes) -> None:
    """As an importer does at once, and before the daemon that died could write down that it came."""
    parcel = file_scene.parcel()
    place = file_scene.place
    place.deliver(parcel, notes.course())
    (file_scene.root / "films" / "clip.mp4").unlink()
    with pytest.raises(Undelivered, match=r"clip\.mp4 was about to get its name .* is not there: if nobody") as told:
        place.deliver(parcel, notes.course())
    assert (told.value.final, file_scene.there) == (True, {})


@pytest.mark.parametrize("conflict", ["fail", "number", "overwrite"])
def test_a_rename_that_failed_does_not_pass_for_made_once_its_part_is_gone(
    file_scene: Scene, notes: Notes, monkeypatch: pytest.MonkeyPatch, conflict: str
) -> None:
    parcel, films = file_scene.parcel(conflict=conflict, keep=False), file_scene.root / "films"
    with monkeypatch.context() as failing:
        failing.setattr(no_replace, "_rename", lambda *_: errno.EIO)
        with pytest.raises(Undelivered):
            file_scene.place.deliver(parcel, notes.course())
    [part] = films.iterdir()
    part.unlink()
    file_scene.place.deliver(parcel, notes.course())
    assert file_scene.there == {"clip.mp4": parcel.sha256}


def test_what_got_its_name_as_the_disk_said_it_did_not_is_seen_there(
    file_scene: Scene, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel, rename = file_scene.parcel(conflict="number"), no_replace._rename
    with monkeypatch.context() as failing:
        failing.setattr(no_replace, "_rename", lambda *way: rename(*way) or errno.EIO)
        with pytest.raises(Undelivered):
            file_scene.place.deliver(parcel, notes.course())
    file_scene.place.deliver(parcel, notes.course())
    assert file_scene.there == {"clip.mp4": parcel.sha256}


def test_a_share_that_is_away_after_a_crash_does_not_pass_for_delivered(file_scene: Scene, notes: Notes) -> None:
    """In its place there is another folder, empty, as below a mount point."""
    parcel = file_scene.parcel()
    assert dies_before_its_name(file_scene, parcel, notes)
    (file_scene.root / "films").rename(file_scene.root / "share")
    (file_scene.root / "films").mkdir()
    file_scene.place.deliver(parcel, notes.course())
    assert file_scene.there == {"clip.mp4": parcel.sha256}


def dies_before_its_name(scene: Scene, parcel: Parcel, notes: Notes) -> bool:
    return any(
        dies_at(call, after=False, work=lambda: scene.place.deliver(parcel, notes.course())) and notes.landing
        for call in range(100)
    )


def test_another_result_of_the_same_bytes_does_not_pass_for_it(file_scene: Scene, notes: Notes) -> None:
    """As of the same film by the same preset: it took the name that this one was to have."""
    parcel = file_scene.parcel(conflict="number")
    assert dies_before_its_name(file_scene, parcel, notes)
    shutil.copy(file_scene.output, file_scene.root / "films" / "clip.mp4")
    assert file_scene.place.deliver(parcel, notes.course()).to == "films/clip (2).mp4"
    assert file_scene.there == dict.fromkeys(["clip.mp4", "clip (2).mp4"], parcel.sha256)


def test_a_part_that_was_damaged_is_written_anew(file_scene: Scene, notes: Notes) -> None:
    parcel = file_scene.parcel()
    assert dies_before_its_name(file_scene, parcel, notes)
    [part] = (file_scene.root / "films").iterdir()
    part.write_bytes(b"damaged")
    file_scene.place.deliver(parcel, notes.course())
    assert file_scene.there == {"clip.mp4": parcel.sha256}


# What lies there already


def test_what_is_there_is_never_touched_unless_that_is_asked(scene: Scene, tmp_path: Path) -> None:
    occupy(scene, Conflict.SKIP)
    before = scene.there
    [name] = before
    with pytest.raises(Undelivered, match=f"{name} is there already") as refused:
        scene.place.deliver(scene.parcel(conflict="fail"), Notes(tmp_path / "1").course())
    assert refused.value.final
    receipt = scene.place.deliver(scene.parcel(conflict="skip"), Notes(tmp_path / "2").course())
    assert (receipt.to, receipt.kept) == (f"films/{name}", True)
    assert scene.there == before
    scene.place.deliver(scene.parcel(conflict="number"), Notes(tmp_path / "3").course())
    assert before.items() < scene.there.items()


def test_what_it_was_made_of_is_not_overwritten(file_scene: Scene, notes: Notes) -> None:
    source = file_scene.root / "films" / "clip.mp4"
    source.parent.mkdir()
    source.write_bytes(OLD)
    parcel = replace(file_scene.parcel(conflict="overwrite"), source=str(source))
    with pytest.raises(Undelivered, match="is what it was made of") as refused:
        file_scene.place.deliver(parcel, notes.course())
    assert (refused.value.final, source.read_bytes()) == (True, OLD)


def test_what_it_was_made_of_is_known_by_its_bytes_too(file_scene: Scene, notes: Notes, tmp_path: Path) -> None:
    """As where it was uploaded from there."""
    upload, film = tmp_path / "upload", file_scene.root / "films" / "clip.mp4"
    film.parent.mkdir()
    upload.write_bytes(OLD)
    film.write_bytes(OLD)
    parcel = replace(file_scene.parcel(conflict="overwrite"), source=str(upload))
    with pytest.raises(Undelivered, match="is what it was made of") as refused:
        file_scene.place.deliver(parcel, notes.course())
    assert (refused.value.final, film.read_bytes()) == (True, OLD)
    film.write_bytes(OLD[::-1])
    file_scene.place.deliver(parcel, notes.course())
    assert film.read_bytes() == file_scene.output.read_bytes()


@pytest.mark.parametrize("another", [False, True])
def test_what_it_was_made_of_is_not_overwritten_where_it_was_moved_to(
    file_scene: Scene, tmp_path: Path, another: bool
) -> None:
    """As while the share was away, to the place of the result that did not come; and touched there, or given tags."""
    film, source = file_scene.root / "films" / "clip.mp4", tmp_path / "source.mp4"
    film.parent.mkdir()
    film.write_bytes(OLD)
    os.utime(film, ns=(10**18, 10**18))
    if another:
        source.write_bytes(b"another that came to where it was")
    key = (len(OLD), 10**18, film.stat().st_ino)
    for change in (lambda: None, lambda: os.utime(film), lambda: film.write_bytes(OLD + b"tags")):
        change()
        before = film.read_bytes()
        parcel = replace(file_scene.parcel(conflict="overwrite"), source=str(source), source_key=key)
        with pytest.raises(Undelivered, match="is what it was made of, or may be"):
            file_scene.place.deliver(parcel, Notes(tmp_path / "notes").course())
        assert film.read_bytes() == before
    film.rename(source)
    os.utime(source, ns=(10**18, 10**18))
    film.write_bytes(OLD + b"another's")
    film_key = (source.stat().st_size, 10**18, source.stat().st_ino)
    file_scene.place.deliver(replace(parcel, source_key=film_key), Notes(tmp_path / "notes").course())
    assert film.read_bytes() == file_scene.output.read_bytes()


def test_a_folder_with_what_it_was_made_of_in_it_is_not_overwritten(tmp_path: Path, notes: Notes) -> None:
    scene = made(tmp_path, folder=True)
    scene.place.deliver(scene.parcel(), notes.course())
    source = scene.root / "films" / "clip_hls" / "0" / "0.m4s"
    parcel = replace(scene.parcel(1, conflict="overwrite"), source=str(source))
    with pytest.raises(Undelivered, match="clip_hls holds what it was made of"):
        scene.place.deliver(parcel, Notes(tmp_path / "more").course())
    assert source.exists()


@pytest.mark.parametrize("told", ["", "master.m3u8", "thumbnails.vtt"])
@pytest.mark.parametrize("name", ["thesis.odt", "wedding.mp4", "party/guests.jpg", "sprites-1.jpg"])
def test_a_folder_of_anything_is_not_overwritten(tmp_path: Path, notes: Notes, name: str, told: str) -> None:
    """However like files of outputs these are called."""
    scene = made(tmp_path, folder=True)
    folder = scene.root / "films" / "clip_hls"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(OLD)
    if told:
        (folder / told).write_text("#EXTM3U\n")
    with pytest.raises(Undelivered, match=f"holds '{name}'"):
        scene.place.deliver(scene.parcel(conflict="overwrite"), notes.course())
    assert (folder / name).read_bytes() == OLD


def test_a_file_does_not_overwrite_a_folder(file_scene: Scene, notes: Notes) -> None:
    (file_scene.root / "films" / "clip.mp4").mkdir(parents=True)
    with pytest.raises(Undelivered, match="files replace files") as refused:
        file_scene.place.deliver(file_scene.parcel(conflict="overwrite"), notes.course())
    assert refused.value.final


def test_five_thousand_of_one_name_are_numbered_in_few_looks(
    file_scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = file_scene.root / "films"
    folder.mkdir()
    for number in range(2, 5001):
        (folder / f"clip ({number}).mp4").touch()
    (folder / "clip.mp4").touch()
    looks = 0
    look = no_replace.status

    def counted(*where: Any) -> Any:
        nonlocal looks
        looks += 1
        return look(*where)

    monkeypatch.setattr(no_replace, "status", counted)
    receipt = file_scene.place.deliver(file_scene.parcel(conflict="number"), Notes(tmp_path / "1").course())
    assert receipt.to == "films/clip (5001).mp4"
    assert looks < 50


def test_two_that_want_one_name_at_the_same_moment_get_two(file_scene: Scene, tmp_path: Path) -> None:
    """The other one comes between the look and the rename."""
    other = file_scene.root / "films" / "clip.mp4"
    notes = Notes(tmp_path / "1")

    def note(landing: str | None, *_more: object) -> None:
        if not other.exists():
            other.write_bytes(OLD)
        notes.course().note(landing)

    course = Course(None, note, lambda: False)
    assert file_scene.place.deliver(file_scene.parcel(conflict="number"), course).to == "films/clip (2).mp4"
    assert other.read_bytes() == OLD


@pytest.mark.parametrize("links", [True, False])
def test_file_systems_that_cannot_rename_without_replacing_get_it_once_too(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    monkeypatch.setattr(no_replace, "_rename", lambda *_: errno.EINVAL)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for number, name in enumerate(["clip", "clip (2)"]):
        receipt = scene.place.deliver(scene.parcel(number, conflict="number"), Notes(tmp_path / name).course())
        assert receipt.to.replace("_hls", "").removesuffix(".mp4") == f"films/{name}"
    assert len(scene.there) == 2


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "no links here")


# How it lies there


def test_it_is_as_old_as_its_source_and_has_the_mode_that_was_asked(scene: Scene, notes: Notes) -> None:
    scene.place.deliver(scene.parcel(mode="0640", mtime="source"), notes.course())
    [path] = (scene.root / "films").iterdir()
    assert path.stat().st_mtime_ns == 10**18
    files = [file for file in [path, *path.rglob("*")] if file.is_file()]
    folders = [folder for folder in [path, path.parent, *path.rglob("*")] if folder.is_dir()]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o750}


def test_it_belongs_to_whom_the_operator_named(tmp_path: Path, notes: Notes) -> None:
    if os.geteuid():
        lacking("only root gives files away")
    scene = made(tmp_path, folder=True)
    place = Folders([scene.root], Paths(tmp_path / "state"), "nobody:daemon")
    place.deliver(scene.parcel(), notes.course())
    found = {(path.owner(), path.group()) for path in scene.root.rglob("*")}
    assert found == {("nobody", "daemon")}
    with pytest.raises(StartupError, match="is nobody on this host"):
        Folders([scene.root], Paths(tmp_path / "state"), "no such user")


def test_what_is_written_to_it_there_does_not_reach_the_spool(file_scene: Scene, notes: Notes) -> None:
    file_scene.place.deliver(file_scene.parcel(), notes.course())
    (file_scene.root / "films" / "clip.mp4").write_bytes(b"edited")
    assert file_scene.output.stat().st_size == 200_000


def test_one_whose_copy_is_dropped_takes_no_room_twice(file_scene: Scene, notes: Notes) -> None:
    file_scene.place.deliver(file_scene.parcel(keep=False), notes.course())
    assert (file_scene.root / "films" / "clip.mp4").samefile(file_scene.output)


# Where it may go


@pytest.mark.parametrize(
    ("folder", "error", "words"),
    [
        ("../elsewhere", InvalidRequest, "leads back and forth"),
        ("/etc", ForbiddenPath, "not below an output root"),
        ("films/CON", InvalidRequest, "none on some systems"),
        ("films/what?", InvalidRequest, "none on some systems"),
        ("films /new", InvalidRequest, "none on some systems"),
        ("file/new", InvalidRequest, "a file is in the way"),
        ("out", ForbiddenPath, "not below an output root of this daemon: name one by `--output-root FOLDER`"),
    ],
)
def test_a_folder_that_results_may_not_go_to_is_refused_at_once(
    file_scene: Scene, tmp_path: Path, folder: str, error: type[Exception], words: str
) -> None:
    (file_scene.root / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (file_scene.root / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(error, match=words):
        asyncio.run(file_scene.place.resolve(Deliver(folder=folder)))


def test_links_within_a_root_lead_where_they_lead(file_scene: Scene) -> None:
    (file_scene.root / "2030").mkdir()
    (file_scene.root / "current").symlink_to("2030")
    found = asyncio.run(file_scene.place.resolve(Deliver(folder="current/new")))
    assert found.below == "2030/new"


@pytest.mark.parametrize("step", ["films", "films/new"])
def test_a_folder_that_was_swapped_for_a_link_leads_nowhere(file_scene: Scene, notes: Notes, step: str) -> None:
    elsewhere = file_scene.root.parent / "elsewhere"
    (elsewhere / "new").mkdir(parents=True)
    (file_scene.root / "films" / "new").mkdir(parents=True)
    parcel = file_scene.parcel()
    destination = asyncio.run(file_scene.place.resolve(Deliver(folder="films/new")))
    parcel = Parcel(**{name: getattr(parcel, name) for name in parcel.__struct_fields__} | {"destination": destination})
    shutil.rmtree(file_scene.root / step)
    (file_scene.root / step).symlink_to(elsewhere)
    with pytest.raises(Undelivered, match="a link or a file stands where its folder was to be"):
        file_scene.place.deliver(parcel, notes.course())
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []


def test_an_output_root_in_the_state_dir_is_refused_at_the_start(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    for root in (paths.state, paths.spool / "jobs"):
        with pytest.raises(StartupError, match="is in the state dir"):
            Folders([root], paths)


def test_a_root_that_is_away_is_waited_for(file_scene: Scene, notes: Notes) -> None:
    parcel = file_scene.parcel()
    file_scene.root.rmdir()
    with pytest.raises(Undelivered, match="the output root is away") as refused:
        file_scene.place.deliver(parcel, notes.course())
    assert (refused.value.final, refused.value.away, file_scene.root.exists()) == (False, True, False)


# File systems


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    need_mounts()
    subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("keep", [True, False])
def test_another_file_system_gets_it_whole(scene: Scene, notes: Notes, keep: bool) -> None:
    with mounted(scene.root):
        parcel = scene.parcel(keep=keep)
        scene.place.deliver(parcel, notes.course())
        assert list(scene.there.values()) == [parcel.sha256]


def test_a_root_that_is_to_be_mounted_and_is_not_is_away(
    file_scene: Scene, notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is delivered there would fill the disk beneath, unseen once it is mounted."""
    need_mounts()
    table = tmp_path / "fstab"
    table.write_text(f"# what is mounted\nUUID=1 / ext4 defaults 0 1\nnas:/films {file_scene.root} nfs nofail 0 0\n")
    monkeypatch.setattr(mounts, "TO_MOUNT", table)
    with pytest.raises(Undelivered, match=r"is away, as /etc/fstab tells") as refused:
        file_scene.place.deliver(file_scene.parcel(), notes.course())
    assert (refused.value.final, refused.value.away, list(file_scene.root.iterdir())) == (False, True, [])
    assert "is not mounted" in asyncio.run(cli_checks.output_root(file_scene.root)).found
    with mounted(file_scene.root):
        parcel = file_scene.parcel()
        file_scene.place.deliver(parcel, notes.course())
        assert file_scene.there == {"clip.mp4": parcel.sha256}


def test_a_disk_that_fills_up_half_way_keeps_nothing_of_it(
    scene: Scene, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(scene.root, "-o", "size=4k"):
        parcel = scene.parcel()
        for known in (True, False):  # before it begins, and where nobody can tell
            with pytest.raises(Undelivered, match="no room for it") as refused:
                scene.place.deliver(parcel, notes.course())
            assert not refused.value.final
            assert scene.there == {}
            if known:
                monkeypatch.setattr("daemon.delivery.part.refuse_if_full", lambda *_: None)
        subprocess.run(["mount", "-o", "remount,size=8m", str(scene.root)], check=True)
        scene.place.deliver(parcel, notes.course())
        assert list(scene.there.values()) == [parcel.sha256]


def test_a_read_only_folder_is_waited_for(file_scene: Scene, notes: Notes) -> None:
    with mounted(file_scene.root):
        parcel = file_scene.parcel()
        subprocess.run(["mount", "-o", "remount,ro", str(file_scene.root)], check=True)
        with pytest.raises(Undelivered, match="read-only") as refused:
            file_scene.place.deliver(parcel, notes.course())
        assert not refused.value.final
        subprocess.run(["mount", "-o", "remount,rw", str(file_scene.root)], check=True)
        file_scene.place.deliver(parcel, notes.course())
        assert file_scene.there == {"clip.mp4": parcel.sha256}


# Its end


def test_what_is_not_wanted_any_more_stops_and_leaves_nothing(scene: Scene, notes: Notes) -> None:
    asked = iter([False])
    parcel = scene.parcel()
    with pytest.raises(Stopped):
        scene.place.deliver(parcel, notes.course(lambda: next(asked, True)))
    assert scene.there == {}


def test_what_attempts_left_is_withdrawn(file_scene: Scene, notes: Notes) -> None:
    parcel = file_scene.parcel()
    assert dies_before_its_name(file_scene, parcel, notes)
    assert len(file_scene.there) == 1
    file_scene.place.withdraw(parcel)
    assert file_scene.there == {}
    shutil.rmtree(file_scene.root / "films")
    file_scene.place.withdraw(parcel)  # nor does it make the folder
    assert not (file_scene.root / "films").exists()


def test_a_copy_that_came_out_otherwise_is_not_delivered(file_scene: Scene, notes: Notes) -> None:
    parcel = file_scene.parcel()
    file_scene.output.write_bytes(b"x" * 200_000)
    with pytest.raises(Undelivered, match="not what was made"):
        file_scene.place.deliver(parcel, notes.course())
    assert file_scene.there == {}
