"""No result of a job takes the place of another: two that would come to one address are refused, in words."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from bucket_scene import Notes
from conftest import PATIENCE, Daemon
from msgspec.structs import replace
from receiving_host import ReceivingHost, keep, receiving
from stored import house, in_store
from test_delivery import TINY, delivered
from test_doubt import Woken
from test_receivers import open_to, parcel, place

from daemon.database.store import Store
from daemon.delivery.deliveries import Deliveries
from daemon.delivery.hooks import Hooks
from daemon.delivery.place import Place, Receipt
from daemon.errors import BadName, Undelivered
from daemon.jobs.insertion import JobSpec
from daemon.jobs.jobs import Jobs
from daemon.models import Conflict, Deliver, Destination, VariationRequest
from daemon.name_template import UrlTemplate, Words
from daemon.paths import Paths
from daemon.scheduling.sources import NewSource
from daemon.storage import urls

MP3 = {"preset": "mp3"}
OTHER = {"preset": "h264-720p", "speed": "ultrafast", "short_side": 120}


@pytest.fixture(scope="module")
def host() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, host: ReceivingHost) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("apart")
    (folder / "key").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    (folder / "ffspool.toml").write_text(
        f'[buckets.renders]\nurl = "s3://renders"\nendpoint = "http://127.0.0.1:9"\nregion = "x"\n'
        f'credentials = "{folder / "key"}"\n'
    )
    (folder / "out").mkdir()
    options = ["--output-root", str(folder / "out"), *open_to(host.server_port)]
    daemon = Daemon(folder / "state", *options, FFSPOOL_CONFIG=str(folder / "ffspool.toml"))
    yield daemon
    daemon.stop()


def ask(daemon: Daemon, clip: Path, files: list[str], **spec: Any) -> Any:
    content = clip.read_bytes()
    return daemon.client.post(
        "/api/jobs", data={"spec": json.dumps(spec)}, files=[("files", (name, content)) for name in files]
    )


@pytest.mark.parametrize(
    ("files", "variations", "where", "named"),
    [
        (["a.mp4"], [TINY, OTHER], "/{stem}.{ext}", ("h264-480p of 'a.mp4'", "h264-720p of 'a.mp4'")),
        (["a.mp4", "b.mp4"], [TINY], "/{preset}.{ext}", ("h264-480p of 'a.mp4'", "h264-480p of 'b.mp4'")),
        (["a.mp4"], [{**TINY, "deliver": "/a#1"}, {**MP3, "deliver": "/a#2"}], None, ("h264-480p", "mp3 of 'a.mp4'")),
        (["a.mp4"], [{**TINY, "deliver": "/a"}, {**MP3, "deliver": "/x/../%61"}], None, ("h264-480p", "mp3")),
        (["a.mp4"], [{**TINY, "deliver": "/a?X-Amz-Signature=1"}, {**MP3, "deliver": "/a?X-Amz-Signature=2"}], None,
         ("h264-480p", "mp3")),
        (["a.mp4"], [TINY, TINY], "/{stem}.{ext}", ("h264-480p of 'a.mp4'", "h264-480p-2 of 'a.mp4'")),
        (["a.mp4"], [TINY, MP3], "/one", ("h264-480p", "mp3")),
        (["a.mp4"], [{"preset": "hls", "rungs": 1, "deliver": "/f"}, {**MP3, "deliver": "/f/master.m3u8"}], None,
         ("hls", "mp3")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sort", ["url", "bucket", "folder"])
def test_two_results_of_a_job_do_not_come_to_one_address(
    daemon: Daemon, host: ReceivingHost, clip: Path, sort: str, files: list[str], variations: list[Any],
    where: str | None, named: tuple[str, str],
) -> None:  # fmt: skip
    def wish(path: str) -> Any:
        if sort == "folder":
            folder, _, name = path.rpartition("/")
            return {"folder": f"x{folder}", "name": name, "conflict": "overwrite"}
        return {"url": host.url(path) if sort == "url" else f"s3://renders{path}", "conflict": "overwrite"}

    if sort != "url" and "{ext}" not in (where or ""):
        pytest.skip("a name without {ext} has that put behind it there")
    wished = [{**one, "deliver": wish(one["deliver"])} if "deliver" in one else one for one in variations]
    answer = ask(daemon, clip, files, variations=wished, **({"deliver": wish(where)} if where else {}))
    told = answer.json()["detail"]
    assert (answer.status_code, answer.json()["code"], *(name in told for name in named)) == (422, "bad_name", 1, 1)
    assert "would come to one address" in told
    assert ("`number`" in told) == (sort != "url")
    assert "Signature" not in told
    assert daemon.client.get("/api/jobs").json()["items"] == []


def test_results_that_get_a_number_or_a_query_of_their_own_may(daemon: Daemon, host: ReceivingHost, clip: Path) -> None:
    numbered = {"folder": "numbered", "name": "{stem}.{ext}", "conflict": "number"}
    queried = {"url": host.url("/in?file={preset}&sig=x")}
    variations = [{**TINY, "deliver": numbered}, {**OTHER, "deliver": numbered}, {**MP3, "deliver": queried}, MP3]
    job = ask(daemon, clip, ["clip.mp4"], variations=variations, deliver=queried)
    assert sorted(told["to"] for told in delivered(daemon, job.json()["id"]))[-2:] == [
        "numbered/clip (2).mp4", "numbered/clip.mp4",
    ]  # fmt: skip


def test_what_only_the_sources_tell_is_found_when_it_is_brought(daemon: Daemon, clip: Path) -> None:
    """Of the second source nobody knows what it holds before it is read."""
    wish = {"folder": "heights", "name": "{height}.{ext}", "conflict": "overwrite"}
    upload = [("files", (name, clip.read_bytes())) for name in ("a.mp4", "b.mp4")]
    spec = {"variations": [TINY], "deliver": wish}
    job = daemon.client.post("/api/jobs", data={"spec": json.dumps(spec)}, files=upload).json()
    first, second = sorted(delivered(daemon, job["id"]), key=lambda told: str(told["status"]))
    assert (first["status"], second["status"]) == ("delivered", "failed")
    assert "would come to one address" in second["error"]


def test_a_folder_does_not_go_to_a_url_with_a_query(daemon: Daemon, host: ReceivingHost, clip: Path) -> None:
    deliver = {"url": host.url("/in/{stem}?sig=s3cr3t")}
    answer = ask(daemon, clip, ["a.mp4"], variations=[{"preset": "hls", "rungs": 1}], deliver=deliver)
    assert (answer.status_code, "has a query" in answer.json()["detail"]) == (422, True)
    assert "s3cr3t" not in answer.text


@pytest.mark.parametrize(
    "url", ["https://x.example?sig=s3cr3t", "https://x.example?sig=a/b", "https://x.example?{stem}"]
)
def test_a_url_without_a_path_gets_no_name_into_its_query(daemon: Daemon, clip: Path, url: str) -> None:
    answer = ask(daemon, clip, ["a.mp4"], variations=[TINY], deliver={"url": url})
    assert (answer.status_code, "has no path before its '?'" in answer.json()["detail"]) == (422, True)
    assert "s3cr3t" not in answer.text


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("https://x.example", "https://x.example/clip.mp4"),
        ("https://x.example/in/?sig=1", "https://x.example/in/clip.mp4?sig=1"),
        ("https://x.example/in?to=/", "https://x.example/in?to=/"),
        ("https://x.example/{stem}#/", "https://x.example/clip"),
    ],
)
def test_a_name_is_put_behind_the_path(template: str, url: str) -> None:
    assert UrlTemplate(template).url(Words(stem="clip", preset="", ext="mp4"), "clip.mp4") == url


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://X.example:443/a", "https://x.example/a", True),
        ("https://x.example/a%2fb", "https://x.example/a%2Fb", True),
        ("https://x.example/a%2fb", "https://x.example/a/b", False),
        ("https://x.example/a?sv=1&sig=2", "https://x.example/a?sv=3&sig=4", True),
        ("https://x.example/a?sv=1", "https://x.example/a?sv=2", False),
        ("https://x.example/a?file=1&sig=2", "https://x.example/a?file=2&sig=2", False),
        ("https://x.example/A", "https://x.example/a", False),
    ],
)
def test_urls_of_one_file_have_one_address(one: str, other: str, same: bool) -> None:
    first, second = (urls.address(urls.parsed(url, {443})) for url in (one, other))
    assert (first == second) is same


def test_others_write_while_the_outputs_of_a_large_job_are_held_apart(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    paths.prepare()

    async def work(store: Store) -> None:
        loop, rooms = asyncio.get_running_loop(), house(paths, store)
        place = SimpleNamespace(resolve=resolve, address=str)
        deliveries = Deliveries(store, paths, {"https": cast("Place", place)}, rooms[2], Hooks(store, ()))

        def hold_apart(_: object) -> NoReturn:
            writing = asyncio.run_coroutine_threadsafe(store.write(lambda t: t.one("any_fetch")), loop)
            assert writing.result(PATIENCE) is None
            raise BadName("two of them")

        deliveries.hold_apart = hold_apart  # type: ignore[method-assign]
        jobs = Jobs(store, Woken(), paths, *rooms[:4], deliveries)  # type: ignore[arg-type]
        body = paths.incoming / "body"
        body.write_bytes(b"a source")
        wish = VariationRequest("mp3", {}, Deliver(url="https://host.example/a.mp3"))
        with pytest.raises(BadName, match="two of them"):
            source = NewSource(name="clip.mp4", bytes=8, upload=body)
            await jobs.create(JobSpec(variations=(wish,)), [source], conclude=lambda *_: None)

    async def resolve(wish: Deliver) -> Destination:
        return Destination(place="https://host.example", below="", wish=wish)

    in_store(paths, work)
    assert list(paths.jobs.iterdir()) == [], "nothing is left of it"


def test_two_at_once_to_one_url_wait_for_each_other(tmp_path: Path, host: ReceivingHost) -> None:
    """Of different jobs: the later may take the other's place as it asks, but they do not mix."""
    (output := tmp_path / "clip.mp4").write_bytes(b"clip")
    begun, receivers = threading.Event(), place(host)

    def slowly(visit: Any) -> None:
        begun.set()
        host.gate.wait(PATIENCE)
        keep(visit)

    host.answers = [slowly]
    first = parcel(output, host.url("/once"), conflict=Conflict.OVERWRITE)
    came: list[Receipt] = []
    sending = threading.Thread(target=lambda: came.append(receivers.deliver(first, Notes().course())))
    sending.start()
    assert begun.wait(PATIENCE)
    other = replace(parcel(output, host.url("/once#2"), conflict=Conflict.OVERWRITE), id="1" * 16)
    with pytest.raises(Undelivered, match="another result is on its way to that URL"):
        receivers.deliver(other, Notes().course())
    host.gate.set()
    sending.join()
    receivers.deliver(other, Notes().course())
    assert len(came) == 1
