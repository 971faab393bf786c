"""What is secret of a source or a delivery is soon in no file of the database, once it has done what it was for."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, wait_until
from file_host import FileHost, hosting
from receiving_host import receiving
from test_delivery import TINY, delivered
from test_fetch import failed, open_to, submit

from daemon.database import store as stores
from daemon.database.store import Store

SECRET = secrets.token_hex(16)
LONG = (SECRET * 200)[:6000]  # more than a page of the database


@pytest.fixture
def host(clip: Path) -> Iterator[FileHost]:
    with hosting(clip.read_bytes()) as host:
        yield host


def kept(state_dir: Path) -> dict[str, int]:
    """Which files of the database hold the secret, and how often."""
    found = {path.name: path.read_bytes().count(SECRET.encode()) for path in state_dir.glob("ffspool.db*")}
    return {name: count for name, count in found.items() if count}


def test_a_signed_link_and_keys_are_in_no_file_soon_after_the_end(
    start_daemon: Callable[..., Daemon], host: FileHost, clip: Path
) -> None:
    with receiving() as receiver:
        port = receiver.server_port
        daemon = start_daemon(*open_to(host), "--delivery-allow-private", "--fetch-port", str(port))
        secret = {"url": f"{host.url()}?sig={LONG}", "headers": {"X-Key": SECRET}}
        done = submit(daemon, secret)
        failed(daemon, submit(daemon, {**secret, "sha256": "0" * 64}))
        cancelled = submit(daemon, secret)
        daemon.client.post(f"/api/jobs/{cancelled['id']}/cancel").raise_for_status()
        asked = {"url": receiver.url(f"/a?X-Amz-Signature={LONG}")}
        job = daemon.submit(clip, spec={"variations": [TINY], "deliver": asked})
        assert [told["status"] for told in delivered(daemon, job["id"])] == ["delivered"]
        daemon.wait_for(done["id"])
        wait_until(lambda: not kept(daemon.state_dir), "the secrets to be gone")


def test_a_reader_beside_it_holds_nobody_up_and_the_log_is_emptied_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "QUIET", 0.05)
    path = tmp_path / "ffspool.db"

    def stop(transaction: Any) -> int:
        return int(transaction.run("count_stop", stage="quit", seconds=1.0))

    async def main() -> None:
        store = await Store.open(path)
        await store.write(stop)
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM jobs").fetchone()
            await store.write(stop)
            began = time.monotonic()
            await store.write(stop)
            assert time.monotonic() - began < 5
            assert log.stat().st_size
        await asyncio.to_thread(wait_until, lambda: not log.stat().st_size, "the log to be empty")
        await store.close()

    log = path.with_name(f"{path.name}-wal")
    asyncio.run(main())
