"""Behind nginx and Caddy, as docs/proxies.md tells them, all works: TLS, large files, events, resumable uploads."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from browser import REFUSED, Visit, drop
from conftest import PATIENCE, Daemon, wait_until
from playwright.sync_api import expect
from surroundings import need
from test_cli import ffspool

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "proxies.md").read_text()
NAME = "video.example.org"
MB = 1024**2
TRIED = "to try it"


def block(language: str, path: str) -> str:
    """What the page says: first for a name of its own, then for below a path."""
    whole, below, to_try = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    if path == TRIED:
        return str(to_try)
    if not path:
        return str(whole)
    return str(below) if "video" in below else re.sub(r"location / \{.*?\}", lambda _: below, whole, flags=re.DOTALL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def certificate(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "video.key", folder / "video.pem"
    make = [need("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    make += ["-nodes", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(key)]
    subprocess.run([*make, "-out", str(cert)], check=True, capture_output=True)
    return cert, key


def nginx(folder: Path, daemon: Daemon, port: int, path: str) -> list[str]:
    cert, key = certificate(folder)
    told = block("nginx", path).replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    told = told.replace("/etc/ssl/video.pem", str(cert)).replace("/etc/ssl/video.key", str(key))
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    told = told.replace("http://127.0.0.1:8080", daemon.url)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log; user root;\nevents {{}}\n"
        f"http {{ access_log off;\n{paths}{told}}}\n"
    )
    return [need("nginx", "nginx-light"), "-e", f"{folder}/log", "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, daemon: Daemon, port: int, path: str) -> list[str]:
    cert, key = certificate(folder)
    told = block("caddy", path).replace("127.0.0.1:8080", daemon.url.removeprefix("http://"))
    told = told.replace("{\n", f"{{\n    bind 127.0.0.1\n    tls {cert} {key}\n", 1)
    (folder / "Caddyfile").write_text(
        f"{{\n    admin off\n    https_port {port}\n    http_port {free_port()}\n"
        f"    storage file_system {folder}/storage\n}}\n{told}"
    )
    return [need("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


@pytest.fixture(scope="module", params=[nginx, caddy])
def proxy(
    request: pytest.FixtureRequest, daemon_of_name: Daemon, path: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client that comes through the proxy, with the daemon's token."""
    port, folder = free_port(), tmp_path_factory.mktemp("proxy")
    command, env = request.param(folder, daemon_of_name, port, path), {"HOME": str(folder), "PATH": "/usr/bin"}
    with (folder / "out").open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as process:
        try:
            wait_until(lambda: listens(port), "the proxy")
            with client(f"https://127.0.0.1:{port}{path}", daemon_of_name.token, folder / "video.pem") as through:
                yield through
        finally:
            process.terminate()


def client(url: str, token: str, trusted: Path) -> httpx.Client:
    """One that asks for the name, wherever that leads."""

    def named(request: httpx.Request) -> None:
        request.extensions["sni_hostname"] = NAME

    headers = {"Authorization": f"Bearer {token}", "Host": NAME}
    trust = ssl.create_default_context(cafile=str(trusted))
    hooks = {"request": [named]}
    return httpx.Client(
        base_url=url, headers=headers, verify=trust, timeout=PATIENCE, event_hooks=hooks, trust_env=False
    )


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module", params=["", "/ffspool"], ids=["name", "path"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def daemon_of_name(path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    state = tmp_path_factory.mktemp("named") / "state"
    daemon = Daemon(state, "--allowed-host", NAME, "--trusted-proxy", "127.0.0.1", "--root-path", path)
    yield daemon
    daemon.stop()


def test_the_page_and_its_session_come_by_tls(proxy: httpx.Client, daemon_of_name: Daemon) -> None:
    assert proxy.get("/").status_code == 200
    signed_in = proxy.post("/api/login", json={"password": daemon_of_name.token})
    assert signed_in.status_code == 200
    assert "secure" in signed_in.headers["set-cookie"].lower(), "it came by TLS, and the proxy is believed"


def test_events_come_as_they_happen(proxy: httpx.Client, daemon_of_name: Daemon, clip: Path) -> None:
    with proxy.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("id: ")
        job = daemon_of_name.submit(clip, presets=["mp3"])["id"]
        assert next(line for line in lines if job in line)


def sized(megabytes: int) -> Iterator[bytes]:
    block = bytes(range(256)) * (MB // 256)
    for _ in range(megabytes):
        yield block


@pytest.mark.parametrize("megabytes", [32, pytest.param(256, marks=pytest.mark.thorough)])
def test_large_files_go_up_in_pieces_and_arrive_whole(
    proxy: httpx.Client, path: str, daemon_of_name: Daemon, megabytes: int
) -> None:
    half, tus = megabytes * MB // 2, {"Tus-Resumable": "1.0.0"}
    announced = {"Upload-Length": str(2 * half), "Upload-Metadata": "filename YS5tcDQ="}
    begun = proxy.post("/api/uploads", headers={**tus, **announced})
    assert begun.status_code == 201
    assert begun.headers["Location"].startswith(f"{path}/api/uploads/")
    where = begun.headers["Location"].removeprefix(path)
    for offset in (0, half):
        assert proxy.head(where, headers=tus).headers["Upload-Offset"] == str(offset)
        piece = {"Content-Type": "application/offset+octet-stream", "Content-Length": str(half)}
        headers = {**tus, **piece, "Upload-Offset": str(offset)}
        assert proxy.patch(where, headers=headers, content=sized(megabytes // 2)).status_code == 204
    with (daemon_of_name.state_dir / "spool" / "uploads" / where.split("/")[-1]).open("rb") as arrived:
        assert hashlib.file_digest(arrived, "sha256").digest() == _digest(megabytes)


def _digest(megabytes: int) -> bytes:
    digest = hashlib.sha256()
    for one in sized(megabytes):
        digest.update(one)
    return digest.digest()


def test_the_page_says_that_a_proxy_refused(daemon: Daemon, visit: Visit) -> None:
    page = visit(daemon, bears=REFUSED)
    page.route(
        "**/api/uploads", lambda route: route.fulfill(status=413, body="<html>413 Request Entity Too Large</html>")
    )
    drop(page, {"large.mp4": b"x" * 100})
    expect(page.get_by_text("A proxy before ffspool refused this (413)")).to_be_visible()


# To try one


def tried_nginx(folder: Path) -> list[str]:
    return [need("nginx", "nginx-light"), "-e", "stderr", "-p", str(folder), "-c", "try.conf"]


def tried_caddy(folder: Path) -> list[str]:
    return [need("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "try.caddy")]


@pytest.mark.parametrize(
    ("language", "file", "command"), [("nginx", "try.conf", tried_nginx), ("caddy", "try.caddy", tried_caddy)]
)
def test_a_proxy_is_tried_on_loopback_as_told(
    shared_daemon: Daemon, tmp_path: Path, language: str, file: str, command: Callable[[Path], list[str]]
) -> None:
    port = free_port()
    told = block(language, TRIED).replace("8088", str(port)).replace("127.0.0.1:8080", shared_daemon.url[7:])
    (tmp_path / file).write_text(told)
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with subprocess.Popen(command(tmp_path), cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: listens(port), "the proxy")
            asked = {"FFSPOOL_URL": f"http://localhost:{port}", "FFSPOOL_TOKEN": shared_daemon.token}
            done = ffspool("stats", env={**os.environ, **asked})
            assert "The queue is running" in done.stdout, done.stderr
        finally:
            process.terminate()


def test_a_name_that_is_not_the_daemons_is_told_with_its_setting(shared_daemon: Daemon) -> None:
    answer = httpx.get(f"{shared_daemon.url}/", headers={"Host": NAME}, trust_env=False)
    assert answer.status_code == 421
    assert f"'{NAME}'" in answer.json()["detail"]
    assert "`allowed_hosts` (`ffspool serve --allowed-host NAME`" in answer.json()["detail"]
