"""From bucket to bucket: each source comes whole and each result once, after however many bytes on their way the daemon
is killed."""

from __future__ import annotations

import hashlib
import random
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from conftest import wait_until
from s3_server import BUCKET, KEY, SECRET, S3Server, profile, serving

from daemon.proof import output_folder
from faults.promises import Promises
from faults.tally import Tally
from faults.victim import Victim

Attack = Callable[..., tuple[Victim, Promises]]

SECONDS = 45  # of noise, which as FLAC has some 8 MB: more than one part
LADDER = {"preset": "hls", "rungs": 1}
SOURCE = "renders/in/noise.mkv"
PIECE = 64 * 1024
AMPLE = 1800.0  # seconds for what takes some of them, but on a host with much else to do


class Road:
    """Leads from the daemon to the store, and counts what goes and comes; calls somebody once it is so much."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._counting = threading.Lock()
        self._left: int | None = None
        self._then: Callable[[], None] = lambda: None
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, left: int, then: Callable[[], None]) -> None:
        with self._counting:
            self._left, self._then = left, then

    def disarm(self) -> None:
        with self._counting:
            self._left = None

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listening.accept()
                threading.Thread(target=self._lead, args=(line,), daemon=True).start()

    def _lead(self, line: socket.socket) -> None:
        with line, suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as onward:
            back = threading.Thread(target=self._carry, args=(onward, line), daemon=True)
            back.start()
            self._carry(line, onward)
            back.join()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(PIECE):
                self._count(len(piece))
                other.sendall(piece)
        for line in (one, other):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _count(self, size: int) -> None:
        with self._counting:
            if self._left is None:
                return
            self._left -= size
            if self._left > 0:
                return
            self._left, then = None, self._then
        then()


@contextmanager
def road(server: S3Server) -> Iterator[Road]:
    found = Road(server.port)
    with closing(found):
        yield found


@pytest.fixture(scope="session")
def noise(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a picture of which a ladder is made, and sound of which much is."""
    path = tmp_path_factory.mktemp("noise") / "noise.mkv"
    left, right = (f"anoisesrc=sample_rate=48000:duration={SECONDS}:seed={seed}:amplitude=0.9" for seed in (1, 2))
    made = ["-f", "lavfi", "-i", f"{left}[left];{right},[left]amerge"]
    made += ["-f", "lavfi", "-i", f"testsrc2=size=64x64:rate=10:duration={SECONDS}"]
    subprocess.run([ffmpeg, "-v", "error", *made, "-c:v", "mpeg4", "-c:a", "pcm_s16le", str(path)], check=True)
    return path


@pytest.mark.rounds([1], range(100))
def test_each_result_comes_to_its_bucket_once(
    attack: Attack, noise: Path, tally: Tally, tmp_path: Path, round: int
) -> None:
    moments = random.Random(round)
    with serving(tmp_path / "s3") as server, road(server) as way:
        server.put(SOURCE, noise.read_bytes())
        config = tmp_path / "ffspool.toml"
        config.write_text(profile(server, tmp_path, endpoint=f"http://127.0.0.1:{way.port}"))
        victim, _ = attack("--delivery-backoff", "0.1", FFSPOOL_CONFIG=str(config))
        start(victim)
        for _ in range(2):  # deaths, each after some of what is left
            killed = threading.Event()
            way.arm(int(moment(moments)), partial(kill, victim, killed))
            with suppress(httpx.HTTPError, ValueError):  # it dies meanwhile
                submit(victim, noise)
                wait_until(partial(is_over, victim, killed), "its death, or the end of all of it", AMPLE)
            way.disarm()
            if killed.is_set():
                victim.process.wait(AMPLE)
                tally.attack(f"kills in a {what_ran(victim)} a bucket")
                start(victim)
        submit(victim, noise)
        wanted = wait_until(lambda: all_of(victim), "every delivery", AMPLE)
        found = there(server)
        violated = found != wanted or bool(leftovers(server))
        tally.case(10, violated=violated)
        assert (found, leftovers(server)) == (wanted, [])


@pytest.mark.thorough
@pytest.mark.rounds([1], range(50))
def test_each_result_comes_to_its_bucket_once_though_the_store_dies(
    attack: Attack, noise: Path, tally: Tally, tmp_path: Path, round: int
) -> None:
    """And forgets what it said beside objects, and what came of uploads in parts."""
    moments = random.Random(round)
    with serving(tmp_path / "s3") as server, road(server) as way:
        server.put(SOURCE, noise.read_bytes())
        config = tmp_path / "ffspool.toml"
        config.write_text(profile(server, tmp_path, endpoint=f"http://127.0.0.1:{way.port}"))
        backoff = ["--delivery-backoff", "0.1", "--fetch-backoff", "0.1"]
        victim, _ = attack(*backoff, FFSPOOL_CONFIG=str(config))
        start(victim)
        for _ in range(3):
            died = threading.Event()
            way.arm(int(moment(moments)), partial(end, server, died))
            submit(victim, noise)
            wait_until(partial(is_over, victim, died), "its death, or the end of all of it", AMPLE)
            way.disarm()
            if died.is_set():
                tally.attack(f"deaths of a store in a {what_ran(victim)} it")
                server.stop()
                server.start()
        wanted = wait_until(lambda: all_of(victim), "every delivery", AMPLE)
        found = there(server)
        violated = found != wanted or bool(leftovers(server))
        tally.case(10, violated=violated)
        assert (found, leftovers(server)) == (wanted, [])


def moment(draw: random.Random) -> float:
    """So many bytes after which something dies."""
    soon, later = 2 ** draw.uniform(10, 26), draw.uniform(1e7, 4e7)  # the latter mostly in a delivery
    return draw.choice([soon, later])


def end(server: S3Server, died: threading.Event) -> None:
    assert server.process
    server.process.kill()
    died.set()


def start(victim: Victim) -> None:
    assert victim.starts(seconds=AMPLE), victim.log()
    victim.client.timeout = AMPLE


def kill(victim: Victim, killed: threading.Event) -> None:
    killed.set()
    victim.process.kill()


def is_over(victim: Victim, killed: threading.Event) -> bool:
    return killed.is_set() or all_of(victim) is not None


def submit(victim: Victim, source: Path) -> None:
    url = f"s3://{BUCKET}/renders/films/{{stem}}_{{preset}}.{{ext}}"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    wish = {
        "sources": [{"url": f"s3://{BUCKET}/{SOURCE}", "sha256": digest}],
        "variations": [{"preset": "flac"}, LADDER],
        "deliver": {"url": url, "conflict": "number"},
    }
    victim.client.post("/api/jobs", json=wish)


def what_ran(victim: Victim) -> str:
    """What the dead daemon was about, by its database."""
    with closing(sqlite3.connect(f"file:{victim.state_dir / 'ffspool.db'}?mode=ro", uri=True)) as database:
        [fetching] = database.execute("SELECT count(*) FROM fetches WHERE status = 'pending'").fetchone()
    return "fetch from" if fetching else "delivery to"


def all_of(victim: Victim) -> dict[str, str] | None:
    """The SHA-256 of what is completed, by where it is; None while something is on its way, or there is nothing."""
    whole: dict[str, str] = {}
    for listed in victim.client.get("/api/jobs").json()["items"]:
        job: Any = victim.job(listed["id"])
        assert job["status"] != "failed", job
        if job["status"] != "completed" or job["deliveries"]["pending"]:
            return None
        for variation in job["sources"][0]["variations"]:
            assert variation["delivery"]["status"] == "delivered", variation
            assert variation["delivery"]["to"] not in whole
            whole[variation["delivery"]["to"]] = variation["sha256"]
    return whole or None


def there(server: S3Server) -> dict[str, str]:
    """The SHA-256 of all that is in the bucket: of objects, and of folders of them."""
    objects = {key: hashlib.sha256(server.read(key)).hexdigest() for key in server.listed() if key != SOURCE}
    folders: dict[str, list[bytes]] = {}
    whole = {}
    for key, sha256 in sorted(objects.items()):
        folder, _, name = key.removeprefix("renders/films/").partition("/")
        if name:
            folders.setdefault(folder, []).append(output_folder.line(sha256, name))
        else:
            whole[folder] = sha256
    whole |= {folder: hashlib.sha256(b"".join(lines)).hexdigest() for folder, lines in folders.items()}
    return {f"s3://{BUCKET}/renders/films/{name}": sha256 for name, sha256 in whole.items()}


def leftovers(server: S3Server) -> list[str]:
    """Keys to which an upload in parts is under way."""
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    client: Any = boto3.client("s3", endpoint_url=server.endpoint, **keys)
    try:
        return [one["Key"] for one in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
    except client.exceptions.NoSuchUpload:  # there never was one
        return []
