"""Brings files between a machine and its daemon, over HTTPS, and goes on where a line broke."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from daemon.cluster.file_server import GROWING, OFFSET, WHY
from daemon.cluster.messages import Lease, Pulse
from daemon.encode.task import Order, Task
from daemon.errors import FfspoolError

T = TypeVar("T")

PIECE = 1024 * 1024
HEAD = 64 * 1024
TRIES, PAUSE = 20, 0.5  # seconds between two, growing
MOST_PAUSE = 5.0


class NotCurrent(FfspoolError):
    """The daemon has given the task up, or to another machine."""


class SourceAway(FfspoolError):
    """The daemon cannot open the source, for the reason that this says."""


class Unreachable(FfspoolError):
    """The daemon does not answer, or not with what was asked."""


class Transfers:
    """Speaks with the daemon's file server by `client`, whose address it has."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.moved = Counter[str]()  # bytes, by task

    async def fetch(self, task: Task, to: Path) -> None:
        """Fetches the task's source, whole and as it is there. Raises NotCurrent, SourceAway or Unreachable."""
        draft = to.with_name(f".{to.name}.coming")
        for last in (False, True):
            await self._insist(lambda: self._fetch_rest(task, draft))
            wanted = await self._insist(lambda: self._hash(task))
            if await asyncio.to_thread(_sha256, draft) == wanted:
                break
            await asyncio.to_thread(draft.unlink)
            if last:
                raise Unreachable("the source came otherwise than it is, twice")
        await asyncio.to_thread(draft.rename, to)

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

    async def _fetch_rest(self, task: Task, draft: Path) -> None:
        held = draft.stat().st_size if draft.exists() else 0
        async with self._client.stream(
            "GET", f"/tasks/{task.id}/source", headers={"Range": f"bytes={held}-"} if held else {}
        ) as answer:
            _check(answer)
            with draft.open("ab") as file:
                async for piece in answer.aiter_bytes(PIECE):
                    await asyncio.to_thread(file.write, piece)
                    self.moved[task.id] += len(piece)

    async def _hash(self, task: Task) -> str:
        answer = await self._client.get(f"/tasks/{task.id}/source/sha256", timeout=None)
        _check(answer)
        return str(answer.json()["sha256"])

    async def bring(self, task: Task, order: Order, made: Order) -> None:
        """Brings what was made of an order, in another folder here, to where the daemon wants it."""
        folder = Path(made.part).parent
        for path in await asyncio.to_thread(lambda: sorted(_files(folder))):
            place = f"/tasks/{task.id}/results/{order.variation}/{path.relative_to(folder).as_posix()}"
            await self._insist(partial(self._bring, task.id, place, path))

    async def bring_growing(self, task: Task, order: Order, made: Order, until: int) -> None:
        """Brings what is there of a piece, up to that byte, while it is written."""
        path = Path(made.part)
        place = f"/tasks/{task.id}/results/{order.variation}/{path.name}"
        await self._insist(partial(self._bring_rest, task.id, place, path, until))

    async def _bring_rest(self, task: str, place: str, path: Path, until: int) -> None:
        answer = await self._client.head(place)
        _check(answer)
        held = int(answer.headers[OFFSET])
        if held < until or not until:
            await self._put(task, place, path, held, until)
        if held and answer.headers.get(GROWING):  # its muxer wrote the head of it anew at the end
            await self._put(task, place, path, 0, min(held, HEAD))

    async def _put(self, task: str, place: str, path: Path, begin: int, until: int) -> None:
        headers = {OFFSET: str(begin), "Content-Length": str(until - begin)}
        _check(await self._client.put(place, content=self._pieces(task, path, begin, until), headers=headers))

    async def _bring(self, task: str, place: str, path: Path) -> None:
        length = (await asyncio.to_thread(path.stat)).st_size
        await self._bring_rest(task, place, path, length)
        answer = await self._client.post(place, content=await asyncio.to_thread(_sha256, path), timeout=None)
        if answer.status_code == 422:
            raise httpx.TransportError("what came is not what was sent")
        _check(answer)

    async def _pieces(self, task: str, path: Path, begin: int, until: int) -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            await asyncio.to_thread(file.seek, begin)
            while piece := await asyncio.to_thread(file.read, min(PIECE, until - begin)):
                begin += len(piece)
                yield piece
                self.moved[task] += len(piece)

    async def tell_log(self, task: Task, variation: str, begin: int, words: bytes) -> None:
        """Brings home what the encoder said, which begins at that byte of its log. Raises NotCurrent or Unreachable."""
        await self.post(f"/tasks/{task.id}/logs/{variation}", words, {OFFSET: str(begin)})

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Posts what has to arrive. Raises NotCurrent or Unreachable."""

        async def once() -> None:
            _check(await self._client.post(path, content=body, headers=headers))

        await self._insist(once)

    async def renew(self, pulse: Pulse) -> list[str]:
        """Tells how this machine stands, and returns the tasks that it has to go on with. Raises NotCurrent where it is
        not invited any more, and TransportError.
        """
        answer = await self._client.post("/lease", content=msgspec.json.encode(pulse))
        _check(answer)
        return msgspec.json.decode(answer.content, type=Lease).tasks

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Tries again what a line that broke, or a daemon that is busy, kept from coming."""
        why = ""
        for number in range(TRIES):
            try:
                return await work()
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
            await asyncio.sleep(min(PAUSE * 2**number, MOST_PAUSE))
        raise Unreachable(f"the daemon cannot be reached: {why}")


def _check(answer: httpx.Response) -> None:
    if answer.status_code == 404:
        raise SourceAway(answer.headers.get(WHY, ""))
    if answer.status_code in {403, 410}:
        raise NotCurrent(f"the daemon answered {answer.status_code}: the task is not current any more")
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
