"""Weighs the variations of jobs by what they are predicted to take, so that a poster counts less than a film."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence

import msgspec

from daemon.database.store import Row, Transaction
from daemon.errors import FfspoolError
from daemon.jobs.effort import Weighed
from daemon.journal import known
from daemon.media.model import Media
from daemon.presets.library import Library
from daemon.recipes import command
from daemon.scheduling import costs
from daemon.states import State

log = logging.getLogger(__name__)

MOST_WEIGHED = 100  # variations of one job; of more, the seconds that they play weigh
MOST_KNOWN = 100_000  # variations


class Works:
    """Predicts by the preset alone, and not by what this host has learnt, so that no weight changes on the way."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[str, float] = {}

    def of(self, transaction: Transaction, jobs: Sequence[Row]) -> dict[int, tuple[Weighed, ...]]:
        """Returns the variations of each job that has no more than can be weighed, by its `seq`."""
        keys = [job["seq"] for job in jobs if job["total"] <= MOST_WEIGHED]
        if not keys:
            return {}
        rows = transaction.all("parts_to_weigh", jobs=msgspec.json.encode(keys).decode())
        self._learn(transaction, [row for row in rows if row["id"] not in self._known])
        found = defaultdict[int, list[Row]](list)
        for row in rows:
            found[row["job"]].append(row)
        return {job: self._weighed(parts) for job, parts in found.items()}

    def _weighed(self, rows: Collection[Row]) -> tuple[Weighed, ...]:
        known = [self._known[row["id"]] for row in rows if row["id"] in self._known]
        usual = sum(known) / len(known) if known else 1.0  # of a source that nobody looked at yet
        return tuple(
            Weighed(
                id=row["id"],
                status=State(row["status"]),
                work=self._known.get(row["id"], usual),
                seconds=row["seconds"],
                in_hand=row["in_hand"] or 0.0,
            )
            for row in rows
        )

    def _learn(self, transaction: Transaction, rows: Collection[Row]) -> None:
        if not rows:
            return
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        sources = msgspec.json.encode(sorted({row["source"] for row in rows})).decode()
        media = {
            row["seq"]: msgspec.json.decode(row["media"], type=Media)
            for row in transaction.all("media_of_sources", sources=sources)
        }
        for row in rows:
            if row["source"] in media:
                self._known[row["id"]] = self._work(media[row["source"]], row)

    def _work(self, media: Media, row: Row) -> float:
        """Nothing that can be made weighs nothing."""
        try:
            base = self._library.find(row["preset"]).base
            plan, estimate, _, _ = command.prospect(media, base, msgspec.json.decode(row["parameters"]))
            cost = costs.predict(media, plan, estimate)
        except FfspoolError:
            return costs.START_UP
        except Exception:  # a list of jobs shall not fail of it
            log.exception(
                "what a variation will cost cannot be told, by a fault of ffspool", extra=known(variation=row["id"])
            )
            return costs.START_UP
        return cost.decode + cost.encode
