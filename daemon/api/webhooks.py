"""Offers webhooks over HTTP: what was and is to be sent, and the secret that signs it."""

from __future__ import annotations

import msgspec

from daemon.api.endpoints import Call
from daemon.webhooks.outbox import Delivery, DeliveryPage
from daemon.webhooks.signing import SecretView


async def deliveries(call: Call) -> DeliveryPage:
    query, veil = msgspec.structs.asdict(call.query), call.caller.veil
    query["cursor"] = veil.reveal_in(query["cursor"])
    found = await call.service.webhooks.page(**query, owner=call.caller.sees)
    return msgspec.structs.replace(found, next_cursor=veil.hide_in(found.next_cursor))


async def replay(call: Call) -> Delivery:
    return await call.service.webhooks.replay(call.path["delivery"])


async def secret(call: Call) -> SecretView:
    return await call.service.webhooks.secret(call.caller.name)


async def rotate(call: Call) -> SecretView:
    return await call.service.webhooks.rotate(call.caller.name)
