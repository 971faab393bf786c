"""Offers thumbnails over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable

from starlette.responses import Response

from daemon.api.endpoints import Call
from daemon.errors import Conflict, Gone, NotFound

CACHING = "private, max-age=86400"  # what an identifier shows does not change


async def of_job(call: Call) -> Response:
    return await _webp(call, call.service.thumbnails.of_job(call.path["job"]))


async def of_variation(call: Call) -> Response:
    return await _webp(call, call.service.thumbnails.of_variation(call.path["job"], call.path["variation"]))


async def _webp(call: Call, wanted: Awaitable[bytes]) -> Response:
    try:
        picture = await wanted
    except (NotFound, Gone, Conflict):  # with a source that changed as with one that went
        if call.query.optional:
            return Response(status_code=204)
        raise
    headers = {"ETag": f'"{hashlib.sha256(picture).hexdigest()[:32]}"', "Cache-Control": CACHING}
    return Response(picture, headers=headers, media_type="image/webp")
