"""An original goes once the operator asks for that still, and what took its place is there."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from surroundings import thorough
from test_delivery_folder import dies_at
from test_originals import AGE, FILM, SMALLER, Journal, Scene, journal, originals, scene

from daemon.config_tables import AnyFolder, Folder, Replace, When
from daemon.database.store import Store
from daemon.delivery import moved as moves
from daemon.delivery.originals import Originals
from daemon.delivery.replacements import DAY, Replacements
from daemon.delivery.returning import Return, Step, Swap, opened
from daemon.delivery.standing_terms import StandingTerms
from daemon.errors import Conflict, NotFound, Undelivered
from daemon.media.model import Media, VideoStream
from daemon.paths import Paths
from daemon.proof.quality import Quality

__all__ = ["journal", "scene"]


def standing(scene: Scene, days: float = 0.0) -> Folder:
    terms = Replace(trash=scene.trash, min_saving=0, min_vmaf=0, keep_original_days=days)
    return Folder(name="library", path=scene.library, variations=(), recursive=True, replace=terms)


def unwanted(scene: Scene) -> dict[str, Folder]:
    """Today's tables, by why they do not take the film any more."""
    asked = standing(scene)
    return {
        "`exclude`": replace(asked, exclude=("films/*",)),
        "or `include`": replace(asked, include=("*.mp4",)),
        "says `recursive`": replace(asked, recursive=False),
    }


def others(scene: Scene) -> dict[str, Originals]:
    """Today's terms, by why nothing is replaced by them."""
    beside = replace(standing(scene), path=scene.library / "films")
    tables: dict[str, list[AnyFolder]] = {"no folder": [], "lies where": [beside]}
    tables["does not say"] = [replace(standing(scene), replace=None)]
    tables |= {words: [table] for words, table in unwanted(scene).items()}
    tables["it has 90000 bytes, not more"] = [replace(standing(scene), when=When(larger_than=len(FILM)))]
    places = {words: Originals(StandingTerms(folders)) for words, folders in tables.items()}
    places["more is asked"] = originals(scene.library.parent, min_vmaf=95)
    places["not smaller"] = originals(scene.library.parent, min_saving=0.9999)
    return places | {"another trash": originals(scene.library.parent, trash=scene.trash / "b")}


def test_what_was_taken_on_terms_that_do_not_stand_any_more_is_left(scene: Scene, tmp_path: Path) -> None:
    """Also what was begun by then."""
    for call in (0, *range(3, 1000, 6)):
        for words, place in others(scene).items():
            scene.renew()
            journal, parcel = Journal(tmp_path / "journal"), scene.parcel()
            died = dies_at(call, after=True, work=lambda p=parcel, j=journal: scene.place.deliver(p, j.course()))
            with pytest.raises(Undelivered, match=f"left as it is: .*{words}") as refused:
                place.deliver(parcel, journal.course())
            place.withdraw(replace(parcel, landing=journal.landing))
            assert (refused.value.final, scene.there) == (True, scene.untouched), call
        if not died:
            break


def test_what_is_as_stricter_terms_want_it_takes_its_place(scene: Scene, journal: Journal) -> None:
    parcel = replace(scene.parcel(), quality=Quality(metric="vmaf", mean=96.0))
    stricter = originals(scene.library.parent, min_vmaf=95, min_saving=1 - len(SMALLER) / len(FILM) - 0.001)
    stricter.deliver(parcel, journal.course())
    assert scene.there == scene.replaced


def test_what_rules_refuse_that_were_written_later_is_left(scene: Scene, journal: Journal) -> None:
    """They ask what its file holds; what is too young by them waits."""
    video = VideoStream(index=0, codec="hevc", width=1280, height=720, coded_width=1280, coded_height=720)
    held = Media(format="matroska", duration_seconds=10.0, video=video, audio=(), subtitles=())
    for asked, words in (
        (When(codec_not=("hevc",)), "refused by a rule: it is hevc already"),
        (When(older_than=10 * 365 * DAY), "it waits until it is as old as `older_than` of its folder asks"),
    ):
        place = Originals(StandingTerms([replace(standing(scene), when=asked)], now=lambda: AGE / 1e9 + DAY))
        with pytest.raises(Undelivered, match=words) as refused:
            place.deliver(replace(scene.parcel(), media=held), journal.course())
        assert (refused.value.final, scene.there) == (asked.older_than == 0, scene.untouched)


# The trash


def replaced(scene: Scene, journal: Journal, folders: Iterable[AnyFolder], **more: Any) -> Any:
    """What the sweep makes of the trash 20 days later; `then` is done to what took the original's place first."""
    parcel = scene.parcel()
    receipt = scene.place.deliver(parcel, journal.course())
    row = {"id": parcel.id, "job": "j", "folder": "library", "name": f"films/{scene.name}", "taken_by": receipt.to,
           "aside": receipt.aside, "wanted": msgspec.json.encode(parcel.destination).decode(),
           "original_bytes": len(FILM), "bytes": len(SMALLER), "sha256": parcel.sha256,
           "now": 0.0, "keep": 0.0}  # fmt: skip
    file = {"folder": "library", "recipe": "r", "inode": 1, "bytes": 1, "modified": 1, "name": "f", "job": "j",
            "error": None, "fate": None, "disk": None, "returns": 0, "now": 0.0}  # fmt: skip
    more.get("then", lambda _: None)(scene.library / receipt.to)

    async def swept() -> Any:
        paths = Paths(scene.library.parent / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        try:
            await store.write(lambda t: [t.run("insert_watched_file", **file), t.run("insert_replacement", **row)])
            await store.write(lambda t: t.run("record_replaced", job="j", outcome="replaced"))
            if more.get("step"):
                await store.write(lambda t: t.one("step_replacement", id=row["id"], before="done", step=more["step"]))
            if more.get("paused"):
                await store.write(lambda t: t.run("pause_folder", folder="library"))
            keeper = Replacements(store, StandingTerms(folders))
            for _ in range(more.get("times", 1)):
                await keeper.tidy(20 * DAY)
            key = {"folder": "library", "recipe": "r", "ruled": "r", "limit": 9, "below": 9e99, "inode": 0}
            [told] = await store.read(lambda t: t.all("watched_history", **key))
            if more.get("not_at"):
                with pytest.raises(NotFound, match="took the place of an original"):
                    await Replacements(store, StandingTerms(folders)).undo(str(more["not_at"]))
            if more.get("undo"):
                await Replacements(store, StandingTerms(folders)).undo(str(more["undo"]))
            return told["said"]
        finally:
            await store.close()

    return asyncio.run(swept())


def is_kept(scene: Scene) -> bool:
    return FILM in scene.there.values() and scene.name not in scene.there


def test_an_original_goes_once_it_was_kept_for_its_time(scene: Scene, journal: Journal) -> None:
    assert replaced(scene, journal, [standing(scene)]) is None
    assert list(scene.trash.iterdir()) == []


def test_the_trash_of_a_folder_that_is_not_there_any_more_is_left(scene: Scene, journal: Journal) -> None:
    replaced(scene, journal, [])
    assert len(list(scene.trash.iterdir())) == 1


def test_the_trash_of_a_paused_folder_is_left(scene: Scene, journal: Journal) -> None:
    replaced(scene, journal, [standing(scene)], paused=True)
    assert len(list(scene.trash.iterdir())) == 1


def test_the_trash_of_what_its_folder_does_not_take_any_more_is_left_and_told(scene: Scene, tmp_path: Path) -> None:
    for words, table in unwanted(scene).items():
        scene.renew()
        shutil.rmtree(tmp_path / "state", ignore_errors=True)
        said = replaced(scene, Journal(tmp_path / "journal"), [table], times=2)
        assert (words in said, "stays in the trash" in said, len(list(scene.trash.iterdir()))) == (True, True, 1)


def test_what_is_to_be_kept_longer_by_now_is(scene: Scene, journal: Journal) -> None:
    replaced(scene, journal, [standing(scene, 30)])
    assert len(list(scene.trash.iterdir())) == 1


@pytest.mark.parametrize("step", [None, "emptying"])
@pytest.mark.parametrize("words", ["is not there any more", "is damaged or was changed"])
def test_an_original_is_kept_where_what_took_its_place_is_not(
    scene: Scene, journal: Journal, words: str, step: str | None
) -> None:
    def lost(made: Path) -> None:
        made.unlink()
        if "damaged" in words:
            made.write_bytes(bytes(len(SMALLER)))

    said = replaced(scene, journal, [standing(scene)], then=lost, step=step)
    assert (words in said, "`ffspool folders undo` puts it back" in said) == (True, True)
    assert len(list(scene.trash.iterdir())) == 1


def test_what_took_its_place_and_was_renamed_or_touched_is_there(scene: Scene, journal: Journal) -> None:
    replaced(
        scene, journal, [standing(scene)], then=lambda made: made.rename(made.with_name("Film (2020).mkv")).touch()
    )
    assert list(scene.trash.iterdir()) == []


def test_an_original_is_put_back_by_the_new_name_of_what_took_its_place(scene: Scene, journal: Journal) -> None:
    new = scene.film.with_name("Film (2020).mkv")
    days = [standing(scene, 30)]
    replaced(scene, journal, days, then=lambda made: made.rename(new).touch(), undo=new)
    assert scene.there == scene.untouched


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("undo", [True, False])
def test_originals_are_known_in_a_folder_that_lies_elsewhere_by_now(
    scene: Scene, journal: Journal, inside: bool, undo: bool
) -> None:
    new = scene.library.with_name("elsewhere")
    if inside:
        trash = scene.library / ".trash"
        scene = scene._replace(trash=trash, place=originals(scene.library.parent, trash=trash))
        trash.mkdir()
    today = standing(scene, 30 if undo else 0)
    assert today.replace
    trash = new / ".trash" if inside else scene.trash
    there = replace(today, path=new, replace=replace(today.replace, trash=trash))
    more = {"undo": new / "films" / scene.name} if undo else {}
    replaced(scene, journal, [there], then=lambda _: scene.library.rename(new), **more)
    assert list(trash.iterdir()) == []
    assert [path.read_bytes() for path in (new / "films").iterdir()] == [FILM if undo else SMALLER]


@pytest.mark.parametrize("undo", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_originals_are_known_in_a_trash_that_lies_elsewhere_by_now(
    scene: Scene, journal: Journal, whole: bool, undo: bool
) -> None:
    """Be it moved with its library or by itself."""
    new = scene.library.with_name("elsewhere") if whole else scene.library
    trash = scene.trash.with_name("elsewhere's trash")
    today = standing(scene._replace(library=new, trash=trash), 30 if undo else 0)

    def moved_on(_: Path) -> None:
        scene.trash.rename(trash)
        if whole:
            scene.library.rename(new)

    replaced(scene, journal, [today], then=moved_on, **({"undo": new / "films" / scene.name} if undo else {}))
    assert list(trash.iterdir()) == []
    assert [path.read_bytes() for path in (new / "films").iterdir()] == [FILM if undo else SMALLER]


def test_originals_of_a_library_that_was_copied_are_those_of_the_first(scene: Scene, journal: Journal) -> None:
    new = scene.library.with_name("copy")
    there = replace(standing(scene, 30), path=new)
    replaced(scene, journal, [there], then=lambda _: shutil.copytree(scene.library, new), undo=scene.film)
    assert scene.there == scene.untouched


def test_an_original_that_could_not_be_removed_from_the_trash_is_put_back_all_the_same(
    scene: Scene, journal: Journal
) -> None:
    replaced(scene, journal, [], step="emptying", undo=scene.film)
    assert scene.there == scene.untouched


def test_a_copy_of_what_took_its_place_is_not_taken_for_it(scene: Scene, journal: Journal) -> None:
    copy = scene.film.with_name("copy.mkv")

    def copied(made: Path) -> None:
        shutil.copy(made, copy)

    replaced(scene, journal, [standing(scene, 30)], then=copied, not_at=copy, undo=scene.film)
    assert scene.there == scene.untouched | {"copy.mkv": SMALLER}


def test_an_original_is_put_back_by_any_path_that_leads_to_it(scene: Scene) -> None:
    """As that which a shell tells within a folder that is a link."""
    real = scene.library.with_name("disk")
    (scene.library.with_name("other way")).symlink_to(real)

    def through_a_link(_: Path) -> None:
        scene.library.rename(real)
        scene.library.symlink_to(real)

    for way in (real, real.with_name("other way")):
        scene.library.unlink() if scene.library.is_symlink() else None
        real.rename(scene.library) if real.exists() else None
        scene.renew()
        shutil.rmtree(scene.library.parent / "state", ignore_errors=True)
        new = Journal(scene.library.parent / "journal")
        replaced(scene, new, [standing(scene, 30)], then=through_a_link, undo=way / "films" / scene.name)
        assert scene.there == scene.untouched


def test_what_is_not_in_the_trash_any_more_does_not_pass_for_put_back(scene: Scene, journal: Journal) -> None:
    """As where somebody empties the trash while it is put back."""

    def emptied(_: Path) -> None:
        for path in scene.trash.iterdir():
            path.unlink()

    with pytest.raises(Conflict, match="is not in the trash any more"):
        replaced(scene, journal, [standing(scene, 30)], then=emptied, step="undoing", undo=scene.film)
    assert list(scene.there.values()) == [SMALLER]


def moved(made: Path) -> None:
    """To another folder of the tree, under another name."""
    new = made.parent.parent / "series" / "one" / "S01E01.mkv"
    new.parent.mkdir(parents=True)
    made.rename(new)


def moved_with_its_folder(made: Path) -> None:
    made.parent.rename(made.parent.with_name("Films (2020)"))


@pytest.mark.parametrize("move", [moved, moved_with_its_folder])
def test_what_took_its_place_and_was_moved_within_the_tree_is_there(
    scene: Scene, journal: Journal, move: Callable[[Path], None]
) -> None:
    assert replaced(scene, journal, [standing(scene)], then=move) is None
    assert list(scene.trash.iterdir()) == []


def test_what_took_its_place_and_has_a_name_that_is_no_text_by_now_keeps_its_original(
    scene: Scene, journal: Journal
) -> None:
    def renamed(made: Path) -> None:
        (scene.library / "other").mkdir()
        made.rename(scene.library / "other" / os.fsdecode(b"\xfe.mkv"))

    assert "is not there any more" in replaced(scene, journal, [standing(scene)], then=renamed)
    assert len(list(scene.trash.iterdir())) == 1


def test_a_tree_is_not_looked_through_for_it_again_and_again(
    scene: Scene, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, by_size = [], moves.by_size
    monkeypatch.setattr(moves, "by_size", lambda *asked: looks.append(asked) or by_size(*asked))
    replaced(scene, journal, [standing(scene)], then=Path.unlink, times=5)
    assert len(looks) == 1


def test_what_is_like_it_and_elsewhere_is_not_taken_for_it(scene: Scene, journal: Journal) -> None:
    def lost(made: Path) -> None:
        made.rename(scene.library / "another.mkv")
        (scene.library / "another.mkv").write_bytes(bytes(len(SMALLER)))

    assert "is not there any more" in replaced(scene, journal, [standing(scene)], then=lost)
    assert len(list(scene.trash.iterdir())) == 1


def test_an_original_is_put_back_by_where_what_took_its_place_was_moved_to(scene: Scene, journal: Journal) -> None:
    new = scene.library / "series" / "one" / "S01E01.mkv"
    replaced(scene, journal, [standing(scene, 30)], then=moved, undo=new)
    assert (scene.there, list(new.parent.iterdir())) == (scene.untouched, [])


@pytest.mark.parametrize("after", [False, thorough(True)])
def test_at_whatever_call_such_an_undoing_dies_it_is_gone_on_with(
    scene: Scene, journal: Journal, tmp_path: Path, after: bool
) -> None:
    for call in range(100):
        scene.renew()
        shutil.rmtree(scene.library / "series", ignore_errors=True)
        journal = Journal(tmp_path / "journal")
        parcel = scene.parcel()
        receipt = scene.place.deliver(parcel, journal.course())
        moved(scene.library / receipt.to)
        swap = Swap(
            step=Step.PLACING, name="S01E01.mkv", aside=receipt.aside or "", bytes=parcel.bytes, sha256=parcel.sha256
        )

        def back(parcel: Any = parcel, swap: Swap = swap) -> None:
            with opened(parcel.destination, swap, make=True, moved=("series", "one")) as folders:
                Return(folders, parcel.id, parcel.destination, swap).carry_out()

        died = dies_at(call, after=after, work=back)
        back()
        assert (scene.there, list((scene.library / "series" / "one").iterdir())) == (scene.untouched, []), call
        if not died:
            break
    assert call > 3
