"""Which files belong to whom is told in one place; the sweep, the accounts and what deletes files agree with it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Daemon, wait_until

from daemon.database import owned_files
from daemon.database.owned_files import ACCOUNTS, Item, Role
from daemon.database.store import Store, Transaction
from daemon.housekeeping.cleanup import Sweep
from daemon.paths import Paths, size

OLD = 1e12  # a `now` at which every file on disk is old
TINY = {"speed": "ultrafast", "short_side": 120}
VARIATIONS = [
    {"preset": "h264-480p", "quality": "vmaf", **TINY},
    {"preset": "h264-480p", "quality": "ssim", **TINY},
    {"preset": "hls", "rungs": 1},
    {"preset": "mp3"},
]


@pytest.fixture
def full(daemon: Daemon, clip: Path, long_clip: Path) -> Daemon:
    """A daemon that has written every kind of file there is, and is writing some."""
    job = daemon.wait_for(daemon.submit(clip, spec={"variations": VARIATIONS})["id"])
    assert job["status"] == "completed", job
    [source] = job["sources"]
    for shown in (f"/variations/{source['variations'][0]['id']}", ""):
        assert daemon.client.get(f"/api/jobs/{job['id']}{shown}/thumbnail").status_code == 200
    created = daemon.client.post("/api/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9"})
    piece = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    daemon.client.patch(created.headers["location"], headers=piece, content=b"some").raise_for_status()
    daemon.submit(long_clip, spec={"variations": [{"preset": "h264-480p", "speed": "slow"}]})
    wait_until(lambda: any(size(part) for part in daemon.parts()), "a part with something in it")
    return daemon


def owned(paths: Paths, transaction: Transaction) -> list[Item]:
    jobs = [owned_files.of_job(paths, folder.name, transaction) for folder in paths.jobs.iterdir()]
    return [*owned_files.of_uploads(paths, transaction), *(item for items in jobs for item in items or ())]


def accounts(transaction: Transaction) -> dict[str, int]:
    rows = {row["kind"]: row["bytes"] for row in transaction.all("disk")}
    assert rows.pop("pieces") == 0, "no film waits to go on"
    return {kind: size for kind, size in rows.items() if kind != "database"}  # which is its own account


def files(paths: Paths) -> set[Path]:
    rooms = (paths.incoming, paths.uploads, paths.jobs, paths.discarded)
    return {path for room in rooms for path in room.rglob("*") if path.is_file()}


def test_whatever_is_owned_outlives_the_sweep_and_nothing_else_does(full: Daemon) -> None:
    paths = Paths(full.state_dir)
    there = files(paths)
    [done, *_] = [folder for folder in paths.jobs.iterdir() if (folder / "plots").exists()]
    beside = {folder / "nobody's" for folder in owned_files.folders(paths, done.name)}
    strangers = {*beside, done / "stray", paths.jobs / "unknown" / "sources" / "1", paths.uploads / "unknown"}
    strangers |= {paths.incoming / "left", paths.discarded / "left"}
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"lost")

    async def sweep() -> tuple[int, list[Item], dict[str, int]]:
        store = await Store.open(paths.database)
        try:
            with closing(Sweep(store, paths, OLD)) as whole:
                swept = await whole.round(OLD)
            return swept, *await store.read(lambda t: (owned(paths, t), accounts(t)))
        finally:
            await store.close()

    swept, items, told = asyncio.run(sweep())
    assert swept == 4 * len(strangers)
    assert files(paths) & strangers == set()
    assert there - files(paths) == set()
    assert {item.role for item in items if size(item.path)} == set(Role), "no file was made for some role"
    held = [item.path for item in items]
    assert [path for path in there if not any(path.is_relative_to(item) for item in held)] == []
    assert told == {name: sum(size(i.path) for i in items if i.role == role) for role, name in ACCOUNTS.items()}


@pytest.mark.thorough
def test_nothing_that_a_job_owns_lies_outside_its_folder(full: Daemon) -> None:
    """So that it is deleted, and moved aside by a restore, with that."""
    paths = Paths(full.state_dir)
    jobs = [job["id"] for job in full.client.get("/api/jobs").json()["items"]]
    held = {path.relative_to(paths.jobs).parts[0] for path in files(paths) if path.is_relative_to(paths.jobs)}
    assert held == set(jobs)
    full.client.request("DELETE", "/api/jobs").raise_for_status()
    assert [path for path in files(paths) if not path.is_relative_to(paths.uploads)] == []
    assert list(paths.jobs.iterdir()) == []
