"""Every error as RFC 9457 `application/problem+json`, with a machine-readable `code`."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from daemon.errors import FfspoolError, Throttled

log = logging.getLogger(__name__)

CODES = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed"}


def problem(status: int, code: str, title: str, detail: str, **extra: Any) -> Response:
    body = {"type": "about:blank", "status": status, "code": code, "title": title, "detail": detail, **extra}
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json")


def refusal(error: FfspoolError) -> Response:
    """The answer to a refusal of ours; what was wrong is in its words."""
    state = getattr(error, "state", None)
    response = problem(error.status, error.code, error.title, str(error), **({"state": state} if state else {}))
    if isinstance(error, Throttled):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, FfspoolError)
    if error.status >= 500:
        log.error("%s: %s", error.code, error)
    return refusal(error)


async def on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    code = CODES.get(error.status_code, title.lower().replace(" ", "_"))
    response = problem(error.status_code, code, title, error.detail)
    response.headers.update(error.headers or {})
    return response


async def on_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def on_fault(_: Request, error: Exception) -> Response:
    """A fault of ours: the log has the details, the client gets none."""
    log.error("a request failed by a fault of ffspool", exc_info=error)
    return problem(500, "internal_error", "Something went wrong", "The daemon's log has the details.")


HANDLERS: dict[Any, Any] = {
    FfspoolError: on_refusal,
    HTTPException: on_http_exception,
    ClientDisconnect: on_disconnect,
    Exception: on_fault,
}
