"""Runs `ffspool serve`: listens, tells systemd, and on SIGTERM or SIGINT stops accepting and lets encodes go gently."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn

from daemon.api.app import create_app
from daemon.config_tables import Tables
from daemon.errors import StartupError
from daemon.http.admission import Places
from daemon.http.connection import Connection, most_connections
from daemon.http.exposure import ADVICE, exposure
from daemon.http.listener import WAITING, listening
from daemon.paths import Paths, write_private
from daemon.permissions import weakness
from daemon.presets.library import Library
from daemon.service import Service, running
from daemon.settings import Settings, Surroundings

log = logging.getLogger(__name__)

TICK = 1.0  # seconds
ACCEPTED = 32  # of these at once: one that has a place too many is ended only after it was taken
REQUEST_GRACE = 5  # seconds that requests under way get at shutdown


async def serve(
    settings: Settings,
    library: Library,
    tables: Tables,
    surroundings: Surroundings,
    invite: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then returns with every encode ended and its work back in the queue.

    `invite` is given an address that signs in, token and all, once there is one. Must run on the main thread.
    Raises StartupError when it cannot begin, as with a state dir that others may write, or cannot go on with this
    database.
    """
    stop = _stop_signal()
    if weak := weakness(Paths(settings.state_dir)):
        raise StartupError(f"{weak.found}. What to do: {weak.advice}")
    async with running(settings, library, tables) as service:
        listener = listening(settings)
        server = _Server(_config(service), partial(_announce, service, listener, surroundings, invite))
        watchdog = asyncio.create_task(_feed_watchdog(surroundings))
        serving = asyncio.create_task(server.serve([listener]))
        writing = asyncio.create_task(service.journal.run(), name="journal")
        asked, broken = asyncio.create_task(stop.wait()), asyncio.create_task(service.store.damaged.wait())
        try:
            await asyncio.wait([serving, asked, broken], return_when=asyncio.FIRST_COMPLETED)
            notify(surroundings.notify_socket, "STOPPING=1")
            service.quiesce()
            server.stop()
            await serving
        finally:
            watchdog.cancel()
            writing.cancel()
            service.paths.address.unlink(missing_ok=True)
            if settings.unix_socket:
                settings.unix_socket.unlink(missing_ok=True)
    if service.store.damaged.is_set():
        raise StartupError(
            f"the database {service.paths.database} is damaged; the next start checks it, and says what to do"
        )


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT, from the first moment to the last: one stop is enough."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in a script's background
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _announce(
    service: Service, listener: socket.socket, surroundings: Surroundings, invite: Callable[[str], None] | None
) -> None:
    """Tells clients, the log, the person at the terminal and systemd that requests are answered from now on."""
    settings, url = service.settings, _url(listener)
    write_private(service.paths.address, url)  # whole, or not there: clients look for it
    stops = "" if surroundings.notify_socket else f" (`kill {os.getpid()}` stops it)"
    log.info("ffspool listens on %s%s", "a unix socket" if settings.unix_socket else url, stops)
    if invite and not settings.unix_socket:
        invite(f"{url}/#token={service.paths.token.read_text().strip()}")
    if laid_open := exposure(settings):
        log.warning("%s: %s", laid_open, ADVICE)
    gc.freeze()  # all that was loaded stays; to look through it for garbage holds answers up for 20 ms and more
    notify(surroundings.notify_socket, "READY=1")


def _config(service: Service) -> uvicorn.Config:
    settings = service.settings
    connection = partial(
        Connection,
        places=Places(most_connections(settings.max_connections)),
        patience=settings.header_timeout,
        patience_with_known=settings.stall_timeout,
    )
    return uvicorn.Config(
        create_app(service),
        http=connection,  # type: ignore[arg-type]
        backlog=ACCEPTED,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=bool(settings.trusted_proxies),  # who a client is must not be for the client to say
        forwarded_allow_ips=[*settings.trusted_proxies],
        server_header=False,
        timeout_graceful_shutdown=REQUEST_GRACE,
    )


class _Server(uvicorn.Server):
    """Tells when it is listening, and leaves signals to us: uvicorn's own would end the process by the signal.

    Nor does it look ten times a second whether it should end; each second it sets the date that answers carry, and
    looks at every connection.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell_started = started
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Takes no more connections and lets `serve` return once those it has are done, or were given their grace."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), TICK)

    async def on_tick(self, counter: int) -> bool:
        now = asyncio.get_running_loop().time()
        for connection in [*self.server_state.connections]:
            assert isinstance(connection, Connection)
            connection.end_if_stalled(now)
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(WAITING)  # asyncio said ACCEPTED to the kernel, too
        self._tell_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _url(listener: socket.socket) -> str:
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _feed_watchdog(surroundings: Surroundings) -> None:
    """Tells the watchdog from the event loop itself, so that a loop that hangs is noticed."""
    while surroundings.watchdog_seconds:
        notify(surroundings.notify_socket, "WATCHDOG=1")
        await asyncio.sleep(surroundings.watchdog_seconds / 3)


def notify(address: str | None, state: str) -> None:
    """Tells systemd our state, by the sd_notify protocol; without systemd nothing happens."""
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as unix, contextlib.suppress(OSError):
        unix.sendto(state.encode(), name)
