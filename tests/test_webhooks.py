"""Webhooks: nothing that ended goes untold, it is signed as Standard Webhooks says, and goes only where it may."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Daemon, Media, wait_until
from standardwebhooks.webhooks import Webhook

from daemon import addresses
from daemon.cli import daemon_checks
from daemon.cli.client import Client
from daemon.cli.main import main
from daemon.database import due_queue
from daemon.errors import InvalidRequest
from daemon.states import MessageStatus
from daemon.webhooks import outbox
from daemon.webhooks.delivery import Reply, Sender, parsed
from daemon.webhooks.signing import OVERLAP, Secrets

AUDIO = [{"preset": "mp3"}]
OF_THE_WHOLE = {
    "sources",
    "advice",
    "folder",
    "owner",
    "lost_variations",
    "webhook_url",
    "webhook_variations",
}  # the job's own


class Receiver(ThreadingHTTPServer):
    """Keeps what comes, and answers with `answers` in turn, the last of them again and again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = [(204, {})]
        self.phrase: str | None = None  # beside the status
        self.answering = threading.Event()  # cleared: it takes what comes, and hangs
        self.answering.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The daemon was killed before it had its answer."""

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.came]

    @property
    def messages(self) -> list[Any]:
        return [json.loads(body) for _, body in self.came]


class _Take(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answers = self.server.answers
        status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.server.answering.wait()
        self.send_response(status, self.server.phrase)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.answering.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


OPEN = ("--webhook-allow-private", "--webhook-backoff", "0.05")
LONGEST = 0.05 * outbox.WAITS[-1]  # seconds from a message that failed to the next, by that backoff


@pytest.fixture(scope="module")
def open_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for many tests that may send to this host, and soon sends again."""
    daemon = Daemon(tmp_path_factory.mktemp("open") / "state", *OPEN)
    yield daemon
    daemon.stop()


def submit(daemon: Daemon, clip: Path, url: str, **spec: Any) -> Any:
    return daemon.submit(clip, spec={"variations": AUDIO, "webhook_url": url, **spec})


def deliveries(daemon: Daemon, **query: Any) -> list[Any]:
    answer = daemon.client.get("/api/webhooks/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    items: list[Any] = answer.json()["items"]
    return items


def settled(daemon: Daemon, job: str, status: str) -> Any:
    """The job's one delivery, once it has that status."""

    def found() -> Any:
        [delivery] = deliveries(daemon, job=job) or [{"status": None}]
        return delivery["status"] == status and delivery

    return wait_until(found, f"the delivery to be {status}")


def secret(daemon: Daemon) -> str:
    value: str = daemon.client.get("/api/webhooks/secret").json()["secret"]
    return value


# What is told, and how


def test_the_end_of_a_job_is_told_and_its_signature_verifies(
    open_daemon: Daemon, receiver: Receiver, clip: Path
) -> None:
    job = submit(open_daemon, clip, receiver.url, name="mine", metadata={"order": 7})["id"]
    delivery = settled(open_daemon, job, "delivered")
    [(headers, body)] = receiver.came
    message = Webhook(secret(open_daemon)).verify(body, headers)
    shown = open_daemon.job(job)
    shown = {name: value for name, value in shown.items() if name not in OF_THE_WHOLE}
    shown["summary"] = "1 of 1 completed"
    assert message == {"type": "job.completed", "timestamp": shown["finished_at"], "data": shown}
    assert headers["webhook-id"] == delivery["id"]
    assert headers["content-type"] == "application/json"
    assert (delivery["type"], delivery["url"], delivery["attempts"]) == ("job.completed", receiver.url, 1)
    assert (delivery["last_status_code"], delivery["last_error"], delivery["next_attempt_at"]) == (204, None, None)
    assert delivery["delivered_at"] >= delivery["created_at"] == shown["finished_at"]


def test_every_end_of_a_job_is_told_and_a_retried_one_ends_again(
    open_daemon: Daemon, receiver: Receiver, long_clip: Path
) -> None:
    job = submit(open_daemon, long_clip, receiver.url, variations=[{"preset": "h264-1080p"}])["id"]
    for verb, status in (("fail", "failed"), ("cancel", "cancelled")):
        open_daemon.wait_for_encoder()
        open_daemon.client.post(f"/api/jobs/{job}/{verb}")
        wait_until(lambda status=status: receiver.came and receiver.messages[-1]["type"] == f"job.{status}", status)
        shown = open_daemon.job(job)
        shown = {name: value for name, value in shown.items() if name not in OF_THE_WHOLE}
        assert receiver.messages[-1]["data"] == {**shown, "summary": f"0 of 1 completed, 1 {status}"}
        open_daemon.client.post(f"/api/jobs/{job}/retry")
    assert len(set(receiver.ids)) == 2
    open_daemon.client.delete(f"/api/jobs/{job}")
    wait_until(lambda: len(receiver.came) == 3, "the end that came with the deletion")
    assert receiver.messages[-1]["type"] == "job.cancelled"


def test_the_end_of_every_variation_is_told_to_who_asked(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    wanted = [{"preset": "mp3"}, {"preset": "h264-480p", "quality": "ssim"}]
    job = submit(open_daemon, clip, receiver.url, variations=wanted, webhook_variations=True)["id"]
    wait_until(lambda: len(receiver.came) == 3, "all three messages")
    [source] = open_daemon.job(job)["sources"]
    told = {message["data"]["id"]: message for message in receiver.messages}
    assert told.pop(job)["type"] == "job.completed"
    for variation in source["variations"]:
        message = told.pop(variation["id"])
        assert message["type"] == "variation.completed"
        del variation["work"]
        assert message["data"] == {**variation, "job": job, "source": source["id"]}
    assert told == {}


def test_what_is_skipped_is_told_and_how_much_of_its_job_came_out(
    open_daemon: Daemon, receiver: Receiver, media: Media
) -> None:
    wanted = [{"preset": "thumbnail-sheet"}, {"preset": "mp3"}]
    spec = {"variations": wanted, "webhook_variations": True, "on_unsuitable": "skip"}
    submit(open_daemon, media("no-audio.mp4"), receiver.url, **spec)
    wait_until(lambda: len(receiver.came) == 3, "all three messages")
    told = {message["type"]: message["data"] for message in receiver.messages}
    assert set(told) == {"variation.completed", "variation.skipped", "job.completed"}
    assert "no sound" in told["variation.skipped"]["error"]
    assert (told["job.completed"]["outcome"], told["job.completed"]["skipped_variations"]) == ("all", 1)


def test_a_rotated_secret_signs_beside_the_new_one(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    old = secret(open_daemon)
    rotated = open_daemon.client.post("/api/webhooks/secret/rotate").json()
    assert rotated["secret"] == secret(open_daemon) != old
    assert rotated["previous_expires_at"] is not None
    assert (open_daemon.state_dir / "webhook-secret").stat().st_mode & 0o777 == 0o600
    settled(open_daemon, submit(open_daemon, clip, receiver.url)["id"], "delivered")
    [(headers, body)] = receiver.came
    for one in (old, rotated["secret"]):
        assert Webhook(one).verify(body, headers)
    assert len(headers["webhook-signature"].split(" ")) == 2


def test_a_secret_signs_no_longer_than_a_day_after_its_rotation(tmp_path: Path) -> None:
    clock = [1e9]
    secrets = Secrets(tmp_path / "webhook-secret", now=lambda: clock[0])
    [first] = asyncio.run(secrets.valid())
    asyncio.run(secrets.rotate())
    assert [one.value for one in asyncio.run(secrets.valid())][1:] == [first.value]
    clock[0] += OVERLAP + 1
    assert len(asyncio.run(secrets.valid())) == 1
    assert first.value not in asyncio.run(secrets.sign("msg_1", 1, b"{}"))


# However often it takes


def test_a_receiver_that_fails_and_then_takes_it_gets_the_same_message(
    open_daemon: Daemon, receiver: Receiver, clip: Path
) -> None:
    receiver.answers = [(500, {}), (404, {}), (200, {})]
    job = submit(open_daemon, clip, receiver.url)["id"]
    delivery = settled(open_daemon, job, "delivered")
    assert (delivery["attempts"], delivery["last_status_code"]) == (3, 200)
    assert set(receiver.ids) == {delivery["id"]}
    assert len({body for _, body in receiver.came}) == 1


def test_what_ended_is_told_although_the_daemon_was_killed_meanwhile(
    start_daemon: Callable[..., Daemon], receiver: Receiver, clip: Path
) -> None:
    receiver.answering.clear()
    daemon = start_daemon(*OPEN)
    job = submit(daemon, clip, receiver.url)["id"]
    wait_until(lambda: receiver.came, "the first attempt")
    daemon.stop(signal.SIGKILL)
    receiver.answering.set()
    daemon.start()
    assert settled(daemon, job, "delivered")["attempts"] == 1
    assert len(receiver.came) == 2
    assert len(set(receiver.ids)) == 1


def test_a_receiver_that_hangs_holds_up_no_other(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    receiver.answering.clear()
    with receiving() as other:
        first = submit(open_daemon, clip, receiver.url)["id"]
        wait_until(lambda: receiver.came, "the message that hangs")
        settled(open_daemon, submit(open_daemon, clip, other.url)["id"], "delivered")
    assert deliveries(open_daemon, job=first)[0]["status"] == "pending"


def test_retry_after_is_waited_for(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    for status, pause in ((429, "200"), (503, formatdate(time.time() + 200, usegmt=True))):
        receiver.answers = [(status, {"Retry-After": pause})]
        before = time.time()
        job = submit(open_daemon, clip, receiver.url)["id"]
        delivery = wait_until(
            lambda job=job: next((d for d in deliveries(open_daemon, job=job) if d["attempts"]), None), "an attempt"
        )
        assert (delivery["status"], delivery["last_status_code"]) == ("pending", status)
        assert str(status) in delivery["last_error"]
        due = datetime.fromisoformat(delivery["next_attempt_at"]).timestamp()
        assert due >= before + 190


def test_a_receiver_decides_neither_how_long_it_is_left_alone_nor_what_its_error_looks_like(
    open_daemon: Daemon, receiver: Receiver, clip: Path
) -> None:
    receiver.answers = [(503, {"Retry-After": "999999999"})]
    receiver.phrase = "no\x1b[2J" + "!" * 60_000
    before = time.time()
    job = submit(open_daemon, clip, receiver.url)["id"]
    delivery = wait_until(
        lambda: next((d for d in deliveries(open_daemon, job=job) if d["attempts"]), None), "an attempt"
    )
    assert delivery["last_error"].startswith(r"it answered 503 no\x1b[2J!!!")
    assert len(delivery["last_error"]) == 300
    due = datetime.fromisoformat(delivery["next_attempt_at"]).timestamp()
    assert before + LONGEST - 1 <= due <= time.time() + LONGEST * (1 + due_queue.JITTER)


def test_410_ends_the_messages_of_that_job(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    receiver.answers = [(410, {})]
    wanted = [{"preset": "mp3"}, {"preset": "mp3", "bitrate_kbps": 64}]
    job = submit(open_daemon, clip, receiver.url, webhook_variations=True, variations=wanted)["id"]

    def all_ended() -> bool:
        found = deliveries(open_daemon, job=job)
        return len(found) == 3 and all(delivery["status"] == "disabled" for delivery in found)

    wait_until(all_ended, "all three to be disabled")
    receiver.answers = [(204, {})]
    other = submit(open_daemon, clip, receiver.url)["id"]
    settled(open_daemon, other, "delivered")


def test_a_replay_sends_it_again_under_its_old_id(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    job = submit(open_daemon, clip, receiver.url)["id"]
    delivery = settled(open_daemon, job, "delivered")
    open_daemon.client.delete(f"/api/jobs/{job}")
    answer = open_daemon.client.post(f"/api/webhooks/deliveries/{delivery['id']}/replay")
    assert (answer.status_code, answer.json()["id"]) == (202, delivery["id"])
    again = wait_until(lambda: (found := settled(open_daemon, job, "delivered"))["attempts"] == 2 and found, "it again")
    assert receiver.ids == [again["id"]] * 2
    assert open_daemon.client.post("/api/webhooks/deliveries/msg_none/replay").status_code == 404


def test_a_job_tells_whom_its_end_is_told(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    job = submit(open_daemon, clip, receiver.url, webhook_variations=True)
    assert (job["webhook_url"], job["webhook_variations"]) == (receiver.url, True)
    assert open_daemon.job(job["id"])["webhook_url"] == receiver.url
    silent = open_daemon.submit(clip, presets=["mp3"])
    assert (silent["webhook_url"], silent["webhook_variations"]) == (None, False)


def test_the_commands_show_send_again_and_rotate(open_daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    job = submit(open_daemon, clip, receiver.url)["id"]
    delivery = settled(open_daemon, job, "delivered")["id"]

    def ffspool(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["webhooks", *arguments], env=open_daemon.env)
        assert done.exit_code == 0, done.output
        return done.stdout

    [shown] = json.loads(ffspool("deliveries", "--job", job, "--json"))["items"]
    assert (shown["id"], shown["status"]) == (delivery, "delivered")
    assert delivery in ffspool("deliveries", "--status", "delivered")
    assert ffspool("replay", delivery) == f"{delivery} is sent again\n"
    wait_until(lambda: receiver.ids == [delivery] * 2, "it again")
    before = ffspool("secret").strip()
    after = json.loads(ffspool("rotate", "--json"))["secret"]
    assert after != before
    assert ffspool("secret").strip() == after


def test_deliveries_are_listed_newest_first_page_by_page(
    start_daemon: Callable[..., Daemon], receiver: Receiver, clip: Path
) -> None:
    daemon = start_daemon(*OPEN)
    jobs = []
    for _ in range(3):
        jobs.append(submit(daemon, clip, receiver.url)["id"])
        settled(daemon, jobs[-1], "delivered")
    first = daemon.client.get("/api/webhooks/deliveries", params={"limit": 2}).json()
    second = deliveries(daemon, limit=2, cursor=first["next_cursor"])
    assert [item["job"] for item in [*first["items"], *second]] == jobs[::-1]
    assert deliveries(daemon, status="failed") == []
    for wrong in ({"status": "lost"}, {"cursor": "x"}, {"limit": 0}):
        assert daemon.client.get("/api/webhooks/deliveries", params=wrong).status_code == 422


def test_waits_grow_to_six_hours_and_end_after_three_days() -> None:
    refused = Reply(status_code=500, error="it answered 500")
    now, failures, waits = 0.0, 0, []
    backoff = due_queue.Backoff(5.0, outbox.WAITS, most_asked=0.0)
    while True:
        status, again = outbox.verdict(refused, failures, 0.0, now, backoff)
        if again is None:
            break
        waits.append(again - now)
        now, failures = again, failures + 1
    assert status == MessageStatus.FAILED
    assert waits[0] <= 5 * 1.2
    assert waits == sorted(waits[:8]) + waits[8:]
    assert all(6 * 3600 * 0.8 <= wait <= 6 * 3600 * 1.2 for wait in waits[7:])
    assert now > outbox.GIVE_UP - 6 * 3600 * 1.2


# Where it does not go


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("0x7f.1", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("10.0.0.1", "private"),
        ("169.254.169.254", "link-local"),
    ],
)
def test_nothing_is_sent_into_the_hosts_own_networks(
    receiver: Receiver, tmp_path: Path, host: str, reason: str
) -> None:
    reply = send(tmp_path, f"http://{host}:{receiver.server_port}/", allow_private=False)
    assert reply.final
    assert reply.error is not None
    assert reason in reply.error
    assert "webhook_allow_private" in reply.error
    assert receiver.came == []


def test_a_refused_target_is_told_in_the_delivery(daemon: Daemon, receiver: Receiver, clip: Path) -> None:
    job = submit(daemon, clip, f"http://localhost:{receiver.server_port}/hook")["id"]
    delivery = settled(daemon, job, "failed")
    assert "localhost leads to " in delivery["last_error"]
    assert "a loopback address" in delivery["last_error"]
    assert receiver.came == []


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async def resolve(_: str, __: int) -> list[addresses.Address]:
        return [ip_address("93.184.216.34"), ip_address("127.0.0.1")]

    with pytest.raises(addresses.ForbiddenTarget, match=r"127\.0\.0\.1"):
        asyncio.run(addresses.addresses("mixed.example", 80, allow_private=False, resolve=resolve))


def test_a_redirect_into_the_hosts_own_network_is_refused(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, tmp_path: Path
) -> None:
    real = addresses.why_not
    monkeypatch.setattr(addresses, "why_not", lambda a, own: None if a == ip_address("127.0.0.1") else real(a, own))
    receiver.answers = [(307, {"Location": f"http://127.0.0.2:{receiver.server_port}/"})]
    reply = send(tmp_path, receiver.url, allow_private=False)
    assert reply.final
    assert "127.0.0.2 is a loopback address" in (reply.error or "")
    assert len(receiver.came) == 1


@pytest.mark.parametrize("location", ["http://xn--/", "//xn--", "http://xn--a.example/", "http://[::1"])
def test_a_redirect_to_what_is_no_address_is_told_as_such(receiver: Receiver, tmp_path: Path, location: str) -> None:
    receiver.answers = [(307, {"Location": location})]
    reply = send(tmp_path, receiver.url)
    assert reply.final
    assert f"the webhook's URL {location!r} is not one" in (reply.error or "")


def test_redirects_are_followed_three_times_and_no_more(receiver: Receiver, tmp_path: Path) -> None:
    away = (308, {"Location": "/elsewhere"})
    receiver.answers = [away, away, away, (200, {})]
    assert send(tmp_path, receiver.url).error is None
    receiver.answers = [away]
    assert "more than 3 times" in (send(tmp_path, receiver.url).error or "")
    assert len(receiver.came) == 8


def test_a_name_is_looked_up_once_and_stays_in_the_host_header(receiver: Receiver, tmp_path: Path) -> None:
    asked = []

    async def resolve(host: str, port: int) -> list[addresses.Address]:
        asked.append((host, port))
        return [ip_address("127.0.0.1")]

    reply = send(tmp_path, f"http://hook.invalid:{receiver.server_port}/", resolve=resolve)
    assert reply.status_code == 204
    assert asked == [("hook.invalid", receiver.server_port)]
    assert receiver.came[0][0]["host"] == f"hook.invalid:{receiver.server_port}"


def test_tls_asks_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    hello = []

    def listen(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            hello.append(connection.recv(4096))

    async def resolve(_: str, __: int) -> list[addresses.Address]:
        return [ip_address("127.0.0.1")]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen, args=(listener,))
        thread.start()
        reply = send(tmp_path, f"https://hook.invalid:{listener.getsockname()[1]}/", resolve=resolve)
        thread.join()
    assert b"hook.invalid" in hello[0]
    assert reply.error


def test_a_name_that_is_not_known_is_tried_again(tmp_path: Path) -> None:
    reply = send(tmp_path, "http://no-such-host.invalid/")
    assert not reply.final
    assert "no-such-host.invalid cannot be resolved" in (reply.error or "")


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "example.com", "http://", "", "http://user:pass@example.com/", "//x", "http://a:99999/",
     "http://xn--/", "http://xn--a/", "http://example.com/\x9b", "http://example.com/\u202e", "http://example.com/\ud800"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_when_the_job_is_made(url: str) -> None:
    with pytest.raises(InvalidRequest):
        parsed(url)


def test_a_job_with_such_a_url_is_not_made(daemon: Daemon, clip: Path) -> None:
    literal = [
        {"webhook_url": f"http://{host}/"} for host in ("127.0.0.1:9", "10.0.0.7", "[fe80::1]", "[::ffff:7f00:1]")
    ]
    refused = [{"webhook_url": "ftp://example.com/"}, {"webhook_url": "http://xn--/"}, {"webhook_variations": True}]
    for spec in [*refused, *literal]:
        with clip.open("rb") as file:
            answer = daemon.client.post(
                "/api/jobs", data={"spec": json.dumps({"variations": AUDIO, **spec})}, files={"files": file}
            )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert daemon.client.get("/api/jobs").json()["items"] == []


def send(folder: Path, url: str, *, allow_private: bool = True, resolve: addresses.Resolve | None = None) -> Reply:
    """What an attempt at a message to `url` comes to."""
    secrets = Secrets(folder / "webhook-secret")
    sender = Sender(secrets, allow_private=allow_private, resolve=resolve or addresses.look_up)
    return asyncio.run(sender.attempt(url, "msg_1", b"{}"))


def test_doctor_tells_what_cannot_be_sent_and_why(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon(*OPEN)
    client = Client(daemon.url, daemon.token)
    before = daemon_checks.webhooks(client)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        host = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    job = submit(daemon, clip, f"{host}/hook?sig=SECRET")["id"]
    wait_until(lambda: deliveries(daemon, job=job) and deliveries(daemon, job=job)[0]["attempts"], "a try")
    after = daemon_checks.webhooks(client)
    with sqlite3.connect(daemon.state_dir / "ffspool.db") as database:
        database.execute("UPDATE outbox SET status = 'failed', next_attempt_at = NULL")
    given_up = daemon_checks.webhooks(client)
    client.close()
    assert (given_up.ok, "1 failed and will not be sent again" in given_up.found) == (False, True)
    assert (before.ok, after.ok) == (True, False)
    assert (f"{host}/…" in after.found, "IPAddressDeny" in str(after.advice)) == (True, True)
    assert "SECRET" not in after.found
