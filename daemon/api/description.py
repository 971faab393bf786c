"""Serves `/openapi.json`, and the page made from it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from daemon.api import assets
from daemon.api.endpoints import Call
from daemon.api.openapi import document


async def openapi(call: Call) -> dict[str, Any]:
    return document(call.endpoints, call.service.library, call.public(""))


async def docs(call: Call) -> Response:
    return assets.page(call, "docs.html")
