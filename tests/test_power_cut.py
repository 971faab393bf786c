"""What a power cut leaves of a film is what was synced, and it is gone on with."""

from __future__ import annotations

import asyncio
import errno
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Daemon, told
from stored import SILENCE
from test_resume import SLOW, film, interrupt, output, times, unhurried, variation_of

from daemon.encode import durability
from daemon.encode.task import Durable, Kept, Order, Report, Task
from daemon.models import SourceFile
from daemon.recipes.recipe import Begin

__all__ = ["film", "unhurried"]


@pytest.mark.thorough
def test_after_a_reboot_a_film_goes_on_with_what_was_synced_of_it(
    start_daemon: Callable[..., Daemon], film: Path, tmp_path: Path
) -> None:
    """All of it can be read here, whatever a file system would have made of the rest."""
    daemon = start_daemon(FFSPOOL_RESUME_FROM="0")
    job = daemon.submit(film, spec={"variations": [SLOW]})
    interrupt(daemon, job, 75)
    [piece] = daemon.parts()
    whole = piece.read_bytes()
    piece.write_bytes(whole[: len(whole) // 2])
    kept = durability.synced(piece, Kept())
    piece.write_bytes(whole)
    synced = f"bytes = {kept.bytes}, checksum = {kept.checksum}"
    told(daemon, f"UPDATE pieces SET boot = 'an earlier one', seconds = 9, {synced}")
    daemon.start()
    daemon.wait_for_encoder()
    shown = variation_of(daemon, job)
    assert 5.0 <= shown["resumed_seconds"] <= 11.0
    assert shown["progress"] >= 100 * shown["resumed_seconds"] / 24 - 1
    assert len(times(output(daemon, job, tmp_path))) == len(times(film))


def test_bytes_of_a_piece_are_told_once_they_are_synced_and_only_where_there_are_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece, happened, sync = tmp_path / "1.piece", list[Any](), os.fdatasync

    def synced(file: int) -> None:
        sync(file)
        happened.append("synced")

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def report(one: Report) -> None:
        assert isinstance(one, Durable)
        happened.append(one.kept)

    order = Order("v", 1, "h264-480p", {}, part=str(piece), log="", threads=1, begin=Begin())
    source = SourceFile(path="film")
    task = Task(id="t", source=source, source_name="film", media=SILENCE, orders=(order,))

    async def main() -> None:
        kept = durability.Durability(task)
        piece.write_bytes(b"moov")
        await kept.keep(1.0, 1.0, report)  # too early
        monkeypatch.setattr(durability, "KEEP_EVERY", 0.0)
        await kept.keep(2.0, 1.0, report)
        await kept.keep(3.0, 1.0, report)
        piece.write_bytes(b"moov and more")
        monkeypatch.setattr(os, "fdatasync", failing)
        await kept.keep(3.5, 1.0, report)  # which costs the encode nothing
        monkeypatch.setattr(os, "fdatasync", synced)
        await kept.keep(4.0, 1.0, report)

    monkeypatch.setattr(os, "fdatasync", synced)
    asyncio.run(main())
    some, more = (Kept(bytes=len(word), checksum=zlib.crc32(word)) for word in (b"moov", b"moov and more"))
    assert happened == ["synced", {"v": some}, "synced", "synced", {"v": more}]
