"""Resumable uploads as tus 1.0 speaks of them: core, creation, expiration, checksum and termination."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from email.utils import formatdate

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from daemon.api.problems import on_refusal
from daemon.errors import FfspoolError, InvalidRequest, UnsupportedBody, UnsupportedChecksum, UnsupportedTus
from daemon.uploads import Checksum, Upload, Uploads

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,checksum,termination"
ALGORITHMS = ("sha1", "sha256", "md5")
PIECE = "application/offset+octet-stream"
UNNAMED = "upload"  # what a file is called whose client gave no `filename`


def routes(uploads: Uploads) -> list[Route]:
    tus = Tus(uploads)
    return [
        Route("/api/uploads", tus.answer({"OPTIONS": tus.abilities, "POST": tus.create}), methods=["OPTIONS", "POST"]),
        Route(
            "/api/uploads/{upload}",
            tus.answer(
                {"OPTIONS": tus.abilities, "HEAD": tus.show, "PATCH": tus.append, "DELETE": tus.delete},
            ),
            methods=["OPTIONS", "HEAD", "PATCH", "DELETE", "POST"],
        ),
    ]


Handler = Callable[[Request], Awaitable[Response]]


class Tus:
    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def answer(self, handlers: dict[str, Handler]) -> Handler:
        """The handler for all methods of one route: in the protocol's version, with its headers on every answer."""

        async def handle(request: Request) -> Response:
            method = request.headers.get("x-http-method-override", request.method).upper()
            if method not in handlers:
                raise HTTPException(405, headers={"Allow": ", ".join(handlers)})
            try:
                if method != "OPTIONS":
                    _check_version(request)
                response = await handlers[method](request)
            except FfspoolError as error:
                response = await on_refusal(request, error)
                response.headers["Tus-Version"] = VERSION
            response.headers["Tus-Resumable"] = VERSION
            return response

        return handle

    async def abilities(self, _: Request) -> Response:
        headers = {
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(self._uploads.max_bytes),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        }
        return Response(status_code=204, headers=headers)

    async def create(self, request: Request) -> Response:
        length = _number(request, "Upload-Length")
        sent = request.headers.get("upload-metadata")
        upload = await self._uploads.create(_metadata(sent).get("filename", UNNAMED), length, sent)
        return Response(status_code=201, headers={"Location": f"/api/uploads/{upload.id}", **_state(upload)})

    async def show(self, request: Request) -> Response:
        upload = await self._uploads.get(request.path_params["upload"])
        headers = {"Upload-Length": str(upload.length), "Cache-Control": "no-store", **_state(upload)}
        if upload.metadata is not None:
            headers["Upload-Metadata"] = upload.metadata
        return Response(headers=headers)

    async def append(self, request: Request) -> Response:
        if request.headers.get("content-type", "").strip().lower() != PIECE:
            raise UnsupportedBody(f"a piece of an upload is sent as {PIECE}")
        offset, checksum = _number(request, "Upload-Offset"), _checksum(request.headers.get("upload-checksum"))
        async with aclosing(request.stream()) as stream:
            upload = await self._uploads.append(request.path_params["upload"], offset, stream, checksum)
        return Response(status_code=204, headers=_state(upload))

    async def delete(self, request: Request) -> Response:
        await self._uploads.delete(request.path_params["upload"])
        return Response(status_code=204)


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
        if not key or not key.isascii() or key in found:
            raise InvalidRequest(f"Upload-Metadata {pair[:40]!r}: each key is ASCII, and there once")
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
