"""Offers over HTTP the verbs of the whole queue."""

from __future__ import annotations

from daemon.api.endpoints import Call
from daemon.jobs.control import QueueView
from daemon.models import Model
from daemon.states import QueueState


class QueueStanding(Model, frozen=True):
    state: QueueState


async def show(call: Call) -> QueueStanding:
    return QueueStanding(state=call.service.scheduler.queue)


async def pause(call: Call) -> QueueView:
    return await call.service.control.set_queue(QueueState.PAUSED)


async def resume(call: Call) -> QueueView:
    return await call.service.control.set_queue(QueueState.RUNNING)


async def drain(call: Call) -> QueueView:
    return await call.service.control.set_queue(QueueState.DRAINING)
