"""Offers over HTTP which machines work for the daemon."""

from __future__ import annotations

import asyncio
import json

from daemon.api.endpoints import Call
from daemon.cluster import standing
from daemon.cluster.invitations import Guests
from daemon.cluster.standing import Machines, MachineView, MadeThere, Making
from daemon.encode.progress import percent
from daemon.service import Service


async def show(call: Call) -> Machines:
    guests = Guests(call.service.paths.cluster)
    invited, drained = await asyncio.to_thread(lambda: (guests.names(), guests.drained()))
    return standing.machines(call.service.cluster, invited, drained, await _making(call.service))


async def drain(call: Call) -> MachineView:
    return await _drain(call, True)


async def resume(call: Call) -> MachineView:
    return await _drain(call, False)


async def _drain(call: Call, draining: bool) -> MachineView:
    engine, name = standing.of(call.service.cluster), call.path["machine"]
    await asyncio.to_thread(Guests(call.service.paths.cluster).drain, name, draining)
    engine.drain(name, draining)
    return standing.view(engine, name, draining, (await _making(call.service)).get(name, ()))


async def forget(call: Call) -> None:
    name = call.path["machine"]
    standing.refuse_present(call.service.cluster, name)
    await asyncio.to_thread(Guests(call.service.paths.cluster).revoke, name)


async def _making(service: Service) -> Making:
    """What each machine has at work."""
    if service.cluster is None:
        return {}
    made = {name: service.cluster.made_by(name) for name in service.cluster.machines}
    wanted = json.dumps([variation for variations in made.values() for variation in variations])
    rows = await service.store.read(lambda t: t.all("made_elsewhere", variations=wanted))
    running = service.scheduler.attempts.items()
    done = {one: percent(at.shown.seconds, at.duration(one)) for one, at in running if at.shown}
    done = {one: share and round(share, 1) for one, share in done.items()}
    views = {row["variation"]: MadeThere(**row, progress=done.get(row["variation"])) for row in rows}
    return {name: tuple(views[one] for one in variations if one in views) for name, variations in made.items()}
