"""An output takes its original's place, or does not: at whatever call the daemon dies, one is there, the other kept."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace
from surroundings import thorough
from test_delivery_folder import DEADLY, dies_at, mounted, refuse

from daemon.config_tables import Folder, Replace
from daemon.delivery import disk_mark, no_replace, result_mark
from daemon.delivery.originals import Originals
from daemon.delivery.place import Course, Parcel, Receipt, Stopped
from daemon.delivery.returning import Return, Step, Swap, opened
from daemon.delivery.standing_terms import StandingTerms
from daemon.errors import Undelivered
from daemon.models import Replacing
from daemon.proof.publish import seal
from daemon.source_files import identity_of

AGE = 1_500_000_000_123_456_789  # of originals, in nanoseconds
FILM = os.urandom(90_000)
SMALLER = os.urandom(60_000)


class Scene(NamedTuple):
    """A library with a film, its trash, and an output in the spool."""

    library: Path
    trash: Path
    spool: Path
    name: str  # the film's
    place: Originals

    @property
    def film(self) -> Path:
        return self.library / "films" / self.name

    def renew(self) -> None:
        for folder in (self.film.parent, self.trash, self.spool):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        (self.spool / "output.mkv").write_bytes(SMALLER)
        self.film.write_bytes(FILM)
        self.film.chmod(0o640)
        os.utime(self.film, ns=(AGE, AGE))

    def parcel(self, **more: Any) -> Parcel:
        output, now = self.spool / "output.mkv", self.film.stat()
        disk = disk_mark.keep(self.library, f"films/{self.name}", identity_of(now))
        wish = Replacing(
            folder="library", root=str(self.library), disk=disk, name=f"films/{self.name}",
            bytes=now.st_size, inode=now.st_ino, modified=now.st_mtime_ns, sha256=seal(self.film)[1],
            trash=str(self.trash), **more,
        )  # fmt: skip
        size, sha256, _ = seal(output)
        destination = asyncio.run(self.place.resolve(wish))
        return Parcel(
            id="0123456789abcdef", destination=destination, output=output, bytes=size, sha256=sha256,
            modified=wish.modified,
        )  # fmt: skip

    @property
    def there(self) -> dict[str, bytes]:
        """What lies beside the film, and in the trash: there as the film's name with what was put into it."""
        beside = {path.name: path.read_bytes() for path in self.film.parent.iterdir()}
        aside = {f"trash/{path.suffix}": path.read_bytes() for path in self.trash.iterdir()}
        return beside | aside

    @property
    def replaced(self) -> dict[str, bytes]:
        return {self.film.with_suffix(".mkv").name: SMALLER, f"trash/{self.film.suffix}": FILM}

    @property
    def untouched(self) -> dict[str, bytes]:
        return {self.name: FILM}


def originals(tmp_path: Path, **terms: Any) -> Originals:
    """The place, where the library's files are replaced on the mildest terms."""
    asked = Replace(**{"trash": tmp_path / "trash", "min_saving": 0, "min_vmaf": 0, **terms})
    table = Folder(name="library", path=tmp_path / "library", variations=(), recursive=True, replace=asked)
    return Originals(StandingTerms([table]))


@pytest.fixture(params=["film.mkv", thorough("film.avi")])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    scene = Scene(tmp_path / "library", tmp_path / "trash", tmp_path / "spool", request.param, originals(tmp_path))
    scene.library.mkdir()
    scene.renew()
    return scene


class Journal:
    """What is noted, as durable as a row: it is written at one moment, by a call at which one may die."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._file.write_text("")

    def course(self) -> Course:
        return Course(self._file.read_text() or None, self._note, lambda: False)

    def _note(self, landing: str | None, _brought: object) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(landing or "")
        os.rename(new, self._file)  # noqa: PTH104 - one of the calls at which it may die

    @property
    def landing(self) -> str | None:
        return self._file.read_text() or None


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def test_an_output_takes_its_originals_place_and_looks_like_it(scene: Scene, journal: Journal) -> None:
    os.setxattr(scene.film, "user.rating", b"5")
    os.setxattr(scene.film, result_mark.ATTRIBUTE, b"not the output's")
    if os.geteuid() == 0:
        os.chown(scene.film, 1234, 4321)
    before = scene.film.stat()
    receipt = scene.place.deliver(scene.parcel(), journal.course())
    assert scene.there == scene.replaced
    new = scene.library / receipt.to
    assert (new.name, receipt.aside) == (
        scene.film.with_suffix(".mkv").name,
        f"film.0123456789abcdef{scene.film.suffix}",
    )
    after = new.stat()
    told = ("st_mtime_ns", "st_mode", "st_uid", "st_gid")
    assert [getattr(after, name) for name in told] == [getattr(before, name) for name in told]
    assert os.getxattr(new, "user.rating") == b"5"
    assert [mark.bytes for mark in result_mark.marks_of(new)] == [len(SMALLER)]


# Deaths and refusals


@pytest.mark.parametrize(
    ("way", "after"), [thorough("deliver", True), ("deliver", False), thorough("withdraw", True), ("withdraw", False)]
)
def test_at_whatever_call_one_dies_it_is_gone_on_with_or_undone(
    scene: Scene, tmp_path: Path, way: str, after: bool
) -> None:
    deaths = 0
    for call in range(1000):
        scene.renew()
        journal, parcel = Journal(tmp_path / "journal"), scene.parcel()
        died = dies_at(call, after=after, work=partial(scene.place.deliver, parcel, journal.course()))
        assert FILM in scene.there.values(), call
        if way == "deliver":
            scene.place.deliver(parcel, journal.course())
            assert scene.there == scene.replaced, call
        elif died:
            scene.place.withdraw(replace(parcel, landing=journal.landing))
            assert scene.there == scene.untouched, call
        if not died:
            break
        deaths += 1
    assert deaths > 12


@pytest.mark.parametrize("links", [True, thorough(False)])
@pytest.mark.parametrize("way", ["deliver", thorough("withdraw")])
def test_file_systems_that_cannot_rename_without_replacing_lose_nothing_either(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, way: str
) -> None:
    monkeypatch.setattr(no_replace, "_rename", lambda *_: errno.EINVAL)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    test_at_whatever_call_one_dies_it_is_gone_on_with_or_undone(scene, tmp_path, way, after=True)


def swap_of(receipt: Receipt, sha256: str | None = None) -> Swap:
    assert receipt.aside is not None
    return Swap(step=Step.PLACING, name=Path(receipt.to).name, aside=receipt.aside, bytes=len(SMALLER), sha256=sha256)


def back(parcel: Parcel, swap: Swap) -> None:
    with opened(parcel.destination, swap, make=True) as folders:
        Return(folders, parcel.id, parcel.destination, swap).carry_out()


@pytest.mark.parametrize("after", [False, thorough(True)])
def test_at_whatever_call_an_undoing_dies_it_is_gone_on_with(scene: Scene, journal: Journal, after: bool) -> None:
    deaths = 0
    for call in range(1000):
        scene.renew()
        parcel = scene.parcel()
        swap = swap_of(scene.place.deliver(parcel, journal.course()))
        (journal._file).write_text("")
        died = dies_at(call, after=after, work=partial(back, parcel, swap))
        assert FILM in scene.there.values(), call
        back(parcel, swap)
        assert scene.there == scene.untouched, call
        if not died:
            break
        deaths += 1
    assert deaths > 8


@pytest.mark.parametrize("error", [errno.EIO, thorough(errno.ENOSPC)])
@pytest.mark.parametrize("times", [1, thorough(3)])
def test_whatever_the_disk_refuses_one_is_in_its_place_and_all_is_well_later(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, times: int
) -> None:
    refused = 0
    for call in range(1000):
        scene.renew()
        journal, parcel = Journal(tmp_path / "journal"), scene.parcel()
        with monkeypatch.context() as patched:
            left = refusing(patched, range(call, call + times), error)
            try:
                scene.place.deliver(parcel, journal.course())
            except (Undelivered, OSError):
                refused += 1
        assert FILM in scene.there.values(), call
        if times == 1:  # else what puts it back is refused as well
            in_place = [scene.there.get(name) for name in {scene.name, "film.mkv"}]
            assert [film in in_place for film in (FILM, SMALLER)].count(True) == 1, call
        scene.place.deliver(parcel, journal.course())
        assert scene.there == scene.replaced, call
        if next(left, None) == call:
            break
    assert refused > 8


def refusing(patched: pytest.MonkeyPatch, calls: range, error: int) -> Iterator[int]:
    """Has the disk refuse these of the calls that change something; gives those that were not come to."""
    counted, left = iter(range(10_000)), iter(calls)

    def deceived(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **more: Any) -> Any:
            if next(counted) not in calls:
                return function(*arguments, **more)
            next(left, None)
            if function is not rename:
                raise OSError(error, os.strerror(error))
            return error

        for known in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd):
            if function in known:
                known.add(call)
        return call

    rename = no_replace._rename
    for name in DEADLY:
        patched.setattr(os, name, deceived(getattr(os, name)))
    patched.setattr(no_replace, "_rename", deceived(rename))
    return left


# What is not replaced


def test_what_is_not_as_it_was_is_left(scene: Scene, journal: Journal) -> None:
    parcel = scene.parcel()

    def refused(words: str) -> None:
        there = scene.there
        with pytest.raises(Undelivered, match=words) as found:
            scene.place.deliver(parcel, journal.course())
        assert found.value.final
        assert scene.there == there

    os.utime(scene.film, ns=(AGE + 1, AGE + 1))
    refused("was changed")
    scene.film.write_bytes(os.urandom(len(FILM)))
    os.utime(scene.film, ns=(AGE, AGE))
    refused("was changed")  # which its bytes alone tell
    scene.renew()
    parcel = scene.parcel()
    os.link(scene.film, scene.library / "second name")
    refused("hard links")
    scene.film.unlink()
    refused("not there any more")


def test_an_original_that_somebody_has_open_to_write_waits(scene: Scene, journal: Journal) -> None:
    parcel = scene.parcel()
    with scene.film.open("r+b"), pytest.raises(Undelivered, match="open to write") as waits:
        scene.place.deliver(parcel, journal.course())
    assert (waits.value.final, scene.film.read_bytes()) == (False, FILM)
    scene.place.deliver(parcel, journal.course())
    assert scene.there == scene.replaced


def test_what_changes_between_the_last_look_and_the_rename_comes_back(
    scene: Scene, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = no_replace.put

    def late(*where: Any, **more: Any) -> bool:
        if scene.film.exists() and not list(scene.trash.iterdir()):
            scene.film.write_bytes(b"another")
        return put(*where, **more)

    monkeypatch.setattr(no_replace, "put", late)
    parcel = scene.parcel()
    with pytest.raises(Undelivered, match="was changed"):
        scene.place.deliver(parcel, journal.course())
    scene.place.withdraw(replace(parcel, landing=journal.landing))
    assert scene.there == {scene.name: b"another"}


def test_what_changes_while_its_output_is_written_is_left(scene: Scene, journal: Journal) -> None:
    parcel, course = scene.parcel(), journal.course()

    def note(landing: str | None, brought: Any) -> None:
        course_note(landing, brought)
        os.utime(scene.film, ns=(AGE + 10**10, AGE + 10**10))

    course_note, course.note = course.note, note
    with pytest.raises(Undelivered, match="was changed"):
        scene.place.deliver(parcel, course)
    scene.place.withdraw(replace(parcel, landing=journal.landing))
    assert scene.there == scene.untouched


def test_one_that_is_not_wanted_any_more_has_all_as_it_was(scene: Scene, tmp_path: Path) -> None:
    for steps in range(100):
        scene.renew()
        journal, parcel, left = Journal(tmp_path / "journal"), scene.parcel(), iter(range(steps))
        course = Course(None, journal.course().note, lambda left=left: next(left, None) is None)
        try:
            scene.place.deliver(parcel, course)
        except Stopped:
            scene.place.withdraw(replace(parcel, landing=journal.landing))
            assert scene.there == scene.untouched
        else:
            break
    assert steps > 3


def test_a_folder_that_is_away_is_waited_for(scene: Scene, journal: Journal) -> None:
    parcel = scene.parcel()
    scene.library.rename(scene.library.with_name("away"))
    for _ in range(2):
        with pytest.raises(Undelivered, match="is away") as refused:
            scene.place.deliver(parcel, journal.course())
        assert not refused.value.final
        scene.library.mkdir(exist_ok=True)  # as where nothing is mounted
    scene.library.rmdir()
    scene.library.with_name("away").rename(scene.library)
    scene.place.deliver(parcel, journal.course())
    assert scene.there == scene.replaced


def test_a_trash_on_another_file_system_leaves_all_as_it_is(scene: Scene, journal: Journal) -> None:
    with mounted(scene.trash):
        parcel = scene.parcel()
        with pytest.raises(Undelivered, match="another file system") as refused:
            scene.place.deliver(parcel, journal.course())
        assert refused.value.final
        scene.place.withdraw(replace(parcel, landing=journal.landing))
        assert scene.there == scene.untouched


def test_what_looks_like_what_took_its_place_is_told_from_it_by_its_bytes(scene: Scene, journal: Journal) -> None:
    parcel = scene.parcel()
    swap = swap_of(scene.place.deliver(parcel, journal.course()), parcel.sha256)
    there, users = scene.film.with_suffix(".mkv"), os.urandom(len(SMALLER))
    there.write_bytes(users)
    os.utime(there, ns=(AGE, AGE))
    with opened(parcel.destination, swap) as folders:
        assert "was changed since" in (Return(folders, parcel.id, parcel.destination, swap).obstacle() or "")
    back(parcel, swap)
    assert sorted(scene.there.values()) == sorted([users, FILM])
    assert there.read_bytes() == users


def test_what_comes_to_lie_there_while_it_is_undone_is_kept(
    scene: Scene, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel, rename, there = scene.parcel(), os.rename, scene.film.with_suffix(".mkv")
    swap = swap_of(scene.place.deliver(parcel, journal.course()), parcel.sha256)

    def late(*names: Any, **more: Any) -> None:
        there.unlink()
        there.write_bytes(b"another")
        rename(*names, **more)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(Undelivered, match="changed"):
        back(parcel, swap)
    monkeypatch.setattr(os, "rename", rename)
    assert there.read_bytes() == b"another"
    back(parcel, swap)
    assert sorted(scene.there.values()) == sorted([b"another", FILM])


def test_an_original_comes_back_beside_what_else_lies_there_by_now(scene: Scene, journal: Journal) -> None:
    parcel = scene.parcel()
    swap = swap_of(scene.place.deliver(parcel, journal.course()))
    scene.film.with_suffix(".mkv").unlink()
    scene.film.write_bytes(b"another")
    back(parcel, swap)
    numbered = scene.film.with_stem("film (2)").name
    assert scene.there == {scene.name: b"another", numbered: FILM}


@pytest.mark.parametrize(
    ("beside", "holds", "words"),
    [
        ("index.m3u8", "#EXTM3U\n{name}\n", "it is part of a stream or disc: index.m3u8 names it"),
        ("{name}.sha256", "", "{name}.sha256 is of this very file, by its name, and would be of none"),
    ],
)
def test_what_became_part_of_something_since_it_was_taken_is_left(
    scene: Scene, journal: Journal, beside: str, holds: str, words: str
) -> None:
    """As where a folder is copied there, and its playlist comes last."""
    parcel, last = scene.parcel(), scene.film.with_name(beside.format(name=scene.name))
    last.write_text(holds.format(name=scene.name))
    with pytest.raises(Undelivered, match=words.format(name=scene.name)) as refused:
        scene.place.deliver(parcel, journal.course())
    scene.place.withdraw(replace(parcel, landing=journal.landing))
    assert (refused.value.final, scene.there) == (True, scene.untouched | {last.name: last.read_bytes()})
