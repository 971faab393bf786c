"""What housekeeping does for one thing waits for no other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from conftest import wait_until
from test_cleanup import finish

from daemon.database.store import Store
from daemon.housekeeping import rounds
from daemon.paths import Paths
from daemon.settings import Settings


class Endless:
    """A trash whose films are compared for hours."""

    def __init__(self) -> None:
        self.is_begun = asyncio.Event()

    async def tidy(self, _: float) -> None:
        self.is_begun.set()
        await asyncio.Event().wait()


def test_jobs_expire_while_originals_are_compared_before_they_go(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    paths.prepare()

    async def work() -> None:
        store = await Store.open(paths.database)
        trash: Any = Endless()
        settings = Settings(state_dir=paths.state, sweep_every=0.01)
        keeping = asyncio.create_task(rounds.run(store, paths, settings, trash, 2000.0, lambda: 2000.0))
        await trash.is_begun.wait()
        await store.write(lambda t: finish(t, "j", paths, at=1000.0, expires_in=50.0))
        await asyncio.to_thread(wait_until, lambda: not paths.job("j").exists(), "it to expire")
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await store.close()

    asyncio.run(work())
