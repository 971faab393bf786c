"""What stands in the way of a start or a command is called by its name, with what to do about it."""

from __future__ import annotations

import http.server
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE
from surroundings import need
from test_cli import FFSPOOL, ffspool, no_environment
from test_upgrade import NEWEST

from daemon.cli import doctor
from daemon.config_tables import tables
from daemon.errors import StartupError
from daemon.paths import Paths
from daemon.permissions import weakness
from daemon.scheduling.space import DiskUsage
from daemon.settings import Settings, load

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("listen='tls://0.0.0.0:99999'", "there is no port 99999"),
        ("listen='tls://0.0.0.0:65535'", "there is no port 65536, which files go over"),
        ("listen='tls://0.0.0.0:8786'\nfiles_port=8786", "files go over another port than that of `listen`"),
        (
            "listen='tls://0.0.0.0:8786'\naddresses=['box1.lan:8786']",
            "'box1.lan:8786' in `addresses` is no host's",
        ),
        ("listen='tls://0.0.0.0:8786'\naddresses=['tls://box1.lan']", "'tls://box1.lan' in `addresses` is no host's"),
    ],
)
def test_what_no_machine_could_come_to_is_refused_at_the_start(tmp_path: Path, written: str, words: str) -> None:
    file = tmp_path / "ffspool.toml"
    file.write_text(f"[cluster]\n{written}\n")
    with pytest.raises(StartupError, match=re.escape(words)):
        tables({"FFSPOOL_CONFIG": str(file)})


def test_a_config_that_names_no_file_is_refused(tmp_path: Path) -> None:
    env = no_environment(tmp_path) | {"FFSPOOL_CONFIG": str(tmp_path / "ffspol.toml")}
    for command in (["presets"], ["ls"]):
        done = ffspool(*command, env=env)
        assert (done.returncode, f"FFSPOOL_CONFIG names {tmp_path / 'ffspol.toml'}" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("[[folders]]\nname='a'\npath='/a'\nvariation=[]", "`variation`: did you mean variations?"),
        ("[[folders]]\nname='a'\npath='/a'\npresets=['mp3']", "`presets`: did you mean variations?"),
        ("[[folders]]\nname='a'\npath='/a'\nxyz=1", "`xyz`: there is name, variations, deliver, "),
        ("[[folders]]\nname='a'\npath='/a'\nvariations=[{preset='mp3'}]\n[folders.when]\ncodecnot=['av1']",
         "did you mean codec_not?"),
        ("[[hooks]]\ncomand=['/a']", "did you mean command?"),
        ("[schedule]\nruns=['Mon']", "did you mean run?"),
        ("slots=2\n[schedule]\nrun=['Mo']", "ffspool.toml, line 2: the schedule is not valid: "),
        ("slots='two'", "slots is 'two', and a setting is not valid: Expected `int`"),
        ("[buckets.a]\nurl='s3://x'\nregio='y'", "did you mean region?"),
        ("slot = 2", "did you mean slots?"),
    ],
)  # fmt: skip
def test_a_field_that_there_is_not_is_answered_with_those_that_may_be_meant(
    tmp_path: Path, written: str, hint: str
) -> None:
    file = tmp_path / "ffspool.toml"
    file.write_text(written)
    environ = {"FFSPOOL_CONFIG": str(file)}
    with pytest.raises(StartupError) as refusal:
        load({}, environ)
        tables(environ)
    assert hint in str(refusal.value)


def test_a_variable_that_is_not_valid_is_named_with_its_value() -> None:
    with pytest.raises(StartupError, match="In the environment: FFSPOOL_SLOTS is 'zero', and a setting is not valid"):
        load({}, {"FFSPOOL_SLOTS": "zero"})


def test_a_folder_whose_preset_there_is_not_is_a_mistake_of_use(tmp_path: Path) -> None:
    file = tmp_path / "ffspool.toml"
    file.write_text(f"[[folders]]\nname='a'\npath='{tmp_path}'\nvariations=[{{preset='mp33'}}]")
    done = ffspool("serve", env=no_environment(tmp_path / "state") | {"FFSPOOL_CONFIG": str(file)})
    assert (done.returncode, f"{file}, line 1: the folder a: " in " ".join(done.stderr.split())) == (2, True)


def test_a_start_on_a_full_disk_says_so_and_does_not_advise_to_give_the_database_up(tmp_path: Path) -> None:
    small = [
        "unshare",
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        'mount -t tmpfs -o size=64k,mode=700 none "$0" && "$@"',
    ]
    if subprocess.run([*small, str(tmp_path), "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    serve = [*FFSPOOL, "serve", "--state-dir", str(tmp_path), "--port", "0"]
    done = subprocess.run([*small, str(tmp_path), *serve], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert "is full: free some space" in " ".join(done.stderr.split())
    assert "move it" not in done.stderr


@pytest.mark.parametrize(("free", "ok"), [(0, False), (10**9, False), (20 * 10**9, True)])
def test_doctor_finds_a_disk_on_which_nothing_starts(tmp_path: Path, free: int, ok: bool) -> None:
    check = doctor.disk(DiskUsage(total=100 * 10**9, free=free), 10, Settings(state_dir=tmp_path))
    assert (check.ok, "waits for disk space" in check.found) == (ok, not ok)


@pytest.mark.parametrize("name", ["token", "webhook-secret"])
def test_a_secret_that_others_can_read_is_found_unless_nobody_comes_to_it(tmp_path: Path, name: str) -> None:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    (paths.state / name).write_text("secret")
    (paths.state / name).chmod(0o644)
    assert weakness(paths) is None
    paths.state.chmod(0o755)
    check = doctor.state_dir(paths.state)
    assert (check.ok, f"{name} may be read by others (mode 0644)" in check.found) == (False, True)


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """The address of a server that speaks TLS, with a certificate that it made for itself."""
    openssl = need("openssl", "openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key)]
    subprocess.run([*make, "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_certificate_that_is_not_trusted_is_told_as_that(untrusted: str, tmp_path: Path) -> None:
    env = no_environment(tmp_path) | {"FFSPOOL_URL": untrusted, "FFSPOOL_TOKEN": "t"}
    words = " ".join(ffspool("ls", env=env).stderr.split())
    assert f"{untrusted} shows a certificate that is not trusted: self-signed certificate" in words
    assert "SSL_CERT_FILE" in words
    trusting = ffspool("ls", env=env | {"SSL_CERT_FILE": str(tmp_path / "certificate.pem")})
    assert "trusted" not in trusting.stderr


def test_a_host_without_a_daemon_is_told_as_that(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    done = ffspool("ls", env=no_environment(tmp_path) | {"FFSPOOL_URL": url})
    words = f"no daemon answers at {url} (Connection refused)"
    assert (done.returncode, words in " ".join(done.stderr.split())) == (3, True)


def test_the_pages_name_no_version_of_the_database_that_is_not_this_ones() -> None:
    named = {version for page in DOCS.glob("*.md") for version in re.findall(r"\.before-(\w+)", page.read_text())}
    assert named <= {"N", str(NEWEST)}
