"""Reads the daemon's Server-Sent Events as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from daemon.errors import Broken

MOST_BYTES = 16 * 1024**2  # of one event
OPEN = "open"  # type of the event that stands for a connection being made: an id without data


class Event(NamedTuple):
    """An event is one of the daemon's: a change has an `id`, progress has none. `data` is JSON, as it came."""

    id: int | None
    type: str
    data: bytes


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Yields the events of a stream. Raises Broken for what no daemon of ours sends.

    Lines end at a line feed alone: a name in the data may hold what else counts as a line's end.
    """
    rest = b""
    for chunk in chunks:
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            if event := _event(dict(line.partition(b": ")[::2] for line in block.split(b"\n"))):
                yield event
        if len(rest) > MOST_BYTES:
            raise Broken("the daemon sends an event without an end")


def _event(fields: Mapping[bytes, bytes]) -> Event | None:
    """None for a comment."""
    try:
        number = int(fields[b"id"]) if b"id" in fields else None
        if b"event" in fields:
            msgspec.json.decode(fields[b"data"])  # it is passed on as it came
            return Event(number, fields[b"event"].decode(), fields[b"data"])
    except (KeyError, ValueError) as error:
        raise Broken("the daemon sends events that are not understood; is it of another version?") from error
    return None if number is None else Event(number, OPEN, b"{}")
