"""Offers over HTTP what is watched."""

from __future__ import annotations

from daemon.api.endpoints import Call
from daemon.folders.watch import FolderView
from daemon.models import Model


class Folders(Model, frozen=True):
    items: tuple[FolderView, ...]


async def watched(call: Call) -> Folders:
    return Folders(items=tuple(await call.service.watcher.views()))
