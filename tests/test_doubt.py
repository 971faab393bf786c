"""A disk that fails at the very commit: nobody knows whether the change is on it, and either must be right."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stored import house, in_store

from daemon.api import creation
from daemon.callers import OURSELVES
from daemon.database.store import Store, Transaction
from daemon.errors import Doubtful, FfspoolError, OutOfSpace, Unavailable
from daemon.http.problems import on_host_trouble
from daemon.jobs.idempotency import IdempotencyKeys
from daemon.jobs.insertion import JobSpec
from daemon.jobs.jobs import Jobs
from daemon.jobs.listing import Selection
from daemon.jobs.request_bodies import RequestBodies
from daemon.jobs.resumable_uploads import Uploads
from daemon.jobs.views import JobView
from daemon.models import VariationRequest
from daemon.paths import Paths
from daemon.proof import publish
from daemon.scheduling.sources import NewSource


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "state")
    paths.prepare()
    return paths


class Woken:
    shortage = None

    def progress(self, _: str) -> None:
        """Nothing runs."""

    def wake(self) -> None:
        """There is no scheduler to wake."""

    async def glance(self, _: Path) -> None:
        """Nor would it start anything."""


@pytest.mark.parametrize(
    ("refusal", "kept"), [(Doubtful("EIO"), True), (Unavailable("locked"), False), (OutOfSpace("full"), False)]
)
def test_files_of_a_job_whose_commit_is_in_doubt_are_kept(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    refusal: FfspoolError,
    kept: bool,
) -> None:
    """After a crash the job may be found in the log: then a client that asks again is told of it."""

    async def work(store: Store) -> None:
        async def fail(_: Callable[[Transaction], Any]) -> None:
            raise refusal

        body = paths.incoming / "body"
        body.write_bytes(b"a source")
        monkeypatch.setattr(store, "write", fail)
        jobs = Jobs(store, Woken(), paths, *house(paths, store))  # type: ignore[arg-type]
        with pytest.raises(type(refusal)):
            source = NewSource(name="clip.mp4", bytes=8, upload=body)
            await jobs.create(JobSpec(variations=(VariationRequest("mp3", {}),)), [source], conclude=lambda *_: None)

    in_store(paths, work)
    assert [path.read_bytes() for path in paths.jobs.glob("*/sources/*")] == ([b"a source"] if kept else [])


@pytest.mark.parametrize(
    ("refusal", "kept"), [(Doubtful("EIO"), True), (Unavailable("locked"), False), (OutOfSpace("full"), False)]
)
def test_bytes_of_an_upload_whose_commit_is_in_doubt_are_kept_and_no_others(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, refusal: FfspoolError, kept: bool
) -> None:
    """No account speaks of bytes beyond what is committed."""

    async def piece() -> AsyncIterator[bytes]:
        yield b"some"

    async def work(store: Store) -> str:
        _, settings, _, quota, _ = house(paths, store)
        uploads = Uploads(store, paths, settings, RequestBodies(), quota)
        upload = (await uploads.create("clip.mp4", 9)).id
        write = store.write

        async def fail_at_the_end(work: Callable[[Transaction], Any]) -> Any:
            if paths.upload(upload).exists():
                raise refusal
            return await write(work)

        monkeypatch.setattr(store, "write", fail_at_the_end)
        with pytest.raises(type(refusal)):
            await uploads.append(upload, 0, piece())
        monkeypatch.setattr(store, "write", write)
        await uploads.close()
        return upload

    upload = in_store(paths, work)
    assert paths.upload(upload).read_bytes() == (b"some" if kept else b"")


def test_a_job_is_there_once_its_answer_is_encoded_and_not_before(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be encoded would leave a job behind that nobody was told of."""
    encode, there = msgspec.json.encode, list[int]()

    def count_and_encode(value: Any) -> bytes:
        if isinstance(value, JobView):
            with closing(sqlite3.connect(paths.database)) as connection:
                there.extend(connection.execute("SELECT count(*) FROM jobs").fetchone())
        return encode(value)

    async def work(store: Store) -> None:
        monkeypatch.setattr(msgspec.json, "encode", count_and_encode)
        jobs = Jobs(store, Woken(), paths, *house(paths, store))  # type: ignore[arg-type]
        body = paths.incoming / "body"
        body.write_bytes(b"a source")
        source = NewSource(name="clip.mp4", bytes=8, upload=body)
        with IdempotencyKeys(store).use(None) as key:
            await creation._made(jobs, OURSELVES, JobSpec(variations=(VariationRequest("mp3", {}),)), [source], key)
        assert (await jobs.page(Selection(), limit=1, cursor=None)).items

    in_store(paths, work)
    assert there == [0]


@pytest.mark.parametrize(("number", "status"), [(errno.EIO, 503), (errno.ENOSPC, 507), (errno.EMFILE, 503)])
def test_a_host_in_trouble_is_not_told_as_a_fault_of_ffspool(number: int, status: int) -> None:
    answer = asyncio.run(on_host_trouble(None, OSError(number, "words of the host", "/a/path")))  # type: ignore[arg-type]
    assert answer.status_code == status
    assert b"/a/path" not in answer.body


def test_a_file_that_failed_to_be_made_durable_does_not_stay_under_its_final_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, output = tmp_path / "1.part", tmp_path / "outputs" / "v.mp3"
    part.write_bytes(b"proven")

    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(publish, "fsync_folder", fail)
    with pytest.raises(OSError, match="Input/output"):
        publish.reveal(part, output)
    assert not output.exists()
