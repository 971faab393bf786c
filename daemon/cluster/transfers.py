"""Brings files between a machine and its daemon, over HTTPS, and goes on where a line broke."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from daemon import paths
from daemon.cluster.file_server import GROWING, OFFSET, SHA256, WHY
from daemon.cluster.messages import Lease, Pulse, Words
from daemon.encode.task import Order, Task
from daemon.errors import FfspoolError

T = TypeVar("T")

PIECE = 1024 * 1024
HEAD = 64 * 1024
TRIES, PAUSE = 20, 0.5  # seconds between two, growing
MOST_PAUSE = 5.0
CONNECT = 10.0
SILENCE = 30.0  # seconds in which a byte has to come or go
HASHED_IN_SECOND = 100e6  # bytes at least, while the other side says nothing


class NotCurrent(FfspoolError):
    """The daemon has given the task up, or to another machine."""


class SourceAway(FfspoolError):
    """The daemon cannot open the source, for the reason that this says."""


class HomeTrouble(FfspoolError):
    """The daemon's disk is `full`, or cannot be written."""

    def __init__(self, message: str, *, full: bool) -> None:
        super().__init__(message)
        self.full = full


class Unreachable(FfspoolError):
    """The daemon does not answer, or not with what was asked."""


def patience(hashed: int = 0) -> httpx.Timeout:
    """Returns how long the other side may say nothing: also where it then reads so many bytes once more."""
    return httpx.Timeout(SILENCE + hashed / HASHED_IN_SECOND, connect=CONNECT)


class _Held:
    """Is how many bytes of a file were there at most when a try began: while they become more, a line is of use."""

    def __init__(self) -> None:
        self.most = 0

    def found(self, count: int) -> int:
        self.most = max(self.most, count)
        return count


class Transfers:
    """Speaks with the daemon's file server by `client`, whose address it has; `tries` so often where a line breaks
    before more of a file has come."""

    def __init__(self, client: httpx.AsyncClient, tries: int = TRIES) -> None:
        self._client = client
        self._tries = tries
        self.moved = Counter[str]()  # bytes, by task

    async def fetch(self, task: Task, to: Path) -> None:
        """Fetches the task's source, whole and as it is there. Raises NotCurrent, SourceAway or Unreachable."""
        draft, found = to.with_name(f".{to.name}.coming"), _Held()
        for last in (False, True):
            if await self._insist(partial(self._fetch_rest, task, draft, found), found):
                break
            await asyncio.to_thread(draft.unlink)
            if last:
                raise Unreachable("the source came otherwise than it is, twice")
        await asyncio.to_thread(_settle, draft, to)

    async def head(self, task: Task) -> bytes:
        """Returns how the task's source begins: HEAD bytes, or all there are. Raises as `fetch` does."""
        return await self._insist(partial(self._read_head, task))

    async def _read_head(self, task: Task) -> bytes:
        async with self._client.stream("GET", f"/tasks/{task.id}/source") as answer:
            _check(answer)
            read = b""
            async for piece in answer.aiter_bytes(HEAD):
                read += piece
                if len(read) >= HEAD:
                    break
            return read[:HEAD]

    async def _fetch_rest(self, task: Task, draft: Path, found: _Held) -> bool:
        """Fetches what is missing of it. Tells whether it has the SHA-256 that follows it then."""
        held, size = found.found(await asyncio.to_thread(paths.size, draft)), hashlib.sha256().digest_size
        headers = {"Range": f"bytes={held}-"} if held else {}
        async with self._client.stream(
            "GET", f"/tasks/{task.id}/source", headers=headers, timeout=patience(held)
        ) as answer:
            _check(answer)
            rest, last = int(answer.headers["Content-Length"]) - size, b""
            with await asyncio.to_thread(draft.open, "ab") as file:
                async for piece in answer.aiter_bytes(PIECE):
                    await asyncio.to_thread(file.write, piece[:rest])
                    last += piece[rest:]
                    rest = max(0, rest - len(piece))
                    self.moved[task.id] += len(piece)
        return await asyncio.to_thread(_sha256, draft) == last.hex()

    async def bring(self, task: Task, order: Order, made: Order) -> None:
        """Brings what was made of an order, in another folder here, to where the daemon wants it."""
        folder = Path(made.part).parent
        for path in await asyncio.to_thread(lambda: sorted(_files(folder))):
            await self._bring(task.id, order, path, folder)

    async def bring_growing(self, task: Task, order: Order, made: Order, until: int) -> None:
        """Brings what is there of a piece, up to that byte, while it is written."""
        path = Path(made.part)
        place, found = f"/tasks/{task.id}/results/{order.variation}/{path.name}", _Held()
        await self._insist(partial(self._bring_rest, task.id, place, path, until, found), found)

    async def _bring_rest(
        self, task: str, place: str, path: Path, until: int, found: _Held, sha256: str | None = None
    ) -> None:
        """Brings what has not come of it, up to that byte; where its hash is told, that is all of it."""
        answer = await self._client.head(place)
        _check(answer)
        held = found.found(int(answer.headers[OFFSET]))
        anew = min(held, HEAD) if answer.headers.get(GROWING) else 0  # its muxer wrote the head of it anew at the end
        if held < until or not (until or anew) or (sha256 and not anew):
            await self._put(task, place, path, held, until, None if anew else sha256)
        if anew:
            await self._put(task, place, path, 0, anew, sha256)

    async def _put(self, task: str, place: str, path: Path, begin: int, until: int, sha256: str | None) -> None:
        headers = {OFFSET: str(begin), "Content-Length": str(until - begin), **({SHA256: sha256} if sha256 else {})}
        pieces = self._pieces(task, path, begin, until)
        answer = await self._client.put(place, content=pieces, headers=headers, timeout=patience(until))
        if answer.status_code == 422:
            raise httpx.TransportError("what came is not what was sent")
        _check(answer)

    async def _bring(self, task: str, order: Order, path: Path, folder: Path) -> None:
        place = f"/tasks/{task}/results/{order.variation}/{path.relative_to(folder).as_posix()}"
        length, sha256 = await asyncio.to_thread(lambda: (path.stat().st_size, _sha256(path)))
        fresh, found = order.begin is None, _Held()  # of a piece of a film, some may be there

        async def once() -> None:
            nonlocal fresh
            if fresh:
                fresh = False
                return await self._put(task, place, path, 0, length, sha256)
            return await self._bring_rest(task, place, path, length, found, sha256)

        await self._insist(once, found)

    async def _pieces(self, task: str, path: Path, begin: int, until: int) -> AsyncIterator[bytes]:
        with await asyncio.to_thread(path.open, "rb") as file:
            await asyncio.to_thread(file.seek, begin)
            while piece := await asyncio.to_thread(file.read, min(PIECE, until - begin)):
                begin += len(piece)
                yield piece
                self.moved[task] += len(piece)

    async def tell_log(self, task: Task, variation: str, words: Words) -> None:
        """Brings home what the encoder said. Raises NotCurrent or Unreachable."""
        await self.post(f"/tasks/{task.id}/logs/{variation}", msgspec.json.encode(words))

    async def post(self, path: str, body: bytes) -> None:
        """Posts what has to arrive. Raises NotCurrent or Unreachable."""

        async def once() -> None:
            _check(await self._client.post(path, content=body))

        await self._insist(once)

    async def renew(self, pulse: Pulse) -> list[str]:
        """Tells how this machine stands, and returns the tasks that it has to go on with. Raises NotCurrent where it is
        not invited any more, and TransportError.
        """
        answer = await self._client.post("/lease", content=msgspec.json.encode(pulse))
        _check(answer)
        return msgspec.json.decode(answer.content, type=Lease).tasks

    async def _insist(self, work: Callable[[], Awaitable[T]], found: _Held | None = None) -> T:
        """Tries again what a line that broke, or a daemon that is busy, kept from coming."""
        why, tried, most = "", 0, 0
        while tried < self._tries:
            try:
                return await work()
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
            await asyncio.sleep(min(PAUSE * 2**tried, MOST_PAUSE))
            tried, most = (0, found.most) if found and found.most > most else (tried + 1, most)
        raise Unreachable(f"the daemon cannot be reached: {why}")


def _settle(draft: Path, to: Path) -> None:
    """Gives it its name once it is on the disk: a power cut would leave another file of that name."""
    with draft.open("rb") as file:
        os.fdatasync(file.fileno())
    draft.rename(to)


def _check(answer: httpx.Response) -> None:
    if answer.status_code == 404:
        raise SourceAway(answer.headers.get(WHY, ""))
    if answer.status_code in {403, 410}:
        raise NotCurrent(f"the daemon answered {answer.status_code}: the task is not current any more")
    if answer.status_code in {503, 507}:
        why = answer.headers.get(WHY, "")
        raise HomeTrouble(f"the daemon's disk cannot be written: {why}", full=answer.status_code == 507)
    if answer.status_code >= 400:
        raise httpx.TransportError(f"the daemon answered {answer.status_code}")


def _files(folder: Path) -> Iterator[Path]:
    """All regular files below it that are not hidden."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
