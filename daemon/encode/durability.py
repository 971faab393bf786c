"""Makes durable what an encoder has written of pieces, so that a power cut leaves what a row vouches for.

What is made durable is known by a checksum, too: bytes that became others since would be joined unseen, and to decode
a whole film again costs far more than to count what is in it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from daemon.encode.task import Durable, Kept, Report, Task

log = logging.getLogger(__name__)

KEEP_EVERY = 10.0  # seconds
READ_AT_ONCE = 1 << 20  # bytes
LONGEST_HEADER = 1 << 16
FILM_BEGINS = (b"moov", b"\x1f\x43\xb6\x75")  # a muxer that comes to its end writes anew what stands before these


class Durability:
    """Syncs the pieces of a task from time to time, where there is something new, and tells of it afterwards."""

    def __init__(self, task: Task) -> None:
        self._task = task.id
        self._pieces = {order.variation: Path(order.part) for order in task.orders if order.begin}
        self._kept = dict[str, Kept]()
        self._kept_at = time.monotonic()

    async def keep(self, seconds: float, cpu_seconds: float, report: Callable[[Report], None]) -> None:
        """Syncs if it is time to; `seconds` of output are said to be written, and took that much CPU time.

        Of what a disk fails to keep nothing more is told, and the encode goes on.
        """
        if time.monotonic() - self._kept_at < KEEP_EVERY:
            return
        try:
            await self.keep_all(seconds, cpu_seconds, report)
        except OSError as error:
            log.warning("what is encoded of %s cannot be made durable: %s", ", ".join(self._pieces), error)

    def hasten(self) -> None:
        """Has the next time come, since nothing may be written for long."""
        self._kept_at = -math.inf

    async def keep_all(self, seconds: float, cpu_seconds: float, report: Callable[[Report], None]) -> None:
        """Syncs now, whatever was kept a moment ago."""
        if not self._pieces:
            return
        self._kept_at = time.monotonic()
        kept = await asyncio.to_thread(_synced, self._pieces, self._kept)
        if kept != self._kept:
            self._kept = kept
            report(Durable(task=self._task, seconds=seconds, kept=kept, cpu_seconds=cpu_seconds))


def _synced(pieces: Mapping[str, Path], before: Mapping[str, Kept]) -> dict[str, Kept]:
    """Returns what of each piece is on the disk now."""
    kept = dict[str, Kept]()
    for variation, path in pieces.items():
        with suppress(FileNotFoundError):  # its muxer has not begun yet
            if (one := synced(path, before.get(variation, Kept()))).bytes:
                kept[variation] = one
    return kept


def synced(path: Path, before: Kept) -> Kept:
    """Makes all that is there of a piece durable, and returns what it is; `before` is what was known to be. Blocks."""
    with path.open("rb") as file:
        there = os.fstat(file.fileno()).st_size
        os.fdatasync(file.fileno())
        return _counted(file, there, before)


def is_unchanged(path: Path, kept: Kept) -> bool:
    """Tells whether what was known to be on the disk of a piece still is, and is the same. Blocks."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        return _counted(file, kept.bytes, Kept()) == kept
    return kept == Kept()


def _counted(file: BinaryIO, until: int, before: Kept) -> Kept:
    """What is there up to that byte, of which what was kept `before` is not read again; nothing without any film."""
    begins = _where_film_begins(file)
    if begins is None or begins >= until:
        return Kept()
    at, checksum = max(begins, before.bytes), before.checksum
    file.seek(at)
    while at < until and (read := file.read(min(READ_AT_ONCE, until - at))):
        at, checksum = at + len(read), zlib.crc32(read, checksum)
    return Kept(bytes=at, checksum=checksum)


def _where_film_begins(file: BinaryIO) -> int | None:
    header = file.read(LONGEST_HEADER)
    return min((at for mark in FILM_BEGINS if (at := header.find(mark)) >= 0), default=None)
