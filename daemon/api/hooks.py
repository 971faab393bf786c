"""Offers over HTTP what became of the commands that are run after deliveries."""

from __future__ import annotations

from daemon.api.endpoints import Call
from daemon.delivery.hooks import HookRuns


async def runs(call: Call) -> HookRuns:
    return await call.service.hooks.page(call.query.job, call.query.limit)
