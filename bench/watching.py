"""What it takes to scan a watched folder, or bucket, in which many files lie, the first time and again."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bench.daemons import Daemon, cpu_seconds, daemon, wait_until

FOLDERS, FILES = 100, 1000  # in each


def watching() -> None:
    """Nothing is taken meanwhile: that is what encodes wait for, and no scan."""
    with tempfile.TemporaryDirectory() as folder:
        films = Path(folder) / "films"
        for number in range(FOLDERS):
            (films / f"{number:03}").mkdir(parents=True)
            for file in range(FILES):
                (films / f"{number:03}" / f"film {file:03}.mkv").write_bytes(b"x")
        _scans(Path(folder), f"source_roots = [{json.dumps(str(films))}]\n", f"path = {json.dumps(str(films))}\n")
    with tempfile.TemporaryDirectory() as folder, _listing() as endpoint:
        (Path(folder) / "keys").write_text("aws_access_key_id = x\naws_secret_access_key = x\n")
        bucket = f"[buckets.films]\nurl = 's3://films'\nendpoint = '{endpoint}'\nregion = 'us-east-1'\n"
        _scans(Path(folder), f"{bucket}credentials = '{folder}/keys'\n", "url = 's3://films'\n", "a bucket with ")


def _scans(folder: Path, before: str, where: str, of: str = "") -> None:
    config = folder / "ffspool.toml"
    rarely = "recursive = true\nscan_every = 86400\nstable_seconds = 86400\nvariations = [{ preset = 'mp3' }]\n"
    config.write_text(f"{before}[[folders]]\nname = 'films'\n{where}{rarely}")
    with daemon(folder, FFSPOOL_CONFIG=str(config)) as running:  # paused, so that the next begins at rest
        running.client.post("/api/folders/films/pause").raise_for_status()
    with daemon(folder, FFSPOOL_CONFIG=str(config)) as running:
        running.settle()
        for what in ("first", "second", "third"):
            _scan(running, f"{what} scan of {of}")


def _scan(running: Daemon, what: str) -> None:
    before, family = _shown(running)["scanned_at"], running.family()
    began, spent = time.monotonic(), cpu_seconds(family)
    running.client.post("/api/folders/films/scan").raise_for_status()
    wait_until(lambda: _shown(running)["scanned_at"] != before)
    took, cpu = time.monotonic() - began, cpu_seconds(family) - spent
    memory, found = running.process.memory_info().rss / 2**20, _shown(running)["found"]
    print(
        f"{what}{found} files in {FOLDERS} folders: {took:.1f} s, {found / took:.0f} look-ups a second, "
        f"{cpu:.1f} s of CPU; the daemon then holds {memory:.0f} MiB"
    )


def _shown(running: Daemon) -> Any:
    [folder] = running.client.get("/api/folders").raise_for_status().json()["items"]
    return folder


class _Listed(BaseHTTPRequestHandler):
    """Answers as a store that lists so many keys, a thousand at a time."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        page = int(asked.get("continuation-token", ["0"])[0])
        more = page + 1 < FOLDERS
        keys = "".join(
            f"<Contents><Key>{page:03}/film {file:03}.mkv</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{page:016x}{file:016x}&quot;</ETag><Size>1</Size></Contents>"
            for file in range(FILES)
        )
        onward = f"<NextContinuationToken>{page + 1}</NextContinuationToken>" if more else ""
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>{onward}"
        body = f"<ListBucketResult><Name>films</Name>{truncated}{keys}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def _listing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Listed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
