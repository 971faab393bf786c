"""Offers over HTTP what is watched, what became of it, and the verbs of watched folders."""

from __future__ import annotations

from daemon.api.endpoints import Call
from daemon.folders.views import FolderView, Verdicts
from daemon.models import Model


class Folders(Model, frozen=True):
    items: tuple[FolderView, ...]


async def watched(call: Call) -> Folders:
    return Folders(items=tuple(await call.service.watcher.views()))


async def history(call: Call) -> Verdicts:
    return await call.service.watcher.history(call.path["folder"], call.query.limit)


async def scan(call: Call) -> FolderView:
    return await call.service.watcher.scan(call.path["folder"])


async def pause(call: Call) -> FolderView:
    return await call.service.watcher.pause(call.path["folder"])


async def resume(call: Call) -> FolderView:
    return await call.service.watcher.resume(call.path["folder"])


async def retry(call: Call) -> FolderView:
    return await call.service.watcher.retry(call.path["folder"])
