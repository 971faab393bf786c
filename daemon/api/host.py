"""Tells of the daemon itself over HTTP: whether it is well, who may use it, what it can do and what it counts."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from daemon.api.client_stats import gather_of
from daemon.api.endpoints import JSON, Call
from daemon.api.requests import EventQuery, LoginRequest
from daemon.api.stats import Stats, exposition, gather
from daemon.errors import Unavailable
from daemon.http.auth import COOKIE
from daemon.http.stream import event_id, stream
from daemon.models import Model, Sandbox
from daemon.presets.builtin import GROUPS
from daemon.recipes.catalogue import catalogue


class Health(Model, frozen=True):
    status: str


class Readiness(Model, frozen=True):
    status: str
    encoder: str
    sandbox: Sandbox


class ParameterView(Model, frozen=True):
    """Describes a parameter.

    `minimum` and `maximum` are of a number, `choices` of text that is one of them; else null.
    """

    name: str
    type: str
    default: str | bool | int | float | None
    minimum: float | None
    maximum: float | None
    choices: tuple[str | int, ...] | None
    description: str


class PresetView(Model, frozen=True):
    """Describes a preset.

    `extension` is empty where the output is a `folder`; `base` is null but for the user's own. A film that
    one which is `resumable` encodes is gone on with after an interruption.
    """

    name: str
    group: str
    kind: str
    description: str
    extension: str
    folder: bool
    base: str | None
    resumable: bool
    parameters: tuple[ParameterView, ...]


class PresetList(Model, frozen=True):
    """Lists presets. `groups` has a heading for each `group` of the items, in their order."""

    items: tuple[PresetView, ...]
    groups: dict[str, str]


async def healthz(_: Call) -> Health:
    return Health(status="ok")


async def readyz(call: Call) -> Readiness:
    if not call.service.scheduler.running:
        raise Unavailable("the daemon is stopping")
    await call.service.store.read(lambda t: t.one("job", id=""))
    return Readiness(status="ready", encoder=call.service.encoder_version, sandbox=call.service.sandbox)


async def login(call: Call) -> Response:
    wish: LoginRequest = call.body
    request = call.request
    session = await call.gate.login(wish.password, request.client.host if request.client else "")
    response = Response(msgspec.json.encode(session), media_type=JSON)
    response.set_cookie(
        COOKIE,
        session.token,
        expires=session.expires_at,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path=call.public("/"),
    )
    return response


async def logout(call: Call) -> Response:
    await call.gate.logout(call.request)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=call.public("/"), httponly=True, samesite="strict")
    return response


async def list_presets(call: Call) -> PresetList:
    return msgspec.convert({"items": catalogue(call.service.library), "groups": GROUPS}, PresetList)


async def stats(call: Call) -> Stats:
    mine = call.caller.sees
    return await (gather(call.service) if mine is None else gather_of(call.service, mine))


async def metrics(call: Call) -> Response:
    text, kind = exposition(call.service.figures, await gather(call.service))
    return Response(text, media_type=kind)


async def events(call: Call) -> Response:
    return _stream(call, None)


async def job_events(call: Call) -> Response:
    await call.service.jobs.check(call.path["job"])
    return _stream(call, call.path["job"])


def _stream(call: Call, job: str | None) -> Response:
    query: EventQuery = call.query
    seen = call.request.headers.get("last-event-id")
    return stream(call.service.feed.stream(job, event_id(seen) if seen else query.after, call.caller))
