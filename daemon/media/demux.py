"""Reads the packets of a container that is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet


def packets(container: InputContainer, *streams: Any) -> Iterator[Packet[Any]]:
    """Yields the packets of these streams, in the order of the file.

    At the end of a file in which another stream turned up late, PyAV looks for that one among those it knew before. In
    a broadcast FFmpeg stops to look for the next packet now and then, where there is none for long.
    """
    while True:
        try:
            with suppress(IndexError):
                yield from container.demux(*streams)
            return
        except BlockingIOError:
            continue
