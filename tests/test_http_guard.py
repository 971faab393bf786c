"""Attacks on the HTTP edge, against a real daemon and, where a client library would help out, over raw sockets."""

from __future__ import annotations

import io
import json
import re
import socket
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import httpx
import pytest
from conftest import EMPTY, PATIENCE, Daemon, stored, wait_until
from wire import connect, said

from daemon import filenames
from daemon.errors import Throttled
from daemon.http.auth import FREE_FAILURES, MOST_REMEMBERED, Throttle
from daemon.http.exposure import exposure
from daemon.http.guard import HEADERS
from daemon.settings import Settings

HEADER_TIME = 1  # seconds, of the daemon that is attacked


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(
        tmp_path_factory.mktemp("guard") / "state", "--header-timeout", str(HEADER_TIME), "--allowed-host", "media.lan"
    )
    yield daemon
    daemon.stop()


def ask(daemon: Daemon, *lines: str) -> tuple[int, Any]:
    """Status and problem of a request made of just these lines."""
    with connect(daemon) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        head, _, body = said(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else body


# Under which name


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "LOCALHOST", "localhost.:8080", "[::1]:80", "media.lan"])
def test_the_daemon_answers_to_its_names(daemon: Daemon, host: str) -> None:
    assert ask(daemon, "GET /healthz HTTP/1.1", f"Host: {host}")[0] == 200


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"],  # a name that its owner rebound to this address
        ["127.0.0.1.evil.example"],
        ["localhost@evil.example"],
        ["192.0.2.1"],
        ["localhost", "evil.example"],
        ["localhost:80:80"],
        [""],
        [],
    ],
)
def test_no_other_name_is_answered_to_even_with_the_token(daemon: Daemon, hosts: list[str]) -> None:
    lines = [f"Host: {host}" for host in hosts]
    status, body = ask(daemon, "GET /api/jobs HTTP/1.1", f"Authorization: Bearer {daemon.token}", *lines)
    assert status in {400, 421}
    assert status == 400 or body["code"] == "foreign_host"


def test_bound_to_every_address_it_answers_to_each_but_to_no_name(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon("--host", "0.0.0.0")
    assert daemon.client.get("/healthz", headers={"Host": "192.0.2.1"}).status_code == 200
    assert daemon.client.get("/healthz", headers={"Host": "evil.example"}).status_code == 421


# From which page


@pytest.fixture(scope="module")
def browser(daemon: Daemon) -> Iterator[httpx.Client]:
    """Logged in: it has the cookie and sends no token."""
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False, timeout=PATIENCE) as client:
        assert client.post("/api/login", json={"password": daemon.token}).status_code == 200
        yield client


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},  # another port of this host: SameSite cookies go along
    {"Sec-Fetch-Site": "", "Origin": "http://127.0.0.1"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
    {"Origin": "http://["},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("request_line", ["POST /api/queue/pause", "DELETE /api/jobs", "POST /api/login"])
def test_another_sites_page_changes_nothing(
    browser: httpx.Client, daemon: Daemon, headers: dict[str, str], request_line: str
) -> None:
    method, path = request_line.split()
    answer = browser.request(method, path, headers=headers, json={"password": daemon.token})
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert daemon.client.get("/api/queue").json()["state"] == "running"


def test_our_page_and_programs_are_let_through(browser: httpx.Client, daemon: Daemon) -> None:
    ours = [{"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Sec-Fetch-Site": "none"}, {"Origin": daemon.url}, {}]
    for headers in ours:
        assert browser.post("/api/queue/resume", headers=headers).status_code == 200
    assert daemon.client.post("/api/queue/resume", headers={"Origin": "http://evil.example"}).status_code == 200
    assert browser.get("/api/jobs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200  # changes nothing


def test_a_cookie_counts_for_nothing_where_a_token_is_wrong(browser: httpx.Client) -> None:
    """Else any Authorization would do to get around the guard of cookies."""
    foreign = {"Authorization": "Basic x", "Origin": "http://evil.example"}
    assert browser.post("/api/queue/pause", headers=foreign).status_code == 401
    assert browser.get("/api/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401


# What answers carry


def test_every_answer_is_hardened(daemon: Daemon) -> None:
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as stranger:
        answers = [stranger.get("/healthz"), stranger.get("/api/jobs"), stranger.get("/nowhere")]
        answers += [stranger.post("/api/login", content=b"{"), stranger.get("/", headers={"Host": "evil.example"})]
    answers += [daemon.client.get(path) for path in ("/docs", "/openapi.json", "/api/jobs", "/api/jobs/x", "/nowhere")]
    answers += [daemon.client.put("/api/jobs"), daemon.client.options("/api/uploads")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        for name in HEADERS.keys() - {"Content-Security-Policy", "Cache-Control"}:
            assert answer.headers.get_list(name) == [HEADERS[name]], f"{name} of {answer.request.url}"
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "server" not in answer.headers


def test_no_answer_that_took_a_login_is_kept_for_others(daemon: Daemon, clip: Path) -> None:
    """A proxy may keep what has a date and no token beside it, as with a cookie, and hand it to anybody."""
    job = daemon.wait_for(daemon.submit(clip, presets=["mp3"])["id"])
    [source], whole = job["sources"], f"/api/jobs/{job['id']}"
    variation = f"{whole}/variations/{source['variations'][0]['id']}"
    paths = [whole, f"{whole}/download", f"{whole}/sources/{source['id']}/download", f"{whole}/thumbnail"]
    paths += [f"{variation}/download", f"{variation}/log", "/metrics", "/api/webhooks/secret", "/api/jobs/x"]
    for path in paths:
        answer = daemon.client.get(path)
        assert answer.headers["cache-control"].split(",")[0] == "private", path
        if tag := answer.headers.get("etag"):
            again = daemon.client.get(path, headers={"If-None-Match": tag})
            assert again.headers["cache-control"] == answer.headers["cache-control"], path


# Who


def test_passwords_are_tried_a_few_times_only(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon("--trusted-proxy", "192.0.2.7", FFSPOOL_PASSWORD="correct horse")
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as stranger:
        for attempt in range(FREE_FAILURES):  # a client cannot make itself another one
            forged = {"X-Forwarded-For": f"203.0.113.{attempt}"}
            wrong = stranger.post("/api/login", json={"password": f"{attempt}"}, headers=forged)
            assert wrong.status_code == 401
        for password in ("wrong", "correct horse"):
            throttled = stranger.post("/api/login", json={"password": password})
            assert (throttled.status_code, throttled.json()["code"]) == (429, "throttled")
            assert 0 < int(throttled.headers["retry-after"]) <= 60
    assert daemon.client.get("/api/jobs").status_code == 200, "the token is not throttled"


def test_the_trusted_proxy_tells_who_a_client_is(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon("--trusted-proxy", "127.0.0.1")
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as proxy:
        for _ in range(FREE_FAILURES + 1):
            last = proxy.post("/api/login", json={"password": "x"}, headers={"X-Forwarded-For": "203.0.113.1"})
        assert last.status_code == 429
        other = {"X-Forwarded-For": "203.0.113.2", "X-Forwarded-Proto": "https"}
        login = proxy.post("/api/login", json={"password": daemon.token}, headers=other)
        assert "secure" in login.headers["set-cookie"].lower()
        assert "httponly" in login.headers["set-cookie"].lower()


def test_one_client_with_a_whole_ipv6_network_is_one_client() -> None:
    throttle = Throttle(now=lambda: 0.0)
    for number in range(FREE_FAILURES):
        throttle.failed(f"2001:db8::{number}")
    with pytest.raises(Throttled):
        throttle.check("2001:db8::ffff")
    throttle.check("2001:db8:0:1::1")


def test_failures_are_forgotten_so_that_they_fill_no_memory() -> None:
    now = 0.0
    throttle = Throttle(now=lambda: now)
    for number in range(MOST_REMEMBERED):
        throttle.failed(f"client {number}")
    now = 1000.0
    throttle.failed("one more")
    assert len(throttle._failures) == 1


@pytest.mark.parametrize("password", ['"\\ud800"', '"x' + "y" * 3000 + '"', "null", "[]", '"\\u0000"'])
def test_a_strange_password_is_a_wrong_one(daemon: Daemon, password: str) -> None:
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as stranger:
        answer = stranger.post("/api/login", content=f'{{"password": {password}}}')
    assert answer.status_code in {401, 422, 429}


@pytest.mark.parametrize("value", ["Bearer", "Bearer \xff\xfe", "Basic \x80", "bearer x y", "Bearer " + "x" * 9000])
def test_a_strange_token_is_a_wrong_one(daemon: Daemon, value: str) -> None:
    with httpx.Client(base_url=daemon.url, trust_env=False, verify=False) as stranger:
        answer = stranger.get("/api/jobs", headers=[(b"authorization", value.encode("latin-1"))])
    assert answer.status_code == 401


# How slowly, and how much


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /healthz HT",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nX: ",  # the next one, on the same
        b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",  # refused, and sent on
        b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n",  # open to all
    ],
    ids=["nothing", "line", "header", "second", "body of a refused", "body of a login"],
)
def test_a_client_that_dawdles_is_shown_out(daemon: Daemon, begun: bytes) -> None:
    """A byte now and then wins no time."""
    with connect(daemon) as connection:
        connection.sendall(begun)
        connection.settimeout(HEADER_TIME / 10)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                connection.sendall(b"x")
                if not connection.recv(65536):
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    pytest.fail("the daemon still listens")


def test_a_slow_body_of_somebody_we_know_is_waited_for(daemon: Daemon) -> None:
    with connect(daemon) as connection:
        head = ["PATCH /api/jobs/x HTTP/1.1", "Host: localhost", f"Authorization: Bearer {daemon.token}"]
        connection.sendall("\r\n".join([*head, "Content-Length: 2", "Connection: close", "", "{"]).encode())
        connection.settimeout(3 * HEADER_TIME)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE)
        connection.sendall(b"}")
        assert said(connection).startswith(b"HTTP/1.1 404")


def test_a_full_queue_takes_no_more_and_says_when_to_come_back(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    daemon = start_daemon("--max-queued", "2")
    daemon.client.post("/api/queue/pause")
    job = daemon.submit(clip, presets=["mp3", "h264-480p"])["id"]
    with clip.open("rb") as file:
        answer = daemon.client.post("/api/jobs", files={"files": file}, data={"preset": "mp3"})
    assert_limited(answer)
    assert not [*(daemon.state_dir / "spool" / "incoming").iterdir()]
    assert len([*(daemon.state_dir / "spool" / "jobs").iterdir()]) == 1
    daemon.client.post(f"/api/jobs/{job}/cancel")
    assert daemon.submit(clip, presets=["mp3"])["status"] == "queued"


def assert_limited(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (429, "limit_reached")
    assert int(answer.headers["retry-after"]) > 0


def test_uploads_and_what_is_stored_have_limits(start_daemon: Callable[..., Daemon], clip: Path) -> None:
    size = clip.stat().st_size
    most = 2 * size + EMPTY
    daemon = start_daemon("--max-uploads", "1", "--max-stored-bytes", str(most))
    daemon.client.post("/api/queue/pause")

    def begin(length: int) -> httpx.Response:
        return daemon.client.post("/api/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": str(length)})

    assert_limited(begin(most + 1))
    first = begin(most - stored(daemon) - size + 1)
    assert first.status_code == 201
    assert_limited(begin(1))
    with clip.open("rb") as file:
        assert_limited(daemon.client.post("/api/jobs", files={"files": file}, data={"preset": "mp3"}))
    daemon.client.delete(first.headers["location"], headers={"Tus-Resumable": "1.0.0"})
    daemon.submit(clip, presets=["mp3"])


# Whom it lays itself open to


@pytest.mark.parametrize(
    ("settings", "exposed"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "media.lan"}, True),
        ({"host": "0.0.0.0", "trusted_proxies": ("192.0.2.1",)}, False),
        ({"host": "0.0.0.0", "unix_socket": Path("/run/x")}, False),
    ],
)
def test_what_a_bind_lays_open_is_said(settings: dict[str, Any], exposed: bool) -> None:
    assert bool(exposure(Settings(state_dir=Path(), **settings))) == exposed


def test_the_log_and_doctor_say_what_is_laid_open(start_daemon: Callable[..., Daemon]) -> None:
    daemon = start_daemon("--host", "0.0.0.0")
    warning = "WARNING whoever is on the network can reach 0.0.0.0"
    wait_until(lambda: warning in daemon.log(), "the log to say it, once it listens")
    examined = doctor({**daemon.env, "FFSPOOL_HOST": "0.0.0.0"})
    assert not examined["ok"]
    assert "without TLS" in examined["found"]


def doctor(env: dict[str, str]) -> Any:
    done = forked.run(["doctor", "--ffmpeg", "/bin/false", "--json"], env)
    [found] = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "address"]
    return found


def test_a_unix_socket_is_its_owners_and_the_command_line_finds_it(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "ffspool.sock"
    with socket.socket(socket.AF_UNIX) as killed:  # and left it behind
        killed.bind(str(path))
    daemon = Daemon(tmp_path / "state", "--unix-socket", str(path))
    try:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as stranger:
            assert stranger.get("/api/jobs").status_code == 401
        done = forked.run(["submit", str(clip), "-p", "mp3", "--wait"], daemon.env)
        assert done.returncode == 0, done.stderr
    finally:
        daemon.stop()
    assert not path.exists()


# Names


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("..mp4", "_"),
        ("...mp4", "_"),
        (" .mp4", "_"),
        ("..\\..\\x.mp4", ".._.._x"),
        ("C:x.mp4", "C_x"),
        ("con.mp4", "_con"),
        ("Nul.tar.mp4", "_Nul.tar"),
        ("COM1.mp4", "_COM1"),
        ("console.mp4", "console"),
        ("photo\u202egpj.mp4", "photogpj"),
        ("cafe\u0301.mp4", "caf\u00e9"),
        ("trailing. .mp4", "trailing"),
        ('a<b>"c|d?e*.mp4', "a_b__c_d_e_"),
        ("שלום.mp4", "שלום"),
    ],
)
def test_names_in_a_zip_mean_the_same_file_everywhere(source: str, stem: str) -> None:
    assert [*filenames.folders([source])] == [stem]
    assert filenames.outputs([source], [("mp3", "mp3")]) == [(f"{stem}_mp3.mp3",)]


def test_no_two_folders_of_a_zip_are_one_on_any_system() -> None:
    sources = ["a.mp4", "A.mov", "cafe\u0301.mp4", "caf\u00e9.mov", "manifest.json.mp4", "a (2).mp4"]
    folders = [*filenames.folders(sources)]
    assert len({folder.casefold() for folder in folders} | {filenames.MANIFEST}) == len(sources) + 1


def test_the_outputs_of_sources_that_share_a_stem_tell_them_apart() -> None:
    wanted = [("mp3", "mp3"), ("hls", "")]
    assert filenames.outputs(["bench.webm", "bench.mp4", "a.mov"], wanted) == [
        ("bench.webm_mp3.mp3", "bench.webm_hls"),
        ("bench.mp4_mp3.mp3", "bench.mp4_hls"),
        ("a_mp3.mp3", "a_hls"),
    ]
    assert filenames.outputs(["a.mov", "A.mov"], wanted[:1]) == [("a_mp3.mp3",), ("A (2)_mp3.mp3",)]
    long = [f"{'x' * 245}.{kind}" for kind in ("mov", "mp4")]
    made = [name for mine in filenames.outputs(long, wanted) for name in mine]
    assert len(set(made)) == 4
    assert max(map(len, made)) <= filenames.MAX_BYTES


@pytest.mark.parametrize(
    "name",
    ["../x.mp4", "/etc/passwd", "a/b.mp4", "..", "x\r\nSet-Cookie: a=b.mp4", "x\n.mp4", "x\x00.mp4", "\udcff.mp4"],
)
def test_a_name_that_could_leave_its_folder_or_a_header_is_refused(daemon: Daemon, name: str) -> None:
    raw = name.encode(errors="surrogateescape").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
    body = b'--B\r\nContent-Disposition: form-data; name="files"; filename="' + raw + b'"\r\n\r\nx\r\n--B--\r\n'
    answer = daemon.client.post("/api/jobs", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_name")


def test_downloads_of_hostile_names_stay_in_their_header_and_folder(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    hostile = ["..\\..\\x.mp4", "...mp4", 'q"; filename=evil.exe;.mp4', "con.mp4"]
    files = [tmp_path / name for name in hostile]
    for file in files:
        file.write_bytes(clip.read_bytes())
    job = daemon.wait_for(daemon.submit(*files, presets=["mp3"])["id"])
    archive = zipfile.ZipFile(io.BytesIO(daemon.client.get(f"/api/jobs/{job['id']}/download").content))
    for entry in archive.namelist():
        parts = entry.split("/")
        assert len(parts) == 2 or entry == "manifest.json"
        assert not {"", ".", ".."} & {*parts}
        assert not re.search(r'[\\:"<>|?*\x00-\x1f\u202a-\u202e]|[. ]/', entry), entry
    assert len(archive.namelist()) == len(hostile) + 1
    for source in job["sources"]:
        answer = daemon.client.get(f"/api/jobs/{job['id']}/variations/{source['variations'][0]['id']}/download")
        assert re.fullmatch(
            r"attachment; filename(=\"[\w. ();=-]+\"|\*=utf-8''[\w.%()~-]+)", answer.headers["content-disposition"]
        ), answer.headers["content-disposition"]


# What is told to whom


def test_no_answer_and_no_log_tells_a_path_or_the_token(daemon: Daemon, clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:3000])
    jobs = [daemon.submit(file, presets=["mp3", "h264-480p"])["id"] for file in (clip, broken)]
    jobs = [daemon.wait_for(job) for job in jobs]
    paths = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/nowhere", "/web/../x"]
    paths += [f"/api/{name}" for name in ("jobs", "presets", "stats", "queue", "webhooks/deliveries", "jobs/none")]
    for job in jobs:
        paths += [f"/api/jobs/{job['id']}", f"/api/jobs/{job['id']}/download"]
        for source in job["sources"]:
            for variation in source["variations"]:
                base = f"/api/jobs/{job['id']}/variations/{variation['id']}"
                paths += [f"{base}/log", f"{base}/download"]
    told = {path: answer_of(daemon, "GET", path) for path in paths}
    told["a path"] = answer_of(
        daemon, "POST", "/api/jobs", json={"sources": [{"path": "/x"}], "variations": [{"preset": "mp3"}]}
    )
    told["a login"] = answer_of(daemon, "POST", "/api/login", json={"password": "wrong"})
    told["the log"] = daemon.log().encode()
    for secret in (str(daemon.state_dir), str(tmp_path), str(tmp_path.parents[1]), daemon.token, "/spool/"):
        for what, text in told.items():
            assert secret.encode() not in text, f"{what} tells {secret}"


def answer_of(daemon: Daemon, method: str, path: str, **request: Any) -> bytes:
    """Headers and body."""
    answer = daemon.client.request(method, path, **request)
    return b"".join(name + value for name, value in answer.headers.raw) + answer.content
