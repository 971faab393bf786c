"""An output in the spool and the bucket of a real store, between which a place stands without a daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from conftest import PATIENCE
from s3_server import BUCKET, KEY, SECRET, S3Server, keys_file, serving

from daemon.config_tables import Bucket
from daemon.delivery.place import Course, Parcel, Receipt
from daemon.errors import Undelivered
from daemon.models import Deliver, Destination
from daemon.name_template import Words
from daemon.proof.publish import seal
from daemon.storage.buckets import Buckets
from daemon.storage.object_store import ObjectStore

URL = f"s3://{BUCKET}/renders"
OLD = b"what lay there before"

LADDER = {
    "0/init.mp4": b"i" * 10, "0/1.m4s": b"a" * 100, "0/2.m4s": b"b" * 100, "0/playlist.m3u8": b"#EXTM3U of 0",
    "master.m3u8": b"#EXTM3U", "text.vtt": b"WEBVTT",
}  # fmt: skip
PLAYLISTS = ["0/playlist.m3u8", "master.m3u8"]


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


def restarted(server: S3Server) -> None:
    """Has the store forget what was said beside its objects, as rclone's does."""
    server.stop()
    server.start()


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


WAITS = "another result is on its way to that key: it waits for that"


def s3(server: S3Server) -> Any:
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=server.endpoint, **keys)


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


def begun(scene: Scene, *keys: str) -> None:
    """Uploads in parts that nobody goes on with."""
    for key in keys:
        made = s3(scene.server).create_multipart_upload(Bucket=BUCKET, Key=key)
        part = {"PartNumber": 1, "UploadId": made["UploadId"], "Body": b"part"}
        s3(scene.server).upload_part(Bucket=BUCKET, Key=key, **part)


def under_way(scene: Scene) -> list[str]:
    return sorted(one["Key"] for one in s3(scene.server).list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def dying_once_noted(notes: Notes) -> Callable[[], bool]:
    def dies() -> bool:
        if notes.landing:
            raise Died
        return False

    return dies
