"""Offers over HTTP what is watched, what became of it, and the verbs of watched folders."""

from __future__ import annotations

from typing import Annotated

import msgspec

from daemon.api.endpoints import Call
from daemon.delivery.replacements import Undone
from daemon.errors import InvalidRequest
from daemon.folders.history import Verdicts
from daemon.folders.views import FolderView
from daemon.models import Model

Path = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class Undo(Model, frozen=True, forbid_unknown_fields=True):
    """Names a file that took an original's place, or that original: by its `path` on the host, or by its `name` in a
    watched `folder`.
    """

    path: Path | None = None
    folder: str | None = None
    name: Path | None = None


class Folders(Model, frozen=True):
    items: tuple[FolderView, ...]


async def undo(call: Call) -> Undone:
    wish: Undo = call.body
    if wish.folder is not None and wish.name is not None and wish.path is None:
        path = str(call.service.watcher.path_of(wish.folder, wish.name))
    elif wish.path is not None and (wish.folder, wish.name) == (None, None):
        path = wish.path
    else:
        raise InvalidRequest("give the `path` of a file, or a `folder` and its `name` there")
    return await call.service.replacements.undo(path)


async def watched(call: Call) -> Folders:
    return Folders(items=tuple(await call.service.watcher.views()))


async def history(call: Call) -> Verdicts:
    return await call.service.watcher.history(call.path["folder"], call.query.limit, call.query.cursor)


async def scan(call: Call) -> FolderView:
    return await call.service.watcher.scan(call.path["folder"])


async def pause(call: Call) -> FolderView:
    return await call.service.watcher.pause(call.path["folder"])


async def resume(call: Call) -> FolderView:
    return await call.service.watcher.resume(call.path["folder"])


async def retry(call: Call) -> FolderView:
    return await call.service.watcher.retry(call.path["folder"])
