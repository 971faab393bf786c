"""Results are put to URLs: whole, once, to addresses that were checked, and the URL is told nobody."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import obstore
import pytest
from bucket_scene import LADDER, Died, Notes
from conftest import PATIENCE, Daemon, wait_until
from msgspec.structs import replace
from receiving_host import (
    Answering,
    ReceivingHost,
    answering_early,
    answering_for_ever,
    hang_up,
    keep,
    keep_and_hang_up,
    reading_slowly,
    receiving,
    refusing,
    saying_nothing,
    stalled,
)
from s3_server import serving
from test_delivery import TINY, delivered, only

from daemon.addresses import DELIVERIES
from daemon.delivery import rests
from daemon.delivery.place import Parcel, Receipt, Stopped
from daemon.errors import InvalidRequest, Undelivered
from daemon.models import Conflict, Deliver, Destination
from daemon.name_template import Words
from daemon.proof.publish import seal
from daemon.storage.line import Lines, connected
from daemon.storage.receivers import Receivers

SECRET = "X-Amz-Signature=s3cr3t"


@pytest.fixture
def host() -> Iterator[ReceivingHost]:
    with receiving() as host:
        yield host


@pytest.fixture
def daemon(start_daemon: Callable[..., Daemon], host: ReceivingHost) -> Daemon:
    return start_daemon(*open_to(host.server_port))


def open_to(port: int) -> list[str]:
    return ["--delivery-allow-private", "--fetch-port", str(port), "--delivery-backoff", "0.05"]


def submit(daemon: Daemon, clip: Path, *variations: Any, **wish: Any) -> str:
    return str(daemon.submit(clip, spec={"variations": list(variations) or [TINY], "deliver": wish})["id"])


def test_a_result_is_put_to_a_presigned_url_which_is_told_nobody(
    daemon: Daemon, host: ReceivingHost, clip: Path
) -> None:
    job = submit(daemon, clip, url=host.url(f"/renders/a.mp4?{SECRET}"))
    [told] = delivered(daemon, job)
    shown = f"http://127.0.0.1:{host.server_port}/…"
    assert (told["status"], told["to"], told["error"]) == ("delivered", shown, None)
    variation = only(daemon.job(job))
    assert hashlib.sha256(host.there[f"/renders/a.mp4?{SECRET}"]).hexdigest() == variation["sha256"]
    [came] = host.came
    assert (came["content-type"], came["content-length"]) == ("video/mp4", str(variation["bytes"]))
    answers = [daemon.client.get(path).text for path in (f"/api/jobs/{job}", "/api/jobs", "/api/hooks/runs")]
    assert "s3cr3t" not in "".join([*answers, daemon.log()])
    kept = "SELECT count(*) FROM {} WHERE {} LIKE '%s3cr3t%'"
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database:
        asked = [kept.format(*where) for where in (("variations", "deliver"), ("deliveries", "wanted"))]
        assert [database.execute(statement).fetchone() for statement in asked] == [(0,), (0,)]


def test_a_real_store_takes_what_is_put_to_a_presigned_url(
    start_daemon: Callable[..., Daemon], tmp_path: Path, clip: Path
) -> None:
    with serving(tmp_path / "s3") as server:
        daemon = start_daemon(*open_to(server.port))
        url = obstore.sign(server.store(), "PUT", "signed/clip.mp4", timedelta(hours=1))
        job = submit(daemon, clip, url=url)
        assert [(told["status"], told["error"]) for told in delivered(daemon, job)] == [("delivered", None)]
        assert hashlib.sha256(server.read("signed/clip.mp4")).hexdigest() == only(daemon.job(job))["sha256"]


def test_a_host_that_asks_to_be_left_alone_is_so_for_that_token_alone(
    daemon: Daemon, host: ReceivingHost, clip: Path
) -> None:
    theirs = by_token(daemon, host, clip, "other")
    host.answers = [refusing(503, retry_after="3000")]
    assert "answered 503" in error(daemon, theirs("/theirs/a.mp4"))
    waiting = theirs("/theirs/b.mp4")
    assert error(daemon, waiting) == rests.WAITS
    ours = submit(daemon, clip, url=host.url("/ours/a.mp4"))
    assert [told["status"] for told in delivered(daemon, ours)] == ["delivered"]
    assert list(host.there) == ["/ours/a.mp4"]
    assert daemon.client.get("/api/stats").json()["deliveries"]["failing"] == 1, "the other was not tried"


def test_that_a_host_was_away_for_others_is_told_the_operator_alone(
    daemon: Daemon, host: ReceivingHost, clip: Path
) -> None:
    """Else a client would know that others bring something there."""
    host.answers = [refusing(503, retry_after="3000")] * 2
    for name in ("a", "b"):
        assert "answered 503" in error(daemon, by_token(daemon, host, clip, name)("/x.mp4"))
    theirs = by_token(daemon, host, clip, "c")("/y.mp4")
    wait_until(lambda: only(daemon.job(theirs)).get("delivery", {}).get("status") == "pending", "that it waits")
    assert error(daemon, submit(daemon, clip, url=host.url("/z.mp4"))) == rests.WAITS
    told = only(daemon.job(theirs))["delivery"]
    assert (told["status"], told["error"], told["attempts"]) == ("pending", None, 0)


def by_token(daemon: Daemon, host: ReceivingHost, clip: Path, name: str) -> Callable[[str], str]:
    """Makes jobs of a new token whose results are brought to that path of the host."""
    token = daemon.client.post("/api/tokens", json={"name": name}).json()["token"]

    def made(path: str) -> str:
        spec = json.dumps({"variations": [TINY], "deliver": {"url": host.url(path)}})
        given = {"data": {"spec": spec}, "files": [("files", (clip.name, clip.read_bytes()))]}
        answer = daemon.client.post("/api/jobs", headers={"Authorization": f"Bearer {token}"}, **given)
        return str(answer.json()["id"])

    return made


def error(daemon: Daemon, job: str) -> Any:
    return wait_until(lambda: only(daemon.job(job)).get("delivery", {}).get("error"), "what keeps it")


WITHOUT_FILES = """
import os, resource, sys
from pathlib import Path
from daemon.delivery.place import Course
from daemon.errors import Undelivered
from daemon.storage.receivers import Receivers
from test_receivers import parcel

put = parcel(Path(sys.argv[1]), "http://127.0.0.1:1/a.mp4")

def deliver():
    try:
        Receivers(allow_private=True, ports={1}).deliver(put, Course(None, lambda *_: None, lambda: False))
    except Undelivered as error:
        print(error)

deliver()  # which imports what it takes
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = [os.open("/dev/null", os.O_RDONLY)]
try:
    while True:
        held.append(os.dup(held[0]))
except OSError:
    pass
for _ in range(3):
    deliver()
    os.close(held.pop())
"""


def test_a_daemon_without_files_left_says_so_and_leaves_no_traceback(tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    output.write_bytes(b"all of it")
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", WITHOUT_FILES, str(output)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    words = "http://127.0.0.1:1/… cannot be reached: this daemon has too many files open\n"
    assert (ran.stdout.splitlines(keepends=True)[1:], ran.stderr) == ([words] * 3, "")


def test_a_place_at_which_two_owners_fail_rests_for_all() -> None:
    resting = rests.Rests()
    resting.begin("host", "a", 30.0)
    resting.begin("elsewhere", "b", 40.0)
    resting.begin("host", "a", 35.0)
    assert json.loads(resting.told()) == [["host", "a", False], ["elsewhere", "b", False]]
    resting.begin("host", None, 50.0)
    assert json.loads(resting.told()) == [["host", "a", True], ["elsewhere", "b", False], ["host", None, True]]
    assert min(resting.ends) == 35.0
    resting.forget_past(36.0, latest=45.0)
    assert json.loads(resting.told()) == [["elsewhere", "b", False]]
    resting.end("elsewhere", "b")
    assert resting.told() == "[]"


def test_a_template_gives_each_output_its_url(daemon: Daemon, host: ReceivingHost, clip: Path) -> None:
    job = submit(daemon, clip, TINY, {"preset": "mp3"}, url=host.url("/{stem}/{preset}.{ext}?key={job}"))
    delivered(daemon, job)
    assert sorted(host.there) == [f"/clip/h264-480p.mp4?key={job}", f"/clip/mp3.mp3?key={job}"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"url": "http://x.example/a"}, "names port 80"),
        ({"url": "https://user:pass@x.example/a"}, "holds a user name"),
        ({"url": "https://{stem}.example/a"}, "braces"),
        ({"url": "https://x.example/{stm}"}, "has the word {stm}"),
        ({"url": "https://x.example:1/{stem}"}, "results are brought to port"),
        ({"url": "https://x.example/{stem}", "conflict": "number"}, "gets no number"),
    ],
)
def test_a_url_that_nobody_may_go_to_is_refused(wish: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asyncio.run(Receivers(allow_private=True, ports={443}).resolve(Deliver(**wish)))
    assert words in str(refused.value)
    assert "pass" not in str(refused.value)


def test_http_is_for_private_networks() -> None:
    with pytest.raises(InvalidRequest, match="by https alone"):
        asyncio.run(Receivers(allow_private=False, ports={80}).resolve(Deliver(url="http://x.example/a")))


def test_a_private_address_is_refused_before_anything_is_made() -> None:
    with pytest.raises(InvalidRequest, match="a private or reserved address: results are brought to public addresses"):
        asyncio.run(Receivers(allow_private=False, ports={443}).resolve(Deliver(url="https://10.0.0.7/{stem}")))


def test_one_url_is_not_taken_for_several_outputs(daemon: Daemon, host: ReceivingHost, clip: Path) -> None:
    spec = json.dumps({"variations": [TINY, {"preset": "mp3"}], "deliver": {"url": host.url("/a")}})
    answer = daemon.client.post("/api/jobs", data={"spec": spec}, files={"files": clip.read_bytes()})
    assert (answer.status_code, "mp3 of 'upload' would come to one address" in answer.json()["detail"]) == (422, True)


def test_a_private_address_is_not_gone_to(start_daemon: Callable[..., Daemon], host: ReceivingHost, clip: Path) -> None:
    daemon = start_daemon("--fetch-port", str(host.server_port))
    job = submit(daemon, clip, url=f"https://localhost:{host.server_port}/a")
    [told] = delivered(daemon, job)
    assert told["status"] == "failed"
    assert "a loopback address: results are brought to public addresses only" in told["error"]
    assert host.came == []


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_is_busy_is_asked_again(daemon: Daemon, host: ReceivingHost, clip: Path, status: int) -> None:
    host.answers = [refusing(status, retry_after="0"), refusing(status)]
    job = submit(daemon, clip, url=host.url("/a"))
    [told] = delivered(daemon, job)
    assert (told["status"], told["attempts"]) == ("delivered", 3)


def test_a_url_that_has_expired_is_not_asked_again(daemon: Daemon, host: ReceivingHost, clip: Path) -> None:
    host.answers = [refusing(403)]
    job = submit(daemon, clip, url=host.url("/a"))
    [told] = delivered(daemon, job)
    shown = f"http://127.0.0.1:{host.server_port}/…"
    assert (told["status"], told["error"]) == ("failed", f"{shown} answered 403 Forbidden")
    assert len(host.came) == 1


def test_a_job_that_is_cancelled_gives_up_its_delivery(daemon: Daemon, host: ReceivingHost, clip: Path) -> None:
    host.answers = [refusing(503)] * 1000
    job = submit(daemon, clip, url=host.url("/a"))
    wait_until(lambda: host.came, "an attempt")
    daemon.client.post(f"/api/jobs/{job}/cancel")
    [told] = delivered(daemon, job)
    assert (told["status"], told["error"]) == ("failed", "its delivery was cancelled")


# The place itself


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"all of it" * 300_000)
    return path


def place(host: ReceivingHost, **more: Any) -> Receivers:
    return Receivers(allow_private=True, ports={host.server_port}, **more)


def parcel(output: Path, url: str, **wish: Any) -> Parcel:
    size, sha256, _ = seal(output)
    asked = Deliver(url=url, **wish)
    return Parcel(
        id="0" * 16, destination=Destination(place="http://x", below="", wish=asked), name=output.name, output=output,
        words=Words(stem="clip", preset="p", ext="mp4"), bytes=size, sha256=sha256,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("conflict", "receipt", "there"),
    [(Conflict.SKIP, True, b"old"), (Conflict.OVERWRITE, False, None), (Conflict.FAIL, None, b"old")],
)
def test_what_is_at_a_url_is_left_but_where_it_is_to_be_replaced(
    host: ReceivingHost, output: Path, conflict: Conflict, receipt: bool | None, there: bytes | None
) -> None:
    host.there["/a"] = b"old"
    asked = parcel(output, host.url("/a"), conflict=conflict)
    if receipt is None:
        with pytest.raises(Undelivered, match="is there already") as refused:
            place(host).deliver(asked, Notes().course())
        assert refused.value.final
    else:
        assert place(host).deliver(asked, Notes().course()).kept is receipt
    assert host.there == {"/a": output.read_bytes() if there is None else there}


@pytest.mark.parametrize("conflict", [Conflict.FAIL, Conflict.SKIP, Conflict.OVERWRITE])
def test_one_that_came_before_the_line_broke_is_known_again(
    host: ReceivingHost, output: Path, conflict: Conflict
) -> None:
    host.answers = [keep_and_hang_up]
    notes, asked = Notes(), parcel(output, host.url("/a"), conflict=conflict)
    with pytest.raises(Undelivered, match="cannot be reached") as broken:
        place(host).deliver(asked, notes.course())
    assert (broken.value.final, broken.value.away) == (False, True)
    assert place(host).deliver(asked, notes.course()) == Receipt(to=f"http://127.0.0.1:{host.server_port}/…")


def lost(answer: str) -> Answering:
    """Loses sight of what is put, in one of the ways of hosts and of what stands before them."""
    return {"hang-up": hang_up, "kept": keep_and_hang_up, "502": refusing(502), "500": refusing(500)}[answer]


@pytest.mark.parametrize("tells", [403, 404, 405])
@pytest.mark.parametrize("conflict", [Conflict.FAIL, Conflict.SKIP])
@pytest.mark.parametrize("answer", ["hang-up", "kept", "502", "500"])
def test_what_a_host_does_not_show_is_not_guessed_to_be_ours(
    host: ReceivingHost, output: Path, answer: str, conflict: Conflict, tells: int
) -> None:
    """It may be another's: whoever took it for ours would let go of the only copy."""
    host.answers, host.tells = [lost(answer), refusing(503)], tells
    notes, asked = Notes(), parcel(output, host.url("/a"), conflict=conflict)
    for _ in range(2):  # that it is refused once more tells nothing of the first
        with pytest.raises(Undelivered) as broken:
            place(host).deliver(asked, notes.course())
        assert not broken.value.final
    host.there["/a"] = b"another's, or ours"
    with pytest.raises(Undelivered, match="nobody can tell whether what lies at") as untold:
        place(host).deliver(asked, notes.course())
    assert untold.value.final
    del host.there["/a"]
    assert place(host).deliver(asked, notes.course()) == Receipt(to=f"http://127.0.0.1:{host.server_port}/…")


def test_what_is_as_long_is_not_taken_for_it(host: ReceivingHost, output: Path) -> None:
    host.answers = [hang_up]
    notes, asked = Notes(), parcel(output, host.url("/a"))
    with pytest.raises(Undelivered, match="cannot be reached"):
        place(host).deliver(asked, notes.course())
    host.there["/a"] = bytes(asked.bytes)
    with pytest.raises(Undelivered, match="is there already"):
        place(host).deliver(asked, notes.course())


def test_what_was_refused_before_is_not_ours_at_a_retry(host: ReceivingHost, output: Path) -> None:
    host.there["/a"], host.tells = b"old", 403
    notes, asked = Notes(), parcel(output, host.url("/a"))
    for _ in range(2):
        with pytest.raises(Undelivered, match="is there already"):
            place(host).deliver(asked, notes.course())


@pytest.mark.parametrize("tells", [None, 403, 404])
def test_what_another_put_there_meanwhile_is_not_taken_for_it(
    host: ReceivingHost, output: Path, tells: int | None
) -> None:
    """Whatever the host tells of it: it had refused ours."""
    host.answers, host.tells = [refusing(503)], tells
    notes, asked = Notes(), parcel(output, host.url("/a"))
    with pytest.raises(Undelivered, match="503"):
        place(host).deliver(asked, notes.course())
    host.there["/a"] = b"another's"
    with pytest.raises(Undelivered, match="is there already"):
        place(host).deliver(asked, notes.course())


def ladder(tmp_path: Path) -> Path:
    folder = tmp_path / "clip_hls"
    for name, content in LADDER.items():
        (path := folder / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_a_ladder_is_put_below_a_url_and_goes_on_where_it_was(host: ReceivingHost, tmp_path: Path) -> None:
    notes, asked = Notes(), parcel(ladder(tmp_path), host.url("/films/"))

    def dies() -> bool:
        if len(host.there) == 3:
            raise Died
        return False

    with pytest.raises(Died):
        place(host).deliver(asked, notes.course(dies))
    place(host).deliver(asked, notes.course())
    assert host.there == {f"/films/clip_hls/{name}": content for name, content in LADDER.items()}
    assert [came["path"].rpartition("/")[2] for came in host.came[-2:]] == ["playlist.m3u8", "master.m3u8"]
    cached = {came["path"].rpartition(".")[2]: came.get("cache-control") for came in host.came}
    assert cached == {**dict.fromkeys(cached), "m3u8": "no-cache"}


def given_up(host: ReceivingHost, asked: Parcel, notes: Notes) -> None:
    """Has a host refuse the third file for good, and nobody want the rest until somebody retries."""
    host.answers = [keep, keep, refusing(403)]
    with pytest.raises(Undelivered, match="403") as refused:
        place(host).deliver(asked, notes.course())
    assert refused.value.final
    notes.landing = place(host).withdraw(replace(asked, landing=notes.landing))


@pytest.mark.parametrize("conflict", [Conflict.FAIL, Conflict.SKIP, Conflict.OVERWRITE])
@pytest.mark.parametrize("gone", [False, True])
def test_a_ladder_that_is_retried_knows_its_own(
    host: ReceivingHost, tmp_path: Path, conflict: Conflict, gone: bool
) -> None:
    """And that somebody took them away meanwhile."""
    notes, asked = Notes(), parcel(ladder(tmp_path), host.url("/films/"), conflict=conflict)
    for _ in range(2):
        given_up(host, asked, notes)
    host.there = {} if gone else host.there
    assert not place(host).deliver(asked, notes.course()).kept
    assert host.there == {f"/films/clip_hls/{name}": content for name, content in LADDER.items()}


@pytest.mark.parametrize(("tells", "words"), [(None, "is there already"), (403, "nobody can tell whether what lies")])
def test_a_ladder_that_is_retried_takes_nothing_of_anothers_for_its_own(
    host: ReceivingHost, tmp_path: Path, tells: int | None, words: str
) -> None:
    notes, asked = Notes(), parcel(ladder(tmp_path), host.url("/films/"))
    given_up(host, asked, notes)
    host.there[next(iter(host.there))], host.tells = b"another's", tells
    with pytest.raises(Undelivered, match=words) as refused:
        place(host).deliver(asked, notes.course())
    assert refused.value.final


def test_a_ladder_is_brought_whole_by_a_retry(daemon: Daemon, host: ReceivingHost, clip: Path) -> None:
    host.answers = [keep, keep, refusing(403)]
    job = submit(daemon, clip, {"preset": "hls", "rungs": 1}, url=host.url("/films/"))
    assert [told["status"] for told in delivered(daemon, job)] == ["failed"]
    daemon.client.post(f"/api/jobs/{job}/retry").raise_for_status()
    assert [(told["status"], told["error"]) for told in delivered(daemon, job)] == [("delivered", None)]
    assert "/films/clip_hls/master.m3u8" in host.there


def test_a_ladder_does_not_go_to_the_url_of_one_file(host: ReceivingHost, tmp_path: Path) -> None:
    with pytest.raises(Undelivered, match="is of one file") as refused:
        place(host).deliver(parcel(ladder(tmp_path), host.url(f"/a?{SECRET}")), Notes().course())
    assert refused.value.final
    assert "s3cr3t" not in str(refused.value)


def test_what_is_not_as_it_was_made_any_more_does_not_come_whole(host: ReceivingHost, output: Path) -> None:
    asked = parcel(output, host.url("/a"))
    output.write_bytes(output.read_bytes()[:-1] + b"x")
    with pytest.raises(Undelivered, match="is not what was made any more"):
        place(host).deliver(asked, Notes().course())
    assert host.there == {}


def test_one_that_is_cancelled_in_mid_transfer_does_not_come(host: ReceivingHost, output: Path) -> None:
    looks = iter(range(100))
    with pytest.raises(Stopped):
        place(host).deliver(parcel(output, host.url("/a")), Notes().course(lambda: next(looks) > 2))
    assert host.there == {}


def test_a_host_that_stalls_is_given_up(host: ReceivingHost, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.storage.line.SILENCE", 0.2)
    host.answers = [stalled]
    output.write_bytes(bytes(64 * 1024**2))  # more than any socket holds
    with pytest.raises(Undelivered, match="took nothing more for 0 s, after") as stall:
        place(host).deliver(parcel(output, host.url("/a")), Notes().course())
    assert (stall.value.final, stall.value.away) == (False, True)


def test_a_host_that_is_slow_and_moves_gets_all_of_it(
    host: ReceivingHost, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrow(*of: Any) -> socket.socket:
        line = connected(*of)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        return line

    monkeypatch.setattr("daemon.storage.receivers.connected", narrow)
    for limit in ("line.SILENCE", "exchange.ANSWER"):
        monkeypatch.setattr(f"daemon.storage.{limit}", 0.4)
    monkeypatch.setattr("daemon.storage.exchange.LOOK", 0.05)
    host.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    host.answers, host.pause = [reading_slowly], 0.03  # a mebibyte takes longer than that
    place(host).deliver(parcel(output, host.url("/a")), Notes().course())


@pytest.mark.parametrize(
    ("pause", "words"), [(0.0, "answers without coming to an end"), (0.1, "did not answer within")]
)
def test_a_host_that_asks_for_patience_for_ever_is_given_up(
    host: ReceivingHost, output: Path, monkeypatch: pytest.MonkeyPatch, pause: float, words: str
) -> None:
    monkeypatch.setattr("daemon.storage.exchange.ANSWER", 60.0 if pause == 0 else 0.5)
    host.answers, host.pause = [answering_for_ever], pause
    with pytest.raises(Undelivered, match=words):
        place(host).deliver(parcel(output, host.url("/a")), Notes().course())


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("size", [300_000, 64 * 1024**2])
def test_what_a_host_called_taken_before_it_had_all_of_it_is_not_delivered(
    host: ReceivingHost, output: Path, size: int, held: bool
) -> None:
    """Be the rest of it still here, or in what the sockets hold."""
    host.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    host.answers = [answering_early(201, held=held)]
    output.write_bytes(bytes(size))
    with pytest.raises(Undelivered, match="answered 201 before it had all of it") as early:
        place(host).deliver(parcel(output, host.url("/a")), Notes().course())
    assert (early.value.final, early.value.away) == (False, True)


def test_a_host_that_refuses_before_it_had_all_of_it_is_heard(host: ReceivingHost, output: Path) -> None:
    host.answers = [answering_early(413, held=True)]
    output.write_bytes(bytes(64 * 1024**2))
    with pytest.raises(Undelivered, match="answered 413 Request Entity Too Large") as refused:
        place(host).deliver(parcel(output, host.url("/a")), Notes().course())
    assert refused.value.final


def hangs(host: ReceivingHost, answer: Answering) -> bool:
    return host.taken.is_set() if answer is saying_nothing else bool(host.came)


@pytest.mark.parametrize("answer", [saying_nothing, stalled])
def test_one_that_is_cancelled_leaves_a_host_that_hangs(host: ReceivingHost, output: Path, answer: Answering) -> None:
    host.answers = [answer]
    output.write_bytes(bytes(64 * 1024**2 if answer is stalled else 1000))
    with pytest.raises(Stopped):
        place(host).deliver(parcel(output, host.url("/a")), Notes().course(lambda: hangs(host, answer)))
    assert not host.gate.is_set()


def test_who_brings_something_to_one_url_knows_nothing_of_others(host: ReceivingHost, output: Path) -> None:
    host.answers = [saying_nothing]
    first, there = parcel(output, host.url("/a")), place(host)
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(there.deliver, replace(first, owner="a"), Notes().course(lambda: bool(host.there)))
        assert host.taken.wait(PATIENCE)
        with pytest.raises(Undelivered, match="another result is on its way to that URL"):
            there.deliver(replace(first, id="1" * 16, owner="a"), Notes().course())
        there.deliver(replace(first, id="2" * 16, owner="b"), Notes().course())
        with pytest.raises(Stopped):
            hanging.result(PATIENCE)
    assert list(host.there) == ["/a"]


def test_a_name_is_looked_up_once(host: ReceivingHost, output: Path) -> None:
    asked: list[str] = []

    async def resolve(name: str, _: int) -> list[Any]:
        asked.append(name)
        return [ip_address("127.0.0.1")]

    lines = Lines(DELIVERIES, allow_private=True, resolve=resolve)
    place(host, lines=lines).deliver(parcel(output, f"http://receiver.example:{host.server_port}/a"), Notes().course())
    assert (asked, host.came[0]["host"]) == (["receiver.example"], f"receiver.example:{host.server_port}")
