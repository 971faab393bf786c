"""Is a machine of a cluster: it dials the daemon that invited it, and works off the tasks that it is given.

Machines do not come back to a daemon by themselves: one that lost it ends its encoders and exits, to be started anew.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import logging
import os
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import httpx
import msgspec
from distributed import Client
from distributed.security import Security

from daemon import host, json_types
from daemon.cluster import certificates, dask_nodes
from daemon.cluster.dask_nodes import QuietWorker
from daemon.cluster.file_server import IDLE, MACHINE
from daemon.cluster.invitations import Invitation
from daemon.cluster.messages import Ask, Hello, Notice
from daemon.cluster.pulse import pulse, words
from daemon.cluster.shared_folders import SharedFolders
from daemon.cluster.source_cache import SourceCache
from daemon.cluster.task_function import HOME, settle, topic
from daemon.cluster.transfers import NotCurrent, Transfers, patience
from daemon.cluster.workplace import TASKS, Workplace
from daemon.encode import sandbox_trial
from daemon.encode.local_engine import LocalEngine
from daemon.errors import StartupError
from daemon.media.prober import Prober
from daemon.models import Model, Sandbox
from daemon.paths import write_private
from daemon.plaintext import so_many
from daemon.process import ffmpeg_binary
from daemon.process.launcher import Limits

log = logging.getLogger(__name__)

LEASE = 45.0  # seconds without an answer of the daemon's after which all is ended
ASK_EVERY = 5.0
LEAVING = 30.0  # seconds in which what is encoded may go home when it is told to leave
MOST_SHUT_OUT = 3
PAPERS, SOURCES = "papers", "sources"  # folders of a worker's own, beside that of its tasks
OF_ANOTHER_TIME = {9, 10}  # in OpenSSL's words: X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED
PATIENCE = 30.0  # seconds in which a daemon has to answer at first
UNKNOWN = "the daemon does not know this invitation, or has revoked it: ask for another one"
RULES: dict[str, object] = {"distributed.worker.memory.target": False, "distributed.worker.memory.spill": False}
RULES |= {"distributed.worker.memory.pause": False, "distributed.worker.memory.terminate": False}
RULES |= {"distributed.worker.daemon": False} | dask_nodes.RULES


class Means(Model, frozen=True):
    """Are what a machine works with: where, and how much at once."""

    folder: Path
    slots: int
    cache_bytes: int
    shared: dict[str, Path]  # by the path that a folder has on the daemon's host
    ffmpeg: str | None
    sandbox: sandbox_trial.Mode
    readable: tuple[str, ...]  # what the encoder needs beside itself
    limits: Limits
    grace: float


async def serve(invitation: Invitation, means: Means, version: str) -> None:
    """Works until it is cancelled. Raises StartupError when it is not taken, or lost its daemon."""
    json_types.prepare()
    async with AsyncExitStack() as stack:
        papers = stack.enter_context(_alone_in(means.folder)) / PAPERS
        await asyncio.to_thread(_lay_down, invitation, papers)
        program, sandbox = await _encoder(means, stack)
        engine = LocalEngine(
            ffmpeg=program,
            slots=means.slots,
            limits=means.limits,
            grace=means.grace,
            sandbox=sandbox,
            readable=means.readable,
        )
        await engine.start()
        stack.push_async_callback(engine.close)
        client = await stack.enter_async_context(_client(invitation, papers))
        hello = Hello(
            version=version,
            encoder=await asyncio.to_thread(ffmpeg_binary.digest, program),
            clock=time.time(),
            sandbox=sandbox,
            slots=means.slots,
            cores=host.cores(),
            free_bytes=(await asyncio.to_thread(pulse, means.folder)).free_bytes,
        )
        await _introduce(client, hello)
        await _work(invitation, means, papers, engine, client)


async def _encoder(means: Means, stack: AsyncExitStack) -> tuple[str, Sandbox]:
    """The encoder's program, and the sandbox that holds here. Raises StartupError."""
    prober = Prober(sandboxed=means.sandbox != "off")
    stack.push_async_callback(prober.close)
    program = await asyncio.to_thread(ffmpeg_binary.locate, means.ffmpeg)
    return program, await sandbox_trial.choose(means.sandbox, program, means.readable, means.folder, prober)


@contextmanager
def _alone_in(folder: Path) -> Iterator[Path]:
    """The folder, for this process alone, without what one before it was making when it was killed. Raises
    StartupError.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartupError(f"another worker uses {folder}: give each a folder of its own by --work") from error
        except OSError as error:
            raise StartupError(f"{folder} is no folder to work in: {error.strerror}") from error
        _refuse_another_s(folder)
        for left in (folder / TASKS, *folder.glob(f"{sandbox_trial.PREFIX}*")):
            shutil.rmtree(left, ignore_errors=True)
        yield folder


def _refuse_another_s(folder: Path) -> None:
    """Raises StartupError where what a worker removes is somebody's: each begins by laying down its papers."""
    for name in (TASKS, SOURCES):
        if (folder / name).exists() and not (folder / PAPERS).exists():
            raise StartupError(f"{folder} is not a worker's, and has {name} in it: name a folder of its own by --work")


def _lay_down(invitation: Invitation, papers: Path) -> None:
    try:
        papers.mkdir(mode=0o700, exist_ok=True)
        write_private(papers / "authority.pem", invitation.authority)
        write_private(papers / f"{invitation.machine}.pem", invitation.certificate)
        write_private(papers / f"{invitation.machine}.key", invitation.key)
    except OSError as error:
        raise StartupError(words(error)) from error


@asynccontextmanager
async def _client(invitation: Invitation, papers: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks with the daemon's file server, at the first of its addresses that answers. Raises StartupError when none
    does for a while: the daemon may be starting, too.
    """
    context = certificates.context(papers, ssl.Purpose.SERVER_AUTH, invitation.machine)
    headers = {MACHINE: invitation.machine, "Authorization": f"Bearer {invitation.secret}"}
    limits = httpx.Limits(keepalive_expiry=IDLE)
    began, shut_out = time.monotonic(), 0
    for address in itertools.cycle(invitation.addresses):
        base = f"https://{address}:{invitation.files_port}"
        async with httpx.AsyncClient(
            verify=context, headers=headers, base_url=base, timeout=patience(), limits=limits
        ) as client:
            try:
                await client.get("/")
            except httpx.TransportError as error:
                _refuse_wrong_clock(error)
                why = str(error) or type(error).__name__
                shut_out += not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            else:
                yield client
                return
        if shut_out > MOST_SHUT_OUT:  # it hung up on our papers, as it does on those of whoever was revoked
            raise StartupError(UNKNOWN)
        if time.monotonic() - began > PATIENCE:
            port = invitation.files_port
            raise StartupError(f"no daemon answers at {', '.join(invitation.addresses)}, port {port}: {why}")
        await asyncio.sleep(1.0)


def _refuse_wrong_clock(error: BaseException | None) -> None:
    """Raises StartupError where the daemon's papers are of another time than it is here."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    if error is not None and error.verify_code in OF_ANOTHER_TIME:
        words = "the clock of this machine is wrong, by which the daemon's papers do not count"
        raise StartupError(f"{words}: {error.verify_message}. Have it set by NTP")


async def _introduce(client: httpx.AsyncClient, hello: Hello) -> None:
    try:
        answer = await client.post("/hello", content=msgspec.json.encode(hello))
    except httpx.TransportError as error:
        raise StartupError(f"the daemon does not answer: {error}") from error
    if answer.status_code == 403:
        raise StartupError(UNKNOWN)
    if answer.status_code == 409:
        raise StartupError(f"the daemon does not take this machine: {answer.json()['refused']}")
    if answer.is_error:
        raise StartupError(f"the daemon answered {answer.status_code}: it may be of another version of ffspool")


async def _work(
    invitation: Invitation, means: Means, papers: Path, engine: LocalEngine, client: httpx.AsyncClient
) -> None:
    name = invitation.machine
    address = f"tls://{client.base_url.netloc.decode().rpartition(':')[0]}:{invitation.port}"
    security = _security(papers, name)
    transfers = Transfers(client)
    shared = SharedFolders(means.shared, transfers)
    cache = SourceCache(means.folder / SOURCES, means.cache_bytes, transfers)
    with dask.config.set(RULES):
        async with (
            Client(address, asynchronous=True, security=security, name=f"{name}-asks") as line,
            QuietWorker(
                address, name=name, nthreads=means.slots, security=security, dashboard=False, memory_limit=0,
                local_directory=str(means.folder), death_timeout=LEASE,
            ) as worker,
        ):  # fmt: skip
            place = Workplace(engine, means.folder, shared, cache, transfers, lambda notice: _tell(worker, notice))
            line.subscribe_topic(topic(name), lambda event: place.asked(msgspec.json.decode(event[1], type=Ask)))
            settle(place)
            log.info("%s works for %s with %s", name, address, so_many(means.slots, "slot"))
            await _until_lost(worker, place)
    raise StartupError("the daemon is gone, or this machine was sent away: start it again to come back")


def _tell(worker: Any, notice: Notice) -> None:
    worker.log_event(HOME, msgspec.json.encode(notice).decode())


async def _until_lost(worker: Any, place: Workplace) -> None:
    """Returns once the scheduler closed the line, or no answer came for as long as a lease lasts."""
    gone = asyncio.create_task(worker.finished())
    try:
        await _renew(gone, place)
    except asyncio.CancelledError:  # it is told to leave
        with suppress(TimeoutError):
            await asyncio.wait_for(place.leave(), LEAVING)
        raise
    gone.cancel()
    await place.stop_but([])


async def _renew(gone: asyncio.Task[Any], place: Workplace) -> None:
    renewed = time.monotonic()
    while not gone.done() and time.monotonic() - renewed < LEASE:
        try:
            await place.renew()
            renewed = time.monotonic()
        except NotCurrent:
            break
        except httpx.TransportError as error:
            log.debug("the daemon does not answer: %s", error)
        await asyncio.wait([gone], timeout=ASK_EVERY)


def _security(papers: Path, name: str) -> Security:
    mine = {"cert": str(papers / f"{name}.pem"), "key": str(papers / f"{name}.key")}
    roles = {f"tls_{role}_{what}": path for role in ("client", "worker") for what, path in mine.items()}
    return Security(tls_ca_file=str(papers / "authority.pem"), require_encryption=True, **roles)
