"""Azure's blobs: buckets are tried, sources come and results go, as Microsoft's emulator (Azurite) understands it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import obstore
import pytest
from conftest import PATIENCE, Daemon, wait_until
from obstore.store import AzureStore
from surroundings import lacking
from test_delivery import TINY, delivered

from daemon.config_tables import Bucket
from daemon.storage import bucket_trial
from daemon.storage.azure_signing import signed_anew

ROOT = Path(__file__).resolve().parents[1]
ACCOUNT, CONTAINER = "devstoreaccount1", "media"  # the first, and its key, are the emulator's for everybody
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
URL = f"az://{CONTAINER}/renders"
VERSION = "2023-11-03"


class Emulator(NamedTuple):
    endpoint: str
    folder: Path

    @property
    def bucket(self) -> Bucket:
        path = self.folder / "keys"
        path.write_text(f"account_name = {ACCOUNT}\naccount_key = {KEY}\n")
        return Bucket(name="renders", url=URL, endpoint=self.endpoint, credentials=path)

    def store(self) -> AzureStore:
        """A client of its own, which knows nothing of ffspool."""
        options = {"allow_http": True}
        return AzureStore(
            CONTAINER, account_name=ACCOUNT, account_key=KEY, endpoint=self.endpoint, client_options=options
        )

    def make_container(self) -> None:
        date, path = formatdate(usegmt=True), f"/{ACCOUNT}/{CONTAINER}"
        said = "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}{path}\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), f"PUT{said}".encode(), hashlib.sha256)).decode()
        headers = {"x-ms-date": date, "x-ms-version": VERSION, "Authorization": f"SharedKey {ACCOUNT}:{signature}"}
        answer = httpx.put(f"{self.endpoint}/{CONTAINER}?restype=container", headers=headers)
        assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    program = ROOT / ".stores" / "node_modules" / ".bin" / "azurite-blob"
    if not (node := shutil.which("node")) or not program.exists():
        lacking("there is no emulator of Azure: make stores, with npm")
    home = tmp_path_factory.mktemp("azure")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    serve = [node, str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(home / "blobs")]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*serve, "--skipApiVersionCheck", "--disableTelemetry"], **quiet) as process:
        try:
            wait_until(lambda: _listens(port), "the emulator")
            found = Emulator(f"http://127.0.0.1:{port}/{ACCOUNT}", home)
            found.make_container()
            yield found
        finally:
            process.kill()
            process.wait(PATIENCE)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.thorough
def test_doctor_finds_all_that_deliveries_need(emulator: Emulator) -> None:
    assert bucket_trial.flaw(emulator.bucket) is None
    assert [one["path"] for page in obstore.list(emulator.store(), "renders") for one in page] == []


@pytest.mark.thorough
def test_a_source_comes_from_a_container_and_its_result_goes_there(
    emulator: Emulator, start_daemon: Callable[..., Daemon], clip: Path, tmp_path: Path
) -> None:
    obstore.put(emulator.store(), "renders/in/día 1 #2 100%.mp4", clip.read_bytes())
    bucket = emulator.bucket
    config = tmp_path / "ffspool.toml"
    said = {"url": bucket.url, "endpoint": bucket.endpoint, "credentials": bucket.credentials}
    config.write_text("[buckets.renders]\n" + "".join(f'{name} = "{value}"\n' for name, value in said.items()))
    daemon = start_daemon(FFSPOOL_CONFIG=str(config))
    wish = {
        "sources": [{"url": f"{URL}/in/día 1 #2 100%.mp4"}],
        "variations": [TINY],
        "deliver": {"url": f"{URL}/out/{{stem}}.{{ext}}"},
    }
    job = daemon.client.post("/api/jobs", json=wish).raise_for_status().json()["id"]
    [told] = delivered(daemon, job)
    assert (told["status"], told["error"], told["to"]) == ("delivered", None, f"{URL}/out/día 1 #2 100%.mp4")
    [variation] = daemon.job(job)["sources"][0]["variations"]
    there = obstore.get(emulator.store(), "renders/out/día 1 #2 100%.mp4")
    assert hashlib.sha256(bytes(there.bytes())).hexdigest() == variation["sha256"]
    assert {"Content-Type": "video/mp4", "sha256": variation["sha256"]}.items() <= dict(there.attributes).items()


@pytest.mark.parametrize("endpoint", [None, f"https://store.example/{ACCOUNT}"])
def test_what_is_signed_is_what_a_name_means(endpoint: str | None) -> None:
    """And of plain names what the client of stores signs itself."""
    store = AzureStore(CONTAINER, account_name=ACCOUNT, account_key=KEY, **({"endpoint": endpoint} if endpoint else {}))
    plain, odd = (obstore.sign(store, "GET", key, timedelta(hours=1)) for key in ("in/a-1.mp4", "in/a 1.mp4"))
    assert signature(signed_anew(plain, ACCOUNT, KEY)) == signature(plain)
    assert signature(signed_anew(odd, ACCOUNT, KEY)) != signature(odd)
    assert urlsplit(signed_anew(odd, ACCOUNT, KEY)).path == urlsplit(odd).path


def signature(url: str) -> list[str]:
    return parse_qs(urlsplit(url).query)["sig"]
