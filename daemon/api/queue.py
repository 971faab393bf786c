"""Offers over HTTP the verbs of the whole queue."""

from __future__ import annotations

from daemon.api.endpoints import Call
from daemon.jobs.queue import QueueChange, QueueStanding, QueueView
from daemon.states import QueueState


async def show(call: Call) -> QueueStanding:
    return call.service.queue.standing


async def patch(call: Call) -> QueueChange:
    return await call.service.queue.patch(call.body)


async def pause(call: Call) -> QueueView:
    return await call.service.queue.set_state(QueueState.PAUSED)


async def resume(call: Call) -> QueueView:
    return await call.service.queue.set_state(QueueState.RUNNING)


async def drain(call: Call) -> QueueView:
    return await call.service.queue.set_state(QueueState.DRAINING)
