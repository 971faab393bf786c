"""Takes resumable uploads as tus 1.0 speaks of them: core, creation, expiration, checksum and termination."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from email.utils import formatdate
from functools import wraps

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.api.endpoints import Call
from daemon.errors import (
    FfspoolError,
    InvalidRequest,
    MethodNotAllowed,
    UnsupportedBody,
    UnsupportedChecksum,
    UnsupportedTus,
)
from daemon.http.problems import on_refusal
from daemon.jobs.resumable_uploads import Checksum, Upload
from daemon.jobs.upload_contents import UploadContents

UPLOADS = "/api/uploads"
VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,checksum,termination"
ALGORITHMS = ("sha1", "sha256", "md5")
PIECE = "application/offset+octet-stream"
UNNAMED = "upload"  # what a file is called whose client gave no `filename`


class Versioned:
    """Tells the protocol's version, as ASGI middleware, with every answer about uploads, whoever gives it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def versioned(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Tus-Resumable"] = VERSION
            await send(message)

        await self._app(scope, receive, versioned if scope["path"].startswith(UPLOADS) else send)


def tus(handler: Callable[[Call], Awaitable[Response]]) -> Callable[[Call], Awaitable[Response]]:
    """Has a handler speak in the protocol's version, which a refusal tells too."""

    @wraps(handler)
    async def handle(call: Call) -> Response:
        try:
            if call.request.method != "OPTIONS":
                _check_version(call.request)
            return await handler(call)
        except FfspoolError as error:
            response = await on_refusal(call.request, error)
            response.headers["Tus-Version"] = VERSION
            return response

    return handle


@tus
async def abilities(call: Call) -> Response:
    headers = {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(call.service.uploads.max_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }
    return Response(status_code=204, headers=headers)


async def upload_abilities(call: Call) -> Response:
    return await abilities(call)


@tus
async def create(call: Call) -> Response:
    length = _number(call.request, "Upload-Length")
    sent = call.request.headers.get("upload-metadata")
    name = _metadata(sent).get("filename", UNNAMED)
    upload = await call.service.uploads.create(name, length, sent, caller=call.caller)
    return Response(status_code=201, headers={"Location": call.public(f"{UPLOADS}/{upload.id}"), **_state(upload)})


@tus
async def show(call: Call) -> Response:
    upload = await call.service.uploads.get(call.path["upload"])
    headers = {"Upload-Length": str(upload.length), "Cache-Control": "no-store", **_state(upload)}
    if upload.metadata is not None:
        headers["Upload-Metadata"] = upload.metadata
    return Response(headers=headers)


@tus
async def append(call: Call) -> Response:
    request = call.request
    if request.headers.get("content-type", "").strip().lower() != PIECE:
        raise UnsupportedBody(f"a piece of an upload is sent as {PIECE}")
    offset, checksum = _number(request, "Upload-Offset"), _checksum(request.headers.get("upload-checksum"))
    async with aclosing(request.stream()) as stream:
        upload = await call.service.uploads.append(call.path["upload"], offset, stream, checksum)
    return Response(status_code=204, headers=_state(upload))


async def contents(call: Call) -> UploadContents:
    return await call.service.upload_reader.read(call.path["upload"])


@tus
async def delete(call: Call) -> Response:
    await call.service.uploads.delete(call.path["upload"])
    return Response(status_code=204)


async def overridden(call: Call) -> Response:
    """Serves a client that can say nothing but POST."""
    handler = {"PATCH": append, "DELETE": delete}.get(call.request.headers.get("x-http-method-override", "").upper())
    if handler is None:
        raise MethodNotAllowed("POST", ("OPTIONS", "HEAD", "PATCH", "DELETE"))
    return await handler(call)


def _state(upload: Upload) -> dict[str, str]:
    return {"Upload-Offset": str(upload.offset), "Upload-Expires": formatdate(upload.expires_at, usegmt=True)}


def _check_version(request: Request) -> None:
    spoken = request.headers.get("tus-resumable")
    if spoken != VERSION:
        said = f"the request is in version {spoken}" if spoken else "the request has no Tus-Resumable"
        raise UnsupportedTus(f"this daemon speaks tus {VERSION}; {said}")


def _number(request: Request, header: str) -> int:
    value = request.headers.get(header)
    if value is None:
        raise InvalidRequest(f"the request has no {header}: say how many bytes")
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise InvalidRequest(f"{header} {value[:40]!r} is not a number of bytes")
    return int(value)


def _metadata(header: str | None) -> dict[str, str]:
    """`key base64, key base64`; the text of what is text. Raises InvalidRequest."""
    found: dict[str, str] = {}
    for pair in (header or "").split(",") if header else []:
        key, _, value = pair.strip().partition(" ")
        if not key or not (key.isascii() and key.isprintable()) or key in found:
            raise InvalidRequest(f"Upload-Metadata {pair[:40]!r}: each key is printable ASCII, and there once")
        found[key] = _decoded(value, "Upload-Metadata").decode(errors="surrogateescape")
    return found


def _checksum(header: str | None) -> Checksum | None:
    if header is None:
        return None
    algorithm, _, digest = header.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise UnsupportedChecksum(f"the checksum {algorithm[:40]!r} is none of {', '.join(ALGORITHMS)}")
    return Checksum(algorithm=algorithm, digest=_decoded(digest, "Upload-Checksum"))


def _decoded(value: str, header: str) -> bytes:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{header}: {value[:40]!r} is not Base64") from error
