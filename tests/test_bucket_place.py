"""The place that buckets are: each output comes there whole and once, whatever the store and the daemon go through."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bucket_scene import (
    OLD,
    URL,
    WAITS,
    Died,
    Notes,
    Scene,
    at_once,
    begun,
    dying_once_noted,
    named,
    place,
    restarted,
    s3,
    under_way,
)
from conftest import PATIENCE, wait_until
from file_host import certified, hosting
from msgspec.structs import replace
from receiving_host import ReceivingHost, Visit, receiving
from s3_server import BUCKET, KEY, MotoServer, S3Server, keys_file

from daemon.config_tables import Bucket
from daemon.delivery.place import Course, Parcel, Stopped
from daemon.errors import ForbiddenPath, StartupError, Undelivered
from daemon.models import Conflict
from daemon.storage import credentials, leftovers, object_store, s3_requests
from daemon.storage.buckets import Buckets, meant
from daemon.storage.object_store import PART, ObjectStore, Taken


@pytest.mark.parametrize(
    ("conflict", "to", "there"),
    [
        (Conflict.NUMBER, "films/clip (3).mp4", {"films/clip.mp4", "films/clip (2).mp4", "films/clip (3).mp4"}),
        (Conflict.OVERWRITE, "films/clip.mp4", {"films/clip.mp4", "films/clip (2).mp4"}),
        (Conflict.SKIP, "films/clip.mp4", {"films/clip.mp4", "films/clip (2).mp4"}),
        (Conflict.FAIL, None, {"films/clip.mp4", "films/clip (2).mp4"}),
    ],
)
def test_an_object_that_is_there_is_left_but_where_it_is_to_be_replaced(
    scene: Scene, conflict: Conflict, to: str | None, there: set[str]
) -> None:
    for key in ("renders/films/clip.mp4", "renders/films/clip (2).mp4"):
        scene.server.put(key, OLD)
    parcel = scene.parcel(conflict=conflict)
    if to is None:
        with pytest.raises(Undelivered, match=r"clip\.mp4 is there already") as refused:
            scene.place.deliver(parcel, Notes().course())
        assert refused.value.final
    else:
        receipt = scene.place.deliver(parcel, Notes().course())
        assert (receipt.to, receipt.kept) == (f"{URL}/{to}", conflict == Conflict.SKIP)
    new = {to} if to and conflict != Conflict.SKIP else set()
    assert scene.there == {key: scene.output.read_bytes() if key in new else OLD for key in there}


@pytest.mark.parametrize("size", [1000, 3 * PART + 17])
@pytest.mark.parametrize("conflict", list(Conflict))
def test_one_that_was_put_before_the_daemon_died_is_not_put_again(scene: Scene, conflict: Conflict, size: int) -> None:
    scene.output.write_bytes(bytes(size))
    notes, parcel = Notes(), scene.parcel(conflict=conflict)
    first = scene.place.deliver(parcel, notes.course())
    scene.output.unlink()
    assert scene.place.deliver(parcel, notes.course()) == first
    assert [len(content) for content in scene.there.values()] == [size]


@pytest.mark.parametrize("conflict", list(Conflict))
def test_where_a_store_forgot_whose_it_is_one_that_was_put_is_known_by_its_bytes(
    scene: Scene, conflict: Conflict, puts: list[str]
) -> None:
    notes, parcel = Notes(), scene.parcel(conflict=conflict)
    first = scene.place.deliver(parcel, notes.course())
    restarted(scene.server)
    assert scene.place.deliver(parcel, notes.course()) == first
    assert puts == ["films/clip.mp4"]
    scene.server.put("renders/films/clip.mp4", bytes(parcel.bytes))
    restarted(scene.server)
    if conflict == Conflict.FAIL:
        with pytest.raises(Undelivered, match="is there already"):
            scene.place.deliver(parcel, notes.course())
    else:
        receipt = scene.place.deliver(parcel, notes.course())
        assert (receipt.kept, len(puts)) == (conflict == Conflict.SKIP, 1 + (conflict != Conflict.SKIP))


def test_what_another_delivery_put_is_not_taken_for_its_own(scene: Scene) -> None:
    notes, parcel = Notes(), scene.parcel(conflict=Conflict.NUMBER)
    scene.place.deliver(parcel, notes.course())
    other = replace(parcel, id="f" * 16)
    assert scene.place.deliver(other, notes.course()).to == f"{URL}/films/clip (2).mp4"


@pytest.mark.parametrize("size", [1000, 3 * PART])
def test_what_is_not_as_it_was_made_any_more_is_not_put(scene: Scene, size: int) -> None:
    scene.output.write_bytes(bytes(size))
    parcel = scene.parcel()
    with scene.output.open("r+b") as file:
        file.seek(size - 1)
        file.write(b"x")
    with pytest.raises(Undelivered, match="is not what was made any more"):
        scene.place.deliver(parcel, Notes().course())
    assert scene.there == {}


def test_one_that_is_cancelled_in_mid_transfer_leaves_nothing(scene: Scene) -> None:
    scene.output.write_bytes(bytes(4 * PART))
    looks = iter(range(1000))
    with pytest.raises(Stopped):
        scene.place.deliver(scene.parcel(), Notes().course(lambda: next(looks) > 12))
    assert scene.there == {}


def test_a_key_that_the_store_does_not_know_is_told_in_words(scene: Scene, tmp_path: Path) -> None:
    keys_file(tmp_path).write_text(f"access_key_id = {KEY}\nsecret_access_key = wrong\n")
    with pytest.raises(Undelivered) as refused:
        scene.place.deliver(scene.parcel(), Notes().course())
    assert str(refused.value).startswith("the bucket renders answered 403 Forbidden")
    assert (refused.value.final, refused.value.away) == (False, False), "others may have other keys"


# Stores in trouble, and others that write there


@pytest.fixture
def ill_store() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


def to_ill(host: ReceivingHost, tmp_path: Path) -> tuple[Buckets, Parcel]:
    output = tmp_path / "clip.mp4"
    output.write_bytes(b"all of it")
    bucket = Bucket(
        name="renders", url=URL, endpoint=f"http://127.0.0.1:{host.server_port}", credentials=keys_file(tmp_path)
    )
    place = Buckets([bucket])
    return place, Scene(place, None, output).parcel()  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "words"), [(429, "429 Too Many Requests"), (503, "503 Service Unavailable")])
def test_a_store_that_is_busy_is_asked_some_times_and_then_let_alone(
    ill_store: ReceivingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setitem(object_store.RETRIES, "backoff", {"init_backoff": timedelta(seconds=0.01)})
    ill_store.tells = status
    place, parcel = to_ill(ill_store, tmp_path)
    with pytest.raises(Undelivered) as refused:
        place.deliver(parcel, Notes().course())
    assert str(refused.value) == f"the bucket renders answered {words}"
    assert (refused.value.final, refused.value.away) == (False, True)


def cut_off(visit: Visit) -> None:
    visit.body()
    visit.say(500, content_length="42")
    visit.close_connection = True


def test_a_store_that_breaks_its_answer_off_is_not_called_out_of_reach(
    ill_store: ReceivingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(object_store.RETRIES, "backoff", {"init_backoff": timedelta(seconds=0.01)})
    ill_store.answers = [cut_off] * 9
    place, parcel = to_ill(ill_store, tmp_path)
    with pytest.raises(Undelivered, match="the bucket renders broke off, or gave an answer that is none"):
        place.deliver(parcel, Notes().course())


def test_a_url_in_no_bucket_names_those_there_are() -> None:
    with pytest.raises(ForbiddenPath, match=r"named: there are other, renders$"):
        meant([Bucket(name="renders", url=URL), Bucket(name="other", url="s3://y")], "s3://else/x")
    with pytest.raises(ForbiddenPath, match=r"named: there is none$"):
        meant([], "s3://else/x")
    assert "one of a source" not in ForbiddenPath.title


def test_each_part_is_sent_with_its_checksum(ill_store: ReceivingHost, tmp_path: Path) -> None:
    place, parcel = to_ill(ill_store, tmp_path)
    with pytest.raises(Undelivered):  # it is no store: it takes what comes, and then says something else
        place.deliver(parcel, Notes().course())
    [came] = ill_store.came
    assert came["x-amz-content-sha256"] == parcel.sha256
    assert "x-amz-content-sha256" in came["authorization"], "what is signed is compared by S3"


def test_what_the_environment_holds_is_not_sent_beside_the_keys_of_a_file(
    ill_store: ReceivingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for another store, such as the token of the machine's role."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-a-role")
    monkeypatch.setenv("AZURE_STORAGE_TOKEN", "token-of-a-role")
    place, parcel = to_ill(ill_store, tmp_path)
    with pytest.raises(Undelivered):
        place.deliver(parcel, Notes().course())
    assert [name for came in ill_store.came for name, value in came.items() if "token-of-a-role" in value] == []
    keys = {"account_name": "ours", "account_key": "a2V5"}
    assert "sig=" in ObjectStore(Bucket(name="blobs", url="az://blobs"), keys).signed("a", timedelta(hours=1))


@pytest.mark.parametrize("name", ["AZURE_STORAGE_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY"])
def test_what_the_environment_holds_is_not_sent_in_place_of_a_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "keys"
    bucket = Bucket(name="blobs", url="az://blobs", credentials=path)
    path.write_text("account_name = ours\nclient_id = i\nclient_secret = s\ntenant_id = t\n")
    assert credentials.credentials(bucket)["client_secret"] == "s"
    monkeypatch.setenv(name, "of-another-store")
    with pytest.raises(StartupError, match=f"{name} would be sent in place of what"):
        credentials.credentials(bucket)
    path.write_text("account_name = ours\naccount_key = a2V5\n")
    assert "account_key" in credentials.credentials(bucket)


def test_a_store_whose_certificate_nobody_trusts_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(object_store.RETRIES, "max_retries", 0)
    with hosting(b"", certificate=certified(tmp_path).host) as host:
        bucket = Bucket(name="renders", url=URL, endpoint=host.url(""), credentials=keys_file(tmp_path))
        store = ObjectStore(bucket, credentials.credentials(bucket))
        with pytest.raises(Undelivered, match=r"cannot be reached: its certificate is not valid \(UnknownIssuer\)"):
            store.head("film.mp4")


def test_a_store_that_does_not_answer_is_given_up_and_holds_nobody_up(
    ill_store: ReceivingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "REQUEST_TIMEOUT", timedelta(seconds=0.3))
    monkeypatch.setitem(object_store.RETRIES, "max_retries", 0)
    ill_store.tells = 0
    place, parcel = to_ill(ill_store, tmp_path)
    with ThreadPoolExecutor(1) as threads:
        trying = threads.submit(place.deliver, parcel, Notes().course())
        wait_until(lambda: ill_store.looked, "the store to be asked")
        assert not trying.done(), "whoever waits for a store keeps no other thread from its work"
        assert str(trying.exception(PATIENCE)) == "the bucket renders cannot be reached"
    assert ill_store.looked == [f"/{BUCKET}/renders/films/clip.mp4"]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A store that knows `If-None-Match`, which rclone's does not."""
    server = MotoServer(tmp_path_factory.mktemp("moto"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("conflict", "to"), [(Conflict.NUMBER, "clip (2).mp4"), (Conflict.SKIP, "clip.mp4"), (Conflict.FAIL, None)]
)
def test_what_another_puts_there_in_the_same_moment_is_not_overwritten(
    strict: S3Server, tmp_path: Path, conflict: Conflict, to: str | None
) -> None:
    output = tmp_path / "clip.mp4"
    output.write_bytes(b"all of it")
    scene = Scene(place(strict, tmp_path), strict, output)
    parcel = scene.parcel(0, f"{URL}/{conflict}/{{stem}}.{{ext}}", conflict=conflict)

    def note(landing: str | None, *_more: object) -> None:
        """Between the look and the put."""
        if "(2)" not in str(landing):
            strict.put(f"renders/{conflict}/clip.mp4", OLD)

    course = Course(None, note, lambda: False)
    if to is None:
        with pytest.raises(Undelivered, match="is there already"):
            scene.place.deliver(parcel, course)
    else:
        assert scene.place.deliver(parcel, course).to == f"{URL}/{conflict}/{to}"
    assert strict.read(f"renders/{conflict}/clip.mp4") == OLD


@pytest.mark.parametrize(
    ("conflict", "there"),
    [
        (Conflict.NUMBER, {"clip.mp4", "clip (2).mp4"}),
        (Conflict.OVERWRITE, {"clip.mp4"}),
        (Conflict.FAIL, {"clip.mp4"}),
    ],
)
def test_two_that_come_to_one_key_at_once_do_not_take_it_both(
    scene: Scene, conflict: Conflict, there: set[str]
) -> None:
    scene.output.write_bytes(bytes(PART + 1))  # what goes in parts is put over another
    receipts, refused = at_once(scene, [scene.parcel(number, conflict=conflict) for number in range(2)])
    assert {receipt.to for receipt in receipts} == {f"{URL}/films/{name}" for name in there}
    assert ([str(error) for error in refused], set(scene.there)) == (
        [WAITS] * (2 - len(there)), {f"films/{name}" for name in there}
    )  # fmt: skip


# Those who empty a bucket


@pytest.mark.parametrize("size", [1000, 3 * PART])
@pytest.mark.parametrize("conflict", list(Conflict))
def test_what_is_taken_out_at_once_is_delivered_and_sent_once(
    scene: Scene, importer: list[str], conflict: Conflict, size: int
) -> None:
    scene.output.write_bytes(bytes(size))
    receipt = scene.place.deliver(scene.parcel(conflict=conflict), Notes().course())
    assert (receipt.to, receipt.kept, importer) == (f"{URL}/films/clip.mp4", False, ["films/clip.mp4"])


def test_what_another_puts_over_a_result_does_not_have_it_sent_again(
    scene: Scene, puts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore.put

    def put(store: ObjectStore, key: str, *more: Any, **named: Any) -> None:
        real(store, key, *more, **named)
        scene.server.put(f"renders/{key}", b"seen")

    monkeypatch.setattr(ObjectStore, "put", put)
    assert scene.place.deliver(scene.parcel(), Notes().course()).to == f"{URL}/films/clip.mp4"
    assert puts == ["films/clip.mp4"]


def test_a_result_that_nobody_may_look_at_is_sent_once(
    scene: Scene, puts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ObjectStore.head

    def head(store: ObjectStore, key: str) -> Any:
        if puts:
            raise Undelivered("the bucket renders answered 403 Forbidden", away=True)
        return real(store, key)

    monkeypatch.setattr(ObjectStore, "head", head)
    assert scene.place.deliver(scene.parcel(), Notes().course()).to == f"{URL}/films/clip.mp4"
    assert puts == ["films/clip.mp4"]


def test_one_that_came_and_whose_answer_did_not_is_not_taken_for_anothers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client of stores asks again by itself, and finds its own."""
    real = ObjectStore.put

    def put(store: ObjectStore, key: str, *more: Any, **named: Any) -> None:
        real(store, key, *more, **named)
        raise Taken

    monkeypatch.setattr(ObjectStore, "put", put)
    assert scene.place.deliver(scene.parcel(), Notes().course()).to == f"{URL}/films/clip.mp4"


# What a daemon that died left in the store


OURS = "renders/films/clip é+(&).mp4"
OTHERS = ["renders/films/clip.mp4.other", "renders/other.mp4"]


def interrupted(scene: Scene, *, size: int = 3 * PART) -> tuple[Parcel, str]:
    """A delivery of a daemon that died, having noted so much, beside uploads of others."""
    scene.output.write_bytes(bytes(size))
    begun(scene, OURS, *OTHERS)  # one of another's to the very key, before ours
    parcel, notes = scene.parcel(0, f"{URL}/films/clip é+(&).{{ext}}"), Notes()
    with pytest.raises(Died):
        scene.place.deliver(parcel, notes.course(dying_once_noted(notes)))
    assert notes.landing
    return parcel, notes.landing


def ended(scene: Scene, how: str, parcel: Parcel, landing: str) -> None:
    """Goes on with a delivery, or lets it be."""
    if how == "withdrawn":
        scene.place.withdraw(replace(parcel, landing=landing))
    else:
        scene.place.deliver(parcel, Course(landing, lambda *_: None, lambda: False))


@pytest.mark.parametrize("how", ["goes on", "withdrawn"])
def test_uploads_that_were_not_ended_are_aborted_and_others_are_not(scene: Scene, how: str) -> None:
    parcel, landing = interrupted(scene)
    begun(scene, OURS)
    ended(scene, how, parcel, landing)
    assert under_way(scene) == sorted([OURS, *OTHERS])


@pytest.mark.parametrize("how", ["goes on", "withdrawn"])
def test_who_sends_nothing_in_parts_aborts_nothing(scene: Scene, how: str) -> None:
    parcel, landing = interrupted(scene, size=1000)
    begun(scene, OURS)
    ended(scene, how, parcel, landing)
    assert under_way(scene) == sorted([OURS, OURS, *OTHERS])


@pytest.mark.parametrize("how", ["goes on", "withdrawn"])
def test_what_an_earlier_version_noted_aborts_nothing(scene: Scene, how: str) -> None:
    parcel, _ = interrupted(scene)
    ended(scene, how, parcel, '{"key": "films/clip é+(&).mp4"}')
    assert under_way(scene) == sorted([OURS, *OTHERS])


def test_an_upload_below_the_key_of_a_file_is_anothers(scene: Scene) -> None:
    parcel, landing = interrupted(scene)
    begun(scene, f"{OURS}/else/film.mov")
    ended(scene, "withdrawn", parcel, landing)
    assert under_way(scene) == sorted([OURS, f"{OURS}/else/film.mov", *OTHERS])


@pytest.mark.parametrize("server", [S3Server, MotoServer])
def test_uploads_are_found_however_many_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: type[S3Server]
) -> None:
    monkeypatch.setattr(s3_requests, "PAGE", 2)
    store = server(tmp_path / "s3")
    store.start()
    try:
        scene = Scene(place(store, tmp_path), store, tmp_path / "clip.mp4")
        keys = [f"renders/x/{name}" for name in ("a&b", "a&b", "a&b", "c", "d/e")]
        begun(scene, "renders/w", *keys, "renders/x y")
        bucket = named(store, tmp_path)
        opening = credentials.credentials(bucket)
        found = leftovers.under_way(bucket, opening, "x")
        assert found is not None
        assert {one: len(set(uploads)) for one, uploads in found.items()} == {"x/a&b": 3, "x/c": 1, "x/d/e": 1}
        assert leftovers.abort(bucket, opening, "x", {"x/a&b": found["x/a&b"][:1], "x/d/e": []}) == 3
        assert under_way(scene) == ["renders/w", "renders/x y", "renders/x/a&b", "renders/x/c"]
    finally:
        store.stop()


def test_one_whose_upload_is_gone_is_put_off_in_words(scene: Scene) -> None:
    scene.output.write_bytes(bytes(4 * PART))

    looks = iter(range(1000))

    def lose() -> bool:
        if next(looks) == 12:
            [one] = s3(scene.server).list_multipart_uploads(Bucket=BUCKET)["Uploads"]
            s3(scene.server).abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])
        return False

    with pytest.raises(Undelivered) as refused:
        scene.place.deliver(scene.parcel(), Notes().course(lose))
    assert str(refused.value) == "the bucket renders answered 404 Not Found (NoSuchUpload)"
    assert not refused.value.final


def test_an_upload_of_another_delivery_to_that_key_is_not_aborted(scene: Scene) -> None:
    first, second, notes = scene.parcel(conflict=Conflict.NUMBER), scene.parcel(1, conflict=Conflict.NUMBER), Notes()
    notes.landing = '{"key": "films/clip.mp4", "others": {"films/clip.mp4": []}}'  # of the first, in a daemon that died

    def note(_: str | None, *_more: object) -> None:
        begun(scene, "renders/films/clip.mp4")  # as the second does from now on
        with pytest.raises(Undelivered):
            scene.place.deliver(first, Course(notes.landing, lambda *_: None, refuse))
        scene.place.withdraw(replace(first, landing=notes.landing))
        assert under_way(scene) == ["renders/films/clip.mp4"]

    def refuse() -> bool:
        raise Undelivered("this is far enough")

    assert scene.place.deliver(second, Course(None, note, lambda: False)).to == f"{URL}/films/clip.mp4"


def test_a_store_that_tells_of_no_uploads_holds_nothing_up(scene: Scene, tmp_path: Path) -> None:
    bucket = replace(named(scene.server, tmp_path), endpoint="http://127.0.0.1:1")
    assert leftovers.abort(bucket, credentials.credentials(bucket), "x", {"x": []}) == 0
    wrong = {"access_key_id": KEY, "secret_access_key": "wrong"}
    begun(scene, "renders/x")
    assert leftovers.under_way(named(scene.server, tmp_path), wrong, "x") is None
    assert leftovers.abort(named(scene.server, tmp_path), wrong, "x", {"x": []}) == 0
    assert under_way(scene) == ["renders/x"]
