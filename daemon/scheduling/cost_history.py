"""Remembers what this host's own encodes took, for predicting the next ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from daemon.database.store import Store, Transaction
from daemon.models import Parameters
from daemon.scheduling import costs


class CostHistory:
    """Corrects the predicted CPU seconds by preset and speed; it is kept in the database. Make it with `load`."""

    def __init__(self, store: Store, corrections: dict[str, float]) -> None:
        self._store = store
        self.corrections = corrections  # changed in place

    @classmethod
    async def load(cls, store: Store) -> CostHistory:
        rows = await store.read(lambda t: t.all("corrections"))
        return cls(store, {row["encode"]: row["correction"] for row in rows})

    async def learn(self, encodes: Iterable[tuple[str, Parameters]], predicted: float, taken: float) -> None:
        """Learns from encodes that shared a process: CPU seconds `predicted` and `taken` by all of them together."""
        learnt = {
            costs.key(preset, parameters): costs.learn(
                costs.correction(self.corrections, preset, parameters), predicted, taken
            )
            for preset, parameters in encodes
        }
        self.corrections |= learnt
        await self._store.write(partial(_record, learnt))


def _record(learnt: dict[str, float], transaction: Transaction) -> None:
    transaction.run_many(
        "record_correction", [{"encode": encode, "correction": value} for encode, value in learnt.items()]
    )
