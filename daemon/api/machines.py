"""Offers over HTTP which machines work for the daemon."""

from __future__ import annotations

import asyncio

from daemon.api.endpoints import Call
from daemon.cluster import standing
from daemon.cluster.invitations import Guests
from daemon.cluster.standing import Machines, MachineView


async def show(call: Call) -> Machines:
    invited = await asyncio.to_thread(Guests(call.service.paths.cluster).names)
    return standing.machines(call.service.cluster, invited)


async def drain(call: Call) -> MachineView:
    return standing.drained(call.service.cluster, call.path["machine"], True)


async def resume(call: Call) -> MachineView:
    return standing.drained(call.service.cluster, call.path["machine"], False)


async def forget(call: Call) -> None:
    name = call.path["machine"]
    standing.refuse_present(call.service.cluster, name)
    await asyncio.to_thread(Guests(call.service.paths.cluster).revoke, name)
