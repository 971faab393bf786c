"""Defines endpoints, and how requests come to them: the routes are made of these, and so is the API's description."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, get_type_hints

import msgspec
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, compile_path
from starlette.types import Receive, Scope, Send

from daemon.api.forms import read_body
from daemon.api.possession import check_possession, check_right
from daemon.api.requests import decode_query
from daemon.callers import Caller, Right
from daemon.errors import (
    CrossSite,
    Crowded,
    FfspoolError,
    Forbidden,
    ForeignHost,
    Gone,
    InvalidRequest,
    Malformed,
    MethodNotAllowed,
    NotFound,
    OutOfSpace,
    TooLarge,
    Unauthorized,
    Unavailable,
    UploadStalled,
)
from daemon.http.auth import Gate
from daemon.http.guard import CALLER, SAFE_METHODS
from daemon.jobs.listing import Selection
from daemon.service import Service
from daemon.strict_json import decode

JSON = "application/json"
SMALL = 64 * 1024  # bytes of JSON that are decoded sooner than a thread is found for it
OF_CONTENT = {"content-length", "content-type", "content-encoding", "content-disposition", "accept-ranges"}


@dataclass(frozen=True)
class Call:
    """A call is one request as a handler gets it: `query` and `body` decoded into what its endpoint says."""

    request: Request
    service: Service
    gate: Gate
    endpoints: tuple[Endpoint, ...]  # all there are
    query: Any = None
    body: Any = None

    @property
    def caller(self) -> Caller:
        """Returns who asks. Raises Unauthorized where nobody had to say."""
        caller: Caller | None = self.request.scope[CALLER]
        if caller is None:
            raise Unauthorized("this is not for everybody")
        return caller

    @property
    def selection(self) -> Selection:
        """Returns the jobs that the query is about, of those that the caller sees."""
        wanted: Selection = self.query.selection
        return msgspec.structs.replace(wanted, owner=self.caller.sees)

    @property
    def path(self) -> dict[str, str]:
        return self.request.path_params

    def public(self, path: str) -> str:
        """Returns a path of ours as clients ask for it: below that of the proxy they come through, if there is one."""
        return f"{self.service.settings.root_path}{path}"

    def stream(self) -> AsyncIterator[bytes]:
        """Yields the body as it arrives, for handlers that read it themselves."""
        return self.service.bodies.of(self.request.stream())


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, eq=False)
class Endpoint:
    """An endpoint is a method of a path. Its handler returns what is encoded as JSON, None for 204, or a Response."""

    method: str
    path: str
    handler: Handler
    summary: str
    _: KW_ONLY
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None  # decoded from JSON
    max_body: int | None = None  # bytes; None: the setting
    takes: Mapping[str, Any] | None = None  # by media type, a body that the handler reads itself
    status: int = 200
    media_type: str | None = JSON  # of the answer; None: it has no body
    answer: Any = None  # its type, where the handler's annotation does not tell
    sends: tuple[str, ...] = ()  # request headers that mean something here
    told: tuple[str, ...] = ()  # response headers
    large: bool = False  # its answer may be, and then takes long to be encoded
    may_lack: bool = False  # 204 is an answer too, where the query asks for it
    problems: tuple[type[FfspoolError], ...] = ()  # besides those that `refusals` adds
    open: bool = False  # to whoever asks, without a token
    right: Right | None = Right.ADMIN  # that it takes; None: any token will do

    @property
    def name(self) -> str:
        return self.handler.__name__

    @property
    def group(self) -> str:
        """Names the noun it belongs to: its handler's module."""
        return self.handler.__module__.rpartition(".")[2]

    @property
    def answers_with(self) -> Any:
        """Returns the type that is encoded; None for an answer without a body, Response for one that is no JSON."""
        declared = self.answer or get_type_hints(self.handler)["return"]
        return None if declared is type(None) else declared

    @property
    def refusals(self) -> tuple[type[FfspoolError], ...]:
        """Returns every problem it may answer with."""
        follows: tuple[tuple[object, Sequence[type[FfspoolError]]], ...] = (
            (True, (Unavailable, Crowded, ForeignHost, Malformed)),
            (self.method not in SAFE_METHODS, (CrossSite,)),
            (not self.open, (Unauthorized,)),
            (not self.open and self.right, (Forbidden,)),
            ("{" in self.path, (NotFound,)),
            ("{job}" in self.path, (Gone,)),
            (self.query, (InvalidRequest,)),
            (self.body or self.takes, (InvalidRequest, TooLarge, UploadStalled)),
            (self.method in {"POST", "PATCH", "DELETE"}, (OutOfSpace,)),
        )
        found = [error for holds, errors in follows if holds for error in errors]
        return tuple(dict.fromkeys([*found, *self.problems]))


class Resource:
    """Serves all methods of one path, as an ASGI application. Who may GET may HEAD."""

    def __init__(self, endpoints: Iterable[Endpoint], call: Callable[[Request], Call]) -> None:
        self._endpoints = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._endpoints:
            self._endpoints.setdefault("HEAD", self._endpoints["GET"])
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        endpoint = self._endpoints.get(request.method)
        if endpoint is None:
            raise MethodNotAllowed(request.method, self._endpoints)
        response = _unchanged(request, await self._response(endpoint, request))
        if request.method == "HEAD" and isinstance(response, StreamingResponse):
            response.body_iterator = iterate_in_threadpool(())
        await response(scope, receive, send)

    async def _response(self, endpoint: Endpoint, request: Request) -> Response:
        call = self._call(request)
        if not endpoint.open:
            check_right(call.caller, endpoint.right)
            await check_possession(call.service.store, call.caller, call.path)
        answer = await endpoint.handler(await _decoded(endpoint, call))
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return Response(status_code=204)
        if endpoint.large:
            return await asyncio.to_thread(_encoded, endpoint, answer)
        return _encoded(endpoint, answer)


def _encoded(endpoint: Endpoint, answer: Any) -> Response:
    body = msgspec.json.encode(answer)
    headers = {"ETag": _tag(body)} if endpoint.method == "GET" else None
    return Response(body, endpoint.status, headers, media_type=JSON)


async def _decoded(endpoint: Endpoint, call: Call) -> Call:
    query = decode_query(call.request.query_params, endpoint.query) if endpoint.query else None
    read = _anonymous_body if endpoint.open else _body
    body = await read(endpoint.body, call, endpoint.max_body) if endpoint.body else None
    return replace(call, query=query, body=body)


async def _body(kind: type[msgspec.Struct], call: Call, limit: int | None) -> Any:
    body = await read_body(call.stream(), limit or call.service.settings.max_json_bytes)
    return await decoded(body, kind, "the body")


async def decoded(text: bytes | str, kind: type[msgspec.Struct], what: str) -> Any:
    """Decodes as `decode` does, on a thread if it takes long."""
    return decode(text, kind, what) if len(text) <= SMALL else await asyncio.to_thread(decode, text, kind, what)


async def _anonymous_body(kind: type[msgspec.Struct], call: Call, limit: int | None) -> Any:
    """Bounded as a whole: in small bites it would hold a connection for hours."""
    patience = call.service.settings.header_timeout
    try:
        async with asyncio.timeout(patience):
            return await _body(kind, call, limit)
    except TimeoutError:
        raise UploadStalled(f"the body did not come within {patience:.0f} s") from None


def routes(endpoints: tuple[Endpoint, ...], service: Service, gate: Gate) -> list[Route]:
    """Returns one route for each path; paths without parameters first, lest a parameter takes their last word."""
    call = partial(Call, service=service, gate=gate, endpoints=endpoints)
    ordered = sorted(endpoints, key=lambda endpoint: ("{" in endpoint.path, endpoint.path))
    return [Route(path, Resource(of_path, call)) for path, of_path in groupby(ordered, key=lambda e: e.path)]


def open_paths(endpoints: Iterable[Endpoint]) -> re.Pattern[str]:
    """Returns a pattern that the paths match which anybody may ask for."""
    return re.compile("|".join(compile_path(endpoint.path)[0].pattern for endpoint in endpoints if endpoint.open))


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _unchanged(request: Request, response: Response) -> Response:
    """304 in place of what the client says it has already."""
    tag = response.headers.get("etag")
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if tag is None or response.status_code != 200 or known.isdisjoint({tag, "*"}):
        return response
    # A browser puts these headers in place of those it keeps: a page's policy is among them.
    kept = {name: value for name, value in response.headers.items() if name not in OF_CONTENT}
    return Response(status_code=304, headers=kept, background=response.background)
