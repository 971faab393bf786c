"""Originals leave the trash after days that were seen to pass, whatever the host's clock says of a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from daemon.database.store import Store, Transaction
from daemon.delivery.replacements import DAY
from daemon.paths import Paths

COLUMNS = dict.fromkeys(("job", "folder", "name", "taken_by", "aside", "wanted", "sha256"), "x")


@pytest.mark.parametrize(
    ("seen", "due"),
    [
        ([("one", 100.0), ("one", 160.0)], False),
        ([("one", 100.0), ("other", 40 * DAY)], False),  # of the boot before, nothing tells when that ended
        ([("one", 100.0), ("one", 13 * DAY), ("other", 50.0), ("other", 1.5 * DAY)], True),
        ([("one", 100.0), ("one", 15 * DAY)], True),
    ],
)
def test_a_clock_that_jumps_while_no_daemon_runs_empties_no_trash(
    tmp_path: Path, seen: list[tuple[str, float]], due: bool
) -> None:
    async def found() -> bool:
        paths = Paths(tmp_path / "state")
        paths.prepare()
        store = await Store.open(paths.database)
        row = {**COLUMNS, "id": "a", "original_bytes": 2, "bytes": 1, "now": 1000.0, "keep": 14 * DAY}

        def work(transaction: Transaction) -> bool:
            for number, (boot, uptime) in enumerate(seen):
                transaction.run("see_time_pass", boot=boot, uptime=uptime)
                if number == 0:
                    transaction.run("insert_replacement", **row)
            return bool(transaction.all("due_replacements", now=1000.0 + 400 * DAY))

        result = await store.write(work)
        await store.close()
        return result

    assert asyncio.run(found()) is due
