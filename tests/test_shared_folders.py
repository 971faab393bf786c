"""A share that a machine sees, and that is of no use just now, costs it nothing but the fetching of a source."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from threading import Event
from unittest.mock import create_autospec

from conftest import PATIENCE
from engine_conformance import MINE, order, task

from daemon.cluster.shared_folders import HEAD, SharedFolders
from daemon.cluster.transfers import Transfers
from daemon.models import SourceFile


def test_a_share_that_does_not_answer_or_is_stale_is_left_for_the_line(clip: Path, tmp_path: Path) -> None:
    one = task(MINE, clip, order(tmp_path, "mp3"))
    transfers = create_autospec(Transfers, instance=True)
    transfers.head.return_value = clip.read_bytes()[:HEAD]
    maps, ends = {str(clip.parent): clip.parent}, Event()

    def hang(_: SourceFile) -> None:
        assert ends.wait(PATIENCE)

    def fail(_: SourceFile) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    async def main() -> None:
        found = await SharedFolders(maps, transfers).find(one)
        assert found
        assert Path(found.path) == clip.resolve()
        assert await SharedFolders(maps, transfers, fail).find(one) is None
        silent = SharedFolders(maps, transfers, hang, patience=0.01)
        assert [await silent.find(one) for _ in range(2)] == [None, None]
        ends.set()

    asyncio.run(main())
