"""Folders of files in buckets: what players are given of them comes last, and nothing is of two."""

from __future__ import annotations

import json
from typing import Any

import obstore
import pytest
from bucket_scene import (
    LADDER,
    OLD,
    PLAYLISTS,
    URL,
    Died,
    Notes,
    Scene,
    at_once,
    begun,
    dying_once_noted,
    restarted,
    tree,
    under_way,
)
from msgspec.structs import replace

from daemon.delivery.place import Course, Stopped
from daemon.errors import Undelivered
from daemon.models import Conflict
from daemon.storage.object_store import PART, ObjectStore
from daemon.storage.objects import DELIVERY


def test_what_players_are_given_of_a_ladder_comes_last(ladder: Scene, puts: list[str]) -> None:
    receipt = ladder.place.deliver(tree(ladder), Notes().course())
    assert (receipt.to, receipt.kept) == (f"{URL}/films/clip_hls", False)
    assert [key.removeprefix("films/clip_hls/") for key in puts[-2:]] == PLAYLISTS
    assert ladder.there == {f"films/clip_hls/{name}": content for name, content in LADDER.items()}
    said = {name: ladder.server.said(f"renders/films/clip_hls/{name}") for name in LADDER}
    assert {name: one["content-type"] for name, one in said.items()} == {
        "0/init.mp4": "video/mp4", "0/1.m4s": "video/iso.segment", "0/2.m4s": "video/iso.segment",
        "0/playlist.m3u8": "application/vnd.apple.mpegurl", "master.m3u8": "application/vnd.apple.mpegurl",
        "text.vtt": "text/vtt; charset=utf-8",
    }  # fmt: skip
    assert [name for name, one in said.items() if one.get("cache-control") == "no-cache"] == PLAYLISTS


def test_two_ladders_that_come_to_one_key_at_once_are_not_mixed(ladder: Scene) -> None:
    receipts, _ = at_once(ladder, [tree(ladder, number, conflict=Conflict.NUMBER) for number in range(2)])
    assert {receipt.to for receipt in receipts} == {f"{URL}/films/clip_hls", f"{URL}/films/clip_hls (2)"}


def test_a_ladder_does_not_go_on_where_another_came_meanwhile(ladder: Scene) -> None:
    first, second, notes = tree(ladder, conflict=Conflict.NUMBER), tree(ladder, 1, conflict=Conflict.NUMBER), Notes()

    def die(landing: str | None, *_more: object) -> None:
        notes.landing = landing
        raise Died

    with pytest.raises(Died):
        ladder.place.deliver(first, Course(None, die, lambda: False))
    assert ladder.place.deliver(second, Notes().course()).to == f"{URL}/films/clip_hls"
    assert ladder.place.deliver(first, notes.course()).to == f"{URL}/films/clip_hls (2)"
    assert len(ladder.there) == 2 * len(LADDER)


@pytest.mark.parametrize("conflict", list(Conflict))
@pytest.mark.parametrize("after", range(len(LADDER)))
def test_a_ladder_that_was_interrupted_goes_on_where_it_was(
    ladder: Scene, puts: list[str], conflict: Conflict, after: int
) -> None:
    notes, parcel = Notes(), tree(ladder, conflict=conflict)

    def dies() -> bool:
        if len(puts) > after - 1 and notes.landing:
            raise Died
        return False

    with pytest.raises(Died):
        ladder.place.deliver(parcel, notes.course(dies))
    assert len(puts) == after
    assert "films/clip_hls/master.m3u8" not in ladder.there
    assert ladder.place.deliver(parcel, notes.course()).to == f"{URL}/films/clip_hls"
    assert ladder.there == {f"films/clip_hls/{name}": content for name, content in LADDER.items()}
    assert len(puts) == len(LADDER)


@pytest.mark.parametrize("after", [1, 4, len(LADDER)])
def test_where_a_store_forgot_whose_they_are_a_ladder_goes_on_with_its_own(
    ladder: Scene, puts: list[str], after: int
) -> None:
    notes, parcel = Notes(), tree(ladder, conflict=Conflict.NUMBER)

    def dies() -> bool:
        if len(puts) > after - 1 and notes.landing:
            raise Died
        return False

    if after == len(LADDER):
        ladder.place.deliver(parcel, notes.course())
    else:
        with pytest.raises(Died):
            ladder.place.deliver(parcel, notes.course(dies))
    restarted(ladder.server)
    assert ladder.place.deliver(parcel, notes.course()).to == f"{URL}/films/clip_hls"
    assert len(puts) == len(ladder.there) == len(LADDER)


def test_one_that_nobody_wants_any_more_leaves_nothing_of_its_own(ladder: Scene, puts: list[str]) -> None:
    notes, parcel = Notes(), tree(ladder)
    with pytest.raises(Stopped):
        ladder.place.deliver(parcel, notes.course(lambda: len(puts) > 2))
    ladder.server.put("renders/films/clip_hls/another.m4s", OLD)
    ladder.place.withdraw(replace(parcel, landing=notes.landing))
    assert ladder.there == {"films/clip_hls/another.m4s": OLD}


def test_a_ladder_that_is_whole_is_not_withdrawn(ladder: Scene) -> None:
    notes, parcel = Notes(), tree(ladder)
    ladder.place.deliver(parcel, notes.course())
    ladder.place.withdraw(replace(parcel, landing=notes.landing))
    assert len(ladder.there) == len(LADDER)


@pytest.mark.parametrize(
    ("conflict", "to"),
    [
        (Conflict.NUMBER, "films/clip_hls (2)"),
        (Conflict.SKIP, "films/clip_hls"),
        (Conflict.OVERWRITE, "films/clip_hls"),
    ],
)
def test_a_ladder_takes_the_place_of_another_only_as_was_asked(ladder: Scene, conflict: Conflict, to: str) -> None:
    old = {f"films/clip_hls/{name}": OLD for name in ("master.m3u8", "0/1.m4s", "0/9.m4s")}
    for key, content in old.items():
        ladder.server.put(f"renders/{key}", content)
    receipt = ladder.place.deliver(tree(ladder, conflict=conflict), Notes().course())
    assert (receipt.to, receipt.kept) == (f"{URL}/{to}", conflict == Conflict.SKIP)
    new = {} if receipt.kept else {f"{to}/{name}": content for name, content in LADDER.items()}
    assert ladder.there == {**old, **new}, "what others put stays, but for what has the same name"


def test_what_the_ladder_before_had_goes_and_what_others_put_there_stays(ladder: Scene) -> None:
    before, after = tree(ladder), tree(ladder, 1, conflict=Conflict.OVERWRITE)
    ladder.place.deliver(before, Notes().course())
    below = "renders/films/clip_hls"
    obstore.put(ladder.server.store(), f"{below}/0/9.m4s", OLD, attributes={DELIVERY: before.id})
    ladder.server.put(f"{below}/precious.mp4", OLD)
    ladder.place.deliver(after, Notes().course())
    new = {f"films/clip_hls/{name}": content for name, content in LADDER.items()}
    assert ladder.there == {**new, "films/clip_hls/precious.mp4": OLD}


def test_nobody_gets_pieces_of_two_ladders(ladder: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder.server.put("renders/films/clip_hls/master.m3u8", OLD)
    seen: list[set[str]] = []
    real = ObjectStore.put

    def put(store: ObjectStore, *more: Any, **named: Any) -> None:
        seen.append(set(ladder.there))
        real(store, *more, **named)

    monkeypatch.setattr(ObjectStore, "put", put)
    ladder.place.deliver(tree(ladder, conflict=Conflict.OVERWRITE), Notes().course())
    assert len(seen) == len(LADDER)
    assert not any("films/clip_hls/master.m3u8" in there for there in seen)


def test_a_ladder_is_not_put_among_what_is_anothers(ladder: Scene) -> None:
    ladder.server.put("renders/films/clip_hls/letter.txt", OLD)
    for conflict, words in ((Conflict.FAIL, "clip_hls is there already"), (Conflict.OVERWRITE, "nothing of ours")):
        with pytest.raises(Undelivered, match=words):
            ladder.place.deliver(tree(ladder, conflict=conflict), Notes().course())
    assert ladder.there == {"films/clip_hls/letter.txt": OLD}


def test_a_ladder_that_is_taken_out_as_it_comes_is_sent_once(ladder: Scene, importer: list[str]) -> None:
    ladder.place.deliver(tree(ladder), Notes().course())
    assert sorted(importer) == sorted(f"films/clip_hls/{name}" for name in LADDER)


def test_of_a_ladder_uploads_to_its_own_keys_alone_are_aborted(ladder: Scene) -> None:
    (ladder.output / "0/1.m4s").write_bytes(bytes(PART + 1))
    parcel, notes = tree(ladder), Notes()
    with pytest.raises(Died):
        ladder.place.deliver(parcel, notes.course(dying_once_noted(notes)))
    folder = f"renders/{json.loads(str(notes.landing))['key']}"
    strange = [f"{folder}/0/2.m4s", f"{folder}/else/film.mov"]
    begun(ladder, f"{folder}/0/1.m4s", *strange)
    ladder.place.deliver(parcel, notes.course())
    assert under_way(ladder) == strange
