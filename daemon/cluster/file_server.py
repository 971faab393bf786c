"""Gives machines the files of their tasks and takes what they made, over HTTPS: for tasks that are current alone.

A source is followed by its SHA-256. What a machine sends goes into the work folder of the attempt: each file in a
draft, from as far as it came before, and under its name once it has the SHA-256 that was said with the last of it.
Whose task is not current any more is told 410, and changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from daemon.body_batches import batches
from daemon.cluster.messages import Finish, Greeting, Hello, Lease, Pulse, Words
from daemon.cluster.pulse import FULL, is_trouble
from daemon.encode.task import Ended, Order, Task
from daemon.models import SourceFile
from daemon.source_files import SourceRefused

log = logging.getLogger(__name__)

PIECE = 1024 * 1024
IDLE = 60.0  # seconds that a connection is kept: making one takes as long as several requests
OFFSET, SHA256, MACHINE, WHY = "Upload-Offset", "X-SHA256", "X-Machine", "X-Why"
GROWING = "X-Growing"  # said of a file that has its name while it comes


class Tasks:
    """Holds the tasks that are current, each with the machine that has it."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[str, Task]] = {}
        self._logged: dict[str, Counter[str]] = defaultdict(Counter)  # bytes of logs that came, by task and variation

    def add(self, machine: str, task: Task) -> None:
        self._tasks[task.id] = machine, task

    def forget(self, task: str) -> None:
        self._tasks.pop(task, None)
        self._logged.pop(task, None)

    def of(self, machine: str) -> list[str]:
        return [task for task, (mine, _) in self._tasks.items() if mine == machine]

    def get(self, task: str, machine: str) -> Task:
        """Returns it. Raises HTTPException where it is not current, or another machine's."""
        mine, found = self._tasks.get(task, ("", None))
        if found is None or mine != machine:
            raise HTTPException(410, "this task is not current any more")
        return found

    def unlogged(self, task: str, variation: str, words: Words) -> bytes:
        """Returns what is new of these words of a log; from now on they are known."""
        known = self._logged[task][variation]
        self._logged[task][variation] = max(known, words.begin + len(words.said))
        return words.said[max(0, known - words.begin) :]


class FileServer:
    """Answers machines. `knows` tells by its name and secret whether one is invited, `welcome` takes it or says why
    not, `beat` is told how it stands, `leaving` who takes nothing more, and `over` how tasks ended.
    """

    def __init__(
        self,
        tasks: Tasks,
        knows: Callable[[str, str], bool],
        welcome: Callable[[str, Greeting], str | None],
        beat: Callable[[str, Pulse], None],
        leaving: Callable[[str], None],
        over: Callable[[str, Ended], None],
    ) -> None:
        self._tasks = tasks
        self._knows = knows
        self._welcome = welcome
        self._beat = beat
        self._leaving = leaving
        self._over = over
        result = "/tasks/{task}/results/{variation}/{name:path}"
        self.app = Starlette(
            routes=[
                Route("/hello", self._hello, methods=["POST"]),
                Route("/lease", self._lease, methods=["POST"]),
                Route("/leaving", self._leave, methods=["POST"]),
                Route("/tasks/{task}/source", self._source),
                Route(result, self._held, methods=["HEAD"]),
                Route(result, self._take, methods=["PUT"]),
                Route("/tasks/{task}/logs/{variation}", self._log, methods=["POST"]),
                Route("/tasks/{task}/ended", self._ended, methods=["POST"]),
            ],
            exception_handlers={ClientDisconnect: _has_hung_up},
        )

    def _who(self, request: Request) -> str:
        """The name of the machine that asks."""
        name, secret = request.headers.get(MACHINE, ""), request.headers.get("Authorization", "")
        if not self._knows(name, secret.removeprefix("Bearer ")):
            raise HTTPException(403, "this machine is not invited, or not any more")
        return name

    def _task(self, request: Request) -> Task:
        return self._tasks.get(request.path_params["task"], self._who(request))

    async def _while_current(self, request: Request, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yields them. Raises HTTPException as soon as the task is not current any more: they may take hours."""
        async for piece in pieces:
            self._task(request)
            yield piece

    async def _hello(self, request: Request) -> Response:
        name = self._who(request)
        refusal = self._welcome(name, _greeting(await request.body()))
        return JSONResponse({"refused": refusal}, 409 if refusal else 200)

    async def _lease(self, request: Request) -> Response:
        """Hears how the machine stands, and says which tasks it has to go on with."""
        name = self._who(request)
        self._beat(name, msgspec.json.decode(await request.body(), type=Pulse))
        return Response(msgspec.json.encode(Lease(tasks=self._tasks.of(name))))

    async def _leave(self, request: Request) -> Response:
        self._leaving(self._who(request))
        return Response(status_code=204)

    async def _source(self, request: Request) -> Response:
        task = self._task(request)
        begin = _offset(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        try:
            descriptor, length = await asyncio.to_thread(_opened, task.source, begin)
        except SourceRefused as error:
            raise HTTPException(404, headers={WHY: str(error.strerror)}) from error
        if begin > length:
            os.close(descriptor)
            raise HTTPException(416, "the source is not that long")
        headers = {"Content-Length": str(length - begin + hashlib.sha256().digest_size)}
        pieces = self._while_current(request, _read(descriptor, begin, length))
        return _Source(pieces, 206 if begin else 200, headers)

    def _place(self, request: Request) -> _Place:
        return _place(self._order(request), request.path_params["name"])

    def _order(self, request: Request) -> Order:
        task = self._task(request)
        wanted = request.path_params["variation"]
        found = next((order for order in task.orders if order.variation == wanted), None)
        if found is None:
            raise HTTPException(410, "the task has no such variation")
        return found

    async def _held(self, request: Request) -> Response:
        """Tells how much of a file came so far."""
        place = self._place(request)
        held = await asyncio.to_thread(lambda: place.draft.stat().st_size if place.draft.exists() else 0)
        return Response(headers={OFFSET: str(held), **({GROWING: "yes"} if place.growing else {})})

    async def _take(self, request: Request) -> Response:
        """Takes more of a file: all, where its SHA-256 is said, and then it gets its name if it is what was sent."""
        place, wanted = self._place(request), request.headers.get(SHA256)
        begin = _offset(request.headers.get(OFFSET, "0"))
        pieces = self._while_current(request, batches(request.stream()))
        try:
            await _keep(place, begin, pieces)
        except OSError as error:
            if not is_trouble(error):
                raise
            async for _ in pieces:  # whoever is still sending might not hear the answer
                pass
            status = 507 if error.errno in FULL else 503
            raise HTTPException(status, headers={WHY: str(error.strerror)}) from error
        if wanted is None or await asyncio.to_thread(_settled, place, wanted, partial(self._task, request)):
            return Response(status_code=204)
        raise HTTPException(422, "what came is not what was sent")

    async def _log(self, request: Request) -> Response:
        """Takes what an encoder said; what came before of that, and was not heard to have come, is left out."""
        words = msgspec.json.decode(await request.body(), type=Words)
        order = self._order(request)
        new = self._tasks.unlogged(request.path_params["task"], order.variation, words)
        await asyncio.to_thread(_append, Path(order.log), new)
        return Response(status_code=204)

    async def _ended(self, request: Request) -> Response:
        finish = msgspec.json.decode(await request.body(), type=Finish)
        task = self._task(request)
        for order in task.orders:
            if words := finish.words.get(order.variation):
                new = self._tasks.unlogged(task.id, order.variation, words)
                await asyncio.to_thread(_append, Path(order.log), new)
        self._over(task.id, finish.ended)
        return Response(status_code=204)


def _greeting(body: bytes) -> Greeting:
    """A Hello, unless it is of a version that tells other things of itself."""
    try:
        return msgspec.json.decode(body, type=Hello)
    except msgspec.ValidationError:
        return msgspec.json.decode(body, type=Greeting)


async def _has_hung_up(request: Request, fault: Exception) -> Response:  # noqa: ARG001 (as Starlette calls it)
    """Answers who is not there any more, or goes on by another line."""
    return Response(status_code=400)


def _offset(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise HTTPException(400, "this is no offset")
    return int(text)


def _opened(source: SourceFile, begin: int) -> tuple[int, int]:
    """Its descriptor, and how long it is. Raises SourceRefused, also where it cannot be read from there on."""
    descriptor = source.open()
    try:
        os.pread(descriptor, 1, begin)
        return descriptor, os.fstat(descriptor).st_size
    except OSError as error:
        os.close(descriptor)
        raise SourceRefused(error.errno, error.strerror) from error


class _Source(StreamingResponse):
    """Ends where the rest cannot be read: whoever wants it knows how long it should be, and asks again."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except (OSError, EOFError) as error:
            log.warning("a source was cut short: %s", error)
        except HTTPException as error:
            log.debug("nobody wants the rest of a source: %s", error)


async def _read(descriptor: int, begin: int, length: int) -> AsyncIterator[bytes]:
    """The rest of a source of that length, and the SHA-256 of the whole."""
    hashed = hashlib.sha256()
    try:
        for at in range(begin, length, PIECE):
            wanted = min(PIECE, length - at)
            piece = await asyncio.to_thread(os.pread, descriptor, wanted, at)
            if len(piece) < wanted:
                raise EOFError("it has become shorter")
            yield piece
            if not begin:
                hashed.update(piece)
        yield await asyncio.to_thread(_sha256, descriptor) if begin else hashed.digest()
    finally:
        os.close(descriptor)


def _sha256(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").digest()


class _Place(NamedTuple):
    """Where a result of an order belongs, and its draft; what is `growing` has none: it is a piece of a film, which may
    be gone on with as far as it came."""

    path: Path
    draft: Path
    growing: bool


def _place(order: Order, name: str) -> _Place:
    """That of such a file in the order's work folder, or below it."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in {"..", "/"} or part.startswith(".") for part in parts):
        raise HTTPException(400, "no result is called that")
    path = Path(order.part).parent.joinpath(*parts)
    growing = order.begin is not None and path == Path(order.part)
    return _Place(path, path if growing else path.with_name(f".{path.name}.coming"), growing)


async def _keep(place: _Place, begin: int, pieces: AsyncIterator[bytes]) -> None:
    descriptor = await asyncio.to_thread(_open_draft, place, begin)
    try:
        async for piece in pieces:
            await asyncio.to_thread(_write, descriptor, piece)
    finally:
        os.close(descriptor)


def _open_draft(place: _Place, begin: int) -> int:
    place.draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(place.draft, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    held = os.fstat(descriptor).st_size
    if begin > held:
        os.close(descriptor)
        raise HTTPException(409, "so much has not come yet")
    if not place.growing:
        os.ftruncate(descriptor, begin)
    os.lseek(descriptor, begin, os.SEEK_SET)
    return descriptor


def _write(descriptor: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _settled(place: _Place, wanted: str, refuse_outdated: Callable[[], object]) -> bool:
    try:
        with place.draft.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return False
    refuse_outdated()
    if found != wanted:
        place.draft.unlink()
        return False
    place.draft.rename(place.path)
    return True


def _append(path: Path, words: bytes) -> None:
    """Adds them to a log, where it can be written: no task fails for want of that."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(words)
    except OSError as error:
        if not is_trouble(error):
            raise
        log.warning("what an encoder said cannot be kept: %s", error.strerror)
