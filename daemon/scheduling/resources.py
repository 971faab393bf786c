"""Holds what those who bring variations to their ends have in common."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from daemon.callers import OURSELVES, Caller
from daemon.database.store import Store
from daemon.encode.engine import Engine
from daemon.media.prober import Prober
from daemon.paths import Paths
from daemon.presets.library import Library
from daemon.scheduling.claims import Claim
from daemon.scheduling.cost_history import CostHistory
from daemon.scheduling.limits import Quota
from daemon.scheduling.metrics import Figures
from daemon.scheduling.sources import Whereabouts
from daemon.scheduling.space import Space


@dataclass(frozen=True)
class Resources:
    """Holds what every attempt works with. `hung_after` and `retry_delay` are in seconds."""

    store: Store
    engine: Engine
    prober: Prober
    paths: Paths
    whereabouts: Whereabouts
    figures: Figures
    space: Space
    quota: Quota
    library: Library
    history: CostHistory
    encoder: str = ""  # its build, by a fingerprint
    resume_from: float = 60.0  # predicted CPU seconds from which a film is made in pieces
    span_seconds: float = math.inf  # of a film that is encoded on several hosts at once
    hung_after: float = 120.0
    retry_delay: float = 5.0
    now: Callable[[], float] = time.time
    caller_of: Callable[[str | None], Caller] = lambda _: OURSELVES  # by the owner of a job
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # what cannot be written now is left to recovery

    def part(self, claim: Claim) -> Path:
        """Returns where that attempt writes."""
        return self.paths.part(claim.job, claim.id, claim.attempt)

    def base(self, claim: Claim) -> str:
        """Returns the built-in preset by whose rules it is made.

        Raises UnknownPreset when the user's own is gone by now.
        """
        return self.library.find(claim.preset).base
