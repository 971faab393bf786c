"""Keeps the machines of a cluster: `python -I -m daemon.cluster.coordinator FD`, a child of the daemon.

It runs dask's scheduler, to which machines connect, and the server of their files. FD is a stream socket: the daemon
sends a `Charter` and then a `Command` in each line, and gets a `Notice` in each. What is true the daemon alone knows:
here is only what is under way. It ends when the daemon closes the socket; machines end their encoders then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
import ssl
import sys
import time
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask
import msgspec
import uvicorn
from distributed import Client, wait
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.security import Security

from daemon.cluster import certificates, dask_nodes
from daemon.cluster.dask_nodes import QuietScheduler
from daemon.cluster.file_server import IDLE, FileServer, Tasks
from daemon.cluster.invitations import Guests
from daemon.cluster.messages import (
    Alive,
    Ask,
    Beat,
    Charter,
    Command,
    Forget,
    Greeting,
    Hello,
    Joined,
    Leaving,
    Left,
    Listening,
    Notice,
    Over,
    Pulse,
    Refused,
    Run,
)
from daemon.cluster.task_function import HOME, topic, work
from daemon.encode.task import Ended

log = logging.getLogger(__name__)

COMES_WITHIN = 30.0  # seconds from being taken to being here
THAT_WAS_IT = "if that was this one, try again in a minute; else invite this one by a name of its own"
SKEW = 60.0  # seconds by which the clock of a machine may be off
LOOK_EVERY = 2.0
CHANGED = 0.01  # of what is free
MAX_LINE = 16 * 1024**2
BUFFER = 32 * 1024  # bytes that each connection for files holds, instead of asyncio's 256 KiB: there are hundreds
AWAY = "60s"  # without a sign of life after which a machine is taken to be away
RULES = {  # of dask: a loss ends in the daemon's hands, at once and once
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": AWAY,
    "distributed.scheduler.worker-saturation": "inf",
    "distributed.admin.low-level-log-length": 10,
    "distributed.version": 2,
}


class Coordinator(SchedulerPlugin):
    """Relays between the daemon and its machines."""

    name = "ffspool"

    def __init__(self, charter: Charter, writer: asyncio.StreamWriter) -> None:
        self._charter = charter
        self._writer = writer
        self._guests = Guests(Path(charter.folder))
        self._tasks = Tasks()
        self._welcome: dict[str, tuple[float, Hello]] = {}  # who was taken, when, and comes next
        self._here: dict[str, str] = {}  # names by address
        self._pulses: dict[str, Pulse] = {}  # as they were told last
        self._futures: dict[str, asyncio.Task[None]] = {}
        self._scheduler: Any = None
        self._client: Any = None
        self._doors: list[ssl.SSLContext] = []  # by which connections come
        self.files = FileServer(self._tasks, self._guests.knows, self.welcome, self.beat, self.leaving, self.over)

    def tell(self, notice: Notice) -> None:
        self._writer.write(msgspec.json.encode(notice) + b"\n")

    async def tell_that_it_lives(self) -> None:
        while True:
            self.tell(Alive())
            await asyncio.sleep(self._charter.beat)

    # Machines

    def welcome(self, name: str, hello: Greeting) -> str | None:
        """Takes a machine, or returns why not."""
        if hello.version != self._charter.version:
            why = f"it runs ffspool {hello.version}, and the daemon {self._charter.version}: install the same"
        elif not isinstance(hello, Hello):
            why = f"its ffspool {hello.version} is another build than the daemon's: install the same"
        elif hello.encoder != self._charter.encoder:
            why = "its encoder is another build than the daemon's: have both use the one that comes with ffspool"
        elif abs(off := hello.clock - time.time()) > SKEW:
            why = f"its clock is off by {off:+.0f} s: have it set by NTP"
        elif self._charter.require_sandbox and not hello.sandbox.active:
            why = f"it has no sandbox for encoders, which the daemon requires: {hello.sandbox.reason}"
        elif name in self._here.values():
            why = f"a machine called {name} is at work already: {THAT_WAS_IT}"
        elif time.monotonic() - self._welcome.get(name, (-math.inf, None))[0] < COMES_WITHIN:
            why = f"another one is just coming by this invitation: {THAT_WAS_IT}"
        else:
            self._welcome[name] = time.monotonic(), hello
            return None
        self.tell(Refused(machine=name, why=why))
        return why

    def leaving(self, name: str) -> None:
        """A machine takes nothing more."""
        self.tell(Leaving(machine=name))

    def add_worker(self, scheduler: Any, worker: str) -> None:
        name = str(scheduler.workers[worker].name)
        _, hello = self._welcome.pop(name, (0.0, None))
        if hello is None:
            scheduler.loop.add_callback(scheduler.remove_worker, worker, stimulus_id="ffspool-uninvited")
            return
        self._here[worker] = name
        self.tell(Joined(machine=name, hello=hello, draining=name in self._guests.drained()))

    def beat(self, name: str, pulse: Pulse) -> None:
        """Tells how a machine stands, unless it stands as before but for some bytes."""
        told = self._pulses.get(name)
        if told and told.why == pulse.why and abs(told.free_bytes - pulse.free_bytes) <= told.free_bytes * CHANGED:
            return
        self._pulses[name] = pulse
        self.tell(Beat(machine=name, pulse=pulse))

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:  # noqa: ARG002 (as dask calls it)
        if name := self._here.pop(worker, None):
            self._pulses.pop(name, None)
            self.tell(Left(machine=name))

    def _address(self, machine: str) -> str | None:
        return next((address for address, name in self._here.items() if name == machine), None)

    # Tasks

    def obey(self, command: Command) -> None:
        match command:
            case Run(machine=machine, task=task):
                self._tasks.add(machine, task)
                self._futures[task.id] = asyncio.create_task(self._run(command))
            case Ask(machine=machine):
                self._scheduler.log_event(topic(machine), msgspec.json.encode(command).decode())
            case Forget(task=task):
                self._tasks.forget(task)

    async def _run(self, order: Run) -> None:
        """Has it run, and sees that its end is told whatever becomes of its machine."""
        task, address = order.task, self._address(order.machine)
        try:
            if address is not None:
                message = msgspec.json.encode(task)
                # What comes back is nothing: a machine that nobody can dial tells its end by itself.
                future: Any = self._client.submit(
                    work, message, key=task.id, workers=[address], allow_other_workers=False, pure=False, retries=0
                )
                await wait([future])
                future.release()
        finally:
            if self._futures.pop(task.id, None):
                if not self._guests.invited(order.machine):  # or the task came back to it before its line is cut
                    self.leaving(order.machine)
                self.tell(Over(task=task.id, ended=None))

    def over(self, task: str, ended: Ended) -> None:
        if self._futures.pop(task, None):
            self.tell(Over(task=task, ended=ended))

    # Its own life

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        address = urlsplit(self._charter.listen)
        security = _security(Path(self._charter.folder), self._guard)
        host = urlsplit(self._charter.listen).netloc.rpartition(":")[0]
        scheduler = QuietScheduler(host, address.port or 0, security)
        scheduler.add_plugin(self)
        with _listening(address.hostname, address.port):
            await scheduler
        async with scheduler, Client(scheduler.within, asynchronous=True) as client:
            self._scheduler, self._client = scheduler, client
            async with self._serving_files(address.hostname or "") as port:
                self.tell(Listening(port=scheduler.port, files_port=port))
                yield

    def log_event(self, topic: str, msg: Any) -> None:
        """Passes on the notice of a machine; what dask logs goes nowhere."""
        if topic == HOME:
            self._writer.write(msg.encode() + b"\n")

    @asynccontextmanager
    async def _serving_files(self, host: str) -> AsyncIterator[int]:
        with _listening(host, self._charter.files_port):
            listening = socket.create_server((host, self._charter.files_port), family=_family(host))
        kept = int(2 * IDLE)  # the machines are the first to let go
        config = uvicorn.Config(
            self.files.app, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=kept
        )
        config.load()
        config.ssl = certificates.context(Path(self._charter.folder), ssl.Purpose.CLIENT_AUTH)
        self._guard(config.ssl)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listening]))  # without its signal handlers
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await serving

    # Who was revoked

    def _guard(self, door: ssl.SSLContext) -> None:
        certificates.refuse_revoked(door, Path(self._charter.folder))
        self._doors.append(door)

    async def send_away_revoked(self) -> None:
        """Lets nobody in who is revoked meanwhile, and hangs up on who is here; the others notice nothing of it."""
        folder = Path(self._charter.folder)
        known, revoked = _version(folder), set[str]()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if (now := _version(folder)) != known:
                known = now
                for door in self._doors:
                    certificates.refuse_revoked(door, folder)
                revoked = {f"{serial:X}" for serial in certificates.revoked(folder)}
            for line in list(self._scheduler._comms) if revoked else ():  # all that were taken, whatever they are for
                if _serial(line) in revoked:
                    line.abort()


def _version(folder: Path) -> tuple[int, int]:
    """Which list of who was revoked lies there: it is always another file."""
    found = (folder / certificates.REVOKED).stat()
    return found.st_ino, found.st_mtime_ns


def _serial(line: Any) -> str | None:
    """That of the certificate at the other end of a line, as Python writes it but for zeros before it."""
    found: str | None = line.extra_info.get("peercert", {}).get("serialNumber")
    return found and found.lstrip("0")


@contextmanager
def _listening(host: str | None, port: int | None) -> Iterator[None]:
    """Ends this process in words where it may not listen there; dask tells of that by an error of its own."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        unknown = isinstance(cause, socket.gaierror)  # has numbers of its own
        why = cause.strerror if unknown else os.strerror(cause.errno)
        sys.exit(f"cluster: cannot listen at {host}, port {port}: {why}")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class _Security(Security):  # its methods tell no types
    """Takes connections by a context that is guarded."""

    guard: Callable[[ssl.SSLContext], None]

    def get_listen_args(self, role: str) -> Any:
        found = super().get_listen_args(role)  # type: ignore[no-untyped-call]
        self.guard(found["ssl_context"])
        return found


def _security(folder: Path, guard: Callable[[ssl.SSLContext], None]) -> Any:
    papers = {"cert": str(folder / f"{certificates.DAEMON}.pem"), "key": str(folder / f"{certificates.DAEMON}.key")}
    roles = {f"tls_{role}_{what}": path for role in ("scheduler", "client", "worker") for what, path in papers.items()}
    made: Any = _Security(  # type: ignore[no-untyped-call]
        tls_ca_file=str(folder / "authority.pem"), require_encryption=True, **roles
    )
    made.guard = guard
    return made


async def main(descriptor: int) -> None:
    """Serves one daemon until it closes the socket."""
    line = socket.socket(fileno=descriptor)
    reader, writer = await asyncio.open_connection(sock=line, limit=MAX_LINE)
    charter = msgspec.json.decode(await reader.readline(), type=Charter)
    certificates.authority(Path(charter.folder))
    coordinator = Coordinator(charter, writer)
    async with coordinator.at_work():
        obeying = asyncio.create_task(_obey(coordinator, reader))
        revoking = asyncio.create_task(coordinator.send_away_revoked())
        living = asyncio.create_task(coordinator.tell_that_it_lives())
        done, _ = await asyncio.wait([obeying, revoking, living], return_when=asyncio.FIRST_COMPLETED)
        for fault in filter(None, (task.exception() for task in done)):
            log.error("it has to be started anew", exc_info=fault)
        os._exit(0)  # at once: to close a line in order is to wait for what machines are sending


async def _obey(coordinator: Coordinator, reader: asyncio.StreamReader) -> None:
    decoder = msgspec.json.Decoder(Command)
    with contextlib.suppress(ConnectionError):
        while command := await reader.readline():
            coordinator.obey(decoder.decode(command))


if __name__ == "__main__":
    SSLProtocol.max_size = BUFFER
    logging.basicConfig(level=logging.WARNING, format="cluster: %(levelname)s %(name)s: %(message)s")
    dask_nodes.hush()
    with dask.config.set(RULES | dask_nodes.RULES):
        asyncio.run(main(int(sys.argv[1])))
