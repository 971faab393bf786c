"""Thumbnails over HTTP."""

from __future__ import annotations

import hashlib

from starlette.responses import Response

from daemon.api.endpoints import Call

CACHING = "private, max-age=86400"  # what an identifier shows does not change


async def of_job(call: Call) -> Response:
    return _webp(await call.service.thumbnails.of_job(call.path["job"]))


async def of_variation(call: Call) -> Response:
    return _webp(await call.service.thumbnails.of_variation(call.path["job"], call.path["variation"]))


def _webp(picture: bytes) -> Response:
    headers = {"ETag": f'"{hashlib.sha256(picture).hexdigest()[:32]}"', "Cache-Control": CACHING}
    return Response(picture, headers=headers, media_type="image/webp")
