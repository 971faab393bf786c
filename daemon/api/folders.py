"""Offers over HTTP what is watched, what became of it, and the verbs of watched folders."""

from __future__ import annotations

from typing import Annotated

import msgspec

from daemon.api.endpoints import Call
from daemon.delivery.replacements import Undone
from daemon.folders.views import FolderView, Verdicts
from daemon.models import Model


class Undo(Model, frozen=True, forbid_unknown_fields=True):
    """Names a file by its path on the host: one that took an original's place, or that original."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class Folders(Model, frozen=True):
    items: tuple[FolderView, ...]


async def undo(call: Call) -> Undone:
    wish: Undo = call.body
    return await call.service.replacements.undo(wish.path)


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
