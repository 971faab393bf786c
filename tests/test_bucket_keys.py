"""Keys of all sorts: each is that of the object that is meant, or refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from bucket_scene import URL, Notes, Scene, named, s3
from s3_server import BUCKET, MotoServer, S3Server

from daemon.errors import BadName, InvalidRequest, Undelivered
from daemon.name_template import PathTemplate
from daemon.storage import credentials, urls
from daemon.storage.bucket_sources import BucketSources
from daemon.storage.object_store import ObjectStore

ODD = (
    "100%.mp4", "%41%2F.mp4", "a+b &=;,@:$!'()*.mp4", "trail.mp4 ", " lead.mp4", "a?b=1#c.mp4", "<{[^`~|]}>.mp4",
    "e\u0301é日😀.mp4", "a\\b", "...mp4", "..a", "k" * 240,
)  # fmt: skip


@pytest.fixture(params=[S3Server, MotoServer])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[S3Server]:
    server: S3Server = request.param(tmp_path / "s3")
    server.start()
    yield server
    server.stop()


def test_whatever_a_key_holds_it_is_that_of_the_object_that_is_meant(server: S3Server, tmp_path: Path) -> None:
    bucket, client = named(server, tmp_path), s3(server)
    store, sources = ObjectStore(bucket, credentials.credentials(bucket)), BucketSources([bucket])
    for key in [*ODD, *(f"día 1/{key}" for key in ODD), "/".join(["d" * 100] * 9)]:
        content = key.encode()
        client.put_object(Bucket=BUCKET, Key=f"renders/in/{key}", Body=content)
        assert asked(server, sources, key) == (200, content)
        store.put(f"out/{key}", len(content), lambda content=content: [content], {}, over=False)  # type: ignore[misc]
        assert client.get_object(Bucket=BUCKET, Key=f"renders/out/{key}")["Body"].read() == content
    assert {one.key for one in store.listed("in")} == {one.key.replace("out/", "in/") for one in store.listed("out")}


def asked(server: S3Server, sources: BucketSources, key: str) -> tuple[int, bytes]:
    """What the store answers when a source is fetched."""
    signed = sources.signed(sources.remote(f"{URL}/in/{key}", headers={}, sha256=None, name=None)[1])
    with closing(HTTPConnection("127.0.0.1", server.port)) as line:
        line.request("GET", urls.parsed(signed.url, [server.port]).target)
        with line.getresponse() as answer:
            return answer.status, answer.read()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "names no object"),
        ("in/", "names no object"),
        ("/a.mp4", "begins with /, or holds //, . or .. as a step"),
        ("in//a.mp4", "begins with /, or holds //, . or .. as a step"),
        ("in/../a.mp4", "begins with /, or holds //, . or .. as a step"),
        ("./a.mp4", "begins with /, or holds //, . or .. as a step"),
        ("in/a\tb.mp4", "U+0009"),
        ("in/a\x00b.mp4", "U+0000"),
        ("in/\u202ea.mp4", "U+202E"),
    ],
)
def test_a_key_that_cannot_be_asked_for_is_refused_in_words(tmp_path: Path, key: str, words: str) -> None:
    sources = BucketSources([named(S3Server(tmp_path / "s3"), tmp_path)])
    with pytest.raises(InvalidRequest) as refused:
        sources.remote(f"{URL}/{key}", headers={}, sha256=None, name=None)
    assert words in str(refused.value)


@pytest.mark.parametrize("key", ["/{stem}", "a//{stem}", "a/../{stem}", "./{stem}", "a\\{stem}", "a\tb", "a?b", "a:b"])
def test_a_template_of_such_a_key_is_refused(key: str) -> None:
    with pytest.raises(BadName):
        PathTemplate(key)


@pytest.mark.parametrize(("letters", "fits"), [(12, True), (13, False)])
def test_a_key_has_1024_bytes_at_most_with_that_of_its_bucket(scene: Scene, letters: int, fits: bool) -> None:
    key = f"{'/'.join(['k' * 199] * 5)}/{'x' * letters}.mp4"
    assert (len(f"renders/{key}") <= 1024) == fits
    parcel = scene.parcel(0, f"{URL}/{key.replace('mp4', '{ext}')}")
    if fits:
        assert scene.place.deliver(parcel, Notes().course()).to == f"{URL}/{key}"
    else:
        with pytest.raises(Undelivered, match="longer than 1024 bytes") as refused:
            scene.place.deliver(parcel, Notes().course())
        assert refused.value.final
