"""Has files sent by the kernel, a window at a time, through ASGI's `http.response.zerocopysend`.

A thread has just read what the kernel is told to send, so that it waits for no disk while nothing else is served.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Send

Run = Callable[[Callable[[], bytes]], Awaitable[bytes]]

WINDOW = 1024 * 1024  # bytes: each hop between threads costs as much as to send a hundred kilobytes
SCRATCH = memoryview(bytearray(WINDOW))  # what is read into it, by many threads at once, is not looked at


class Window:
    """A window is a part of an open file that stands for its bytes in the body of an answer."""

    def __init__(self, file: BinaryIO, offset: int, count: int) -> None:
        self._file = file
        self._offset = offset
        self._count = count

    def __len__(self) -> int:
        return self._count

    def message(self, more_body: bool) -> Message:
        return {
            "type": "http.response.zerocopysend",
            "file": self._file,
            "offset": self._offset,
            "count": self._count,
            "more_body": more_body,
        }


class WindowedFile:
    """Reads an open file of so many bytes as windows, as Starlette reads the files it sends."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._offset = 0

    async def seek(self, offset: int) -> None:
        self._offset = offset

    async def read(self, size: int) -> Window:
        """Returns the next window, of `size` bytes or up to the file's end. Raises EOFError where that is too early."""
        count = await run_in_threadpool(os.preadv, self._file.fileno(), [SCRATCH[:size]], self._offset)
        if count < min(size, self._size - self._offset):
            raise EOFError(f"{self._file.name} became shorter while it was sent")
        window = Window(self._file, self._offset, count)
        self._offset += count
        return window


class CopiedFile:
    """Reads an open file of so many bytes by `run`, to be sent from memory.

    For what lies on a disk that may not answer: the kernel could ask that once more for what it sends.
    """

    def __init__(self, descriptor: int, size: int, run: Run) -> None:
        self._descriptor = descriptor
        self._size = size
        self._run = run
        self._offset = 0

    async def seek(self, offset: int) -> None:
        self._offset = offset

    async def read(self, size: int) -> bytes:
        """Returns the next bytes, `size` or up to the file's end. Raises EOFError where that is too early."""
        data = await self._run(partial(os.pread, self._descriptor, size, self._offset))
        if len(data) < min(size, self._size - self._offset):
            raise EOFError("a source became shorter while it was sent")
        self._offset += len(data)
        return data


def windowed(send: Send) -> Send:
    """Sends what it is given, where a body may be a window."""
    return partial(_send, send)


async def _send(send: Send, message: Message) -> None:
    body: Any = message.get("body")
    await send(body.message(message["more_body"]) if isinstance(body, Window) else message)
