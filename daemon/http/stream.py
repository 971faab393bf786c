"""Writes Server-Sent Events as they are on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from daemon.errors import InvalidRequest

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy that buffers would hold events back


def stream(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


def event_id(value: str) -> int:
    """Returns the id a client has seen last. Raises InvalidRequest when it is no id."""
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise InvalidRequest(f"Last-Event-ID {value[:40]!r} is not an id that an event had")
    return int(value)
