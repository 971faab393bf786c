"""What is completed comes to the folder its job asked for: whole, once, and only where it may."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import forked
import msgspec
import pytest
from conftest import PATIENCE, Daemon, wait_until
from jumping_clock import TRIED_AT, Clock, through_jumps
from stored import finish, in_store
from surroundings import need_mounts
from test_delivery_folder import mounted
from test_webhooks import receiving

from daemon.cli import checks
from daemon.database import due_queue
from daemon.database.store import Store, Transaction
from daemon.delivery import rests, slots
from daemon.delivery.deliveries import Deliveries
from daemon.delivery.hooks import Hooks
from daemon.delivery.place import Course, Parcel, Place, Receipt
from daemon.errors import Undelivered
from daemon.models import Deliver, Destination
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.proof import output_folder

TINY = {"preset": "h264-480p", "speed": "ultrafast", "short_side": 120}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output root."""
    return tmp_path_factory.mktemp("library").resolve()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Daemon]:
    state = tmp_path_factory.mktemp("delivering") / "state"
    daemon = Daemon(state, "--output-root", str(library), "--delivery-backoff", "0.1", "--webhook-allow-private")
    yield daemon
    daemon.stop()


def delivered(daemon: Daemon, job: str) -> list[Any]:
    """The deliveries of a job, once none of them is left to be made."""

    def settled() -> Any:
        view = daemon.job(job)
        counts = view["deliveries"]
        return view if view["status"] == "completed" and counts and not counts["pending"] else None

    view = wait_until(settled, "every delivery to be settled")
    variations = [variation for source in view["sources"] for variation in source["variations"]]
    return [variation["delivery"] for variation in variations if "delivery" in variation]


def test_an_output_is_delivered_as_it_was_made(daemon: Daemon, library: Path, clip: Path) -> None:
    wish = {"folder": str(library / "films" / "new"), "name": "{stem} {height}.{ext}", "mode": "0664"}
    job = daemon.submit(clip, spec={"variations": [{**TINY, "short_side": 240}], "deliver": wish})
    [variation] = job["sources"][0]["variations"]
    assert variation["delivery"] == {
        "status": "pending", "to": "films/new", "delivered_at": None, "kept": False, "dropped": False, "attempts": 0,
        "error": None,
    }  # fmt: skip
    [told] = delivered(daemon, job["id"])
    assert (told["status"], told["to"], told["error"]) == ("delivered", "films/new/clip 240.mp4", None)
    assert told["delivered_at"] is not None
    file = library / told["to"]
    sha256 = daemon.job(job["id"])["sources"][0]["variations"][0]["sha256"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o664, 0o775]


def submit(daemon: Daemon, clip: Path, **spec: Any) -> Any:
    return daemon.submit(clip, spec={"variations": [TINY], **spec})


def only(view: Any) -> Any:
    [source] = view["sources"]
    [variation] = source["variations"]
    return variation


def test_a_folder_of_files_comes_whole(daemon: Daemon, library: Path, clip: Path) -> None:
    variations = [{"preset": "hls", "rungs": 1}, {"preset": "mp3", "deliver": None}]
    job = daemon.submit(clip, spec={"variations": variations, "deliver": {"folder": "streams"}})
    [told] = delivered(daemon, job["id"])
    assert told["to"] == "streams/clip_hls"
    hls, mp3 = daemon.job(job["id"])["sources"][0]["variations"]
    assert output_folder.digest(library / told["to"]) == hls["sha256"]
    assert "delivery" not in mp3


def test_a_job_that_asks_for_none_tells_of_none(daemon: Daemon, clip: Path) -> None:
    job = daemon.wait_for(submit(daemon, clip)["id"])
    assert (job["deliveries"], "delivery" in only(job)) == (None, False)
    assert job["expires_at"] is not None


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"folder": "/etc"}, 403, "forbidden_path"),
        ({"folder": "../x"}, 422, "invalid_request"),
        ({"folder": "x", "name": "{stem}_{presett}.{ext}"}, 422, "bad_name"),
        ({"folder": "x", "name": "../{stem}"}, 422, "bad_name"),
        ({"folder": "x\n"}, 422, "invalid_request"),
        ({"folder": "x", "mode": "4777"}, 422, "invalid_request"),
        ({"folder": "x", "conflict": "merge"}, 422, "invalid_request"),
        ({"url": "s3://x", "folder": "x"}, 422, "invalid_request"),
        ({"url": "ftp://x/y"}, 422, "invalid_request"),
        ({"url": "x"}, 422, "invalid_request"),
        ({"url": "s3://x/y", "name": "{stem}"}, 422, "invalid_request"),
        ({"url": "s3://x/", "mode": "0600"}, 422, "invalid_request"),
        ({"keep": False}, 422, "invalid_request"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_before_anything_is_made(
    daemon: Daemon, clip: Path, wish: Any, status: int, code: str
) -> None:
    for spec in ({"variations": [TINY], "deliver": wish}, {"variations": [{**TINY, "deliver": wish}]}):
        answer = daemon.client.post("/api/jobs", data={"spec": json.dumps(spec)}, files={"files": clip.read_bytes()})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_delivery_that_failed_is_told_and_retried_by_the_verb(daemon: Daemon, library: Path, clip: Path) -> None:
    there = library / "taken" / "clip_h264-480p.mp4"
    there.parent.mkdir()
    there.write_bytes(b"mine")
    job = submit(daemon, clip, deliver={"folder": "taken"})["id"]
    [told] = delivered(daemon, job)
    assert (told["status"], told["to"], told["delivered_at"]) == ("failed", "taken", None)
    assert "clip_h264-480p.mp4 is there already" in told["error"]
    view = daemon.job(job)
    assert (view["status"], view["outcome"], view["deliveries"]["failed"]) == ("completed", "all", 1)
    there.unlink()
    [output] = (daemon.state_dir / "spool" / "jobs" / job / "outputs").iterdir()
    aside = output.rename(output.with_suffix(".aside"))
    daemon.client.post(f"/api/jobs/{job}/retry")
    gone = "its file is gone from the disk, so it cannot be delivered"
    wait_until(lambda: (told := only(daemon.job(job))["delivery"])["status"] == "failed" and told["error"] == gone)
    aside.rename(output)
    alone = f"/api/jobs/{job}/variations/{only(view)['id']}/retry"
    assert daemon.client.post(alone).json()["changed"] is True
    wait_until(there.exists, "the delivery")
    assert daemon.client.post(f"/api/jobs/{job}/retry").status_code == (409 if delivered(daemon, job) else None)
    assert daemon.client.post(alone).status_code == 409


def test_one_that_is_delivered_need_not_be_kept(daemon: Daemon, library: Path, clip: Path) -> None:
    job = submit(daemon, clip, deliver={"folder": "moved", "keep": False})["id"]
    [told] = delivered(daemon, job)
    outputs = daemon.state_dir / "spool" / "jobs" / job / "outputs"
    wait_until(lambda: not list(outputs.iterdir()), "the copy to go")
    variation = only(daemon.job(job))
    assert hashlib.sha256((library / told["to"]).read_bytes()).hexdigest() == variation["sha256"]
    answer = daemon.client.get(f"/api/jobs/{job}/variations/{variation['id']}/download")
    assert answer.status_code == 410
    assert "was delivered, and as its job asked for, no copy of it was kept" in answer.json()["detail"]
    shown = ffspool(daemon, "show", job).stdout
    assert (f"{told['to']}, and no copy is kept here" in shown, "ffspool download" in shown) == (True, False)
    assert "was delivered, and as it asked for, no copy was kept here" in ffspool(daemon, "download", job).stderr


def test_no_answer_tells_where_a_root_lies(daemon: Daemon, library: Path, clip: Path) -> None:
    job = submit(daemon, clip, deliver={"folder": str(library / "told")})["id"]
    delivered(daemon, job)
    events = daemon.client.stream("GET", "/api/events", headers={"Last-Event-ID": "0"})
    with events as answer:
        told = next(chunk for chunk in answer.iter_text() if "event: delivery" in chunk)
    answers = [daemon.client.get(path).text for path in (f"/api/jobs/{job}", "/api/jobs", "/api/stats", "/metrics")]
    assert str(library) not in told + "".join(answers)


def test_events_tell_each_step_in_order(daemon: Daemon, clip: Path) -> None:
    job = submit(daemon, clip, deliver={"folder": "events"})["id"]
    delivered(daemon, job)
    told = list[Any]()
    with daemon.client.stream("GET", f"/api/jobs/{job}/events", headers={"Last-Event-ID": "0"}) as answer:
        text = ""
        for chunk in answer.iter_text():
            text += chunk
            blocks = [block.split("\n") for block in text.split("\n\n")]
            told = [json.loads(block[2][6:]) for block in blocks if "event: delivery" in block]
            if told and told[-1]["status"] == "delivered":
                break
    assert [event["status"] for event in told] == ["pending", "running", "delivered"]
    assert (told[-1]["job"], told[-1]["to"]) == (job, "events/clip_h264-480p.mp4")


def test_webhooks_tell_each_delivery_and_all_of_a_jobs(daemon: Daemon, library: Path, clip: Path) -> None:
    (library / "hooked").mkdir(exist_ok=True)
    (library / "hooked" / "clip_mp3.mp3").touch()
    wanted = [TINY, {"preset": "mp3"}]
    spec = {"variations": wanted, "deliver": {"folder": "hooked"}, "webhook_variations": True, "metadata": {"order": 7}}
    with receiving() as receiver:
        job = daemon.submit(clip, spec={**spec, "webhook_url": receiver.url})["id"]
        wait_until(lambda: len(receiver.came) == 6, "all six messages")
    told = {message["type"]: message["data"] for message in receiver.messages}
    assert told["variation.delivered"]["delivery"]["to"].startswith("hooked/clip_h264-480p")
    assert "is there already" in told["variation.undelivered"]["delivery"]["error"]
    assert told["job.undelivered"] == {
        "id": job, "name": None, "status": "completed", "metadata": {"order": 7},
        "deliveries": {"pending": 0, "delivered": 1, "failed": 1},
    }  # fmt: skip


def test_a_copy_that_a_crash_left_behind_is_swept(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    """The row lets go of it first."""
    (tmp_path / "library").mkdir()
    daemon = start_daemon("--output-root", str(tmp_path / "library"))
    job = submit(daemon, clip, deliver={"folder": "films", "keep": False})["id"]
    delivered(daemon, job)
    copy = daemon.state_dir / "spool" / "jobs" / job / "outputs" / f"{only(daemon.job(job))['id']}.mp4"
    wait_until(lambda: not copy.exists(), "the copy to go")
    daemon.stop()
    copy.write_bytes(b"left behind")
    daemon.start()
    wait_until(lambda: not copy.exists(), "the sweep")


async def _reads_of_an_idle_queue(paths: Paths) -> int:
    store = await Store.open(paths.database)
    deliveries, reads, read = Deliveries(store, paths, {}, Library(), Hooks(store, ())), 0, store.read

    async def counted(work: Callable[[Transaction], Any]) -> Any:
        nonlocal reads
        reads += 1
        return await read(work)

    store.read = counted  # type: ignore[method-assign]
    running = asyncio.create_task(deliveries.run())
    for number in range(50):
        await store.write(lambda t, n=number: t.run("count_stop", stage="quit", seconds=n))  # type: ignore[misc]
    running.cancel()
    await asyncio.wait([running])
    await store.close()
    return reads


def test_where_nobody_asks_for_deliveries_no_commit_is_looked_at(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    assert asyncio.run(_reads_of_an_idle_queue(paths)) <= 2


# Places that are away


ANYWHERE: Any = {"busy": "[]", "places": "[]", "pairs": "[]", "stay": "[]", "abroad": 1}


class Away:
    """A place that refuses, and at what times it was asked."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.asked: list[float] = []
        self._now = now

    def address(self, *_: object) -> str:
        return "films/film.mp4"

    def deliver(self, *_: object) -> NoReturn:
        self.asked.append(self._now())
        raise Undelivered("it is away", away=True)


def test_a_clock_that_jumps_neither_keeps_a_delivery_waiting_nor_gives_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_queue, "LOOK_EVERY", 0.01)
    paths, clock = Paths(tmp_path / "state"), Clock()
    paths.prepare()
    place = Away(clock)
    wanted = msgspec.json.encode(Destination(place="folder:/x", below="", wish=Deliver(folder="/x"))).decode()

    def fill(transaction: Transaction) -> None:
        finish(transaction, "film", paths, at=clock(), deliver=wanted)

    def failures(transaction: Transaction) -> int:
        due = transaction.one("due_delivery", now=1e12, **ANYWHERE)
        assert due is not None
        return int(due["failures"])

    async def main(store: Store) -> None:
        await store.write(fill)
        queue = Deliveries(store, paths, {"folder": cast("Place", place)}, Library(), Hooks(store, ()), now=clock)
        await through_jumps(store, clock, queue.run(), failures)

    in_store(paths, main)
    assert place.asked == TRIED_AT


@pytest.mark.parametrize(("landing", "is_due"), [(None, False), ("it was about to be moved", True)])
def test_of_a_paused_folder_that_is_gone_on_with_which_touched_its_original(
    tmp_path: Path, landing: str | None, is_due: bool
) -> None:
    """Else that might be in the trash, and nothing in its place, for as long as the folder is paused."""
    paths = Paths(tmp_path / "state")
    paths.prepare()
    wanted = msgspec.json.encode(Destination(place="original:/x", below="", wish=Deliver(folder="/x"))).decode()

    def found(transaction: Transaction) -> tuple[bool, bool]:
        finish(transaction, "film", paths, at=1.0, deliver=wanted)
        transaction.run("record_folder", job="film", folder="x", state="running", overruled=0)
        due = transaction.one("due_delivery", now=1e12, **ANYWHERE)
        assert due is not None
        transaction.run("begin_delivery", id=due["id"], passed="")
        transaction.run("note_landing", id=due["id"], landing=landing)
        transaction.run("pause_folder", folder="x")
        wanted_still = transaction.all("wanted_deliveries", deliveries=f'["{due["id"]}"]')
        return transaction.one("due_delivery", now=1e12, **ANYWHERE) is not None, bool(wanted_still)

    assert in_store(paths, lambda store: store.write(found)) == (is_due, is_due)


class Hanging:
    """Hosts that hang until the gate is opened, and which of them are asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()

    def address(self, parcel: Parcel) -> str:
        return parcel.destination.place

    def deliver(self, parcel: Parcel, _: Course) -> Receipt:
        self.asked.append(parcel.destination.place)
        assert self.gate.wait(PATIENCE)
        return Receipt(to=parcel.destination.place)


def test_however_many_hosts_hang_few_are_waited_for_and_folders_are_not_kept_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "ABROAD", 6)  # of which one owner has half
    paths, hanging, folder = Paths(tmp_path / "state"), Hanging(), Hanging()
    paths.prepare()
    folder.gate.set()
    urls = [f"https://{number}.example" for number in range(6)]
    wishes = [*((url, Deliver(url=f"{url}/a")) for url in urls), ("folder:/x", Deliver(folder="/x"))]

    def fill(transaction: Transaction) -> None:
        for at, (place, wish) in enumerate(wishes):
            wanted = msgspec.json.encode(Destination(place=place, below="", wish=wish)).decode()
            finish(transaction, f"film {at}", paths, at=at + 1.0, deliver=wanted)

    async def main(store: Store) -> None:
        places = {"https": cast("Place", hanging), "folder": cast("Place", folder)}
        await store.write(fill)
        queue = Deliveries(store, paths, places, Library(), Hooks(store, ()), now=lambda: 100.0)
        running = asyncio.create_task(queue.run())
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(wait_until, lambda: folder.asked and hanging.asked[2:], "what there is room for")
            assert set(hanging.asked) == set(urls[:3])
            hanging.gate.set()
            await asyncio.to_thread(wait_until, lambda: set(hanging.asked) == set(urls), "all the others")
        running.cancel()
        await asyncio.wait([running])

    in_store(paths, main)


@pytest.mark.parametrize("url", ["https://one.example", "https://{}.example"])
def test_one_owners_deliveries_leave_room_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Be they all for one place, or for many, and however long they hang."""
    monkeypatch.setattr(slots, "ABROAD", 4)
    paths, hanging = Paths(tmp_path / "state"), Hanging()
    paths.prepare()
    begun: list[str] = []
    owners = [*["greedy"] * 5, "second", "third"]

    def fill(transaction: Transaction) -> None:
        for at, owner in enumerate(owners):
            place = url.format(at)
            wish = Deliver(url=f"{place}/{owner}")
            wanted = msgspec.json.encode(Destination(place=place, below="", wish=wish)).decode()
            finish(transaction, f"film {at}", paths, at=at + 1.0, deliver=wanted, owner=owner)

    def deliver(parcel: Parcel, course: Course) -> Receipt:
        begun.append(str(parcel.destination.wish.url).rpartition("/")[2])
        return hanging.deliver(parcel, course)

    async def main(store: Store) -> None:
        place = SimpleNamespace(address=hanging.address, deliver=deliver)
        await store.write(fill)
        queue = Deliveries(
            store, paths, {"https": cast("Place", place)}, Library(), Hooks(store, ()), now=lambda: 100.0
        )
        running = asyncio.create_task(queue.run())
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(wait_until, lambda: len(begun) == 4, "all that there is room for")
            assert sorted(begun) == ["greedy", "greedy", "second", "third"]
            hanging.gate.set()
            await asyncio.to_thread(wait_until, lambda: len(begun) == len(owners), "all the others")
        running.cancel()
        await asyncio.wait([running])

    in_store(paths, main)


def test_owners_take_turns_for_the_last_slot_of_a_place() -> None:
    held, none = slots.Slots(), rests.Rests()
    for number, owner in enumerate("abcd"):
        held.take({"id": str(number), "place": "x", "owner": owner})
    assert [told["places"] for told in held.told(none)] == ['["x"]']
    held.leave("0")
    first, then = (json.loads(str(told["pairs"])) for told in held.told(none))
    assert (set(first), set(then)) == ({"x a", "x b", "x c", "x d"}, {"x b", "x c", "x d"})
    held.take({"id": "5", "place": "x", "owner": "a"})  # nobody else waits
    held.leave("5")
    first, _ = (json.loads(str(told["pairs"])) for told in held.told(none))
    assert "x a" in first, "who comes to wait meanwhile has a turn before its third"


def test_what_is_not_delivered_yet_neither_fails_nor_expires_nor_goes_for_room(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    root = tmp_path / "share"
    daemon = start_daemon(
        "--output-root", str(root), "--delivery-backoff", "0.1", "--retention", "1", "--sweep-every", "0.1",
        "--max-disk-use", "0.000001",
    )  # fmt: skip
    job = submit(daemon, clip, deliver={"folder": "films"})["id"]
    other = submit(daemon, clip)["id"]
    wait_until(lambda: daemon.client.get(f"/api/jobs/{other}").status_code == 410, "another job to end and expire")
    view = daemon.wait_for(job)
    assert (view["status"], view["expires_at"], view["deliveries"]["pending"]) == ("completed", None, 1)
    error = wait_until(lambda: only(daemon.job(job))["delivery"]["error"], "its first try")
    assert error == "the output root is away: it waits until that is there again"
    assert daemon.client.get("/api/stats").json()["deliveries"]["failing"] == 1
    root.mkdir()
    wait_until(lambda: list(root.glob("films/*.mp4")), "the delivery, now that the share is there")
    wait_until(lambda: daemon.client.get(f"/api/jobs/{job}").status_code == 410, "its own end")


def test_a_cancel_gives_up_what_is_not_delivered(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    need_mounts()
    root = tmp_path / "library"
    root.mkdir()
    with mounted(root, "-o", "size=64k"):
        daemon = start_daemon("--output-root", str(root), "--delivery-backoff", "0.1")
        kept = submit(daemon, clip, deliver={"folder": "films"})["id"]
        wait_until(lambda: (only(daemon.job(kept)).get("delivery") or {}).get("error"), "the disk to be full")
        assert "no room" in only(daemon.job(kept))["delivery"]["error"]
        answer = daemon.client.post(f"/api/jobs/{kept}/cancel").json()
        assert (answer["status"], answer["changed"]) == ("completed", True)
        told = only(daemon.job(kept))["delivery"]
        assert (told["status"], told["error"]) == ("failed", "its delivery was cancelled")
        assert daemon.client.post(f"/api/jobs/{kept}/cancel").status_code == 409
        assert daemon.client.delete(f"/api/jobs/{kept}").status_code == 204
        assert list((root / "films").iterdir()) == []


# On the command line and the page


def ffspool(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.run([*words, "--state-dir", str(daemon.state_dir)], os.environ)


def test_submit_to_a_folder_waits_until_it_is_there(daemon: Daemon, library: Path, clip: Path) -> None:
    words = ("submit", str(clip), "-p", "mp3", "--to", str(library / "sounds"), "--wait")
    there_and_back = (*words[:5], str(library / "sounds" / ".." / "sounds"), "--wait")
    first = ffspool(daemon, *there_and_back, "--to-name", "{stem}.{ext}")
    assert (first.returncode, [path.name for path in (library / "sounds").iterdir()]) == (0, ["clip.mp3"])
    assert "delivered to sounds/clip.mp3" in first.stderr
    again = ffspool(daemon, *words, "--to-name", "{stem}.{ext}", "--json")
    assert again.returncode == 1
    job = json.loads(again.stdout)["id"]
    shown = ffspool(daemon, "show", job).stdout
    assert "not delivered: clip.mp3 is there already" in shown
    assert f"`ffspool retry {job}`" in shown
    assert "completed, 1 not delivered" in ffspool(daemon, "ls", "--limit", "1").stdout
    assert "is completed: what did not arrive is delivered again" in ffspool(daemon, "retry", job).stdout


def test_a_film_that_was_uploaded_from_there_is_not_overwritten(daemon: Daemon, library: Path, clip: Path) -> None:
    film = library / "shrunk" / "film.mp4"
    film.parent.mkdir()
    film.write_bytes(clip.read_bytes())
    where = ("--to", str(film.parent), "--to-name", "{stem}.{ext}", "--conflict", "overwrite", "--wait")
    told = ffspool(daemon, "submit", str(film), "-p", "h264-480p", *where)
    assert (told.returncode, "is what it was made of" in told.stderr) == (1, True)
    assert film.read_bytes() == clip.read_bytes()


def test_options_of_a_delivery_want_a_folder(daemon: Daemon, clip: Path) -> None:
    refused = ffspool(daemon, "submit", str(clip), "-p", "mp3", "--conflict", "skip")
    assert (refused.returncode, "--to says where" in refused.stderr) == (2, True)


def test_the_doctor_says_which_output_root_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = [asyncio.run(checks.output_root(root)) for root in (tmp_path, tmp_path / "none", tmp_path / "file")]
    assert [check.ok for check in found] == [True, False, False]
    told = [check.found.removeprefix(str(tmp_path)) for check in found]
    assert told == [" can be written", "/none is not there", "/file is no folder"]
