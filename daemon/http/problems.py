"""Answers every error as RFC 9457 `application/problem+json`, with a machine-readable `code`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from daemon.errors import FfspoolError, refusal_of_host
from daemon.models import Model
from daemon.plaintext import visible

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(Model, frozen=True):
    """A problem is what was wrong: `code` is for programs, `detail` for people; `state` is what a conflict is with."""

    status: int
    code: str
    title: str
    detail: str
    type: str = "about:blank"
    state: str | msgspec.UnsetType = msgspec.UNSET


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(problem), problem.status, headers, media_type=MEDIA_TYPE)


def refusal(error: FfspoolError) -> Response:
    """Answers a refusal of ours; what was wrong is in its words."""
    state = getattr(error, "state", None) or msgspec.UNSET
    detail = visible(str(error), over_lines=True)  # it quotes what was sent
    problem = Problem(status=error.status, code=error.code, title=error.title, detail=detail, state=state)
    return answer(problem, error.headers)


async def on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, FfspoolError)
    if error.status >= 500:
        log.error("%s: %s", error.code, error)
    return refusal(error)


async def on_http_exception(_: Request, error: Exception) -> Response:
    """Answers what the framework refuses: a path that no route has."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    code = title.lower().replace(" ", "_")
    return answer(Problem(status=error.status_code, code=code, title=title, detail=error.detail), error.headers)


async def on_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def on_host_trouble(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    told = refusal_of_host(error)
    return await (on_refusal(request, told) if told else on_fault(request, error))


async def on_fault(_: Request, error: Exception) -> Response:
    """Answers a fault of ours: the log has the details, the client gets none."""
    log.error("a request failed by a fault of ffspool", exc_info=error)
    words = "The daemon's log has the details."
    problem = Problem(status=500, code="internal_error", title="Something went wrong", detail=words)
    return answer(problem, {"Connection": "close"})  # the server ends it after a fault; else the next request is lost


HANDLERS: dict[Any, Any] = {
    FfspoolError: on_refusal,
    HTTPException: on_http_exception,
    ClientDisconnect: on_disconnect,
    OSError: on_host_trouble,
    Exception: on_fault,
}
