"""Results come to buckets: each whole, once, under the key that was asked for, and what opens them is told nobody."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import obstore
import pytest
from conftest import PATIENCE, Daemon, wait_until
from file_host import FileHost, certified, hosting
from msgspec.structs import replace
from receiving_host import ReceivingHost, Visit, receiving
from s3_server import BUCKET, KEY, SECRET, MotoServer, S3Server, keys_file, profile, serving
from test_cli import ffspool, no_environment
from test_delivery import TINY, delivered, only
from test_fetch import open_to
from test_readme import blocks

from daemon.config_tables import Bucket, buckets, tables
from daemon.delivery.place import Course, Parcel, Receipt, Stopped
from daemon.errors import ForbiddenPath, StartupError, Undelivered
from daemon.models import Conflict, Deliver, Destination
from daemon.name_template import Words
from daemon.proof import output_folder
from daemon.proof.publish import seal
from daemon.storage import credentials, leftovers, object_store
from daemon.storage.buckets import Buckets, meant
from daemon.storage.object_store import PART, ObjectStore, Taken
from daemon.storage.objects import DELIVERY

URL = f"s3://{BUCKET}/renders"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def host(clip: Path) -> Iterator[FileHost]:
    with hosting(clip.read_bytes()) as host:
        yield host


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, server: S3Server, host: FileHost) -> Iterator[Daemon]:
    home = tmp_path_factory.mktemp("to buckets")
    config = home / "ffspool.toml"
    config.write_text(profile(server, home, cache_control="max-age=60"))
    flags = [*open_to(host), "--delivery-backoff", "0.1"]
    daemon = Daemon(home / "state", *flags, FFSPOOL_CONFIG=str(config))
    yield daemon
    daemon.stop()


def submit(daemon: Daemon, clip: Path, **wish: Any) -> str:
    return str(daemon.submit(clip, spec={"name": "spring", "variations": [TINY], "deliver": wish})["id"])


def test_an_output_comes_to_its_key_as_it_was_made(daemon: Daemon, server: S3Server, clip: Path) -> None:
    job = submit(daemon, clip, url=f"{URL}/{{job}}/{{stem}}_{{preset}}.{{ext}}")
    assert only(daemon.job(job))["delivery"]["to"] == f"{URL}/{{job}}/{{stem}}_{{preset}}.{{ext}}"
    [told] = delivered(daemon, job)
    assert (told["status"], told["error"]) == ("delivered", None)
    assert told["to"] == f"{URL}/spring/clip_h264-480p.mp4"
    sha256 = only(daemon.job(job))["sha256"]
    assert hashlib.sha256(server.read("renders/spring/clip_h264-480p.mp4")).hexdigest() == sha256
    said = server.said("renders/spring/clip_h264-480p.mp4")
    assert (said["content-type"], said["cache-control"], said["sha256"]) == ("video/mp4", "max-age=60", sha256)


def test_what_opens_a_bucket_is_nowhere_but_in_its_file(daemon: Daemon, clip: Path) -> None:
    job = submit(daemon, clip, url=f"{URL}/secret/")
    delivered(daemon, job)
    told = [daemon.client.get(path).text for path in (f"/api/jobs/{job}", "/api/stats", f"/api/jobs/{job}/log")]
    kept = [path.read_bytes() for path in daemon.state_dir.rglob("*") if path.is_file() and path.suffix != ".mp4"]
    everything = b"".join([*kept, daemon.log().encode(), *(text.encode() for text in told)])
    assert all(secret.encode() not in everything for secret in (KEY, SECRET))


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"url": "s3://other/x"}, 403, "forbidden_path"),
        ({"url": f"s3://{BUCKET}/rendersX/x"}, 403, "forbidden_path"),
        ({"url": f"s3://{BUCKET}/"}, 403, "forbidden_path"),
        ({"url": "gs://media/renders/x"}, 403, "forbidden_path"),
        ({"url": f"{URL}/../x"}, 422, "bad_name"),
        ({"url": f"{URL}//x"}, 422, "bad_name"),
        ({"url": f"{URL}/{{presett}}"}, 422, "bad_name"),
        ({"url": f"{URL}/x?versionId=1"}, 422, "bad_name"),
    ],
)
def test_a_key_outside_of_the_named_buckets_is_refused(
    daemon: Daemon, clip: Path, wish: Any, status: int, code: str
) -> None:
    spec = json.dumps({"variations": [TINY], "deliver": wish})
    answer = daemon.client.post("/api/jobs", data={"spec": spec}, files={"files": clip.read_bytes()})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_delivery_waits_for_a_store_that_is_away(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    with serving(tmp_path / "s3") as server:
        config = tmp_path / "ffspool.toml"
        config.write_text(profile(server, tmp_path))
        daemon = start_daemon("--delivery-backoff", "0.1", FFSPOOL_CONFIG=str(config))
        server.stop()
        job = submit(daemon, clip, url=f"{URL}/later/")
        told = wait_until(
            lambda: (told := only(daemon.job(job))["delivery"])["error"] and told,
            "a first attempt that comes to nothing",
        )
        assert (told["status"], told["error"]) == ("pending", "the bucket renders cannot be reached")
        server.start()
        assert [told["status"] for told in delivered(daemon, job)] == ["delivered"]
        assert server.listed() == ["renders/later/clip_h264-480p.mp4"]


# The place itself


class Scene(NamedTuple):
    """An output in the spool, and a bucket."""

    place: Buckets
    server: S3Server
    output: Path

    def parcel(self, number: int = 0, url: str = f"{URL}/films/{{stem}}.{{ext}}", **wish: Any) -> Parcel:
        size, sha256, _ = seal(self.output)
        return Parcel(
            id=f"{number:016x}", destination=self.destination(url, **wish), name=self.output.name, output=self.output,
            words=Words(stem="clip", preset="p", ext="mp4"), bytes=size, sha256=sha256,
        )  # fmt: skip

    def destination(self, url: str, **wish: Any) -> Destination:
        return Destination(place="bucket:renders", below=url, wish=Deliver(url=url, **wish))

    @property
    def there(self) -> dict[str, bytes]:
        return {key.removeprefix("renders/"): self.server.read(key) for key in self.server.listed()}


class Notes:
    """What a place noted, as the queue keeps it."""

    def __init__(self) -> None:
        self.landing: str | None = None

    def course(self, is_stopped: Callable[[], bool] = lambda: False) -> Course:
        def note(landing: str | None, *_more: object) -> None:
            self.landing = landing

        return Course(self.landing, note, is_stopped)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with serving(tmp_path / "s3") as server:
        output = tmp_path / "clip.mp4"
        output.write_bytes(b"all of it" * 1000)
        yield Scene(place(server, tmp_path), server, output)


def place(server: S3Server, folder: Path) -> Buckets:
    return Buckets([named(server, folder)])


def named(server: S3Server, folder: Path) -> Bucket:
    return Bucket(name="renders", url=URL, endpoint=server.endpoint, region="us-east-1", credentials=keys_file(folder))


OLD = b"what lay there before"


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


def restarted(server: S3Server) -> None:
    """Has the store forget what was said beside its objects, as rclone's does."""
    server.stop()
    server.start()


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


WAITS = "another result is on its way to that key: it waits for that"


def at_once(scene: Scene, parcels: list[Parcel]) -> tuple[list[Receipt], list[Undelivered]]:
    """What comes of deliveries that have all looked, or been refused, before one of them sends anything."""
    looked = threading.Barrier(len(parcels))

    def deliver(parcel: Parcel) -> Receipt | Undelivered:
        def note(_: str | None, *_more: object) -> None:
            looked.wait(PATIENCE)

        try:
            return scene.place.deliver(parcel, Course(None, note, lambda: False))
        except Undelivered as error:
            looked.wait(PATIENCE)
            return error

    with ThreadPoolExecutor(len(parcels)) as threads:
        found = list(threads.map(deliver, parcels))
    return [one for one in found if isinstance(one, Receipt)], [one for one in found if isinstance(one, Undelivered)]


# Folders of files

LADDER = {
    "0/init.mp4": b"i" * 10, "0/1.m4s": b"a" * 100, "0/2.m4s": b"b" * 100, "0/playlist.m3u8": b"#EXTM3U of 0",
    "master.m3u8": b"#EXTM3U", "text.vtt": b"WEBVTT",
}  # fmt: skip
PLAYLISTS = ["0/playlist.m3u8", "master.m3u8"]


@pytest.fixture
def ladder(scene: Scene, tmp_path: Path) -> Scene:
    folder = tmp_path / "clip_hls"
    for name, content in LADDER.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return scene._replace(output=folder)


def tree(ladder: Scene, number: int = 0, **wish: Any) -> Parcel:
    return ladder.parcel(number, f"{URL}/films/", **wish)


class Died(BaseException):
    """The daemon, in mid-call."""


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of what was put, in that order."""
    keys: list[str] = []
    real = ObjectStore.put

    def put(store: ObjectStore, key: str, *more: Any, **named: Any) -> None:
        real(store, key, *more, **named)
        keys.append(key)

    monkeypatch.setattr(ObjectStore, "put", put)
    return keys


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


def test_a_ladder_comes_whole_from_a_daemon(daemon: Daemon, server: S3Server, clip: Path) -> None:
    spec = {"variations": [{"preset": "hls", "rungs": 1}], "deliver": {"url": f"{URL}/streams/{{stem}}_{{preset}}"}}
    job = daemon.submit(clip, spec=spec)["id"]
    [told] = delivered(daemon, job)
    assert (told["to"], told["error"]) == (f"{URL}/streams/clip_hls", None)
    begins = "renders/streams/clip_hls/"
    found = {key.removeprefix(begins): server.read(key) for key in server.listed() if key.startswith(begins)}
    digests = [output_folder.line(hashlib.sha256(content).hexdigest(), name) for name, content in sorted(found.items())]
    assert hashlib.sha256(b"".join(digests)).hexdigest() == only(daemon.job(job))["sha256"]


# What the operator writes


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[buckets.a]\nurl = "s4://x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "s3://k:s@x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "media"', "is not valid: Expected a bucket's URL, such as s3://media"),
        ('[buckets.a]\nurl = "s3://x"\nsecret = "y"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nendpoint = "https://x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "s3://x"\nendpoint = "https://k:s@x"', "line 2: the bucket is not valid"),
        ('[buckets.a]\nurl = "gs://x"\nregion = "eu"', "line 2: region and virtual_hosted are of s3:// alone"),
        ('[buckets.a]\nurl = "s3://x"\n[buckets.b]\nurl = "s3://x/"', "line 2: the buckets a and b have the same url"),
        ('[buckets."a b"]\nurl = "s3://x"', "line 2: 'a b' is no name for a bucket"),
        ('buckets = ["a"]', "begin each with [buckets.NAME]"),
    ],
)
def test_a_bucket_that_is_not_valid_is_refused_with_its_line(tmp_path: Path, table: str, words: str) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text(f"# mine\n{table}\n")
    with pytest.raises(StartupError, match=r"ffspool\.toml") as refused:
        buckets({"FFSPOOL_CONFIG": str(config)})
    assert words in str(refused.value)


def test_a_watched_folder_delivers_to_buckets_that_have_a_table(tmp_path: Path) -> None:
    config = tmp_path / "ffspool.toml"
    folder = '[[folders]]\nname = "in"\npath = "/in"\nvariations = [{ preset = "mp3" }]\n'
    folder += 'deliver = { url = "s3://x/out/{stem}.{ext}" }\n'
    for bucket, fine in (("s3://x/out", True), ("s3://x/other", False)):
        config.write_text(f'{folder}[buckets.a]\nurl = "{bucket}"\n')
        if fine:
            assert tables({"FFSPOOL_CONFIG": str(config)}).folders[0].deliver is not None
        else:
            with pytest.raises(StartupError, match="line 1: s3://x/out/"):
                tables({"FFSPOOL_CONFIG": str(config)})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("access_key_id = a\nsecret_access_key = b\n", {"access_key_id": "a", "secret_access_key": "b"}),
        ("[x]\naws_access_key_id=a\naws_secret_access_key=b%c\naws_session_token=d\nregion=e\n",
         {"access_key_id": "a", "secret_access_key": "b%c", "session_token": "d"}),
        ("[default]\naws_access_key_id=a\naws_secret_access_key=b\n[renders]\naws_access_key_id=c\n"
         "aws_secret_access_key=d\n", {"access_key_id": "c", "secret_access_key": "d"}),
    ],
)  # fmt: skip
def test_credentials_are_read_as_the_tools_of_a_store_write_them(
    tmp_path: Path, text: str, found: dict[str, str]
) -> None:
    text = text.replace("[x]", "[default]")
    (tmp_path / "bucket-renders").write_text(text)
    config = tmp_path / "ffspool.toml"
    config.write_text('[buckets.renders]\nurl = "s3://x"\n[buckets.other]\nurl = "s3://y"\n')
    bucket, other = buckets({"FFSPOOL_CONFIG": str(config), "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert credentials.credentials(bucket) == found
    assert credentials.credentials(other) == {}


@pytest.mark.parametrize("text", ["", "aws_access_key_id = hidden", "hidden", "[a\nhidden", "\xff"])
def test_a_file_that_holds_no_credentials_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(StartupError) as refused:
        credentials.credentials(Bucket(name="a", url="s3://x", credentials=path, place="here"))
    assert str(path) in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_daemon_without_the_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    with pytest.raises(StartupError, match=r"pip install 'ffspool\[buckets\]'"):
        credentials.check([Bucket(name="a", url="s3://x")])


def test_a_daemon_whose_credentials_are_missing_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "ffspool.toml"
    config.write_text(f'[buckets.a]\nurl = "s3://x"\ncredentials = "{tmp_path}/none"\n')
    env = no_environment(tmp_path / "state") | {"FFSPOOL_CONFIG": str(config)}
    done = ffspool("serve", env=env)
    assert done.returncode == 1
    assert "line 1: the credentials of the bucket a:" in " ".join(done.stderr.split())


# The command line


def test_a_command_brings_results_to_a_url(daemon: Daemon, server: S3Server, clip: Path) -> None:
    env = no_environment(daemon.state_dir)
    words = ("submit", str(clip), "-p", "mp3", "--to", f"{URL}/sounds/", "--to-name", "{stem}.{ext}", "--wait")
    done = ffspool(*words, env=env)
    assert done.returncode == 0, done.stderr
    assert f"delivered to {URL}/sounds/clip.mp3" in " ".join((done.stdout + done.stderr).split())
    assert "renders/sounds/clip.mp3" in server.listed()


@pytest.mark.parametrize(
    ("secret", "found"),
    [
        (SECRET, "renders takes what is delivered"),
        ("wrong", "renders cannot be listed: the bucket renders answered 403"),
    ],
)
def test_doctor_tries_each_bucket(tmp_path: Path, server: S3Server, secret: str, found: str) -> None:
    before = server.listed()
    config = tmp_path / "ffspool.toml"
    config.write_text(profile(server, tmp_path))
    keys_file(tmp_path).write_text(f"access_key_id = {KEY}\nsecret_access_key = {secret}\n")
    env = no_environment(tmp_path / "state") | {"FFSPOOL_CONFIG": str(config)}
    told = ffspool("doctor", "--ffmpeg", "/bin/false", "--json", env=env)
    [check] = [check for check in json.loads(told.stdout)["checks"] if check["name"] == "bucket"]
    assert (check["ok"], check["found"][: len(found)]) == (secret == SECRET, found)
    assert server.listed() == before


def test_the_readme_brings_an_object_to_a_bucket(daemon: Daemon, server: S3Server, clip: Path) -> None:
    [command] = blocks("Over HTTP")[1:]
    assert "s3://media/in/clip.mp4" in command
    command = command.replace("s3://media/in/", f"{URL}/in/")
    server.put("renders/in/clip.mp4", clip.read_bytes())
    setting = {**os.environ, "URL": daemon.url, "AUTH": f"Authorization: Bearer {daemon.token}"}
    done = subprocess.run(["bash", "-ec", command], env=setting, capture_output=True, check=True)
    job = json.loads(done.stdout)["id"]
    [told] = delivered(daemon, job)
    assert (told["to"], told["error"]) == (f"{URL}/{job}/clip_hls", None)
    assert f"renders/{job}/clip_hls/master.m3u8" in server.listed()


# Those who empty a bucket


@pytest.fixture
def importer(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of what was put, each of which somebody took away before anybody looked."""
    taken: list[str] = []
    real = ObjectStore.put

    def put(store: ObjectStore, key: str, *more: Any, **named: Any) -> None:
        real(store, key, *more, **named)
        taken.append(key)
        store.delete([key])

    monkeypatch.setattr(ObjectStore, "put", put)
    return taken


@pytest.mark.parametrize("size", [1000, 3 * PART])
@pytest.mark.parametrize("conflict", list(Conflict))
def test_what_is_taken_out_at_once_is_delivered_and_sent_once(
    scene: Scene, importer: list[str], conflict: Conflict, size: int
) -> None:
    scene.output.write_bytes(bytes(size))
    receipt = scene.place.deliver(scene.parcel(conflict=conflict), Notes().course())
    assert (receipt.to, receipt.kept, importer) == (f"{URL}/films/clip.mp4", False, ["films/clip.mp4"])


def test_a_ladder_that_is_taken_out_as_it_comes_is_sent_once(ladder: Scene, importer: list[str]) -> None:
    ladder.place.deliver(tree(ladder), Notes().course())
    assert sorted(importer) == sorted(f"films/clip_hls/{name}" for name in LADDER)


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


def begun(scene: Scene, *keys: str) -> None:
    """Uploads in parts that nobody goes on with."""
    for key in keys:
        made = s3(scene.server).create_multipart_upload(Bucket=BUCKET, Key=key)
        part = {"PartNumber": 1, "UploadId": made["UploadId"], "Body": b"part"}
        s3(scene.server).upload_part(Bucket=BUCKET, Key=key, **part)


def s3(server: S3Server) -> Any:
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=server.endpoint, **keys)


def under_way(scene: Scene) -> list[str]:
    return sorted(one["Key"] for one in s3(scene.server).list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


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


def dying_once_noted(notes: Notes) -> Callable[[], bool]:
    def dies() -> bool:
        if notes.landing:
            raise Died
        return False

    return dies


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


@pytest.mark.parametrize("server", [S3Server, MotoServer])
def test_uploads_are_found_however_many_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: type[S3Server]
) -> None:
    monkeypatch.setattr(leftovers, "PAGE", 2)
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


# Sources


def fetched(daemon: Daemon, **source: str) -> Any:
    wish = {"sources": [source], "variations": [TINY]}
    answer = daemon.client.post("/api/jobs", json=wish)
    assert answer.status_code == 202, answer.text
    return daemon.wait_for(answer.json()["id"])


def test_a_source_comes_from_a_bucket_by_its_key(daemon: Daemon, server: S3Server, clip: Path) -> None:
    server.put("renders/in/a clip & more.mp4", clip.read_bytes())
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    job = fetched(daemon, url=f"{URL}/in/a clip & more.mp4", sha256=sha256)
    [source] = job["sources"]
    assert (job["status"], source["name"], source["url"]) == ("completed", "a clip & more.mp4", f"s3://{BUCKET}/…")
    assert "a clip & more" not in daemon.log().replace(source["name"], "")
    assert "X-Amz-Signature" not in daemon.log()


def test_a_result_does_not_take_the_place_of_the_object_it_was_made_of(
    daemon: Daemon, server: S3Server, clip: Path
) -> None:
    for name, status in (("{stem}.{ext}", "failed"), ("{stem}_{preset}.{ext}", "delivered")):
        server.put("renders/in/loop.mp4", clip.read_bytes())
        wish = {"url": f"{URL}/in/{name}", "conflict": "overwrite"}
        asked = {"sources": [{"url": f"{URL}/in/loop.mp4"}], "variations": [TINY], "deliver": wish}
        answer = daemon.client.post("/api/jobs", json=asked)
        assert answer.status_code == 202, answer.text
        [told] = delivered(daemon, answer.json()["id"])
        assert (told["status"], server.read("renders/in/loop.mp4")) == (status, clip.read_bytes())
        assert status == "delivered" or "would take the place of what it was made of" in told["error"]


def test_an_object_that_is_not_there_or_is_another_fails_in_words(daemon: Daemon, server: S3Server) -> None:
    server.put("renders/in/page.mp4", b"not media")
    missing = fetched(daemon, url=f"{URL}/in/nothing.mp4")
    assert f"s3://{BUCKET}/… answered 404" in missing["error"]
    another = fetched(daemon, url=f"{URL}/in/page.mp4", sha256="0" * 64)
    assert "SHA-256" in another["error"]


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ({"url": "s3://other/x.mp4"}, 403),
        ({"url": f"s3://{BUCKET}/x.mp4"}, 403),
        ({"url": "gs://media/renders/x.mp4"}, 403),
        ({"url": f"{URL}/"}, 422),
        ({"url": f"{URL}/../x.mp4"}, 422),
        ({"url": f"{URL}/x.mp4", "headers": {"X-A": "b"}}, 422),
    ],
)
def test_only_objects_of_the_named_buckets_are_sources(daemon: Daemon, source: Any, status: int) -> None:
    answer = daemon.client.post("/api/jobs", json={"sources": [source], "variations": [TINY]})
    assert answer.status_code == status, answer.text


def test_a_client_takes_nothing_from_the_operators_buckets(daemon: Daemon) -> None:
    token = daemon.client.post("/api/tokens", json={"name": "shop"}).json()["token"]
    wish = {"sources": [{"url": f"{URL}/in/a.mp4"}], "variations": [TINY]}
    answer = daemon.client.post("/api/jobs", json=wish, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.thorough
def test_a_source_waits_for_a_store_that_is_away_and_nothing_signed_is_kept(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    with serving(tmp_path / "s3") as server:
        config = tmp_path / "ffspool.toml"
        config.write_text(profile(server, tmp_path))
        daemon = start_daemon("--fetch-backoff", "0.1", FFSPOOL_CONFIG=str(config))
        server.put("renders/in/secret-name.mp4", clip.read_bytes())
        server.stop()
        wish = {"sources": [{"url": f"{URL}/in/secret-name.mp4", "name": "clip.mp4"}], "variations": [TINY]}
        job = daemon.client.post("/api/jobs", json=wish).json()["id"]
        error = wait_until(
            lambda: daemon.job(job)["sources"][0]["fetch_error"], "a first attempt that comes to nothing"
        )
        assert f"s3://{BUCKET}/… cannot be reached" in error
        kept = b"".join(path.read_bytes() for path in daemon.state_dir.glob("ffspool.db*"))
        assert b"X-Amz-Signature" not in kept
        server.start()
        assert daemon.wait_for(job)["status"] == "completed"
        assert "secret-name" not in daemon.log()
