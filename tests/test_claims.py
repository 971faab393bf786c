"""What is claimed is still wanted in the transaction that claims it."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored import add_job, claim, in_store

from daemon.database.store import Store, Transaction
from daemon.paths import Paths


@pytest.mark.parametrize(
    ("verbs", "starts"),
    [
        ([("state", "draining")], False),
        ([("state", "paused")], False),
        ([("state", "draining"), ("state", "running")], True),
        ([("schedule", "draining")], False),
        ([("schedule", "draining"), ("state", "running")], True),
    ],
)
def test_what_was_about_to_start_when_the_queue_was_told_not_to_does_not(
    tmp_path: Path, verbs: list[tuple[str, str]], starts: bool
) -> None:
    """What may start is chosen before it is claimed, and verbs come between."""
    paths = Paths(tmp_path / "state")
    paths.prepare()

    def claimed(transaction: Transaction) -> bool:
        add_job(transaction, "film")
        for of, state in verbs:
            transaction.run(f"set_queue_{of}", state=state)
        try:
            return bool(claim(transaction))
        except ValueError:  # none was to be unpacked
            return False

    async def main(store: Store) -> bool:
        return await store.write(claimed)

    assert in_store(paths, main) is starts
