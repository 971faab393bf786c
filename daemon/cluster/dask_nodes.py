"""Holds dask's scheduler and worker as they are run here: neither serves anybody over plain HTTP, and nobody can dial a
machine.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address
from typing import Any

from distributed import Scheduler, Worker

NOWHERE = int(IPv6Address("2001:db8::"))  # is for documents: nothing lies there
RULES: dict[str, object] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.diagnostics.nvml": False,
}


class QuietScheduler(Scheduler):
    """Opens no port but its own, where dask would tell all comers of its tasks, unencrypted."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        pass


class QuietWorker(Worker):
    """Listens on its own host alone: it is told what to do by the line on which it dialled."""

    def __init__(self, scheduler: str, *, name: str, **options: Any) -> None:
        made: Any = super().__init__
        made(scheduler, name=name, host="tls://127.0.0.1", contact_address=nowhere(name), **options)

    def start_http_server(self, *_: Any, **__: Any) -> None:
        pass


def nowhere(name: str) -> str:
    """Returns an address by which a scheduler tells a machine from others, and at which nothing is."""
    digest = hashlib.sha256(name.encode()).digest()
    return f"tls://[{IPv6Address(NOWHERE | int.from_bytes(digest[:12]))}]:1"
