"""Sources by URL: each comes whole and the very same, or not at all, whatever its host and the daemon go through."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from conftest import PATIENCE, Daemon, stored, told, wait_until
from file_host import Answering, FileHost, Visit, broken, certified, held, hosting, saying, trickling
from jumping_clock import TRIED_AT, Clock, through_jumps
from stored import add_job, fetching, in_store
from surroundings import thorough

from daemon import addresses
from daemon.cli.main import main
from daemon.database import due_queue
from daemon.database.store import Store, Transaction
from daemon.errors import InvalidRequest, Unfetched
from daemon.jobs.insertion import insert_fetch
from daemon.models import Remote
from daemon.paths import Paths
from daemon.storage import fetch_slots, fetches, trip, urls
from daemon.storage.answers import Answer, Known
from daemon.storage.download import Downloader, Order
from daemon.storage.trip import Trip

MP3 = [{"preset": "mp3"}]
SECRET = "s3cr3t"
HALF = 20_000  # bytes, of a clip of more


@pytest.fixture
def host(clip: Path) -> Iterator[FileHost]:
    with hosting(clip.read_bytes()) as host:
        yield host


def open_to(*hosts: FileHost, backoff: float = 0.05) -> list[str]:
    """Flags of a daemon that fetches from these."""
    ports = [flag for host in hosts for flag in ("--fetch-port", str(host.server_port))]
    return ["--fetch-allow-private", "--fetch-backoff", str(backoff), *ports]


@pytest.fixture
def daemon(start_daemon: Callable[..., Daemon], host: FileHost) -> Daemon:
    return start_daemon(*open_to(host))


def submit(daemon: Daemon, *sources: dict[str, Any], **wish: Any) -> Any:
    answer = daemon.client.post("/api/jobs", json={"sources": list(sources), "variations": MP3, **wish})
    assert answer.status_code == 202, answer.text
    return answer.json()


def refused(daemon: Daemon, **source: Any) -> str:
    answer = daemon.client.post("/api/jobs", json={"sources": [source], "variations": MP3})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    return str(answer.json()["detail"])


def source_of(daemon: Daemon, job: Any) -> Any:
    return daemon.job(job["id"])["sources"][0]


def part(daemon: Daemon, job: Any) -> Path:
    return daemon.state_dir / "spool" / "jobs" / job["id"] / "sources" / job["sources"][0]["id"]


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def failed(daemon: Daemon, job: Any) -> str:
    """Why its source could not be fetched. Nothing of it is left then."""
    done = daemon.wait_for(job["id"])
    assert done["status"] == "failed", done
    [source] = done["sources"]
    assert source["error"] == source["variations"][0]["error"]
    wait_until(lambda: not part(daemon, job).exists(), "the part to be removed")
    return str(source["fetch_error"])


# What comes


def test_a_source_by_url_is_fetched_then_encoded(daemon: Daemon, host: FileHost) -> None:
    job = submit(daemon, {"url": f"{host.url('/a/my%20clip.mp4')}?sig={SECRET}", "headers": {"X-Key": SECRET}})
    assert job["sources"][0]["status"] == "fetching"
    done = daemon.wait_for(job["id"])
    assert done["status"] == "completed", done
    [source] = done["sources"]
    assert (source["name"], source["bytes"], source["status"]) == ("my clip.mp4", len(host.content), "completed")
    assert source["url"] == f"http://127.0.0.1:{host.server_port}/…"
    assert part(daemon, job).read_bytes() == host.content
    [came] = host.came
    assert (came["path"], came["x-key"]) == (f"/a/my%20clip.mp4?sig={SECRET}", SECRET)
    assert (came["accept-encoding"], came["host"]) == ("identity", f"127.0.0.1:{host.server_port}")


def test_a_source_that_is_fetched_is_shown_so_and_what_it_is_for_waits(daemon: Daemon, host: FileHost) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url(), "name": "film.mp4"})
    source = wait_until(lambda: (s := source_of(daemon, job)).get("bytes_fetched") and s, "some bytes")
    assert (source["status"], source["bytes"], source["name"]) == ("fetching", len(host.content), "film.mp4")
    [variation] = source["variations"]
    assert (variation["status"], variation["waiting"]) == ("queued", "its source is being fetched")
    assert daemon.client.get(f"/api/jobs/{job['id']}/thumbnail").status_code == 404
    assert daemon.client.get(f"/api/jobs/{job['id']}/sources/{source['id']}/download").status_code == 404
    assert daemon.encoders() == []
    host.gate.set()
    assert daemon.wait_for(job["id"])["status"] == "completed"


def test_a_broken_line_is_gone_on_with_by_range(daemon: Daemon, host: FileHost) -> None:
    host.answers = [broken(HALF), broken(2 * HALF)]
    job = submit(daemon, {"url": host.url()})
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert part(daemon, job).read_bytes() == host.content
    assert [(came.get("range"), came.get("if-range")) for came in host.came] == [
        (None, None),
        (f"bytes={HALF}-", host.etag),
        (f"bytes={2 * HALF}-", host.etag),
    ]


def test_a_file_that_changed_midway_is_taken_anew(daemon: Daemon, host: FileHost, long_clip: Path) -> None:
    def change(visit: Visit) -> None:
        broken(HALF)(visit)
        host.content = long_clip.read_bytes()

    host.answers = [change]
    job = submit(daemon, {"url": host.url()})
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert part(daemon, job).read_bytes() == long_clip.read_bytes()
    assert source_of(daemon, job)["bytes"] == size(long_clip)


@pytest.mark.parametrize("wrong", ["begins", "length", "etag", "unasked"])
def test_another_part_than_was_asked_for_is_not_joined(daemon: Daemon, host: FileHost, wrong: str) -> None:
    size, begins = len(host.content), HALF + (wrong == "begins")
    heads = {
        "etag": '"another"' if wrong == "etag" else host.etag,
        "content_range": f"bytes {begins}-{size - 1}/{size + (wrong == 'length')}",
    }
    wrongly = saying(206, b"x" * (size - begins), **heads)
    host.answers = [wrongly] if wrong == "unasked" else [broken(HALF), wrongly]
    job = submit(daemon, {"url": host.url()})
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert part(daemon, job).read_bytes() == host.content
    assert "range" not in host.came[-1]


def test_a_rest_that_is_called_all_of_the_file_is_known_by_its_range(daemon: Daemon, host: FileHost) -> None:
    size = len(host.content)  # as rclone's server answers
    said = {"etag": host.etag, "content_range": f"bytes {HALF}-{size - 1}/{size}"}
    host.answers = [broken(HALF), saying(200, host.content[HALF:], **said)]
    job = submit(daemon, {"url": host.url()})
    daemon.wait_for(job["id"])
    assert part(daemon, job).read_bytes() == host.content


def test_without_a_word_on_its_state_a_file_is_taken_anew(daemon: Daemon, host: FileHost) -> None:
    def nameless(visit: Visit) -> None:
        visit.begin(200, len(host.content))
        visit.wfile.write(host.content[:HALF])

    host.answers = [nameless]
    job = submit(daemon, {"url": host.url()})
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert part(daemon, job).read_bytes() == host.content
    assert "range" not in host.came[-1]


@pytest.mark.parametrize("trusted", [False, True])
def test_a_host_with_a_certificate_of_its_own_is_asked_where_that_is_trusted(
    start_daemon: Callable[..., Daemon], clip: Path, tmp_path: Path, trusted: bool
) -> None:
    papers = certified(tmp_path)
    with hosting(clip.read_bytes(), certificate=papers.host) as host:
        daemon = start_daemon(*open_to(host), **({"SSL_CERT_FILE": str(papers.authority)} if trusted else {}))
        job = submit(daemon, {"url": f"{host.url()}?sig={SECRET}"})
        if trusted:
            assert daemon.wait_for(job["id"])["status"] == "completed"
            assert part(daemon, job).read_bytes() == host.content
        else:
            words = f"https://127.0.0.1:{host.server_port}/… cannot be reached: its certificate is not valid ("
            assert failed(daemon, job).startswith(words)
            assert host.came == []


@pytest.mark.thorough
def test_a_host_that_stalls_is_given_up_and_asked_for_the_rest(daemon: Daemon, host: FileHost) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()})
    words = f"sent nothing for 30 s after {HALF} bytes"
    wait_until(lambda: words in daemon.log(), "that it is given up", 2 * PATIENCE)
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert part(daemon, job).read_bytes() == host.content
    assert [came.get("range") for came in host.came] == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(daemon: Daemon, host: FileHost, status: int) -> None:
    host.answers = [saying(status, retry_after="1"), saying(status)]
    job = submit(daemon, {"url": host.url()})
    why = wait_until(lambda: source_of(daemon, job)["fetch_error"], "the reason")
    assert f"http://127.0.0.1:{host.server_port}/… answered {status}" in why
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert source_of(daemon, job)["fetch_error"] is None
    assert len(host.came) == 3


def test_a_body_in_chunks_is_whole_by_its_last_one_alone(daemon: Daemon, host: FileHost) -> None:
    def chunked(visit: Visit, *, whole: bool) -> None:
        visit.send_response(200)
        visit.send_header("Transfer-Encoding", "chunked")
        visit.end_headers()
        pieces = [host.content[at : at + HALF] for at in range(0, len(host.content), HALF)]
        for piece in pieces if whole else pieces[:1]:
            visit.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        visit.wfile.write(b"0\r\n\r\n" if whole else b"")

    host.answers = [lambda visit: chunked(visit, whole=False), lambda visit: chunked(visit, whole=True)]
    job = submit(daemon, {"url": host.url()})
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert part(daemon, job).read_bytes() == host.content
    assert len(host.came) == 2


# What does not


def endless(visit: Visit) -> None:
    visit.send_response(200)
    visit.send_header("Transfer-Encoding", "chunked")
    visit.end_headers()
    while True:
        visit.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def unframed(visit: Visit) -> None:
    visit.send_response(200)
    visit.end_headers()
    visit.wfile.write(visit.server.content)


def nonsense(visit: Visit) -> None:
    visit.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def twice(name: str, *values: str) -> Answering:
    """Says all of the file, and one header in several ways."""

    def answer(visit: Visit) -> None:
        content = visit.server.content
        visit.send_response(200)
        for header, value in [*((name, one) for one in values), ("X-Rest", "x")]:
            visit.send_header(header, value.format(len(content), len(content) // 2))
        if name != "Content-Length":
            visit.send_header("Content-Length", str(len(content)))
        visit.end_headers()
        visit.wfile.write(content)

    return answer


@pytest.mark.parametrize("values", [("{0}", "{0}"), ("{0}, {0}",)])
def test_a_length_that_is_said_twice_is_taken(daemon: Daemon, host: FileHost, values: tuple[str, ...]) -> None:
    host.answers = [twice("Content-Length", *values)]
    assert daemon.wait_for(submit(daemon, {"url": host.url()})["id"])["status"] == "completed"


HOPELESS = {
    "two lengths": (twice("Content-Length", "{1}", "{0}"), "two Content-Length headers that contradict each other"),
    "lengths in one": (twice("Content-Length", "{0}, {1}"), "two Content-Length headers that contradict each other"),
    "two encodings": (twice("Content-Encoding", "identity", "gzip"), "two Content-Encoding headers that contradict"),
    "two types": (twice("Content-Type", "video/mp4", "text/html"), "two Content-Type headers that contradict"),
    "404": (saying(404), "answered 404 Not Found"),
    "403": (saying(403), "answered 403 Forbidden"),
    "a page": (saying(200, b"<!doctype html>", content_type="text/html; charset=utf-8"), "a web page (HTML)"),
    "gzip": (saying(200, b"zipped", content_encoding="gzip"), "sent the file compressed"),
    "empty": (saying(200), "holds an empty file"),
    "too large": (lambda visit: visit.begin(200, 10**9), "holds 1000000000 bytes, and 300000 are the limit"),
    "endless": (endless, "sends more than 300000 bytes"),
    "unframed": (unframed, "does not say how long the file is"),
}


@pytest.mark.parametrize("case", HOPELESS)
def test_what_will_not_pass_fails_in_words(start_daemon: Callable[..., Daemon], host: FileHost, case: str) -> None:
    daemon = start_daemon(*open_to(host), "--max-upload-bytes", "300000")
    host.always, words = HOPELESS[case]
    job = submit(daemon, {"url": f"{host.url()}?sig={SECRET}"})
    why = failed(daemon, job)
    assert f"http://127.0.0.1:{host.server_port}/… " in why
    assert words in why
    assert len(host.came) == 1


def test_a_file_with_another_hash_is_not_taken(daemon: Daemon, host: FileHost) -> None:
    right = hashlib.sha256(host.content).hexdigest()
    assert daemon.wait_for(submit(daemon, {"url": host.url(), "sha256": right.upper()})["id"])["status"] == "completed"
    assert right in failed(daemon, submit(daemon, {"url": host.url(), "sha256": "0" * 64}))


def test_a_host_that_never_answers_right_is_given_up(start_daemon: Callable[..., Daemon], host: FileHost) -> None:
    daemon = start_daemon(*open_to(host, backoff=0.001))
    host.always = nonsense
    why = failed(daemon, submit(daemon, {"url": host.url()}))
    assert "cannot be reached: it does not speak HTTP" in why


# Where to


def test_keys_stay_with_their_host(start_daemon: Callable[..., Daemon], host: FileHost) -> None:
    with hosting(host.content, "127.0.0.2") as other:
        daemon = start_daemon(*open_to(host, other))
        host.answers = [saying(302, location="/moved.mp4"), saying(307, location=other.url("/there.mp4"))]
        job = submit(daemon, {"url": host.url(), "headers": {"Authorization": SECRET}})
        assert daemon.wait_for(job["id"])["status"] == "completed"
        assert [came.get("authorization") for came in host.came] == [SECRET, SECRET]
        assert "authorization" not in other.came[0]


def test_redirects_in_circles_end(daemon: Daemon, host: FileHost) -> None:
    host.always = saying(302, location="/again")
    job = submit(daemon, {"url": host.url()})
    why = wait_until(lambda: source_of(daemon, job)["fetch_error"], "the reason")
    assert "redirected us more than 5 times" in why


def test_a_private_address_is_refused_before_it_is_asked(start_daemon: Callable[..., Daemon], host: FileHost) -> None:
    daemon = start_daemon("--fetch-port", str(host.server_port))
    job = submit(daemon, {"url": host.url().replace("127.0.0.1", "localhost")})
    assert "a loopback address: sources are fetched from public addresses only" in failed(daemon, job)
    advice = "1 file could not be fetched, as told above: see to that, then submit a new job"
    assert daemon.job(job["id"])["advice"] == [advice]
    assert host.came == []


class Keep:
    """Keeps nothing."""

    def begin(self, _: Answer) -> None: ...

    def grow(self, _: int) -> None: ...

    def refuse_above(self, _: int) -> None: ...


def attempt(downloader: Downloader, url: str, path: Path) -> int:
    async def main() -> int:
        order = Order(remote=Remote(url=url, shown="http://h/…"), path=path, known=Known())
        return await downloader.fetch(order, Trip("j", 0, None), Keep())

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("bounds", "words"),
    [({"patience": 0.3}, r"sent only \d bytes within 0 s, as good as nothing"), ({"lasts": 0.3}, "takes too long")],
)
def test_an_attempt_whose_bytes_trickle_ends(
    host: FileHost, tmp_path: Path, bounds: dict[str, float], words: str
) -> None:
    host.always = trickling
    local = {"allow_private": True, "ports": {host.server_port}}

    async def main() -> None:
        order = Order(remote=Remote(url=host.url(), shown="http://h/…"), path=tmp_path / "a", known=Known())
        await Downloader(most_bytes=10**9, **local).fetch(order, Trip("j", 0, None, **bounds), Keep())

    with pytest.raises(Unfetched, match=words) as refusal:
        asyncio.run(main())
    assert refusal.value.crawls
    assert 0 < size(tmp_path / "a") < 100, "what came is kept"
    host.gate.set()


def test_each_redirect_is_looked_at_and_a_name_is_looked_up_once(
    monkeypatch: pytest.MonkeyPatch, host: FileHost, tmp_path: Path
) -> None:
    real, asked = addresses.why_not, list[str]()
    monkeypatch.setattr(addresses, "why_not", lambda a, own: None if a == ip_address("127.0.0.1") else real(a, own))

    async def resolve(name: str, port: int) -> list[addresses.Address]:
        asked.append(name)
        return [ip_address("127.0.0.1")] if name == "files.invalid" else await addresses.look_up(name, port)

    downloader = Downloader(ports={host.server_port}, most_bytes=10**9, resolve=resolve)
    url = f"http://files.invalid:{host.server_port}/a.mp4"
    assert attempt(downloader, url, tmp_path / "a") == len(host.content)
    assert (asked, host.came[0]["host"]) == (["files.invalid"], f"files.invalid:{host.server_port}")
    host.answers = [saying(302, location=f"http://127.0.0.2:{host.server_port}/")]
    with pytest.raises(Unfetched, match=r"redirected us, and .*127\.0\.0\.2 is a loopback address") as refusal:
        attempt(downloader, url, tmp_path / "b")
    assert refusal.value.final
    host.answers = [saying(302, location="http://files.invalid:1/")]
    with pytest.raises(Unfetched, match=r"^http://h/… redirected us, and .*names port 1"):
        attempt(downloader, url, tmp_path / "b")
    assert len(host.came) == 3
    host.answers = [saying(302, location="ftp://files.invalid/")]
    with pytest.raises(Unfetched, match=r"^http://h/… redirected us, and that URL does not begin with http://"):
        attempt(downloader, url, tmp_path / "b")


@pytest.mark.parametrize(
    "url",
    ["ftp://h/", "file:///etc/passwd", "h/clip.mp4", "http://", "http://u:p@h/", "http://h:22/", "http://h:x/",
     "http://[::1", "http://h\x00/", "http://a b/", "//h/", "http://h\u202e/"],
)  # fmt: skip
def test_what_may_not_be_asked_is_refused_when_the_job_is_made(shared_daemon: Daemon, url: str) -> None:
    assert SECRET not in refused(shared_daemon, url=f"{url}/{SECRET}")
    with pytest.raises(InvalidRequest):
        urls.parsed(url, (80, 443))


def test_a_port_and_an_address_that_may_not_be_asked_are_refused_in_one_answer(shared_daemon: Daemon) -> None:
    port = "the URL to {} names port 8777: sources are fetched from port 80 and 443 only, unless the daemon is set to "
    where = (
        "{} is a loopback address: sources are fetched from public addresses only, unless the daemon is set to fetch_"
    )
    both = refused(shared_daemon, url="http://127.0.0.1:8777/a.mp4")
    assert (port.format("127.0.0.1") in both, where.format("127.0.0.1") in both) == (True, True)
    assert where.format("::1") in refused(shared_daemon, url="http://[::1]/a.mp4")
    assert "a private or reserved address" in refused(shared_daemon, url="http://10.0.0.1/a.mp4")
    assert "loopback" not in refused(shared_daemon, url="http://localhost:8777/a.mp4"), "looked up when it is fetched"


@pytest.mark.parametrize("name", ["Host", "Range", "content-length", "Proxy-Authorization", "a b", "x\n", ""])
def test_headers_that_are_ours_are_refused(shared_daemon: Daemon, name: str) -> None:
    assert SECRET not in refused(shared_daemon, url="https://h.example/", headers={name: SECRET})
    assert SECRET not in refused(shared_daemon, url="https://h.example/", headers={"X-Key": f"{SECRET}\r\nHost: x"})


def test_a_source_is_one_of_the_three(shared_daemon: Daemon) -> None:
    refused(shared_daemon, url="https://h.example/", upload="u")
    refused(shared_daemon, upload="u", sha256="0" * 64)
    refused(shared_daemon, url="https://h.example/", sha256="0")


# Secrets


def test_secrets_are_told_nowhere_and_forgotten_at_the_end(daemon: Daemon, host: FileHost) -> None:
    host.answers = [saying(500, SECRET.encode()), held(HALF)]
    job = submit(daemon, {"url": f"{host.url()}?sig={SECRET}", "headers": {"X-Key": SECRET}})
    wait_until(lambda: source_of(daemon, job).get("bytes_fetched"), "some bytes")
    assert wanted(daemon) == [True]
    asked = ("/api/jobs", f"/api/jobs/{job['id']}", "/api/stats", "/metrics")
    assert not any(SECRET in daemon.client.get(path).text for path in asked)
    host.gate.set()
    assert daemon.wait_for(job["id"])["status"] == "completed"
    failed(daemon, submit(daemon, {"url": f"{host.url()}?sig={SECRET}", "sha256": "0" * 64}))
    assert wanted(daemon) == [False, False]
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database:
        assert SECRET not in "".join(data for [data] in database.execute("SELECT data FROM events"))
    assert SECRET not in daemon.log()


def wanted(daemon: Daemon) -> list[bool]:
    """Whether the database knows where each source comes from."""
    with closing(sqlite3.connect(daemon.state_dir / "ffspool.db")) as database:
        return [SECRET in (row[0] or "") for row in database.execute("SELECT wanted FROM fetches ORDER BY source")]


# What is done to it


def test_a_cancel_ends_a_fetch_at_once_and_nothing_of_it_stays(daemon: Daemon, host: FileHost) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()})
    wait_until(lambda: size(part(daemon, job)) == HALF, "some bytes")
    receipt = daemon.client.post(f"/api/jobs/{job['id']}/cancel").json()
    assert (receipt["status"], receipt["changed"]) == ("cancelled", True)
    assert not part(daemon, job).exists()
    assert source_of(daemon, job)["bytes"] == 0
    again = daemon.client.post(f"/api/jobs/{job['id']}/retry")
    assert (again.status_code, "its URL is forgotten" in again.json()["detail"]) == (409, True)


def test_a_cancel_of_one_variation_lets_the_fetch_go_on_for_the_other(daemon: Daemon, host: FileHost) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()}, variations=[{"preset": "mp3"}, {"preset": "opus"}])
    one = job["sources"][0]["variations"][0]
    verb = f"/api/jobs/{job['id']}/variations/{one['id']}"
    assert daemon.client.post(f"{verb}/cancel").status_code == 200
    assert source_of(daemon, job)["status"] == "fetching"
    host.gate.set()
    done = wait_until(
        lambda: (s := source_of(daemon, job))["variations"][1]["status"] == "completed" and s, "the other"
    )
    assert done["variations"][0]["status"] == "cancelled"
    assert daemon.client.post(f"/api/jobs/{job['id']}/retry").status_code == 200
    assert daemon.wait_for(job["id"])["status"] == "completed"


@pytest.mark.parametrize("verb", ["delete", "bulk cancel", "bulk delete", "fail"])
def test_every_verb_that_ends_a_job_ends_its_fetches(daemon: Daemon, host: FileHost, verb: str) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()})
    wait_until(lambda: size(part(daemon, job)) == HALF, "some bytes")
    path = f"/api/jobs/{job['id']}"
    method, route = {
        "delete": ("DELETE", path), "bulk cancel": ("POST", "/api/jobs/cancel"),
        "bulk delete": ("DELETE", "/api/jobs"), "fail": ("POST", f"{path}/fail"),
    }[verb]  # fmt: skip
    assert daemon.client.request(method, route).is_success
    assert not part(daemon, job).exists()
    assert [came["path"] for came in host.came] == ["/clip.mp4"]
    assert daemon.wait_for(submit(daemon, {"url": host.url()})["id"])["status"] == "completed"


@pytest.mark.parametrize("whole", ["jobs/{}", thorough("queue")])
def test_a_paused_fetch_stands_still_and_goes_on(daemon: Daemon, host: FileHost, whole: str) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()})
    wait_until(lambda: size(part(daemon, job)) == HALF, "some bytes")
    route = f"/api/{whole.format(job['id'])}"
    assert daemon.client.post(f"{route}/pause").is_success
    wait_until(lambda: source_of(daemon, job)["bytes_fetched"] == HALF, "what came to be kept")
    other = submit(daemon, {"url": host.url("/other.mp4")})
    if whole != "queue":
        assert daemon.wait_for(other["id"])["status"] == "completed"
    assert daemon.client.post(f"{route}/resume").is_success
    for one in (job, other):
        assert daemon.wait_for(one["id"])["status"] == "completed"
    assert {came.get("range") for came in host.came if came["path"] == "/clip.mp4"} == {None, f"bytes={HALF}-"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_goes_on_where_it_was(daemon: Daemon, host: FileHost, number: signal.Signals) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()})
    wait_until(lambda: source_of(daemon, job).get("bytes_fetched"), "something durable")
    daemon.stop(number)
    daemon.start()
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert part(daemon, job).read_bytes() == host.content
    assert re.fullmatch(r"bytes=\d+-", host.came[-1].get("range", "")), host.came


def test_what_came_whole_before_the_daemon_could_say_so_is_not_asked_for_again(daemon: Daemon, host: FileHost) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()})
    wait_until(lambda: source_of(daemon, job).get("bytes_fetched"), "something durable")
    daemon.stop(signal.SIGKILL)
    part(daemon, job).write_bytes(host.content)
    told(daemon, f"UPDATE sources SET bytes = {len(host.content)}")
    daemon.start()
    assert daemon.wait_for(job["id"])["status"] == "completed"
    assert len(host.came) == 1


# What there is room for


def test_so_many_are_fetched_at_once_and_jobs_take_turns(start_daemon: Callable[..., Daemon], host: FileHost) -> None:
    daemon = start_daemon(*open_to(host), "--max-fetches", "2")
    host.always = held(HALF)
    many = submit(daemon, *({"url": host.url(f"/many-{number}.mp4")} for number in range(4)))
    wait_until(lambda: len(host.came) == 2, "two of them")
    few = submit(daemon, {"url": host.url("/few.mp4")})
    assert len(host.came) == 2
    host.gate.set()
    for job in (many, few):
        assert daemon.wait_for(job["id"])["status"] == "completed"
    assert "/few.mp4" in [came["path"] for came in host.came][2:4]


def test_one_tokens_slow_hosts_leave_slots_to_others(start_daemon: Callable[..., Daemon], host: FileHost) -> None:
    daemon = start_daemon(*open_to(host), "--max-fetches", "2")
    token = daemon.client.post("/api/tokens", json={"name": "slow"}).json()["token"]
    host.answers = [held(HALF), held(HALF)]
    slow = {"sources": [{"url": host.url(f"/{n}.mp4")} for n in range(2)], "variations": MP3}
    answer = daemon.client.post("/api/jobs", json=slow, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 202, answer.text
    held_up = answer.json()
    wait_until(lambda: len(host.came) == 2, "both")
    quick = submit(daemon, {"url": host.url("/quick.mp4")})
    assert daemon.wait_for(quick["id"])["status"] == "completed"
    host.gate.set()
    done = daemon.wait_for(held_up["id"])
    assert (done["status"], [one["fetch_error"] for one in done["sources"]]) == ("completed", [None, None])
    assert len([came for came in host.came if came.get("range")]) == 1, "which gave way goes on from where it was"


def dripping(visit: Visit) -> None:
    """Sends less than 100 KB a second."""
    host = visit.server
    visit.begin(200, len(host.content), content_type="video/mp4", etag=host.etag, accept_ranges="bytes")
    for at in range(0, len(host.content), 1000):
        visit.wfile.write(host.content[at : at + 1000])
        if host.gate.wait(0.01):
            return


def test_slow_hosts_of_several_tokens_leave_a_slot_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: FileHost
) -> None:
    """In minutes of 100 ms."""
    monkeypatch.setattr(fetches, "Trip", partial(Trip, patience=0.1))
    monkeypatch.setattr(due_queue, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(fetch_slots, "SLOW", 10**6)
    monkeypatch.setattr(trip, "LEAST_SPEED", 0)  # a disk may take as long
    paths = Paths(tmp_path / "state")
    paths.prepare()
    host.content, host.answers = bytes(300_000), [dripping, dripping]
    owners = ("a", "b", "c")

    def fill(transaction: Transaction) -> None:
        for number, owner in enumerate(owners, 1):
            add_job(transaction, owner, owner=owner)
            paths.job(owner).joinpath("sources").mkdir(parents=True)
            insert_fetch(transaction, number, number, Remote(url=host.url(f"/{owner}"), shown=owner), float(number))
            transaction.run("grow_fetch", id=owner, bytes=0)

    def left(transaction: Transaction) -> bool:
        return transaction.one("any_fetch") is not None

    async def main(store: Store) -> None:
        await store.write(fill)
        committed = asyncio.Event()
        store.on_commit(committed.set)
        downloader = Downloader(allow_private=True, ports={host.server_port}, most_bytes=10**9)
        running = asyncio.create_task(fetching(paths, store, downloader, now=time.time, most=2).run())
        async with asyncio.timeout(PATIENCE):
            while await store.read(left):
                await committed.wait()
                committed.clear()
        running.cancel()
        await asyncio.wait([running])

    in_store(paths, main)
    *dripped, another = [came["path"] for came in host.came[:3]]
    assert (sorted(dripped), another) == (["/a", "/b"], "/c")
    assert [paths.source(owner, owner).read_bytes() == host.content for owner in owners] == [True] * 3
    assert "range" in host.came[3], "which gave way goes on from where it was"


def test_what_comes_counts_as_stored_and_waits_for_room(start_daemon: Callable[..., Daemon], host: FileHost) -> None:
    daemon = start_daemon(*open_to(host), "--max-stored-bytes", str(3_000_000))
    host.content = bytes(2_000_000)
    host.answers = [held(HALF)]
    first = submit(daemon, {"url": host.url()})
    wait_until(lambda: source_of(daemon, first)["bytes"] == 2_000_000, "its length")
    second = submit(daemon, {"url": host.url()})
    why = wait_until(lambda: source_of(daemon, second)["fetch_error"], "the reason")
    assert "waits for room" in why
    assert not size(part(daemon, second))
    assert daemon.client.delete(f"/api/jobs/{first['id']}").status_code == 204
    assert stored(daemon) < 1_000_000


def small_at_first(visit: Visit) -> None:
    visit.begin(200, 2 * HALF, content_type="video/mp4")
    visit.wfile.write(bytes(HALF))


def test_what_is_larger_than_it_said_at_first_waits_for_room(
    start_daemon: Callable[..., Daemon], host: FileHost
) -> None:
    daemon = start_daemon(*open_to(host), "--max-stored-bytes", str(3_000_000))
    host.content, host.answers = bytes(5_000_000), [small_at_first]
    job = submit(daemon, {"url": host.url()})
    words = "waits for room"
    wait_until(lambda: words in (source_of(daemon, job)["fetch_error"] or ""), "what keeps it")
    assert stored(daemon) < 1_000_000


class Failing:
    """Stands for hosts that do not answer; keeps at what times they were asked."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.asked: list[float] = []
        self._now = now

    async def fetch(self, *_: object) -> int:
        self.asked.append(self._now())
        raise Unfetched("it does not answer")


WEEK = 7 * 86400.0  # seconds that a fetch waited for its first attempt, which do not count


def test_a_clock_that_jumps_neither_keeps_a_fetch_waiting_nor_gives_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_queue, "LOOK_EVERY", 0.01)
    paths, clock = Paths(tmp_path / "state"), Clock()
    paths.prepare()
    hosts = Failing(clock)

    def fill(transaction: Transaction) -> None:
        add_job(transaction, "film")
        remote = Remote(url="https://host.example/film.mp4", shown="https://host.example/…")
        insert_fetch(transaction, 1, 1, remote, clock() - WEEK)

    def failures(transaction: Transaction) -> int:
        [row] = transaction.all("fetches_of_job", job=1)
        return int(row["failures"])

    async def main(store: Store) -> None:
        await store.write(fill)
        queue = fetching(paths, store, cast("Downloader", hosts), now=clock)
        await through_jumps(store, clock, queue.run(), failures)

    in_store(paths, main)
    assert hosts.asked == TRIED_AT


# Events


def test_events_tell_how_much_came_and_each_step(daemon: Daemon, host: FileHost) -> None:
    host.answers = [broken(HALF), held(2 * HALF)]
    job = submit(daemon, {"url": f"{host.url()}?sig={SECRET}"})
    seen = list[tuple[str, Any]]()
    with daemon.client.stream("GET", f"/api/jobs/{job['id']}/events?after=0") as answer:
        kind = ""
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            kind = value if field == "event" else kind
            if field == "data":
                seen.append((kind, json.loads(value)))
                if kind == "fetching" and seen[-1][1]["bytes_fetched"] == 2 * HALF:
                    host.gate.set()
                if kind == "job" and seen[-1][1]["status"] == "completed":
                    break
    come = [data["bytes_fetched"] for kind, data in seen if kind == "fetching"]
    assert come == sorted(come)
    assert {data["bytes"] for kind, data in seen if kind == "fetching"} == {len(host.content)}
    steps = [(data["status"], data["error"] is None) for kind, data in seen if kind == "source"]
    assert steps == [("fetching", False), ("fetched", True)]
    assert SECRET not in json.dumps(seen)


# On the command line


def typed(daemon: Daemon, *arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(
        main, [*map(str, arguments), "--state-dir", str(daemon.state_dir)], catch_exceptions=False
    )


def test_submit_takes_urls_and_keys_from_a_file(daemon: Daemon, host: FileHost, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"X-Key: {SECRET}\n\nX-Other: a:b\n")
    url = f"{host.url('/a/film.mp4')}?sig={SECRET}"
    made = typed(daemon, "submit", url, "-p", "mp3", "--header", f"@{tmp_path}/keys")
    assert made.exit_code == 0, made.output
    job = daemon.wait_for(made.output.strip())
    assert (job["status"], job["name"]) == ("completed", "film.mp4")
    [came] = host.came
    assert (came["path"], came["x-key"], came["x-other"]) == (f"/a/film.mp4?sig={SECRET}", SECRET, "a:b")
    both = typed(daemon, "submit", clip, host.url(), "-p", "mp3")
    assert both.exit_code == 2
    assert "submit one after the other" in " ".join(both.output.split())
    assert typed(daemon, "submit", clip, "-p", "mp3", "--header", "X: y").exit_code == 2
    assert typed(daemon, "submit", host.url(), "-p", "mp3", "--header", "X").exit_code == 2


def test_show_tells_how_far_a_source_is_and_what_keeps_it(daemon: Daemon, host: FileHost) -> None:
    host.answers = [held(HALF)]
    job = submit(daemon, {"url": host.url()})
    wait_until(lambda: source_of(daemon, job).get("bytes_fetched"), "some bytes")
    shown = typed(daemon, "show", job["id"]).output
    assert re.search(rf"fetching \d % of {len(host.content) / 1000:.0f} kB", shown)
    host.always = saying(503, retry_after="60")
    daemon.client.post(f"/api/jobs/{job['id']}/cancel")
    other = submit(daemon, {"url": host.url()})
    wait_until(lambda: source_of(daemon, other)["fetch_error"], "the reason")
    assert "answered 503 Service Unavailable" in typed(daemon, "show", other["id"]).output
