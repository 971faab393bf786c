"""Holds dask's scheduler and worker as they are run here: neither serves anybody over plain HTTP, and nobody can dial a
machine.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from typing import Any

from distributed import Scheduler, Worker
from distributed.scheduler import DEFAULT_EXTENSIONS

NOWHERE = int(IPv6Address("2001:db8::"))  # is for documents: nothing lies there
BEAT = 5.0  # seconds between two signs of life of a machine
SELDOM = "1h"
TOLD = ("Task %s marked as failed", "Failed to communicate with scheduler")
RULES: dict[str, object] = {  # what nobody here looks at is not gathered
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.diagnostics.nvml": False,
    "distributed.client.heartbeat": "60s",
    "distributed.client.scheduler-info-interval": SELDOM,  # else each machine asks for all there is of all others
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": SELDOM,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.diagnostics.computations.max-history": 1,
    "distributed.scheduler.active-memory-manager.start": False,
}


class QuietScheduler(Scheduler):
    """Opens no port but its own, where dask would tell all comers of its tasks, unencrypted."""

    def __init__(self, host: str | None, port: int, security: Any) -> None:
        made: Any = super().__init__
        extensions = {name: each for name, each in DEFAULT_EXTENSIONS.items() if name != "spans"}  # keep all for ever
        with _modules_as_before():
            made(
                host=[host, ""], port=[port, 0], protocol=["tls", "inproc"], security=security, dashboard=False,
                extensions=extensions,
            )  # fmt: skip
        self.periodic_callbacks["worker-ttl"].callback_time = BEAT * 1000  # dask looks once in as long as it waits

    @property
    def within(self) -> str:
        """The address at which this process finds it, without TLS and without copies."""
        return str(self.listeners[1].contact_address)

    def start_http_server(self, *_: Any, **__: Any) -> None:
        pass

    def heartbeat_worker(self, **told: Any) -> dict[str, Any]:
        answer: dict[str, Any] = super().heartbeat_worker(**{**told, "extensions": None})
        return {**answer, "heartbeat-interval": BEAT}


class QuietWorker(Worker):
    """Listens on its own host alone: it is told what to do by the line on which it dialled."""

    def __init__(self, scheduler: str, *, name: str, **options: Any) -> None:
        made: Any = super().__init__
        with _modules_as_before():
            made(scheduler, name=name, host="tls://127.0.0.1", contact_address=nowhere(name), **options)

    def start_http_server(self, *_: Any, **__: Any) -> None:
        pass


@contextmanager
def _modules_as_before() -> Iterator[None]:
    """Has no module be looked for in a folder that dask makes for itself: others may write to where that lies, such as
    /tmp, and its disk may not answer."""
    known = list(sys.path)
    yield
    sys.path[:] = known


def nowhere(name: str) -> str:
    """Returns an address by which a scheduler tells a machine from others, and at which nothing is."""
    digest = hashlib.sha256(name.encode()).digest()
    return f"tls://[{IPv6Address(NOWHERE | int.from_bytes(digest[:12]))}]:1"


def hush(silent: str = "") -> None:
    """Has dask tell what goes wrong, and nothing else: it logs each connection. What is `silent` tells nothing."""
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL if name == silent else logging.ERROR)
    for name in ("distributed.scheduler", "distributed.worker"):
        logging.getLogger(name).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Tells whether it is not told in our own words: which machine is away and what it had, or that the daemon is."""
    return not str(record.msg).startswith(TOLD)
